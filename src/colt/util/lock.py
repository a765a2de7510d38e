"""Locks that die with their holders, however these end: on a folder, and on a host for whoever times kernels there."""

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

from colt.util.text import counted

NAME = ".lock"
"""The file of a folder that its lock is on."""
ALL_SHARE = Path("/tmp")
"""Where all processes of a machine find the locks of its hosts, whoever runs them and whatever their TMPDIR."""
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


class HostLock:
    """Leave to time kernels on a host: ``alone``, or beside all others that do not ask to be alone.

    All users of the machine share it: an empty file that everybody may open and nobody needs to write to. The kernel
    releases it when the process ends; whoever gives it back last takes the file away.
    """

    def __init__(self, name: str, alone: bool) -> None:
        """Take the lock of the host of that name. Raises :class:`Busy`, or :class:`OSError` if it cannot be opened or
        something else is in the file's place: anybody may put it there, and no link is followed."""
        self._path = ALL_SHARE / f"colt-host-{_file_name(name)}.lock"
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        while True:
            self._descriptor = _opened_for_all(self._path)
            try:
                _require_ours(self._descriptor, self._path)
                if _taken(self._descriptor, how):
                    raise Busy(_holders(self._descriptor))
                if _is_at(self._descriptor, self._path):  # or its last holder has just removed it
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)

    def close(self) -> None:
        """Give the lock back."""
        with suppress(OSError):  # the file of another user stays
            if not _taken(self._descriptor):  # nobody is beside us
                self._path.unlink()
        os.close(self._descriptor)


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
        raise OSError(errno.EEXIST, f"it holds another {path.name} than COLT's", str(path))


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


def _file_name(name: str) -> str:
    """A name as a file may have it."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:100]


def _opened_for_all(path: Path) -> int:
    """The file, which is made if it is not there. Who may only read it can lock it, too."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        with suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(descriptor, 0o644)  # whatever the umask has left of it
            return descriptor


def _holders(descriptor: int) -> str:
    """Who has locks on a file, in words, as far as the kernel lists them."""
    inode, numbers = str(os.fstat(descriptor).st_ino), []
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            match line.split():
                case [_, "FLOCK", _, _, number, place, *_] if place.rpartition(":")[2] == inode and int(number) > 0:
                    numbers.append(number)
    if not numbers:
        return "another process"
    beside = f" (and {counted(len(numbers) - 1, 'other')})" if numbers[1:] else ""
    return f"process {numbers[0]}{beside}"
