"""``colt compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say, show


def add(commands: Any) -> None:
    """Add the command."""
    compare = commands.add_parser(
        "compare",
        help="show runs side by side",
        description="Show runs side by side. Latencies of unlike programs or machines are not compared: it says so.",
    )
    compare.add_argument("runs", metavar="DIR", nargs="+", help="run directories")
    compare.add_argument("-o", "--output", metavar="FILE", help="also write a page with all runs in the same charts")
    compare.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print the table; write the page."""
    from colt.store.output import require_output
    from colt.util.output import write_file
    from colt.views.compare import comparison, notes_of, overlay, terminal_table
    from colt.views.report.page import report_page
    from colt.views.report.source import load_runs

    output = None if given.output is None else require_output(Path(given.output))
    runs = load_runs([Path(name) for name in given.runs])
    show(terminal_table(comparison(runs), notes_of(runs)))
    if output is not None:
        page = report_page([], f"{len(runs)} runs compared", overlay(runs)).encode("utf-8", "replace")
        say(write_file(output, page))
    return OK
