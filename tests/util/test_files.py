"""Files are written completely or not at all, on a full disk too, and errors name them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from colt.util.files import LineFile, open_file, read_file, refusal, replacing, write_atomically
from tests.helpers.small_disk import BLOCK, SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def test_a_file_is_written_and_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    for content in (b"first", b"second, longer", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_its_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_relative_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("file"), b"x")
    assert read_file(Path("file")) == b"x"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError("odd")])
def test_whatever_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write_half() -> None:
        with replacing(path) as written:
            written.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(path, b"before")]


def test_errors_name_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(missing, b"x")
    assert caught.value.filename == str(missing)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as taken:
        write_atomically(tmp_path / "folder", b"x")
    assert taken.value.filename == str(tmp_path / "folder")


def test_only_files_are_opened_and_links_only_if_they_may_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("none")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe-link").symlink_to("pipe")
    assert (read_file(tmp_path / "file", links=False), read_file(tmp_path / "link")) == (b"x", b"x")
    for name in ("link", "lost", "pipe-link"):
        with pytest.raises(OSError, match="it is a symbolic link, which is not followed"):
            open_file(tmp_path / name, links=False)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "pipe-link", Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a file"):
            read_file(path)
    for name in ("none", "lost"):
        with pytest.raises(FileNotFoundError):
            refusal(tmp_path / name)


def test_what_takes_the_place_of_a_file_meanwhile_is_neither_followed_nor_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colt.util.files.refusal", lambda path, links: "")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=f"{name}'"):
            open_file(tmp_path / name, links=False)


def test_more_than_was_allowed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    assert read_file(tmp_path / "file", 4) == b"four"
    with pytest.raises(OSError, match="it is larger than 3 bytes"):
        read_file(tmp_path / "file", 3)
    with pytest.raises(OSError, match="larger"):
        read_file(Path("/proc/cpuinfo"), 3)  # which says that its size is 0


def test_an_error_about_the_file_that_is_copied_names_that(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "to") as written:
        shutil.copyfile(tmp_path / "from", written)
    assert caught.value.filename == str(tmp_path / "from")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_names_the_file_and_tears_nothing(disk: SmallDisk) -> None:
    path = disk.path / "receipt.json"
    write_atomically(path, b"before")
    for blocks in (0, 1, 3):
        disk.fill(leave=blocks)
        with disk.full(path):
            write_atomically(path, bytes(5 * BLOCK))
        disk.clear()
        assert [(found, found.read_bytes()) for found in disk.path.iterdir()] == [(path, b"before")]


def test_a_copy_to_a_full_disk_names_the_copy(disk: SmallDisk, tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(bytes(3 * BLOCK))
    disk.fill(leave=1)
    with disk.full(disk.path / "to"), replacing(disk.path / "to") as written:
        shutil.copyfile(tmp_path / "from", written)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="it is not a file") as caught:
            read_file(path)
        assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(path))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing")


def test_lines_are_kept_until_they_are_flushed_and_flushed_when_many(tmp_path: Path) -> None:
    with LineFile(tmp_path / "lines") as file:
        file.write(b"one")
        assert read_file(tmp_path / "lines") == b""
        file.flush()
        file.write(b"two")
        assert read_file(tmp_path / "lines") == b"one\n"
        file.write(b"x" * 100_000)
        assert len(read_file(tmp_path / "lines")) == 100_009
        file.write(b"last")
    assert read_file(tmp_path / "lines").endswith(b"\nlast\n")
    with pytest.raises(FileExistsError):
        LineFile(tmp_path / "lines")
    with LineFile(tmp_path / "lines", keep=4) as file:
        file.write(b"after")
        file.sync()
        assert read_file(tmp_path / "lines") == b"one\nafter\n"


def test_a_full_disk_leaves_whole_lines_and_is_told_each_time_that_something_is_written(disk: SmallDisk) -> None:
    path = disk.path / "journal.jsonl"
    disk.fill(leave=2)
    with LineFile(path) as file:
        file.write(b"kept")
        file.flush()
        file.write(bytes(3 * BLOCK))
        with disk.full(path):
            file.flush()
        assert read_file(path) == b"kept\n"
        disk.clear()  # room comes too late: a line is missing
        with disk.full(path):
            file.write(b"more")
    assert read_file(path) == b"kept\n"


def test_lines_that_do_not_fit_at_the_end_are_an_error_of_closing(disk: SmallDisk) -> None:
    file = LineFile(disk.path / "lines")
    disk.fill()
    file.write(b"x")
    with disk.full(disk.path / "lines"):
        file.close()
    file.close()
