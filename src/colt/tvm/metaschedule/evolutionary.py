"""MetaSchedule's own search, as a baseline: ``ms.tune_tir`` with its evolutionary strategy, over any design space.

Candidates are built and timed by :func:`colt.tvm.Builder` and :func:`colt.tvm.Runner`; everything else is stock, but
for the size of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm import s_tir
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from colt.measure.base import Fate
from colt.tvm.devices.host import cpu_intrinsics
from colt.tvm.metaschedule.builder import Builder
from colt.tvm.metaschedule.records import FAILED_SECONDS, DatabaseFile, arguments_info
from colt.tvm.metaschedule.runner import Runner
from colt.tvm.sketches import DesignSpace
from colt.util.clock import Stopwatch

BATCH = 16
"""Candidates a batch. By default MetaSchedule takes 64: within a budget of 64 trials it would have chosen all of them
before it knew a single latency."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that was sent to the hardware; ``latency_us`` is ``None`` unless it was timed."""

    module: Any
    fate: Fate
    latency_us: float | None
    message: str = ""


def evolutionary_search(
    mod: Any,
    space: DesignSpace,
    target: Any,
    threads: int,
    trials: int,
    folder: Path,
    *,
    seed: int,
    first: Sequence[Any] = (),
    watch: Stopwatch,
    on_measured: Callable[[Candidate], None],
) -> None:
    """Run the search; ``on_measured`` gets each candidate as soon as its batch has been measured.

    Parameters
    ----------
    folder
        Where MetaSchedule's database and log go; it holds none yet.
    first
        Schedules of ``mod`` to measure before the search; their records are in the database when it begins, so that
        the best of them are part of its first population. They count as trials.
    watch
        Learns how long ``building`` and ``timing`` take.

    Raises
    ------
    OSError
        The disk of ``folder`` is full; the file of the database is named.
    """
    builder, runner = _Builder(Builder(threads=threads), watch), _Runner(Runner(threads=threads), watch)
    with cpu_intrinsics(target):
        database = ms.database.JSONDatabase(work_dir=str(folder))
        records = DatabaseFile(folder / "database_tuning_record.json")
        if first:
            for measured in _measure_first(first[:trials], mod, target, builder, runner, database):
                on_measured(measured)
            records.require(len(first[:trials]))
        if trials <= len(first):
            return
        tell = _Tell(on_measured, records)
        try:
            ms.tune_tir(
                mod,
                target,
                str(folder),
                max_trials_global=trials - len(first),
                num_trials_per_iter=BATCH,
                builder=builder,
                runner=runner,
                database=database,
                measure_callbacks=[
                    ms.measure_callback.AddToDatabase(),
                    ms.measure_callback.RemoveBuildArtifact(),
                    ms.measure_callback.UpdateCostModel(),
                    tell,
                ],
                space=ms.space_generator.ScheduleFn(lambda untuned: _schedules(untuned.mod, space, seed)),
                seed=seed + 1,  # MetaSchedule takes no 0
            )
        except RuntimeError:  # TVM makes one of whatever a callback raises
            if tell.failure is not None:
                raise tell.failure from None
            raise


def _schedules(mod: Any, space: DesignSpace, seed: int) -> list[Any]:
    """The designs as MetaSchedule has them: schedules whose traces are sampled anew."""
    schedules = []
    for design in space.designs:
        trace, _ = design.complete(design.trace) if design.complete is not None else (design.trace, ())
        schedule = s_tir.Schedule(mod, seed=seed + 1, debug_mask=0, error_render_level="fast")
        trace.apply_to_schedule(schedule, remove_postproc=True)
        schedules.append(schedule)
    return schedules


def _measure_first(
    schedules: Sequence[Any], mod: Any, target: Any, builder: Any, runner: Any, database: Any
) -> list[Candidate]:
    """Measure schedules as a batch of the search is measured, and put them into the database."""
    arguments, workload = arguments_info(mod), database.commit_workload(mod)
    built = builder.build([ms.builder.BuilderInput(schedule.mod, target) for schedule in schedules])
    inputs = [
        ms.runner.RunnerInput(each.artifact_path, target.kind.name, arguments) for each in built if not each.error_msg
    ]
    ran = iter(runner.run(inputs))
    results = [ms.runner.RunnerResult(None, each.error_msg) if each.error_msg else next(ran).result() for each in built]
    for schedule, result in zip(schedules, results, strict=True):
        seconds = [FAILED_SECONDS] if result.run_secs is None else result.run_secs
        database.commit_tuning_record(ms.database.TuningRecord(schedule.trace, workload, seconds, target, arguments))
    return [_candidate(schedule.mod, result) for schedule, result in zip(schedules, results, strict=True)]


@derived_object
class _Builder(ms.builder.PyBuilder):  # type: ignore[misc]
    """Counts the time that another builder takes."""

    def __init__(self, inner: Any, watch: Stopwatch) -> None:
        super().__init__()
        self._inner = inner
        self._watch = watch

    def build(self, build_inputs: Any) -> Any:
        with self._watch("building"):
            return self._inner.build(build_inputs)


@derived_object
class _Runner(ms.runner.PyRunner):  # type: ignore[misc]
    """Counts the time that another runner takes."""

    def __init__(self, inner: Any, watch: Stopwatch) -> None:
        super().__init__()
        self._inner = inner
        self._watch = watch

    def run(self, runner_inputs: Any) -> Any:
        with self._watch("timing"):
            return self._inner.run(runner_inputs)


@derived_object
class _Tell(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    """Passes on what became of each candidate of a batch, and sees that their records are written."""

    def __init__(self, on_measured: Callable[[Candidate], None], records: DatabaseFile) -> None:
        super().__init__()
        self._on_measured = on_measured
        self._records = records
        self.failure: OSError | None = None
        """Why the search ends early."""

    def apply(
        self, task_scheduler: Any, task_id: int, measure_candidates: Any, builder_results: Any, runner_results: Any
    ) -> None:
        for measured, result in zip(measure_candidates, runner_results, strict=True):
            self._on_measured(_candidate(measured.sch.mod, result))
        try:
            self._records.require(len(measure_candidates))
        except OSError as error:
            self.failure = error
            raise


def _candidate(module: Any, result: Any) -> Candidate:
    seconds = [] if result.run_secs is None else [float(second) for second in result.run_secs]
    if result.error_msg is None and seconds and 0 < min(seconds) <= max(seconds) < FAILED_SECONDS:
        return Candidate(module, Fate.OK, math.fsum(seconds) / len(seconds) * 1e6)
    message = str(result.error_msg or "no figure")
    return Candidate(module, _fate(message), None, message)


def _fate(message: str) -> Fate:
    """COLT's Builder and Runner begin their messages with the fate; whatever else goes wrong comes of running."""
    word = message.partition(":")[0].strip()
    return Fate(word) if word in set(Fate) else Fate.RUN_ERROR
