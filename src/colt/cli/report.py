"""``colt report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK


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
    from colt.views.report.assets import write_assets
    from colt.views.report.content import contents_of
    from colt.views.report.output import require_writable, write_page
    from colt.views.report.page import report_page
    from colt.views.report.source import load_runs

    output = require_writable(Path(given.output))
    runs = load_runs([Path(name) for name in given.runs])
    contents = contents_of(runs)
    written = write_page(output, report_page(contents))
    if given.assets is not None:
        count = write_assets(Path(given.assets), runs, contents)
        written += f"; {count} charts in {given.assets}"
    for run in runs:
        for problem in run.problems:
            written += f"\nnote: {run.label}: {problem}"
    print(written)
    return OK
