"""``colt export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say


def add(commands: Any) -> None:
    """Add the command."""
    export = commands.add_parser("export", help="write a run's kernel as a shared library")
    export.add_argument("run", metavar="DIR", help="a run directory")
    export.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write")
    export.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Write the kernel, and say how to load it."""
    from colt.run.export import domains_of, export_kernel, loading_lines, packing_of
    from colt.store.receipt import load_receipt

    run, output = Path(given.run), Path(given.output)
    receipt = load_receipt(run)
    lines = loading_lines(output, receipt, packing_of(run), domains_of(run))  # before anything is written
    output = export_kernel(run, receipt, output)
    say(f"wrote {output}; load and call it so:\n\n{lines}")
    return OK
