"""``colt show``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import show
from colt.util.streams import print_json


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("show", help="show the result of a run again")
    command.add_argument("run", metavar="DIR", help="a run directory")
    command.add_argument("--json", action="store_true", help="print the receipt as JSON")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print the receipt."""
    from colt.store.receipt import load_receipt, printable
    from colt.views.table import result_table

    receipt = load_receipt(Path(given.run))
    if given.json:
        print_json(receipt.to_json().decode())
    else:
        show(result_table(printable(receipt)))
    return OK
