"""The run directory: one run each, never mixed, never half-written."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import tomli_w

from colt.errors import InputError
from colt.util.files import read_file as read_file
from colt.util.files import write_atomically
from colt.util.lock import NAME as LOCK
from colt.util.lock import Busy, FolderLock, holder

CONFIG = "config.toml"
JOURNAL = "journal.jsonl"
RECORDING = "recording.jsonl"
"""Every answer that the run got from outside; with the config and the program, all that a replay needs."""
WORKINGS = "workings.jsonl"
"""What the run has worked out itself, so that it goes on sooner; nothing is lost without it."""
PROGRAM = "program.json"
"""The untuned module in TVM's JSON."""
INPUTS = "inputs.npz"
"""The arrays that the user gave, by the argument's number."""
RECEIPT = "receipt.json"
KERNEL = "kernel.so"
KERNEL_OBJECTS = "kernel.tar"
"""In place of it, objects that are linked where they are loaded, if this machine cannot link them."""
WINNER = "winner.json"
"""The winning module in TVM's JSON, from which the kernel can be built anew."""
WORKLOADS = "database_workload.json"
RECORDS = "database_tuning_record.json"
REMARKS = "tvm.log"
"""What TVM and LLVM have remarked on standard error, if anything."""
OWN = frozenset(
    (
        *(CONFIG, JOURNAL, RECORDING, WORKINGS, PROGRAM, INPUTS, RECEIPT),
        *(KERNEL, KERNEL_OBJECTS, WINNER, WORKLOADS, RECORDS, REMARKS, LOCK),
    )
)
"""The names of all files of a run."""

_LOST = 100
"""How often in a row a folder may be gone that was there."""


class RunDirectory:
    """A directory that belongs to one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def require_free(path: Path) -> None:
        """Raise :class:`InputError` if ``path`` holds something already or is no directory that can be written."""
        try:
            if path.exists() and any(path.iterdir()):
                what = "another run" if (path / CONFIG).exists() else "other files"
                who = holder(path)
                at_work = "" if who is None else f", which {who} works on"
                raise InputError(f"{path} holds {what}{at_work}; name a directory that is new or empty")
            existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
            if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
                raise InputError(f"{path} cannot be used as a run directory: {existing} is not a writable directory")
            _try_out(path, existing)
        except OSError as error:
            raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None

    @classmethod
    def create(cls, path: Path, config: dict[str, object]) -> RunDirectory:
        """Claim ``path`` for a new run by writing its config there. Raises as :meth:`require_free`."""
        cls.require_free(path)
        content = tomli_w.dumps(config).encode()
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / CONFIG).touch(exist_ok=False)  # now no other run can have the directory
            try:
                write_atomically(path / CONFIG, content)
            except BaseException:
                (path / CONFIG).unlink()
                raise
        except OSError as error:
            raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None
        return cls(path)

    @staticmethod
    def reserve_next(parent: Path, name: str) -> Path:
        """Make ``parent/name-1``, or the next number that is not taken, as an empty directory that is ours alone.

        :meth:`create` claims it later; :meth:`release` gives the number back. Raises :class:`InputError`.
        """
        number, lost = 1, 0
        while True:
            path = parent / f"{name}-{number}"
            try:
                parent.mkdir(parents=True, exist_ok=True)
                path.mkdir()
            except FileExistsError:
                if not parent.is_dir():
                    raise InputError(f"{parent} cannot hold run directories: it is no directory") from None
                number += 1
            except OSError as error:
                lost += 1
                if isinstance(error, FileNotFoundError) and lost < _LOST:
                    continue  # another run has given the last number back, and removed the folder
                raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None
            else:
                return path

    @staticmethod
    def release(path: Path) -> None:
        """Remove a directory that was reserved, and the one that it is in, as far as they are still empty."""
        with suppress(OSError):
            path.rmdir()
            path.parent.rmdir()

    @staticmethod
    def locked(path: Path) -> FolderLock:
        """Lock other processes out for as long as this one lives. Raises :class:`InputError`, which names the other, or
        a link in the directory: a run writes into its files, and a stranger's link may lead to anything."""
        try:
            links = sorted(entry.name for entry in os.scandir(path) if entry.is_symlink())
            if links:
                raise InputError(f"{path} has a link in it, {links[0]!r}; a run goes on only in files of its own")
            return FolderLock(path)
        except Busy as busy:
            raise InputError(f"{path} is in use: {busy} works on this run") from None
        except OSError as error:
            raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None

    def change(self, table: str, values: Mapping[str, object]) -> None:
        """Set values of a table of the config; ``None`` removes one. Raises :class:`OSError`, which names the file."""
        config = tomllib.loads(read_file(self.path / CONFIG).decode("utf-8"))
        changed = {**config[table], **values}
        config[table] = {name: value for name, value in changed.items() if value is not None}
        self.write(CONFIG, tomli_w.dumps(config).encode())

    def write(self, name: str, content: bytes) -> Path:
        """Write a file completely or not at all. Raises :class:`OSError`, which names the file."""
        target = self.path / name
        write_atomically(target, content)
        return target


def next_free(parent: Path, name: str) -> Path:
    """``parent/name-1``, or the next number that is not taken."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _try_out(path: Path, existing: Path) -> None:
    """Write a file there, and leave nothing: not every place takes files, whatever its permissions say.

    Raises :class:`OSError`.
    """
    new = [one for one in (path.absolute(), *path.absolute().parents) if existing in one.parents]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    finally:
        with suppress(OSError):  # they may not have been made, and another run may have come to use them
            for one in new:
                one.rmdir()
