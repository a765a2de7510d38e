"""Where commands print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from colt.util.streams import print_json
from colt.util.text import shown

if TYPE_CHECKING:
    from colt.run.finish import Result
    from colt.views.report.source import SeenRun
    from colt.views.terminal import ProgressView


def say(text: str) -> None:
    """Print a text. Names in it may come from elsewhere."""
    print(shown(text, lines=True), flush=True)


def tell(text: str) -> None:
    """Print a text on standard error. Names in it may come from elsewhere."""
    print(shown(text, lines=True), file=sys.stderr, flush=True)


def say_waiting(text: str) -> None:
    """Print what a command waits for, as the phase of a run, on standard error."""
    tell(f"{text} ...")


def tell_problems(runs: Sequence[SeenRun]) -> None:
    """Say on standard error what of these runs could not be read, once for each run."""
    for text in dict.fromkeys(f"note: {run.folder}: {problem}" for run in runs for problem in run.problems):
        tell(text)


def show(table: Any) -> None:
    """Print a table, whose texts are what people are to see."""
    from rich.console import Console

    plain: dict[str, Any] = {"markup": False, "emoji": False}  # names come from the user's program
    console = Console(**plain)
    if not console.is_terminal:
        console = Console(width=140, **plain)  # a pipe has no width of its own
    console.print(table)


def progress(trials: int, json: bool = False, doing: str = "") -> ProgressView:
    """How to show progress here: live on a terminal, plain lines elsewhere, nothing beside JSON.

    ``doing`` stands before the phases of a run that is not run but, say, replayed.
    """
    from rich.console import Console

    from colt.views.terminal import LiveProgress, PlainProgress, Silent

    if json:
        return Silent(sys.stderr)
    console = Console(stderr=True, markup=False, emoji=False)
    if console.is_terminal:
        return LiveProgress(trials, console, doing)
    return PlainProgress(trials, sys.stderr, doing)


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
        say(f"run directory: {result.run_dir}")
        if hint := how_to_go_on(result.receipt.stop_reason, str(result.run_dir)):
            say(hint)
    if result.storage_failure is not None:
        raise result.storage_failure
