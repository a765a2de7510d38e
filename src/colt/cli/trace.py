"""``colt trace``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK


def add(commands: Any) -> None:
    """Add the command."""
    trace = commands.add_parser("trace", help="write a run's timeline for Perfetto")
    trace.add_argument("run", metavar="DIR", help="a run directory")
    trace.add_argument("-o", "--output", metavar="FILE", default="trace.json", help="the file (default: trace.json)")
    trace.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Write the timeline."""
    from colt.views.report.output import require_writable, write_file
    from colt.views.report.source import load_run
    from colt.views.trace import trace_json

    output = require_writable(Path(given.output))
    print(f"{write_file(output, trace_json(load_run(Path(given.run))))}; open it at ui.perfetto.dev")
    return OK
