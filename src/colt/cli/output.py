"""Where commands print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
