"""``colt hardware``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import show, tell
from colt.cli.parser import integer


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("hardware", help="show this machine and its measured peaks")
    command.add_argument("--threads", type=integer, help="threads to measure with (default: all cores)")
    command.add_argument("--refresh", action="store_true", help="measure again")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print the machine, measuring its peaks if they are not known."""
    from rich.table import Table

    from colt.tvm.devices.peaks import hardware_with_peaks
    from colt.util.caught import caught_warnings
    from colt.views.describe import hardware_rows

    threads = given.threads if given.threads is not None else len(os.sched_getaffinity(0))
    with caught_warnings() as notes:
        hardware = hardware_with_peaks(threads, given.refresh)
    for note in notes:
        tell(f"note: {note}")
    table = Table(show_header=False)
    for name, value in hardware_rows(hardware):
        table.add_row(name, value)
    show(table)
    return OK
