"""A full disk ends a run with the best so far: the error names the file, and nothing is torn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from colt import events
from colt.events import Event
from colt.measure.base import ExportError, Limits
from colt.measure.simulated import SimulatedMeasurer
from colt.store.journal import read_journal
from colt.tvm.programs.program import fingerprint
from colt.world.recording import read_recording
from tests.helpers.command import colt
from tests.helpers.simulated_runs import measured_by, simulated, tune_simulated
from tests.helpers.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        yield disk


@pytest.mark.parametrize("leave", [0, 1, 3])
def test_a_disk_that_fills_up_ends_a_run_with_the_best_so_far(disk: SmallDisk, own_program: str, leave: int) -> None:
    run = disk.path / "run"

    def fill(event: Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 4:
            disk.fill(leave)

    result = tune_simulated(own_program, trials=60, run_dir=run, on_event=[fill])
    assert result.best is not None
    assert 5 <= result.receipt.trials.total < 60
    assert result.receipt.stop_reason == "storage"
    assert result.storage_failure is not None
    assert str(run) in str(result.storage_failure)
    assert "No space left on device" in str(result.storage_failure)
    assert any("the run ends with the best so far" in message for message in result.receipt.messages)
    assert read_journal(run / "journal.jsonl")
    assert read_recording(run / "recording.jsonl", unfinished=True).lines
    assert (run / "recording.jsonl").read_bytes().endswith(b"\n")
    for line in (run / "database_tuning_record.json").read_text().splitlines():
        json.loads(line)
    assert not (run / "receipt.json").exists()


def test_the_command_shows_the_result_and_then_the_error(disk: SmallDisk, own_program: str) -> None:
    run = disk.path / "run"
    disk.fill(leave=24)
    with measured_by(simulated()):
        done = colt("tune", own_program, "--trials", "60", "--pool", "scout", "--batch-size", "3", "--run", str(run))
    assert done.returncode == 2
    assert "stopped: storage" in done.stdout
    assert "speed-up" in done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"colt: {run}/")
    assert "No space left on device" in done.stderr


def test_a_kernel_that_cannot_be_linked_fails_the_command_after_the_result(own_program: str, tmp_path: Path) -> None:
    class Unlinked(SimulatedMeasurer):
        def export(self, module: object, path: Path, limits: Limits | None = None) -> None:
            raise ExportError(f"{path} is not written: ld: final link failed: No space left on device")

    with measured_by(Unlinked(fingerprint)):
        done = colt("tune", own_program, "--trials", "3", "--pool", "scout", "--run", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "speed-up" in done.stdout
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "receipt.json").exists()
