"""Python's collector of cycles, put off while very many objects are made that are in none."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_putting_off = 0


@contextmanager
def no_collecting() -> Iterator[None]:
    """Put the collector off for the whole process, and set aside what was made meanwhile.

    The collector goes through all objects again each time that their number has grown by a quarter, which takes longer
    than making them. At the end they are frozen: it never looks at them again, and they go when nothing refers to them.
    May be nested, and entered by several threads at a time; does nothing if the collector was off before.
    """
    global _putting_off
    with _lock:
        ours = _putting_off > 0 or gc.isenabled()
        _putting_off += ours
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _putting_off -= ours
            if ours and not _putting_off:
                gc.freeze()
                gc.enable()
