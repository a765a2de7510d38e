"""Ctrl-C and the signals that end a process: as a request to end at the next safe point, and as an end at once where
nothing is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Sent by ``kill``, batch systems and shutdowns, and by a terminal that goes away."""

ENDLESS_S = 1e6
"""A time-out for waits that should have none. Z3, with which TVM proves things, puts Python's handler of SIGINT back
such that a signal does not end a wait without a time-out any more."""


class Ended(KeyboardInterrupt):
    """One of :data:`ENDING` came while nothing was worth keeping."""

    def __init__(self, number: int | str) -> None:
        super().__init__(number)
        self.code = exit_code(int(number))


def exit_code(number: int) -> int:
    """The exit code of a process that a signal has ended, as shells count."""
    return 128 + number


def end_quietly() -> None:
    """Have a Ctrl-C that nobody handles end this process in one line; other exceptions as before."""
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            os.write(2, b"colt: interrupted\n")
        else:
            before(kind, error, traceback)

    sys.excepthook = tell


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


class Interrupt:
    """While entered on the main thread, SIGINT, SIGTERM and SIGHUP set ``requested``; a SIGINT after that raises
    KeyboardInterrupt.

    A terminal that goes away and batch systems may send theirs several times, so those drop nothing. SIGTERM and SIGHUP
    are left alone where the process ignores them, as under ``nohup``, or handles them by itself. On any other thread
    nothing is done. The handlers that were there before are restored on leaving.

    One that is entered inside of another leaves signals to that one: what was requested of the whole is requested of
    each part, whichever was under way and whichever comes next.
    """

    def __init__(self) -> None:
        self._requested = False
        self._whole: Interrupt | None = None
        self._entered = 0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come, to this one or to the one that it is inside of."""
        return self._requested or (self._whole is not None and self._whole.requested)

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1 and threading.current_thread() is threading.main_thread():
            handler = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
            if isinstance(handler, Interrupt):
                self._whole = handler
                return self
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._handle)
            for number in ENDING:
                if signal.getsignal(number) in (signal.SIG_DFL, _end):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered:
            return
        if self._whole is not None:
            self._requested = self._whole.requested
            self._whole = None
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = True


class PromptExit:
    """While entered, Ctrl-C, SIGTERM and SIGHUP end the process within :attr:`grace_s`, unless an :class:`Interrupt`
    waits for them or the process ignores them.

    Python raises KeyboardInterrupt between two of its own instructions, so a long call of a compiled library delays it,
    and leaving may take as long as closing workers takes. For command lines only: nothing else of the process survives.
    """

    grace_s = 0.3
    """How long the process has to end by itself."""
    code = exit_code(signal.SIGINT)

    def __init__(self) -> None:
        self.before_exit: Callable[[], None] = lambda: None
        """What to do before the process is ended."""
        self.when_heeded: Callable[[], None] = lambda: None
        """What to do, on a thread of its own, as soon as a signal has come that somebody waits for. Once."""
        self._heeded = False
        self._left = threading.Event()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._previous = -1
        self._defaults: list[int] = []
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            for number in ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _end)
                    self._defaults.append(number)
            threading.Thread(target=self._watch, daemon=True, name="colt-prompt-exit").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._previous)
            for number in self._defaults:
                signal.signal(number, signal.SIG_DFL)
        os.close(self._writer)

    def _watch(self) -> None:
        while received := os.read(self._reader, 1):
            number = received[0]
            if number == signal.SIGHUP:
                self._leave_terminal()
            if signal.getsignal(number) not in (signal.default_int_handler, _end):
                self._tell_heeded()  # somebody waits for it
                continue
            if not self._left.wait(self.grace_s):
                try:
                    os.write(2, b"colt: interrupted\n")
                finally:
                    self.before_exit()
                    os._exit(exit_code(number))
        os.close(self._reader)

    def _tell_heeded(self) -> None:
        """Whoever waits may be in the middle of a long call of a compiled library: this thread is not."""
        if not self._heeded:
            self._heeded = True
            self.when_heeded()

    def _leave_terminal(self) -> None:
        """Print into nothing if the terminal has gone: writing to it would fail, and the result with it."""
        for descriptor in self._terminals:
            if not os.isatty(descriptor):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
