"""Results are written over no file of a run, and over no database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from colt.errors import InputError
from colt.store import directory
from colt.store.directory import JOURNAL, OWN, RECEIPT, RECORDING
from colt.store.output import require_output
from tests.helpers.command import refused
from tests.helpers.recorded import unpacked


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return unpacked("builtin", tmp_path)


def test_all_files_that_a_run_names_are_its_own(run: Path) -> None:
    names = {value for name, value in vars(directory).items() if name.isupper() and isinstance(value, str)}
    assert names == OWN
    assert {path.name for path in run.iterdir()} <= OWN


@pytest.mark.parametrize("name", sorted(OWN))
def test_no_file_of_a_run_is_written_over_whether_it_is_there_or_not(name: str, run: Path, tmp_path: Path) -> None:
    (run / "task").mkdir()
    (run / "task" / RECEIPT).touch()
    (run / RECORDING).unlink(missing_ok=True)
    (tmp_path / "link").symlink_to(run)
    for folder in (run, run / "task", run / "task" / "..", tmp_path / "link"):
        with pytest.raises(InputError, match=r"it is a file of the run in .*; name another"):
            require_output(folder / name)
    (run / JOURNAL).rename(run / RECORDING)
    with pytest.raises(InputError, match="it is a file of the run"):
        require_output(run / name)


def test_other_files_may_be_written_anywhere(run: Path, tmp_path: Path) -> None:
    (run / "pages").mkdir()
    for path in (run / "report.html", run / "pages" / "kernel.so", tmp_path / "kernel.so", tmp_path / JOURNAL):
        assert require_output(path) == path


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_database_is_not_written_over(end: str, tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE records (id)")
    with pytest.raises(InputError, match="it is a database"):
        require_output(tmp_path / f"records.db{end}")


@pytest.mark.parametrize(
    "command", [["report"], ["trace"], ["compare"], ["export"], ["records", "export", "matmul", "--records", "none.db"]]
)
def test_every_command_that_writes_a_file_leaves_those_of_a_run_alone(command: list[str], run: Path) -> None:
    given = [*command, *([] if command[0] == "records" else [str(run)])]
    before = {path: path.read_bytes() for path in run.iterdir()}
    for name in (JOURNAL, "kernel.so", "kernel.tar"):
        assert "it is a file of the run" in refused(*given, "-o", str(run / name))
    assert {path: path.read_bytes() for path in run.iterdir()} == before
