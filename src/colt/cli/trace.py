"""``colt trace``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say, tell_problems


def add(commands: Any) -> None:
    """Add the command."""
    trace = commands.add_parser("trace", help="write a run's timeline for Perfetto")
    trace.add_argument("run", metavar="DIR", help="a run directory")
    trace.add_argument("-o", "--output", metavar="FILE", default="trace.json", help="the file (default: trace.json)")
    trace.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Write the timeline."""
    from colt.store.output import require_output
    from colt.util.output import write_file
    from colt.views.report.source import load_run
    from colt.views.trace import trace_json

    output = require_output(Path(given.output))
    runs = load_run(Path(given.run))
    say(f"{write_file(output, trace_json(runs))}; open it at ui.perfetto.dev")
    tell_problems(runs)
    return OK
