"""Where a user's results may not be written: over what belongs to a run, or over a database."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from colt.errors import InputError
from colt.store.directory import JOURNAL, OWN, PROGRAM, RECEIPT, RECORDING, WINNER
from colt.util.files import open_file
from colt.util.output import require_file

_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of files that SQLite keeps beside a database."""


def require_output(path: Path, read: Iterable[str | Path] = ()) -> Path:
    """The path, if a file of the user's can be written there. ``read`` are those that the same command reads.

    Raises :class:`InputError` as :func:`colt.util.output.require_file`, for one of ``read``, for every name that a file
    of a run has in its directory, whether there is one yet or not, and for a database and what SQLite keeps beside it.
    """
    require_file(path)
    if any(_is_same(path, Path(one)) for one in read):
        raise InputError(f"{path} cannot be written: this command reads it; name another")
    folder = path.parent.resolve()
    if path.name in OWN and _is_of_a_run(folder):
        raise InputError(f"{path} cannot be written: it is a file of the run in {path.parent}; name another")
    if any(_is_database(path.with_name(path.name.removesuffix(end))) for end in ("", *_BESIDE)):
        raise InputError(f"{path} cannot be written: it is a database, such as the records of runs; name another")
    return path


def _is_same(path: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(path, other)
    return False


def _is_of_a_run(folder: Path) -> bool:
    """Whether it is the directory of a run, damaged or not, or in one that of a task."""
    return _holds(folder, JOURNAL, RECORDING) or (
        _holds(folder, PROGRAM, RECEIPT, WINNER) and _holds(folder.parent, JOURNAL, RECORDING)
    )


def _holds(folder: Path, *names: str) -> bool:
    return any(os.path.lexists(folder / name) for name in names)


def _is_database(path: Path) -> bool:
    with suppress(OSError), open_file(path) as file:
        return file.read(len(_SQLITE)) == _SQLITE
    return False
