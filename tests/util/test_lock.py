"""A lock has one holder, or several that share it, and dies with them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from colt.util import lock as locks
from colt.util.lock import Busy, FolderLock, HostLock, holder

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


# ---- hosts ----


@pytest.fixture
def host() -> str:
    """A name that no other test has."""
    return f"host-{os.getpid()}-{next(_NUMBERS)}"


_NUMBERS = itertools.count()


def file_of(host: str) -> Path:
    return Path("/tmp") / f"colt-host-{host}.lock"


def test_a_host_is_had_alone_or_together(host: str) -> None:
    together = [HostLock(host, alone=False), HostLock(host, alone=False)]
    with pytest.raises(Busy, match=rf"^process {os.getpid()} \(and 1 other\)$"):
        HostLock(host, alone=True)
    together.pop().close()
    with pytest.raises(Busy, match=f"^process {os.getpid()}$"):
        HostLock(host, alone=True)
    together.pop().close()
    alone = HostLock(host, alone=True)
    for other in (False, True):
        with pytest.raises(Busy, match=f"^process {os.getpid()}$"):
            HostLock(host, alone=other)
    assert file_of(host).read_bytes() == b""
    alone.close()
    assert not file_of(host).exists()


def test_whoever_finds_a_file_that_its_last_holder_removes_takes_a_new_one(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two would have the host alone: one has the file that is gone, the other the one that is there."""
    first, usual = HostLock(host, alone=True), locks._taken

    def taken(descriptor: int, *how: int) -> bool:
        monkeypatch.setattr(locks, "_taken", usual)
        first.close()
        return usual(descriptor, *how)

    monkeypatch.setattr(locks, "_taken", taken)
    second = HostLock(host, alone=True)
    with pytest.raises(Busy):
        HostLock(host, alone=True)
    second.close()


HOLDS_HOST = """
import sys, time
from colt.util.lock import HostLock
lock = HostLock(sys.argv[1], alone=True)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.real
def test_a_host_is_the_same_with_other_temporary_files_and_is_free_when_its_holder_dies(
    host: str, tmp_path: Path
) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", HOLDS_HOST, host], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"^process {process.pid}$"):
            HostLock(host, alone=False)
        process.send_signal(signal.SIGKILL)
    HostLock(host, alone=True).close()
    assert not file_of(host).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_host_is_the_same_for_all_users(host: str) -> None:
    """Whatever their umask is; what a user cannot remove stays, and is used again."""
    before = os.umask(0o077)
    try:
        alone = HostLock(host, alone=True)
        os.seteuid(_NOBODY)
        for other in (False, True):
            with pytest.raises(Busy):
                HostLock(host, alone=other)
        os.seteuid(0)
        alone.close()
        os.close(HostLock(host, alone=True)._descriptor)  # as where its holder is killed
        os.seteuid(_NOBODY)
        HostLock(host, alone=True).close()
        assert file_of(host).exists()
    finally:
        os.seteuid(0)
        os.umask(before)
    HostLock(host, alone=True).close()
    assert not file_of(host).exists()


_NOBODY = 65534


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_lock_of_a_host_is_left_alone(host: str, put: Callable[[Path], object]) -> None:
    put(file_of(host))
    try:
        for alone in (False, True):
            with pytest.raises(OSError, match=rf"symbolic links|another {file_of(host).name} than COLT's"):
                HostLock(host, alone=alone)
    finally:
        (Path.unlink if file_of(host).is_symlink() or not file_of(host).is_dir() else Path.rmdir)(file_of(host))


def test_a_host_may_be_called_whatever_it_is(host: str) -> None:
    odd = HostLock(f"../{host} é/\n", alone=True)
    (found,) = Path("/tmp").glob(f"colt-host-*{host}*")
    assert found.parent == Path("/tmp")
    odd.close()
    assert not found.exists()
