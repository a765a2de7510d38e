"""A lock on a folder that dies with its holder, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

NAME = ".lock"
"""The file of a folder that its lock is on."""
_LONGEST = 300
"""Characters that the file may hold."""


class Busy(Exception):
    """Another process, or another part of this one, holds the lock. The text names it."""


class FolderLock:
    """Held from its making to :meth:`close`. Usable in ``with``.

    The kernel releases it when the process ends. The file says who holds it, and goes when the lock is given back;
    what a killed process leaves of it hinders nobody. A file system without locks has none.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises :class:`Busy`, or :class:`OSError` if the folder cannot be written, or has something
        else in the file's place: a folder may be a stranger's, and no link of it is followed."""
        self._path = folder / NAME
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            try:
                _require_ours(self._descriptor, self._path)
                if _taken(self._descriptor):
                    raise Busy(_said(self._descriptor))
                if _is_at(self._descriptor, self._path):  # or its holder has just removed it
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)
        with suppress(OSError):  # on a full disk the lock says nothing, and holds
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()} {platform.node()}".encode())

    def close(self) -> None:
        """Give the lock back."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def holder(folder: Path) -> str | None:
    """Who holds the lock of a folder, in words; ``None`` if nobody does."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _said(descriptor) if _taken(descriptor, fcntl.LOCK_SH) else None
    finally:
        os.close(descriptor)


def _require_ours(descriptor: int, path: Path) -> None:
    """Raise :class:`OSError` unless the file is one that a lock leaves, under no other name."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > _LONGEST:
        raise OSError(errno.EEXIST, f"it holds another {NAME} than COLT's", str(path))


def _taken(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Whether somebody else has the lock; otherwise we have it now."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # not every file system has locks
    return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _said(descriptor: int) -> str:
    number, _, machine = os.pread(descriptor, _LONGEST, 0).decode("utf-8", "replace").partition(" ")
    if not number.isdigit():
        return "another process"
    return f"process {number}" if machine == platform.node() else f"process {number} on {machine!r}"
