"""COLT's timing inside stock MetaSchedule: ``ms.tune_tir(..., runner=colt.tvm.Runner())``."""

from __future__ import annotations

import math
import os
import statistics
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target

from colt.errors import ColtError, InputError
from colt.measure.base import Job, Limits, Measurement
from colt.tvm.devices.host import available_cores, set_threads
from colt.tvm.metaschedule.artifact import SUFFIX, read_artifact
from colt.tvm.space.recent import Recent
from colt.tvm.space.shared import Conditions, InUse, check_threads, conditions

_LIBRARIES = (".so", ".tar")
_TASKS = 1000


def Runner(*, threads: int | None = None, limits: Limits | None = None) -> Any:
    """A runner for ``ms.tune_tir`` and ``tune_relax``: candidates are timed in persistent workers, in stages.

    A candidate's figure is the median of its repeats. One that is far slower than its task's best is timed once, and
    one that crashes or hangs costs its own trial. Artifacts of :func:`colt.tvm.Builder` are timed where they were
    built; libraries of other builders (``.so``, ``.tar``) go through a stock ``LocalRunner``, at its speed, and are
    counted in ``timed_by_stock``.

    Parameters
    ----------
    threads
        Threads that kernels use; by default those that the builder names, and for libraries all cores.
    limits
        Time limits and how thoroughly to time.

    Raises
    ------
    InputError
        An argument is not accepted.
    """
    check_threads(threads)
    return _Runner(_Options(threads, limits or Limits()))


@dataclass(frozen=True, slots=True)
class _Options:
    threads: int | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Task:
    """Candidates of one task share the best latency, by which some are dropped. Without a ``name`` only those of one
    call do."""

    where: Conditions
    name: str | None


@derived_object
class _Runner(ms.runner.PyRunner):  # type: ignore[misc]
    """What MetaSchedule calls, with the candidates of one task at a time."""

    def __init__(self, options: _Options) -> None:
        super().__init__()
        self._options = options
        self._in_use = InUse()
        self._best_us: Recent[_Task, float] = Recent(_TASKS)
        self._stock: Any = None
        self._end_stock: Callable[[], object] = _nothing
        self.timed_by_stock = 0
        """Candidates that were no artifacts of COLT's builder."""

    def run(self, runner_inputs: Any) -> list[Any]:
        inputs = list(runner_inputs)
        results: dict[int, Any] = {}
        jobs: dict[_Task, list[Job]] = defaultdict(list)
        libraries: dict[int, Any] = {}
        for index, each in enumerate(inputs):
            try:
                path = _path(each)
                if path.suffix == SUFFIX:
                    task, module = self._read(path)
                    jobs[task].append(Job(index, module))
                else:
                    libraries[index] = each
            except ColtError as error:
                results[index] = _failed(str(error))
        for task, group in jobs.items():
            results |= self._time(task, group)
        if libraries:
            results |= zip(libraries, self._time_by_stock(list(libraries.values())), strict=True)
        return [_Done(results[index]) for index in range(len(inputs))]

    def close(self) -> None:
        """End the workers, those of a Builder for the same target too; they start again when they are needed."""
        self._in_use.close()
        self._end_stock()
        self._stock = None

    def _read(self, path: Path) -> tuple[_Task, Any]:
        artifact = read_artifact(path)
        threads = self._options.threads or artifact.threads
        check_threads(threads)
        try:
            target = Target(artifact.target)
        except (ValueError, TypeError) as error:
            raise InputError(f"the artifact {path} names no target: {error}") from None
        return _Task(conditions(target, threads), artifact.task), artifact.load()

    def _time(self, task: _Task, jobs: Sequence[Job]) -> dict[int, Any]:
        best_us = None if task.name is None else self._best_us.get(task)
        results: dict[int, Any] = {}
        try:
            with self._in_use.workers(task.where).turn() as measurer:
                for measured in measurer.measure(jobs, best_us, self._options.limits):
                    results[measured.trial] = _result(measured)
                    if measured.fate.timed:
                        best_us = min(_latency_us(measured), best_us or math.inf)
        except (ColtError, OSError) as error:  # no workers
            results = {job.id: results.get(job.id, _failed(str(error))) for job in jobs}
        if best_us is not None and task.name is not None:
            self._best_us.put(task, best_us)
        return results

    def _time_by_stock(self, inputs: Sequence[Any]) -> list[Any]:
        try:
            if self._stock is None:
                threads = self._options.threads or available_cores()
                warnings.warn(
                    "libraries of another builder are timed by MetaSchedule's LocalRunner, at its speed; "
                    "colt.tvm.Builder() goes with colt.tvm.Runner()",
                    stacklevel=2,
                )
                self._stock = ms.runner.LocalRunner(initializer=partial(set_threads, threads))
                # Its process outlives ours otherwise.
                self._end_stock = weakref.finalize(self, _shut_down, self._stock.pool, os.getpid())
            results = [future.result() for future in self._stock.run(inputs)]
        except (ColtError, OSError, RuntimeError) as error:
            return [_failed(f"MetaSchedule's LocalRunner does not start: {error}")] * len(inputs)
        self.timed_by_stock += len(inputs)
        return results


@derived_object
class _Done(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    """A result that is there already."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self._result = result

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self._result


def _nothing() -> None: ...


def _shut_down(pool: Any, owner: int) -> None:
    if os.getpid() == owner:
        pool.shutdown()


def _path(runner_input: Any) -> Path:
    if runner_input.device_type not in ("cpu", "llvm"):
        raise InputError(f"candidates for {runner_input.device_type!r} cannot be timed; only those for cpus can")
    path = Path(str(runner_input.artifact_path))
    if path.suffix not in (SUFFIX, *_LIBRARIES):
        raise InputError(f"the artifact {path} is none of {', '.join((SUFFIX, *_LIBRARIES))}")
    return path


def _result(measured: Measurement) -> Any:
    if not measured.fate.timed:
        return _failed(f"{measured.fate}: {measured.message}")
    return ms.runner.RunnerResult([_latency_us(measured) / 1e6], None)


def _latency_us(measured: Measurement) -> float:
    """The median as it was timed: a figure that is too large costs a trial, one corrected too much wins wrongly."""
    return statistics.median(measured.runs_us)


def _failed(message: str) -> Any:
    return ms.runner.RunnerResult(None, message)
