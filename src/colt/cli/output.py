"""Where commands print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from colt.util.streams import print_json

if TYPE_CHECKING:
    from colt.run.finish import Result
    from colt.views.terminal import ProgressView


def show(what: Any) -> None:
    """Print a table or a text."""
    from rich.console import Console

    console = Console(markup=False)  # names come from the user's program
    if not console.is_terminal:
        console = Console(width=140, markup=False)  # a pipe has no width of its own
    console.print(what)


def progress(trials: int, json: bool = False) -> ProgressView:
    """How to show progress here: live on a terminal, plain lines elsewhere, nothing beside JSON."""
    from rich.console import Console

    from colt.views.terminal import LiveProgress, PlainProgress, Silent

    if json:
        return Silent()
    console = Console(stderr=True, markup=False)
    return LiveProgress(trials, console) if console.is_terminal else PlainProgress(trials, sys.stderr)


def show_result(result: Result, json: bool) -> None:
    """Print what a run found, and how to go on with it if something is left to do.

    Raises :class:`StorageError` if files of the run could not be written.
    """
    from colt.views.describe import how_to_go_on
    from colt.views.table import result_table

    if json:
        print_json(result.receipt.to_json().decode())
    else:
        show(result_table(result.receipt))
        print(f"run directory: {result.run_dir}")
        if hint := how_to_go_on(result.receipt.stop_reason, str(result.run_dir)):
            print(hint)
    if result.storage_failure is not None:
        raise result.storage_failure
