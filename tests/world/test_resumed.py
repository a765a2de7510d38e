"""A run that broke off goes on: its recording is replayed as far as it reaches, then the world is asked again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import colt
from colt.measure.base import Pace
from colt.plan import Plan, plan
from colt.run.finish import Result
from colt.run.loop import run
from colt.world.parts import Parts
from colt.world.recording import read_recording
from colt.world.world import Resumed
from tests.helpers.simulated_runs import simulated

PARTS = Parts(measurer=lambda limits, peak_gflops: simulated(), pace=Pace.hasty())


def tune(program: str, folder: Path, world: Resumed | None = None) -> Result:
    made: Plan = plan(
        program, trials=6, pool=["scout", "tuner"], config=colt.SearchConfig(batch_size=3), run_dir=folder
    )
    (result,) = run(replace(made, pace=Pace.hasty()), world=world)
    return result


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All that happened, without times."""
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("t", "seconds_building")} for record in records
    ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A small program, and the directory of a run with simulated measurements."""
    from colt.world.parts import using
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "own.py").write_text(OWN_PROGRAM)
    with using(PARTS):
        tune(f"{folder}/own.py:layer", folder / "run")
    return f"{folder}/own.py:layer", folder / "run"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_a_run_that_broke_off_ends_as_the_unbroken_one(
    unbroken: tuple[str, Path], share: float, tmp_path: Path
) -> None:
    """Wherever it broke off: the simulated measurer answers as it would have."""
    program, folder = unbroken
    whole = read_recording(folder / "recording.jsonl")
    kept = int(share * len(whole.lines))
    broken = replace(whole, lines=whole.lines[:kept])
    assert not broken.finished or share == 1.0
    result = tune(program, tmp_path / "resumed", Resumed(broken, PARTS))
    assert events_of(tmp_path / "resumed") == events_of(folder)
    assert result.receipt.trials.total == 6


def test_a_recording_that_broke_off_is_read_as_far_as_it_is_whole(unbroken: tuple[str, Path], tmp_path: Path) -> None:
    content = (unbroken[1] / "recording.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"".join(lines[:4]) + lines[4][:10])  # the last line is torn
    read = read_recording(path, unfinished=True)
    assert len(read.lines) == 3
    assert not read.finished
    with pytest.raises(colt.InputError, match="cut short after line 4"):
        read_recording(path)
    path.write_bytes(b"".join([*lines[:2], lines[2][:10] + b"\n", *lines[3:]]))
    with pytest.raises(colt.InputError, match="line 3, is damaged"):
        read_recording(path, unfinished=True)
