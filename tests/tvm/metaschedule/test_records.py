"""MetaSchedule's database of a run: every record is read again by stock TVM, and a full disk is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tvm import s_tir
from tvm.s_tir import meta_schedule as ms

from colt.tvm.devices.host import resolve_target
from colt.tvm.metaschedule.records import FAILED_SECONDS, Records
from tests.helpers import space_programs as programs
from tests.helpers.small_disk import SmallDisk, small_disk

TARGET = resolve_target(None, 2)
FILES = ("database_workload.json", "database_tuning_record.json")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def scheduled(mod: Any, factor: int = 4) -> Any:
    schedule = s_tir.Schedule(mod)
    schedule.split(schedule.get_loops(schedule.get_sblock("C"))[0], [None, factor])
    return schedule


def seconds(folder: Path) -> list[float]:
    """What stock TVM reads of the records there, the fastest first."""
    paths = [str(folder / name) for name in FILES]
    database = ms.database.JSONDatabase(path_workload=paths[0], path_tuning_record=paths[1])
    return sorted(float(record.run_secs[0]) for record in database.get_all_tuning_records())


def test_records_are_read_by_stock_tvm_and_a_wrong_one_is_a_failure(tmp_path: Path) -> None:
    mod = programs.matmul()
    records = Records(*(tmp_path / name for name in FILES), mod, TARGET)
    for trial, latency_us in ((3, 1e3), (7, None), (8, 2e3)):
        records.add(trial, scheduled(mod), latency_us)
    records.fail(8)
    records.fail(99)
    records.add(9, scheduled(mod), 3e3)
    assert seconds(tmp_path) == pytest.approx([1e-3, 3e-3, FAILED_SECONDS, FAILED_SECONDS])


def test_a_full_disk_is_an_error_and_the_records_before_can_be_read(disk: SmallDisk) -> None:
    mod = programs.matmul()
    path = disk.path / FILES[1]
    records = Records(*(disk.path / name for name in FILES), mod, TARGET)
    records.add(0, scheduled(mod), 1e3)
    disk.fill()
    added = 1
    with disk.full(path):
        for trial in range(1, 100):
            records.add(trial, scheduled(mod), 1e3)
            added += 1
    whole = path.read_bytes()
    with disk.full(path):
        records.fail(0)
    assert path.read_bytes() == whole
    assert seconds(disk.path) == pytest.approx([1e-3] * added)
    disk.clear()
    records.add(200, scheduled(mod), 2e3)
    records.fail(200)
    assert seconds(disk.path) == pytest.approx([1e-3] * added + [FAILED_SECONDS])


def test_a_program_that_a_full_disk_does_not_take_is_an_error(disk: SmallDisk) -> None:
    disk.fill()
    with disk.full(disk.path / FILES[0]):
        Records(*(disk.path / name for name in FILES), programs.matmul(), TARGET)
