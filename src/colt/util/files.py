"""Files that are written completely or not at all, whose errors name them."""

from __future__ import annotations

import errno
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
    has the file, under its name.

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
                sync(written)
            os.replace(written, path)
            if durable:
                sync(path.parent)
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
    """The contents of a file. Raises :class:`OSError`, also for what is not a file: reading from a pipe would wait."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.read_bytes()


def named(error: OSError, path: Path) -> OSError:
    """The same error, about ``path``."""
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))


class LineFile:
    """A file of lines that only ever grows by whole ones. Usable in ``with``.

    After a failure it holds the lines of all earlier flushes, and takes no more.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        """Create the file, which must not be there; or append after the first ``keep`` bytes of one that is.

        Raises :class:`OSError`, which names the file.
        """
        self._path = path
        self._file = path.open("xb" if keep is None else "rb+", buffering=0)
        self._size = keep or 0
        if keep is not None:
            try:
                self._file.truncate(keep)
                self._file.seek(keep)
            except OSError as error:
                self._file.close()
                raise named(error, path) from None
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

    def sync(self) -> None:
        """Flush, and wait until the disk has it all. Raises as :meth:`flush`."""
        self.flush()
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self._failure = error
            raise named(error, self._path) from None

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


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder. Raises :class:`OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
