"""Weights of a file, compared with their checksum before a model computes with them.

That is when it is loaded, or when it is first called if there are many: loading is to take less than a second, and
reading all of them may take longer. The first call reads them anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from colt.errors import InputError

AT_ONCE = 128 << 20
"""Weights of up to so many bytes are checked when they are loaded, which takes about a tenth of a second."""


class CheckOnce:
    """A check that is made when it is first asked for, once for all models and threads that share it."""

    def __init__(self, check: Callable[[], None]) -> None:
        """``check`` raises :class:`InputError` if something is wrong."""
        self._check = check
        self._lock = threading.Lock()
        self._made = False
        self._wrong: InputError | None = None

    def __call__(self) -> None:
        """Raises :class:`InputError`, every time, if something is wrong."""
        with self._lock:
            if not self._made:
                try:
                    self._check()
                except InputError as error:
                    self._wrong = error
                self._made = True
        if self._wrong is not None:
            raise InputError(str(self._wrong))
