"""Files and folders that a user names for results: looked at before the work, written completely or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colt.errors import InputError, StorageError
from colt.util.files import write_atomically
from colt.util.text import in_bytes

ROOM_TO_BUILD = 16 << 20
"""Bytes of object files and a library, of all programs of a large model together."""


def require_file(path: Path) -> Path:
    """The path, if a file can be written there, in a folder that is there. Raises :class:`InputError`."""
    try:
        if path.is_dir():
            raise InputError(f"{path} cannot be written: it is a folder, and only a file is replaced")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} cannot be written: only a file is replaced")
        if not path.parent.is_dir():
            raise InputError(f"{path} cannot be written: there is no folder {path.parent}")
        _require_room(path.parent)
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def require_folder(path: Path) -> Path:
    """The path, if it is a folder that takes files, or can be made one. Raises :class:`InputError`."""
    try:
        existing = next(one for one in (path.absolute(), *path.absolute().parents) if _is_there(one))
        if not existing.is_dir():
            what = "it is" if existing == path.absolute() else f"{existing} is"
            raise InputError(f"{path} cannot be written: {what} not a folder")
        _require_room(existing)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _is_there(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _require_room(folder: Path) -> None:
    """Write a file there, and leave nothing: not every place takes files, whatever its permissions say."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def require_room_to_build() -> None:
    """Raise :class:`StorageError` if the folder of temporary files is nearly full: LLVM ends the process, without a
    word, where it cannot write there."""
    folder = tempfile.gettempdir()
    there = os.statvfs(folder)
    if (left := there.f_bavail * there.f_frsize) < ROOM_TO_BUILD:
        raise StorageError(
            f"{folder} has {in_bytes(left)} left, and building a model takes up to {in_bytes(ROOM_TO_BUILD)} there; "
            "TMPDIR names another folder"
        )


@contextmanager
def temporary_folder(beginning: str) -> Iterator[Path]:
    """A folder for temporary files, whose name begins so. Raises :class:`StorageError` if it cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix=beginning) as folder:
            yield Path(folder)
    except OSError as error:
        where, why = tempfile.gettempdir(), error.strerror or error
        raise StorageError(f"{where} cannot be written: {why}; TMPDIR names another folder") from None


def write_file(path: Path, content: bytes) -> str:
    """Write a file completely or not at all, and say so. Raises :class:`InputError`."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return f"wrote {path} ({in_bytes(len(content))})"
