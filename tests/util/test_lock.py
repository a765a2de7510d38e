"""A lock on a folder has one holder, and dies with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from colt.util.lock import Busy, FolderLock, holder

HOLDS = """
import sys, time
from pathlib import Path
from colt.util.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_names_its_holder_and_leaves_nothing(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with FolderLock(tmp_path):
        assert holder(tmp_path) == f"process {os.getpid()}"
        with pytest.raises(Busy, match=f"^process {os.getpid()}$"):
            FolderLock(tmp_path)
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path).close()


@pytest.mark.real
def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"^process {process.pid}$"):
            FolderLock(tmp_path)
        process.send_signal(signal.SIGKILL)
    with FolderLock(tmp_path):
        assert holder(tmp_path) == f"process {os.getpid()}"


def test_what_a_lock_says_is_not_trusted(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        for said in (b"\x1b[2J\xff", b"", b"1 elsewhere\x1b"):
            (tmp_path / ".lock").write_bytes(said)
            found = holder(tmp_path)
            assert found is not None
            assert found.isprintable()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_in_the_files_place_is_followed(link: Callable[[Path, Path], None], tmp_path: Path) -> None:
    """A folder may be a stranger's, and a lock writes into its file."""
    (tmp_path / "mine").write_text("1 precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    link(tmp_path / "mine", folder / ".lock")
    with pytest.raises(OSError, match=r"symbolic links|another \.lock"):
        FolderLock(folder)
    assert (tmp_path / "mine").read_text() == "1 precious"
    assert (folder / ".lock").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.write_text("x" * 301)])
def test_what_is_no_lock_is_left_alone(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / ".lock")
    with pytest.raises(OSError, match=r"directory|another \.lock"):
        FolderLock(tmp_path)
    assert holder(tmp_path) is None
    assert (tmp_path / ".lock").exists()
