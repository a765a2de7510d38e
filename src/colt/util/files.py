"""Files that are written completely or not at all, whose errors name them."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

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


def read_file(path: Path, most: int | None = None, *, links: bool = True) -> bytes:
    """The contents of a file of at most so many bytes. Raises as :func:`open_file`, and if there are more."""
    with open_file(path, links=links) as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return content


def open_file(path: Path, *, links: bool = True) -> BinaryIO:
    """Open a file for reading. Without ``links``, a path that is itself a symbolic link is not followed.

    Raises
    ------
    OSError
        There is none, or it is something else, which :func:`refusal` names: opening a pipe would wait for a writer.
    """
    if why := refusal(path, links=links):
        raise OSError(errno.EINVAL, why, str(path))
    # What has taken its place meanwhile is neither followed nor waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _NO_FILE, str(path))
    return os.fdopen(descriptor, "rb")


def refusal(path: Path, *, links: bool = True) -> str:
    """Why :func:`open_file` does not open what is there: it is no regular file, or a link; empty if it does.

    Raises :class:`OSError` if nothing is there, or it cannot be reached.
    """
    mode = os.stat(path, follow_symlinks=links).st_mode
    if stat.S_ISLNK(mode):
        return "it is a symbolic link, which is not followed"
    return "" if stat.S_ISREG(mode) else _NO_FILE


_NO_FILE = "it is not a file"


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
