"""The directory of a benchmark: resumed as it was begun, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colt.bench.config import BenchConfig, Cell, StrategyName
from colt.bench.directory import CONFIG, RESULT, BenchDirectory
from colt.bench.records import RemeasureRecord
from colt.errors import InputError
from tests.helpers import bench_records as records

CONDITIONS = {"cpu": "a cpu", "colt": "0.1.0"}
CELL = Cell("matmul", StrategyName.COLT, 1)


def opened(path: Path, config: BenchConfig | None = None, **conditions: str) -> Any:
    return BenchDirectory.claimed(path, config or records.config(), CONDITIONS | conditions)


def test_a_new_directory_keeps_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with opened(path) as directory:
        assert directory.result(CELL) is None
    loaded = BenchDirectory.load(path)
    assert loaded.config == records.config()
    assert loaded.conditions == CONDITIONS


def test_a_cell_is_done_once_its_result_is_there(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        folder = directory.begin(CELL)
        (folder / "half").write_text("done")
        assert directory.result(CELL) is None
        directory.finish(CELL, records.cell(StrategyName.COLT, 1, [20.0, None]))
    with opened(tmp_path) as directory:
        record = directory.result(CELL)
        assert record == records.cell(StrategyName.COLT, 1, [20.0, None])
        assert directory.result(Cell("matmul", StrategyName.COLT, 0)) is None


def test_beginning_a_cell_again_leaves_nothing_of_it(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        (directory.begin(CELL) / "half").write_text("done")
        directory.keep_remeasured(RemeasureRecord(workload="matmul", flops=1, contenders=()))
        assert directory.remeasured("matmul") is not None
        assert list(directory.begin(CELL).iterdir()) == []
        assert directory.remeasured("matmul") is None  # it was of other winners


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"trials": 5}, "trials was 4, now it is 5"),
        ({"workloads": ("matmul", "gemv")}, "workloads was matmul, now it is matmul, gemv"),
        ({"strategies": (StrategyName.COLT,)}, "strategies was stock, colt, now it is colt"),
        ({"seeds": 3}, "seeds was 2, now it is 3"),
        ({"space": "colt"}, "space was own, now it is colt"),
        ({"warm_start": 2}, "warm_start was 0, now it is 2"),
        ({"peers": ()}, "peers was numpy, now it is none"),
        ({"threads": 1}, "threads was 2, now it is 1"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with opened(tmp_path):
        pass
    before = (tmp_path / CONFIG).read_bytes()
    with pytest.raises(InputError) as error, opened(tmp_path, records.config(**changes)):
        pass
    assert complaint in str(error.value)
    assert str(error.value).count(" was ") == 1
    assert (tmp_path / CONFIG).read_bytes() == before


def test_figures_of_other_conditions_are_not_mixed(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with pytest.raises(InputError, match=r"colt was 0\.1\.0, now it is 0\.2\.0; torch was none, now it is 2"):
        opened(tmp_path, colt="0.2.0", torch="2").__enter__()


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other files"):
        opened(tmp_path).__enter__()
    with pytest.raises(InputError, match="cannot be used"):
        opened(tmp_path / "mine.txt").__enter__()
    with pytest.raises(InputError, match="cannot be used"):
        opened(tmp_path / "mine.txt" / "below").__enter__()


def test_one_that_was_killed_before_its_configuration_was_written_can_be_begun(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("")
    (tmp_path / f".{CONFIG}.k1ll").write_text("[ben")
    with opened(tmp_path) as directory:
        assert directory.result(CELL) is None


@pytest.mark.parametrize("text", ["", "[bench]\ntrials = 4\n", "not toml at all", "[bench]\nnonsense = 1\n"])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(InputError, match="not the configuration of a benchmark"):
        opened(tmp_path).__enter__()


def test_two_cannot_work_in_one_directory(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(InputError, match="another colt bench works in"):
        opened(tmp_path).__enter__()
    with opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "not a record"), ("{}", "not a record"), ('{"schema": 99', "not a record")]
)
def test_a_damaged_result_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with opened(tmp_path) as directory:
        (directory.begin(CELL) / RESULT).write_text(text)
        with pytest.raises(InputError, match=complaint):
            directory.result(CELL)


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        text = records.cell(StrategyName.COLT, 1, [20.0]).to_json().decode().replace('"schema": 1', '"schema": 2')
        (directory.begin(CELL) / RESULT).write_text(text)
        with pytest.raises(InputError, match="schema 2; this version of COLT reads 1"):
            directory.result(CELL)
