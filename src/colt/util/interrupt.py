"""Ctrl-C: as a request to end at the next safe point, and as an end at once where nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """While entered on the main thread, the first SIGINT sets ``requested`` and the second raises KeyboardInterrupt.

    On any other thread it does nothing. The handler that was there before is restored on leaving.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class PromptExit:
    """While entered, Ctrl-C ends the process within :attr:`grace_s`, unless an :class:`Interrupt` is waiting for it.

    Python raises KeyboardInterrupt between two of its own instructions, so a long call of a compiled library delays it,
    and leaving may take as long as closing workers takes. For command lines only: nothing else of the process survives.
    """

    grace_s = 0.3
    """How long the process has to end by itself."""
    code = 130

    def __init__(self) -> None:
        self.before_exit: Callable[[], None] = lambda: None
        """What to do before the process is ended."""
        self._left = threading.Event()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True, name="colt-prompt-exit").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._previous)
        os.close(self._writer)

    def _watch(self) -> None:
        while number := os.read(self._reader, 1):
            awaited = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            if number[0] != signal.SIGINT or awaited:
                continue
            if not self._left.wait(self.grace_s):
                os.write(2, b"colt: interrupted\n")
                self.before_exit()
                os._exit(self.code)
        os.close(self._reader)
