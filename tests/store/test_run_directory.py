"""A run directory belongs to one run, and what is written there is whole."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from colt import events
from colt.errors import InputError
from colt.store.directory import CONFIG, JOURNAL, RECEIPT, RunDirectory
from colt.store.journal import Journal, read_journal
from colt.world.answers import Stop
from colt.world.recording import RecordingWriter
from tests.helpers.small_disk import SmallDisk, small_disk

RUNS, EACH = 8, 5


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def reserve(parent: Path, go: multiprocessing.synchronize.Event, taken: multiprocessing.SimpleQueue[Path]) -> None:
    go.wait()
    for _ in range(EACH):
        taken.put(RunDirectory.reserve_next(parent, "matmul-small"))


def test_runs_that_start_at_once_take_different_numbers(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    go, taken = context.Event(), context.SimpleQueue()
    processes = [context.Process(target=reserve, args=(tmp_path / "runs", go, taken)) for _ in range(RUNS)]
    for process in processes:
        process.start()
    go.set()
    paths = sorted(taken.get() for _ in range(RUNS * EACH))
    for process in processes:
        process.join()
    assert paths == sorted(tmp_path / "runs" / f"matmul-small-{n + 1}" for n in range(RUNS * EACH))
    assert all(path.is_dir() for path in paths)


def test_a_reserved_directory_can_be_claimed_or_given_back(tmp_path: Path) -> None:
    first, second = (RunDirectory.reserve_next(tmp_path, "run") for _ in range(2))
    RunDirectory.create(first, {"run": {"trials": 4}})
    for path in (first, second):
        RunDirectory.release(path)
    assert [path.name for path in tmp_path.iterdir()] == ["run-1"]
    RunDirectory.release(second)
    assert RunDirectory.reserve_next(tmp_path, "run") == second


def test_a_number_that_a_file_has_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "run-1").touch()
    assert RunDirectory.reserve_next(tmp_path, "run").name == "run-2"


def test_a_parent_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot "):
            RunDirectory.reserve_next(parent, "run")


def test_of_two_runs_one_gets_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunDirectory.create(tmp_path / "run", {"a": 1})
    monkeypatch.setattr(RunDirectory, "require_free", lambda path: None)  # both had looked before
    with pytest.raises(InputError, match="cannot be used as a run directory"):
        RunDirectory.create(tmp_path / "run", {"a": 2})
    assert (tmp_path / "run" / CONFIG).read_text() == "a = 1\n"


def test_a_directory_on_a_full_disk_is_not_claimed(disk: SmallDisk) -> None:
    (disk.path / "run").mkdir()
    disk.fill()
    with pytest.raises(InputError, match="run cannot be used as a run directory: No space left on device"):
        RunDirectory.create(disk.path / "run", {"a": 1})
    disk.clear()
    RunDirectory.create(disk.path / "run", {"a": 1})


def test_everything_that_is_written_there_names_itself_when_the_disk_is_full(disk: SmallDisk) -> None:
    directory = RunDirectory.create(disk.path / "run", {"a": 1})
    journal, recording = Journal(directory.path / JOURNAL), RecordingWriter()
    recording.open(directory.path / "recording.jsonl")
    journal(events.Noted("kept"))
    journal._file.flush()
    before = (directory.path / "recording.jsonl").read_bytes()
    disk.fill()
    with disk.full(directory.path / RECEIPT):
        directory.write(RECEIPT, b"{}")
    journal(events.Noted("x" * 100_000))  # in the middle of other work: nothing is raised
    recording.write(1, "x" * 10_000, Stop(reason="seconds"))
    for failure, path in ((journal.failure, JOURNAL), (recording.failure, "recording.jsonl")):
        assert failure is not None
        assert (failure.errno, failure.filename) == (errno.ENOSPC, str(directory.path / path))
    disk.clear()
    journal(events.Noted("too late"))
    recording.write(2, "too late", Stop(reason="seconds"))
    recording.close()
    assert (directory.path / "recording.jsonl").read_bytes() == before
    assert read_journal(directory.path / JOURNAL) == [events.to_record(events.Noted("kept"))]


def test_a_working_directory_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="cannot be used as a run directory"):
        RunDirectory.reserve_next(Path("runs"), "x")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("before", [True, False])
def test_trying_a_place_out_leaves_nothing(before: bool, tmp_path: Path) -> None:
    if before:
        (tmp_path / "a").mkdir()
    RunDirectory.require_free(tmp_path / "a" / "b")
    assert list(tmp_path.rglob("*")) == ([tmp_path / "a"] if before else [])
