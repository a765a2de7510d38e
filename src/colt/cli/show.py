"""``colt show``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import show
from colt.models.options import SUFFIX
from colt.util.streams import print_json


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("show", help="show the result of a run again")
    command.add_argument("run", metavar="DIR", help="a run directory, or a compiled model (FILE.colt)")
    command.add_argument("--json", action="store_true", help="print the receipt as JSON")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print the receipt."""
    from colt.store.receipt import load_receipt
    from colt.views.table import result_table

    if Path(given.run).suffix == SUFFIX:
        return _show_model(Path(given.run), given.json)
    receipt = load_receipt(Path(given.run))
    if given.json:
        print_json(receipt.to_json().decode())
    else:
        show(result_table(receipt))
    return OK


def _show_model(path: Path, json: bool) -> int:
    """Print what is known of a compiled model, after the whole file was read once."""
    from colt.models.archive import open_archive
    from colt.models.report import table_of

    archive = open_archive(path)
    archive.require_whole()
    if json:
        print_json(f"{archive.manifest.to_json()}\n")
    else:
        show(table_of(archive.manifest))
    return OK
