"""Several programs in one run: each has a task of its own, and all share hardware, measurer, budget and models."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import colt
from colt import events
from colt.events import Event
from colt.machine import Peaks
from colt.plan import Plan, plan
from colt.run.loop import run
from colt.store.receipt import load_receipt
from tests.helpers.pool_runs import PoolRuns
from tests.helpers.simulated_runs import StatedCpu, measured_by, simulated


def two_programs(folder: Path, own_program: str, **options: object) -> Plan:
    """A plan of two programs."""
    settings: dict[str, object] = {"pool": ["scout", "tuner"], "config": colt.SearchConfig(batch_size=3), **options}
    first, second = (plan(program, run_dir=folder, **settings) for program in (own_program, "gemv"))
    device = StatedCpu(first.target, first.threads, Peaks(1e6, 1e6, 1e6, "copy", first.threads, "2026-01-01T00:00:00"))
    return replace(first, programs=(*first.programs, *second.programs), device=device)


def test_two_tasks_share_a_budget_and_have_a_tree_each(own_program: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    measurer = simulated()
    with measured_by(measurer):
        results = run(two_programs(tmp_path / "run", own_program, trials=12), [seen.append])
    assert [result.receipt.workload.name for result in results] == ["layer", "gemv"]
    assert [result.receipt.trials.total for result in results] == [6, 6]
    assert [result.receipt.stop_reason for result in results] == ["trials", "trials"]
    turns = [event.task for event in seen if isinstance(event, events.Turn)]
    assert turns[:2] == ["1-layer", "2-gemv"]
    assert Counter(turns).keys() == {"1-layer", "2-gemv"}
    assert sum(isinstance(event, events.Began) and event.phase == "looking at the hardware" for event in seen) == 1


def test_each_task_has_a_folder_of_its_own(own_program: str, tmp_path: Path) -> None:
    with measured_by(simulated()):
        results = run(two_programs(tmp_path / "run", own_program, trials=6))
    for result, name in zip(results, ("1-layer", "2-gemv"), strict=True):
        assert result.run_dir == tmp_path / "run" / name
        assert load_receipt(result.run_dir) == result.receipt
        records = (result.run_dir / "database_tuning_record.json").read_text().splitlines()
        assert len(records) == result.receipt.trials.total
        assert all(json.loads(record)[0] == 0 for record in records)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("config.toml", "journal.jsonl", "recording.jsonl", "workings.jsonl", "1-layer", "2-gemv")
    }


def test_tasks_share_the_calls_of_language_models(pool_runs: PoolRuns) -> None:
    """Each gets the answers to its own questions; one ceiling holds for all."""
    pool_runs.model("small", 1.0)
    pool_runs.model("large", 8.0)
    seen: list[Event] = []
    settings = {"proposals_per_call": 2, "model_openings": 2, "batch_size": 4, "constructed": 1}
    made = two_programs(
        pool_runs.folder / "run",
        pool_runs.program,
        trials=16,
        pool=pool_runs.pool,
        max_calls=9,
        config=colt.SearchConfig.preset("models", **settings),
    )
    results = run(made, [seen.append])
    called = [event.ticket for event in seen if isinstance(event, events.Called)]
    asked = {event.ticket for event in seen if isinstance(event, events.Selected)}
    assert set(called) <= asked
    assert len({ticket // 10**9 for ticket in called}) == 2
    spent = [result.receipt.spending for result in results]
    assert all(one is not None and one.requests > 0 for one in spent)
    assert sum(one.requests for one in spent if one is not None) <= 9
    assert sum(result.receipt.trials.total for result in results) == 16
