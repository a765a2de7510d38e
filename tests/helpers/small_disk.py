"""A disk that is soon full: a file system of a few kilobytes in memory, for those who may mount one."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = 4096


class SmallDisk:
    """A folder with little room."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leave: int = 0) -> None:
        """Use all room but so many blocks up."""
        free = os.statvfs(self.path).f_bavail - leave
        (self.path / "filler").write_bytes(bytes(free * BLOCK))

    def clear(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink()

    @contextmanager
    def full(self, path: Path) -> Iterator[None]:
        """What is done inside must fail for want of room, and name ``path``."""
        with pytest.raises(OSError, match="No space left on device") as caught:
            yield
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))


@contextmanager
def small_disk(path: Path, kilobytes: int = 64) -> Iterator[SmallDisk]:
    """Mount one at ``path``; the test is skipped where that is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
