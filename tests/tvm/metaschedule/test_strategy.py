"""COLT inside stock MetaSchedule: ``ms.tune_tir(..., strategy=colt.tvm.SearchStrategy())``."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
from tvm.s_tir import meta_schedule as ms

import colt.tvm
from colt import events
from colt.errors import InputError
from colt.events import Event
from colt.options import SearchConfig
from colt.tvm.devices.host import cpu_intrinsics, prefer_cpu_intrinsics, resolve_target
from colt.tvm.metaschedule.records import arguments_info
from tests.helpers import space_programs as programs
from tests.helpers.lean import without_torch

TARGET = resolve_target(None, 2)


def tune(folder: Path, trials: int = 8, **options: Any) -> Any:
    logging.getLogger("tvm.s_tir.meta_schedule").handlers.clear()  # TVM stumbles over pytest's, which has no name
    with cpu_intrinsics():
        return ms.tune_tir(
            programs.matmul(64, 64, 64),
            TARGET,
            str(folder),
            max_trials_global=trials,
            num_trials_per_iter=4,
            builder=ms.builder.LocalBuilder(initializer=prefer_cpu_intrinsics),
            strategy=colt.tvm.SearchStrategy(**options),
        )


def test_stock_tune_tir_measures_what_the_pool_proposes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    seen: list[Event] = []
    database = tune(tmp_path, config=SearchConfig(batch_size=4), on_event=[seen.append])
    records = database.get_all_tuning_records()
    assert len(records) == 8
    asked = [event for event in seen if isinstance(event, events.Asked)]
    measured = [event for event in seen if isinstance(event, events.Measured)]
    assert len(asked) == len(measured) == 8
    assert all(event.latency_us is not None for event in measured)
    best = min(float(record.run_secs[0]) for record in records)
    assert min(event.latency_us for event in measured if event.latency_us) == pytest.approx(best * 1e6, rel=0.5)
    assert database.query_schedule(programs.matmul(64, 64, 64), TARGET, "main") is not None


def context(strategy: Any) -> Any:
    with cpu_intrinsics():
        return ms.TuneContext(
            programs.matmul(64, 64, 64),
            target=TARGET,
            space_generator="post-order-apply",
            search_strategy=strategy,
            rand_state=7,
            num_threads=1,
        )


def test_it_keeps_fields_of_the_context_and_never_the_context() -> None:
    from colt.tvm.metaschedule.strategy import _Options, _Strategy, _Task

    kept = _Strategy._cls(_Options(("scout",), SearchConfig(), 0, lambda event: None))
    kept._initialize_with_tune_context(context(colt.tvm.SearchStrategy(["scout"])))
    assert isinstance(kept._task, _Task)
    held = [getattr(kept._task, field.name) for field in dataclasses.fields(_Task)]
    assert not any(isinstance(thing, ms.TuneContext) for thing in (*held, *vars(kept).values()))


def batches(strategy: Any, trials: int) -> list[list[str]]:
    """The traces of each batch, all of which are told to take a millisecond."""
    made = context(strategy)
    made.pre_tuning(trials, 4, made.generate_design_space())
    found = []
    while (candidates := made.generate_measure_candidates()) is not None:
        found.append([str(candidate.sch.trace) for candidate in candidates])
        made.notify_runner_results(candidates, [ms.runner.RunnerResult([1e-3], None) for _ in candidates])
    made.post_tuning()
    return found


def test_batches_end_after_the_trials_and_hold_distinct_schedules() -> None:
    found = batches(colt.tvm.SearchStrategy(config=SearchConfig(batch_size=4)), 10)
    assert [len(batch) for batch in found] == [4, 4, 2]
    flat = [trace for batch in found for trace in batch]
    assert len(set(flat)) == 10


def test_a_seed_decides_and_the_contexts_state_does_without_one() -> None:
    assert batches(colt.tvm.SearchStrategy(seed=1), 4) == batches(colt.tvm.SearchStrategy(seed=1), 4)
    assert batches(colt.tvm.SearchStrategy(seed=1), 4) != batches(colt.tvm.SearchStrategy(seed=2), 4)
    assert batches(colt.tvm.SearchStrategy(), 4) == batches(colt.tvm.SearchStrategy(), 4)


def test_failures_are_told_as_failures() -> None:
    seen: list[Event] = []
    made = context(colt.tvm.SearchStrategy(on_event=[seen.append]))
    made.pre_tuning(2, 2, made.generate_design_space())
    candidates = made.generate_measure_candidates()
    made.notify_runner_results(
        candidates, [ms.runner.RunnerResult(None, "it broke"), ms.runner.RunnerResult([1e10], None)][: len(candidates)]
    )
    fates = [event.fate for event in seen if isinstance(event, events.Measured)]
    assert fates == ["run-error"] * len(candidates)


def test_a_program_with_little_to_try_ends_by_itself() -> None:
    with cpu_intrinsics():
        made = ms.TuneContext(
            programs.elementwise(),
            target=TARGET,
            space_generator="post-order-apply",
            search_strategy=colt.tvm.SearchStrategy(),
            rand_state=1,
            num_threads=1,
        )
    made.pre_tuning(100, 4, made.generate_design_space())
    batches = 0
    while (candidates := made.generate_measure_candidates()) is not None:
        batches += 1
        made.notify_runner_results(candidates, [ms.runner.RunnerResult([1e-3], None) for _ in candidates])
    assert batches <= 1


def test_an_unknown_expert_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="nobody"):
        colt.tvm.SearchStrategy(["nobody"])


def test_arguments_are_described_as_metaschedule_does() -> None:
    assert [str(info.dtype) for info in arguments_info(programs.matmul())] == ["float32"] * 3
