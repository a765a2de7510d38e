"""Python's warnings, as notes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """The texts of the warnings that are given within, once it is left. One thread at a time: warnings are the
    process's."""
    notes: list[str] = []
    with _LOCK, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield notes
        notes += [str(warning.message) for warning in warned]
