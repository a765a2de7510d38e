"""What :func:`colt.tvm.Builder` hands to :func:`colt.tvm.Runner`: a scheduled program as a small file.

The kernel itself stays in the worker that built it. A file is a line with the SHA-256 of the rest, and JSON; reading
one that is damaged is an :class:`InputError`, and never runs anything.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.tvm.programs.export import load_module, save_module
from colt.util.files import replacing
from colt.util.text import why

SUFFIX = ".colt"


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``module`` and ``target`` are TVM's JSON; ``task`` is the same for candidates of one tuning task, if known."""

    module: str
    target: str
    threads: int
    task: str | None

    @classmethod
    def of(cls, module: Any, target: str, threads: int, task: str | None) -> Artifact:
        """The artifact of a scheduled module."""
        return cls(save_module(module).decode(), target, threads, task)

    def load(self) -> Any:
        """The module. Raises :class:`InputError`."""
        return load_module(self.module.encode())

    def write(self, path: Path) -> None:
        """Write the file. Raises :class:`OSError`, which names it."""
        content = msgspec.json.encode(self)
        with replacing(path, durable=False) as written:
            written.write_bytes(_digest(content) + b"\n" + content)


def read_artifact(path: Path) -> Artifact:
    """Read a file that :meth:`Artifact.write` wrote. Raises :class:`InputError`."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise InputError(f"the artifact {path} cannot be read: {why(error)}") from None
    if digest != _digest(content):
        raise InputError(f"the artifact {path} is damaged: its contents do not have the checksum that it states")
    try:
        return msgspec.json.decode(content, type=Artifact)
    except msgspec.MsgspecError as error:
        raise InputError(f"the artifact {path} is not one of this version of COLT: {why(error)}") from None


def write_alone(name: str, write: Callable[[Path], None]) -> Path:
    """Have ``write`` write a file in a folder of its own, which goes with the process at the latest.

    MetaSchedule removes an artifact together with its folder. Whatever ``write`` raises is raised, and nothing is left.
    """
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    path = folder / name
    try:
        write(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return path


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


_folders: list[tuple[int, Path]] = []  # with the process that made them: a forked one must not remove its parent's


def _folder() -> Path:
    mine = [path for process, path in _folders if process == os.getpid() and path.is_dir()]
    if not mine:
        mine = [Path(tempfile.mkdtemp(prefix="colt-artifacts-"))]
        _folders.append((os.getpid(), mine[0]))
    return mine[0]


@atexit.register
def _remove_folders() -> None:
    for process, path in _folders:
        if process == os.getpid():
            shutil.rmtree(path, ignore_errors=True)
