"""A cell that was under way when its benchmark broke off goes on, whatever its strategy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from colt.bench.config import Cell, StrategyName
from colt.bench.strategies import SEARCHES
from colt.bench.task import CellTask, Found
from colt.measure.base import Pace
from colt.world.parts import Parts, using
from colt.world.recording import SCHEMA
from tests.helpers import bench_records
from tests.helpers.simulated_runs import simulated

TRIALS = 4
HASTY = Pace.hasty()


def searched(strategy: StrategyName, folder: Path, pace: Pace = HASTY) -> Found:
    config = bench_records.config(workloads=("gemv",), strategies=(strategy,), trials=TRIALS, seeds=1, threads=1)
    parts = Parts(measurer=lambda limits, peak: simulated(untuned_us=1e6, trial_s=0.02), pace=pace)
    with using(parts):
        return SEARCHES[strategy](CellTask(config, Cell("gemv", strategy, 0), folder))


@pytest.mark.parametrize("strategy", [StrategyName.MCTS, StrategyName.RANDOM, StrategyName.ARCHITECT])
def test_a_search_that_broke_off_finds_what_it_would_have(strategy: StrategyName, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = searched(strategy, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    run = tmp_path / "broken" / "run"
    (run / "receipt.json").unlink()
    lines = (run / "recording.jsonl").read_bytes().splitlines(keepends=True)
    kept = next(number for number, line in enumerate(lines, 1) if b'"asked":"measure 1:' in line)
    (run / "recording.jsonl").write_bytes(b"".join(lines[:kept]))
    again = searched(strategy, tmp_path / "broken")
    assert [(trial.fate, trial.latency_us) for trial in again.trials] == [
        (trial.fate, trial.latency_us) for trial in whole.trials
    ]
    assert not any("anew" in message for message in again.messages)
    first, second = whole.trials[:2], again.trials[:2]
    assert [one.seconds - first[0].seconds for one in first] == pytest.approx(
        [one.seconds - second[0].seconds for one in second], abs=1e-6
    )
    seconds = [trial.seconds for trial in again.trials]
    assert seconds == sorted(seconds)
    assert (run / "receipt.json").exists()


def test_a_search_that_cannot_go_on_begins_anew_and_says_so(tmp_path: Path) -> None:
    searched(StrategyName.RANDOM, tmp_path)
    recording = tmp_path / "run" / "recording.jsonl"
    recording.write_bytes(recording.read_bytes().replace(f'"schema":{SCHEMA}'.encode(), b'"schema":2'))
    found = searched(StrategyName.RANDOM, tmp_path)
    assert len(found.trials) == TRIALS
    assert any(message.startswith("the search began anew: ") for message in found.messages)


def test_a_finished_search_without_a_record_is_read_again(tmp_path: Path) -> None:
    first = searched(StrategyName.RANDOM, tmp_path)
    again = searched(StrategyName.RANDOM, tmp_path)
    assert [trial.latency_us for trial in again.trials] == [trial.latency_us for trial in first.trials]
    assert again.seconds_before > 0
    assert not any("anew" in message for message in again.messages)


def test_a_search_goes_on_at_the_pace_that_it_began_with(tmp_path: Path) -> None:
    first = searched(StrategyName.RANDOM, tmp_path, replace(HASTY, race_rounds=2))
    assert b"time in turn, 2 rounds" in (tmp_path / "run" / "recording.jsonl").read_bytes()
    again = searched(StrategyName.RANDOM, tmp_path, HASTY)
    assert not any("anew" in message for message in again.messages)
    assert [trial.latency_us for trial in again.trials] == [trial.latency_us for trial in first.trials]
