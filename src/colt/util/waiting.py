"""Who is told that this process waits for something that others have: a few lines for people, and nothing of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST_S = 900.0
"""How long a run that begins waits for what others have, in seconds."""
_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def told_of_waiting(listen: Callable[[str], None], *, instead: bool = True) -> Iterator[None]:
    """Inside, ``listen`` is told what this thread waits for: ``instead`` of whoever listens, or only if nobody does."""
    token = _LISTENER.set(listen if instead else _LISTENER.get() or listen)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell_waiting(text: str) -> None:
    """Tell whoever listens in this thread what it waits for."""
    if (listen := _LISTENER.get()) is not None:
        listen(text)
