"""The run directory: one run each, never mixed, never half-written."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import tomli_w

from colt.errors import InputError

CONFIG = "config.toml"
JOURNAL = "journal.jsonl"
RECORDING = "recording.jsonl"
"""Every answer that the run got from outside; with the config and the program, all that a replay needs."""
PROGRAM = "program.json"
"""The untuned module in TVM's JSON."""
RECEIPT = "receipt.json"
KERNEL = "kernel.so"
KERNEL_OBJECTS = "kernel.tar"
"""In place of it, objects that are linked where they are loaded, if this machine cannot link them."""
WINNER = "winner.json"
"""The winning module in TVM's JSON, from which the kernel can be built anew."""
WORKLOADS = "database_workload.json"
RECORDS = "database_tuning_record.json"


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
                raise InputError(f"{path} holds {what}; name a directory that is new or empty")
            existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
            if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
                raise InputError(f"{path} cannot be used as a run directory: {existing} is not a writable directory")
        except OSError as error:
            raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None

    @classmethod
    def create(cls, path: Path, config: dict[str, object]) -> RunDirectory:
        """Claim ``path`` for a new run by writing its config there. Raises as :meth:`require_free`."""
        cls.require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with (path / CONFIG).open("xb") as file:
                tomli_w.dump(config, file)
        except OSError as error:
            raise InputError(f"{path} cannot be used as a run directory: {error.strerror or error}") from None
        return cls(path)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file completely or not at all."""
        target = self.path / name
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        return target


def read_file(path: Path) -> bytes:
    """What a file of a run directory holds. Raises :class:`OSError`, also for what is no file, such as a pipe, which
    would be waited for."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return path.read_bytes()


def next_free(parent: Path, name: str) -> Path:
    """``parent/name-1``, or the next number that is not taken."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"
