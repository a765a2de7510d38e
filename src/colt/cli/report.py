"""``colt report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say, tell_problems


def add(commands: Any) -> None:
    """Add the command."""
    report = commands.add_parser(
        "report",
        help="write a page about runs: one file that needs no network",
        description="Write a page about runs, finished or not: one file that opens without a network.",
    )
    report.add_argument("runs", metavar="DIR", nargs="+", help="run directories")
    report.add_argument("-o", "--output", metavar="FILE", default="report.html", help="the page (default: report.html)")
    report.add_argument("--assets", metavar="DIR", help="also write all charts as PNG and their data as CSV there")
    report.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Write the page."""
    from colt.store.output import require_output
    from colt.util.output import require_folder, write_file
    from colt.views.report.assets import assets_of, require_apart, write_assets
    from colt.views.report.content import contents_of
    from colt.views.report.page import report_page
    from colt.views.report.source import load_runs

    output = require_output(Path(given.output))
    folder = None if given.assets is None else require_folder(Path(given.assets))
    if folder is not None:
        require_apart(folder, output)
    runs = load_runs([Path(name) for name in given.runs])
    contents = contents_of(runs)
    page = report_page(contents).encode("utf-8", "replace")
    assets = None if folder is None else assets_of(runs, contents)  # all of it before the first file is written
    written = write_file(output, page)
    if folder is not None and assets is not None:
        written += f"; {write_assets(folder, assets)} charts in {folder}"
    say(written)
    tell_problems(runs)
    return OK
