"""Who is told that this process waits for something that others have: a few lines for people, and nothing of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def told_of_waiting(listen: Callable[[str], None]) -> Iterator[None]:
    """Inside, ``listen`` is told what this thread waits for."""
    token = _LISTENER.set(listen)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell_waiting(text: str) -> None:
    """Tell whoever listens in this thread what it waits for."""
    if (listen := _LISTENER.get()) is not None:
        listen(text)
