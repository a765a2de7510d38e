"""Measuring on this machine: one worker process, watched, and replaced when a candidate breaks it."""

from __future__ import annotations

import math
import os
import pickle
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from tvm import IRModule
from tvm.support import cc
from tvm.target import Target

from colt.errors import MeasureError
from colt.tvm.measure.conversation import Outcome, converse
from colt.tvm.measure.messages import (
    Exported,
    ExportRequest,
    InterleaveRequest,
    MeasureRequest,
    Ready,
    Request,
    Stage,
    Timed,
    Verified,
    VerifyRequest,
)
from colt.tvm.measure.process import WorkerDied, WorkerLate, WorkerProcess
from colt.tvm.measure.types import ExportError, Job, Limits, Measurement, Measurer, Verification
from colt.tvm.measure.wire import WireError

_HANDOVERS = 2  # a worker that is gone before it takes a request up did not die of that request
_REFERENCE = 0


class LocalMeasurer(Measurer):
    """Measures in a worker process on this machine's cpu.

    The constructor returns at once; the worker starts meanwhile, and the first call waits for it. Kernels use
    ``threads`` threads. For one thread at a time.
    """

    def __init__(self, target: Target, threads: int, limits: Limits | None = None) -> None:
        self.restarts = 0
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self._target = target
        self._threads = threads
        self._limits = limits or Limits()
        self._closed = False
        self._start()

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`; a job is done when its result is asked for."""
        for job in jobs:
            result = self._measure(job, best_us, limits or self._limits)
            if result.latency_us is not None:
                best_us = result.latency_us if best_us is None else min(best_us, result.latency_us)
            yield result

    def _measure(self, job: Job, best_us: float | None, limits: Limits) -> Measurement:
        allowed = _allowed(limits, first_run=limits.first_run_seconds(best_us))
        outcome = self._request(MeasureRequest(job.module, best_us, limits), allowed)
        runs_us = outcome.reply.runs_us[0] if isinstance(outcome.reply, Timed) else ()
        return Measurement(
            job=job.id,
            fate=outcome.fate,
            latency_us=statistics.median(runs_us) if runs_us else None,
            runs_us=runs_us,
            seconds_building=outcome.seconds_building,
            seconds_timing=outcome.seconds_timing,
            message=outcome.message,
        )

    def verify(
        self, reference: IRModule, candidate: IRModule, seed: int = 0, limits: Limits | None = None
    ) -> Verification:
        """See :meth:`Measurer.verify`; what the reference computes is kept in the worker for the next candidate."""
        limits = limits or self._limits
        allowed = _allowed(limits, first_run=limits.reference_seconds)
        outcome = self._request(VerifyRequest(reference, candidate, seed), allowed)
        if isinstance(outcome.reply, Verified):
            found = outcome.reply
            return Verification(
                ok=found.ok,
                max_abs_error=math.inf if found.max_abs_error is None else found.max_abs_error,
                max_rel_error=math.inf if found.max_rel_error is None else found.max_rel_error,
                tolerance=found.tolerance,
                message=found.message,
            )
        if outcome.stage is None or outcome.module == _REFERENCE:
            raise MeasureError(f"the untuned program gives nothing to verify with: {outcome.describe()}")
        return Verification(False, math.inf, math.inf, 0.0, outcome.describe())

    def interleave(self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None) -> list[list[float]]:
        """See :meth:`Measurer.interleave`."""
        limits = limits or self._limits
        allowed = _allowed(limits, first_run=limits.reference_seconds)
        outcome = self._request(InterleaveRequest(tuple(modules), rounds, limits), allowed)
        if isinstance(outcome.reply, Timed):
            return [list(latencies) for latencies in outcome.reply.runs_us]
        raise MeasureError(f"timing in turn failed at program {outcome.module}: {outcome.describe()}")

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`. The worker builds, since LLVM may crash there as with any candidate."""
        if cc.get_cc() is None:
            raise ExportError("a C compiler is needed to write a kernel library; install gcc or clang, or set CXX")
        limits = limits or self._limits
        allowed = {**_allowed(limits, 0.0), Stage.BUILDING: limits.export_seconds, Stage.LINKING: limits.export_seconds}
        try:
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                written = Path(folder) / "kernel.so"
                outcome = self._request(ExportRequest(module, str(written.resolve())), allowed)
                if not isinstance(outcome.reply, Exported):
                    raise ExportError(f"{path} is not written: {outcome.describe()}")
                os.replace(written, path)
        except OSError as error:
            raise ExportError(f"{path} is not written: {error}") from None

    def close(self) -> None:
        """End the worker at once, since it holds nothing worth saving. May be repeated."""
        self._closed = True
        self._worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, request: Request, allowed: Mapping[Stage, float]) -> Outcome:
        """Have a worker answer; replace it if it died, hung, talked nonsense, or if we are interrupted."""
        payload = pickle.dumps(request)
        for _ in range(_HANDOVERS):
            self._await_ready()
            try:
                outcome = converse(self._worker, request, payload, allowed)
            except BaseException:  # the answer to this request would be taken for that to the next
                self._restart()
                raise
            if not outcome.worker_usable:
                self._restart()
            if outcome.stage is not None:
                break
        self.seconds_building += outcome.seconds_building
        self.seconds_timing += outcome.seconds_timing
        return outcome

    def _start(self) -> None:
        self._worker = WorkerProcess(self._target, self._threads, self._limits)
        self._started = monotonic()
        self._ready = False

    def _restart(self) -> None:
        self._worker.kill()
        self.restarts += 1
        self._start()

    def _await_ready(self) -> None:
        """Have a worker that is ready. Raises MeasureError when several in a row do not get there."""
        if self._closed:
            raise MeasureError("the measurer is closed")
        failures = 0
        while not self._ready:
            trouble = self._greeting()
            if trouble:
                failures += 1
                self._restart()
            if failures >= self._limits.start_attempts:
                raise MeasureError(f"the measuring worker does not start, tried {failures} times: {trouble}")

    def _greeting(self) -> str:
        """Wait for the ready message; what went wrong instead, or nothing."""
        try:
            reply = self._worker.receive(self._started + self._limits.start_seconds)
        except WorkerLate:
            return f"not ready after {self._limits.start_seconds:g} s\n{self._worker.last_words()}".strip()
        except (WorkerDied, WireError) as error:
            return str(error)
        self._ready = isinstance(reply, Ready)
        return "" if self._ready else f"its first message is {reply}"


def _allowed(limits: Limits, first_run: float) -> dict[Stage, float]:
    """Seconds that the worker may spend in each stage."""
    return {
        Stage.PREPARING: limits.prepare_seconds,
        Stage.BUILDING: limits.build_seconds,
        Stage.RUNNING: first_run,
        Stage.TIMING: limits.timing_seconds,
        Stage.COMPARING: limits.prepare_seconds,
        Stage.LINKING: limits.export_seconds,
    }
