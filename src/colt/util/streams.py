"""The streams of this process: what a terminal cannot show is replaced, and what others print stays off our output."""

from __future__ import annotations

import codecs
import ctypes
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

PLAIN = {"·": "*", "×": "x", "…": "...", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "µ": "u", "²": "^2", "³": "^3"}
"""What stands for a character where it cannot be shown; for any other it is a question mark."""
_HANDLER = "colt-plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _plain)


def degrade() -> None:
    """From now on standard output and standard error take characters that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def ascii_json(text: str) -> str:
    """The same JSON in ASCII: outside of strings it has no other characters."""
    return "".join(one if one < "\x7f" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def print_json(text: str) -> None:
    """Print JSON, which ends its last line itself, as far as the encoding of standard output allows."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    print(text, end="")


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Inside, whatever this process prints on standard output goes to standard error, from C too. For any thread."""
    _DIVERSION.enter()
    try:
        yield
    finally:
        _DIVERSION.leave()


def divert_stdout() -> None:
    """Like :func:`stdout_to_stderr`, for the rest of this process."""
    _DIVERSION.enter()


class _Diversion:
    """Standard output, diverted while anybody is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stream: TextIO | None = None
        self._kept: int | None = None
        """The descriptor that standard output had, under another number."""

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            _flush()
            self._stream, sys.stdout = sys.stdout, sys.stderr
            with suppress(OSError):  # either may be closed
                kept = os.dup(1)
                os.dup2(2, 1)
                self._kept = kept

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            _flush()
            sys.stdout = self._stream
            if self._kept is not None:
                os.dup2(self._kept, 1)
                os.close(self._kept)
                self._kept = None


_DIVERSION = _Diversion()


def _flush() -> None:
    """Also what C holds back, or it would come out at the other side."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    ctypes.CDLL(None).fflush(None)
