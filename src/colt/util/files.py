"""Files that are written completely or not at all, whose errors name them."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_BUFFER_BYTES = 1 << 16


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A path, in a hidden folder beside ``path``, to write a file to; it takes the place of ``path`` on leaving.

    If anything is raised, nothing is left of the new file and ``path`` is as it was. ``durable`` waits until the disk
    has the file.

    Raises
    ------
    OSError
        The file cannot be written; ``filename`` is ``path``.
    """
    beginning = f".{path.name}."
    try:
        with tempfile.TemporaryDirectory(prefix=beginning, dir=path.parent) as folder:
            written = Path(folder) / path.name
            yield written
            if durable:
                _sync(written)
            os.replace(written, path)
    except OSError as error:
        ours = str(path.parent / beginning)
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if names and not any(name.startswith(ours) for name in names):
            raise  # about a file that was read to write this one
        raise named(error, path) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all. Raises :class:`OSError` with ``path`` as ``filename``."""
    with replacing(path) as written:
        written.write_bytes(content)


def read_file(path: Path) -> bytes:
    """The contents of a file. Raises :class:`OSError`, also for what is no file: reading from a pipe would wait."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return path.read_bytes()


def named(error: OSError, path: Path) -> OSError:
    """The same error, about ``path``."""
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))


class LineFile:
    """A file of lines that only ever grows by whole ones. Usable in ``with``.

    After a failure it holds the lines of all earlier flushes, and takes no more.
    """

    def __init__(self, path: Path, new: bool = True) -> None:
        """Create the file, which must not be there; unless ``new`` it is appended to. Raises :class:`OSError`."""
        self._path = path
        self._file = path.open("xb" if new else "ab", buffering=0)
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # see in_use
        self._size = self._file.seek(0, os.SEEK_END)
        self._pending = bytearray()
        self._failure: OSError | None = None

    def write(self, line: bytes) -> None:
        """Append a line, given without its end; it may stay in memory until :meth:`flush`. Raises as that."""
        self._pending += line
        self._pending += b"\n"
        if self._failure is not None or len(self._pending) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory. Raises :class:`OSError` with the file's name, again after the first time."""
        if self._failure is not None:
            raise named(self._failure, self._path)
        left = memoryview(bytes(self._pending))
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
            self._size += len(self._pending)
            self._pending.clear()
        except BaseException as error:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._size)
                self._file.seek(self._size)
            if isinstance(error, OSError):
                self._failure = error
                raise named(error, self._path) from None
            raise

    def close(self) -> None:
        """Flush and close. May be repeated; silent after a failure, which has been raised. Raises as :meth:`flush`."""
        if self._file.closed:
            return
        try:
            if self._failure is None:
                self.flush()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def in_use(path: Path) -> Iterator[bool]:
    """Whether another process writes this file of lines; if not, it counts as in use by us within.

    Raises :class:`OSError` if there is no such file.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield True
        else:
            yield False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
