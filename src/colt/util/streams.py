"""The streams of this process: what a terminal cannot show is replaced, and what others print stays off our output.

A user's file may print what it likes: that goes to standard error. TVM and LLVM print warnings there, by the hundred
for some programs and of no use to users; :func:`keeping_remarks` keeps them for the run directory.
"""

from __future__ import annotations

import codecs
import ctypes
import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from colt.util.text import shown

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
    """Print JSON, which ends its last line itself, as far as the encoding of standard output allows.

    What nobody could see, or what steers a terminal, is printed by its number, which means the same.
    """
    text = "".join(one if one.isascii() or shown(one) == one else _escaped(one) for one in text)
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

_REMARK = re.compile(
    rb"^\[\d\d:\d\d:\d\d\] [^\n]*: (?:Warning|Info|Debug|Error): |^'[^'\n]*' is not a recognized [^\n]*\n"
    rb"|^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [IWEF] \d+ \d+\] ",
    re.MULTILINE,
)
"""How remarks begin: TVM's, which may have several lines, LLVM's about processors and their features, and Ray's."""
_MOST_KEPT = 1 << 20
"""Bytes of remarks that are kept, the latest."""


@contextmanager
def keeping_remarks() -> Iterator[None]:
    """Inside, what TVM, LLVM and Ray remark on standard error is kept. Short calls only; for any thread.

    Whatever else is printed there from C reaches standard error on leaving, and what Python prints reaches it at once.
    """
    _REMARKS.enter()
    try:
        yield
    finally:
        _REMARKS.leave()


def remarks_so_far() -> int:
    """A place among the remarks of this process, for :func:`remarks_since`."""
    return _REMARKS.total


def remarks_since(place: int) -> bytes:
    """The remarks of this process, of whichever thread, after that place; the latest megabyte of them."""
    return _REMARKS.since(place)


class _Remarks:
    """Standard error's descriptor, in a file while anybody is inside; ``sys.stderr`` leads to where it was."""

    def __init__(self) -> None:
        self.total = 0
        """Bytes of remarks so far."""
        self._lock = threading.Lock()
        self._inside = 0
        self._text = b""
        self._file: IO[bytes] | None = None
        self._kept = -1
        """The descriptor that standard error had, under another number; that stays the same."""
        self._direct: TextIO | None = None
        self._stream: TextIO | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._stream = None
            with suppress(OSError, ValueError):  # standard error may be closed
                self._divert()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._stream is None:
                return
            if sys.stderr is self._direct:
                sys.stderr = self._stream
            os.dup2(self._kept, 2)
            self._sort()

    def since(self, place: int) -> bytes:
        with self._lock:
            new = self.total - place
            return self._text[-new:] if new > 0 else b""

    def _divert(self) -> None:
        sys.stderr.flush()
        if self._file is None:
            self._file = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115
        if self._kept < 0:
            self._kept = os.dup(2)
        elif not os.path.sameopenfile(self._kept, 2):
            os.dup2(2, self._kept, inheritable=False)
        os.dup2(self._file.fileno(), 2)
        self._stream = sys.stderr
        with suppress(OSError, ValueError):  # not everybody's standard error has a descriptor
            if sys.stderr.fileno() == 2:
                sys.stderr = self._leading_on(sys.stderr)

    def _leading_on(self, stream: TextIO) -> TextIO:
        """Like ``stream``, on the descriptor that it had."""
        old = self._direct
        if old is None or (old.encoding, old.errors) != (stream.encoding, stream.errors):
            raw = open(self._kept, "wb", buffering=0, closefd=False)  # noqa: SIM115
            self._direct = io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
        assert self._direct is not None
        return self._direct

    def _sort(self) -> None:
        """Keep the remarks, and print what was printed before the first one."""
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        if not size:
            return
        self._file.seek(0)
        printed = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        first = _REMARK.search(printed)
        others, remarks = (printed, b"") if first is None else (printed[: first.start()], printed[first.start() :])
        self.total += len(remarks)
        self._text = (self._text + remarks)[-_MOST_KEPT:]
        with suppress(OSError):
            while others:
                others = others[os.write(2, others) :]


_REMARKS = _Remarks()


def _flush() -> None:
    """Also what C holds back, or it would come out at the other side."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    ctypes.CDLL(None).fflush(None)
