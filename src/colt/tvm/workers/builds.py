"""Candidates are built by several workers side by side, unless they would take too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

import tvm_ffi
from tvm import IRModule

from colt.measure.base import Build, Fate, Job, Limits, Measurement
from colt.tvm.space.recent import Recent
from colt.tvm.workers.code_size import BuildTime, code_size
from colt.tvm.workers.messages import BuildRequest
from colt.tvm.workers.pool import FIRST, WorkerPool, allowed, taken_from


@dataclass(slots=True)
class JobUnderWay:
    """A job on its way; ``fate`` is OK as long as it may still be timed."""

    job: Job
    key: int = 0
    """The same for equal programs."""
    size: int = 0
    predicted: float = 0.0
    worker: int | None = None
    """The number of the worker that has built it."""
    fate: Fate = Fate.OK
    message: str = ""
    seconds_building: float = 0.0

    def build(self) -> Build:
        """How building it went."""
        return Build(self.job.id, self.fate, self.seconds_building, self.predicted, self.message)

    def failed(self, fate: Fate, message: str, seconds_timing: float = 0.0) -> Measurement:
        """The measurement that ended so."""
        return Measurement(
            trial=self.job.id,
            fate=fate,
            seconds_building=self.seconds_building,
            seconds_timing=seconds_timing,
            message=message,
            predicted_build_seconds=self.predicted,
        )


class Builds:
    """What the workers of a pool have built; they keep ``kept`` kernels together."""

    def __init__(self, pool: WorkerPool, kept: int) -> None:
        self.build_time = BuildTime()
        self._pool = pool
        self._built_by: Recent[int, int] = Recent(kept)

    def note(self, module: IRModule, worker: int) -> None:
        """Note that the worker has built the module and keeps it."""
        self._built_by.put(int(tvm_ffi.structural_hash(module)), worker)

    def builder_of(self, module: IRModule) -> int | None:
        """The number of the worker that keeps the module."""
        return self._built_by.get(int(tvm_ffi.structural_hash(module)))

    def make(
        self, jobs: Sequence[Job], limits: Limits, done: Callable[[JobUnderWay], None] = lambda candidate: None
    ) -> list[JobUnderWay]:
        """Build the jobs, each by whichever worker is free; leave out those that would take too long.

        ``done`` is told of each as soon as it is built, perhaps by another thread. Raises
        :class:`~colt.errors.MeasureError` if no worker starts.
        """
        candidates = [JobUnderWay(job) for job in jobs]
        self._pool.await_ready()
        waiting: SimpleQueue[JobUnderWay] = SimpleQueue()
        for candidate in candidates:
            waiting.put(candidate)
        if len(candidates) == 1 or len(self._pool) == 1:
            self._make_waiting(FIRST, waiting, limits, done)
        else:
            self._pool.share(partial(self._make_waiting, limits=limits, done=done), waiting)
        return candidates

    def _make_waiting(
        self, number: int, waiting: SimpleQueue[JobUnderWay], limits: Limits, done: Callable[[JobUnderWay], None]
    ) -> None:
        """One worker's share of the building; may run in a thread."""
        for candidate in taken_from(waiting):
            if self._is_to_be_built(candidate, limits):
                self._make_one(candidate, number, limits)
            done(candidate)

    def _is_to_be_built(self, candidate: JobUnderWay, limits: Limits) -> bool:
        """Look at the candidate's code: a worker may have it already, or it is so large that it is to be skipped."""
        module = candidate.job.module
        candidate.key = int(tvm_ffi.structural_hash(module))
        candidate.size = code_size(module)
        candidate.predicted = self.build_time.predict(candidate.size)
        candidate.worker = self._built_by.get(candidate.key)
        if candidate.predicted > limits.build_seconds:
            candidate.fate = Fate.SKIPPED
            candidate.message = (
                f"building is predicted to take {candidate.predicted:.2g} s, more than {limits.build_seconds:g} s"
            )
        return candidate.fate is Fate.OK and candidate.worker is None

    def _make_one(self, candidate: JobUnderWay, number: int, limits: Limits) -> None:
        seconds = allowed(limits, building=limits.allowed_build_seconds(candidate.predicted))
        outcome = self._pool.ask(number, BuildRequest(candidate.job.module, candidate.job.library), seconds)
        candidate.seconds_building = outcome.seconds_building
        candidate.fate, candidate.message = outcome.fate, outcome.message
        if outcome.reply is not None:
            candidate.worker = number
            self._built_by.put(candidate.key, number)
        if outcome.reply is not None and candidate.job.library is None:
            self.build_time.learn(candidate.size, outcome.seconds_building)
