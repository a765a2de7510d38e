"""Workers on this machine build candidates side by side; then one at a time is timed, here or on a board."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from tvm import IRModule
from tvm.support import cc
from tvm.target import Target

from colt.errors import MeasureError
from colt.machine import detect
from colt.measure.base import (
    Build,
    ExportError,
    Fate,
    Inputs,
    Job,
    Limits,
    Measurement,
    Measurer,
    Noise,
    NoLinker,
    Pace,
    Pair,
    Verification,
)
from colt.tvm.devices.host import architecture_of, available_cores, is_foreign
from colt.tvm.workers.arguments import Drawing
from colt.tvm.workers.board import Board
from colt.tvm.workers.builds import Builds, JobUnderWay
from colt.tvm.workers.clocks import with_counts
from colt.tvm.workers.comparisons import Comparisons
from colt.tvm.workers.conversation import Exchange
from colt.tvm.workers.drawings import Drawings
from colt.tvm.workers.messages import (
    Away,
    ClockedReply,
    ClockRequest,
    ExportedReply,
    ExportRequest,
    Gauged,
    GaugeRequest,
    InterleaveRequest,
    MeasureRequest,
    Request,
    Stage,
    TimedReply,
)
from colt.tvm.workers.pool import FIRST, WorkerPool, allowed
from colt.tvm.workers.reference import reference_gflop
from colt.util.files import replacing

MAX_WORKERS = 8
"""Workers by default, on machines that have as many cores: batches of trials are not larger."""
OBJECTS = ".tar"
"""The suffix of a kernel that is not linked yet."""
_USUAL = Pace()


class LocalMeasurer(Measurer):
    """Measures in worker processes on this machine: on its cpu, or on ``board``, which runs what is built here.

    All ``workers`` (by default one per core, at most 8) build at the same time. While one candidate is timed, nothing
    is built and no other is timed. Kernels use ``threads`` threads. ``peak_gflops``, the FMA peak with that many
    threads, tells from the start how fast a quiet machine is. The constructor returns at once: the workers start in
    the background, and the first call waits for them. For one thread at a time, except for :meth:`interrupt`.

    Several measurers may use boards of one key at the same time, with one folder of kernels (``away``) and the same
    ``drawings``; see :mod:`~colt.tvm.workers.boards`.
    """

    def __init__(
        self,
        target: Target,
        threads: int,
        limits: Limits | None = None,
        *,
        workers: int | None = None,
        peak_gflops: float | None = None,
        board: Board | None = None,
        away: Away | None = None,
        drawings: Drawings | None = None,
        pace: Pace = _USUAL,
    ) -> None:
        workers = workers or min(available_cores(), MAX_WORKERS)
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._started = perf_counter()
        self._limits = limits or Limits()
        self._pace = pace
        self._remarks: dict[str, bool] = {}
        self._target = target
        self.host = ""
        """The address of the board that timed a kernel last."""
        self.reference_us: float | None = None
        """What the reference kernel took there, beside it."""
        self._quiet_us = None if peak_gflops is None else reference_gflop(threads, detect().simd) / peak_gflops * 1e6
        self._drawings = drawings or Drawings()
        kept = self._limits.kernels * workers
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if board is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="colt-kernels-")
            away = Away(board, self._folder.name, kept)
        self._away = away
        self._pool = WorkerPool(target, threads, self._limits, away, workers)
        self._builds = Builds(self._pool, kept)
        self._comparisons = Comparisons(self._pool, self._builds, self._drawings)

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced."""
        return self._pool.restarts

    @property
    def pids(self) -> list[int]:
        """The process ids of the present workers."""
        return self._pool.pids

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`; they are about the board."""
        new = [remark for remark, told in self._remarks.items() if not told]
        self._remarks.update(dict.fromkeys(new, True))
        return new

    # ---- candidates ----

    def build(
        self, jobs: Iterable[Job], limits: Limits | None = None, done: Callable[[Build], None] = lambda build: None
    ) -> list[Build]:
        """Build the jobs, several at a time; results are in the order of the jobs.

        The kernels are kept for :meth:`measure`; a worker keeps its last ``limits.kernels`` ones. ``done`` is told of
        each as soon as it is built, perhaps by another thread.

        Raises
        ------
        MeasureError
            No worker starts.
        """
        candidates = self._build(list(jobs), limits or self._limits, lambda candidate: done(candidate.build()))
        return [candidate.build() for candidate in candidates]

    def time(self, job: Job, build: Build, best_us: float | None = None, limits: Limits | None = None) -> Measurement:
        """Time a job that another measurer has built into the same folder; raises as :meth:`measure`."""
        candidate = JobUnderWay(job, predicted=build.predicted_seconds, seconds_building=build.seconds)
        return self._time(candidate, best_us, limits or self._limits)

    def gauge(self, limits: Limits | None = None) -> tuple[str, float]:
        """Where kernels run just now, and what the reference kernel takes there in a moment of quiet, in microseconds.

        Raises
        ------
        MeasureError
            No worker starts, or the reference kernel does not run.
        """
        limits = limits or self._limits
        outcome = self._request(FIRST, GaugeRequest(), allowed(limits, first_run=limits.reference_seconds))
        if not isinstance(outcome.reply, Gauged):
            raise MeasureError(f"the reference kernel cannot be timed: {outcome.describe()}")
        self.host, self.reference_us = outcome.reply.host, outcome.reply.reference_us
        return self.host, self.reference_us

    def libraries(self, jobs: Iterable[Job], limits: Limits | None = None) -> Iterator[tuple[Build, bytes | None]]:
        """Build the jobs as :meth:`build` does, each also as a shared library, to be timed on another machine
        (:attr:`Job.library`); ``None`` where nothing is built, or nothing is linked here."""
        limits = limits or self._limits
        for candidate in self._build(list(jobs), limits):
            library = self._linked(candidate, limits) if candidate.fate is Fate.OK else None
            yield candidate.build(), library

    def _linked(self, candidate: JobUnderWay, limits: Limits) -> bytes | None:
        if is_foreign(self._target) or cc.get_cc() is None:
            return None
        seconds = allowed(limits, limits.allowed_build_seconds(candidate.predicted))
        with tempfile.TemporaryDirectory(prefix="colt-kernels-") as folder:
            path = Path(folder) / "kernel.so"
            request = ExportRequest(candidate.job.module, str(path), timed=True)
            outcome = self._request(candidate.worker or FIRST, request, seconds)
            return path.read_bytes() if isinstance(outcome.reply, ExportedReply) else None

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`; of several workers each builds up to ``limits.ahead`` jobs ahead."""
        limits = limits or self._limits
        left = iter(jobs)
        ahead = limits.ahead * len(self._pool) if len(self._pool) > 1 else 1
        while chunk := list(islice(left, ahead)):
            for candidate in self._build(chunk, limits):
                result = self._time(candidate, best_us, limits)
                if result.latency_us is not None:
                    best_us = result.latency_us if best_us is None else min(best_us, result.latency_us)
                yield result

    def _build(
        self, jobs: Sequence[Job], limits: Limits, done: Callable[[JobUnderWay], None] = lambda candidate: None
    ) -> list[JobUnderWay]:
        """Build the jobs, and keep the accounts."""
        self._pool.await_ready()
        started = perf_counter()
        candidates = self._builds.make(jobs, limits, done)
        self.seconds_building += perf_counter() - started
        return candidates

    def _time(self, candidate: JobUnderWay, best_us: float | None, limits: Limits) -> Measurement:
        if candidate.fate is not Fate.OK:
            return candidate.failed(candidate.fate, candidate.message)
        first_run = limits.first_run_seconds(best_us)
        seconds = allowed(limits, limits.allowed_build_seconds(candidate.predicted), first_run)
        drawing = None if candidate.job.inputs is None else self.settle(candidate.job.inputs, limits)
        request = MeasureRequest(candidate.job.module, best_us, self._quiet_us, self._patient(limits), drawing)
        # Only one worker may talk to a board; it finds there what the others have built.
        timing = FIRST if self._away is not None else candidate.worker or FIRST
        outcome = self._request(timing, request, seconds)
        candidate.seconds_building += outcome.seconds_building  # if the worker that had built it has gone meanwhile
        if not isinstance(outcome.reply, TimedReply):
            return candidate.failed(outcome.fate, outcome.message, outcome.seconds_timing)
        timed = outcome.reply
        # A dropped candidate ran once or twice: what a load made of that is a guess, and must not put it in the lead.
        slowdown = 1.0 if timed.dropped else timed.slowdowns[0]
        return Measurement(
            trial=candidate.job.id,
            fate=Fate.DROPPED if timed.dropped else Fate.OK,
            latency_us=statistics.median(timed.runs_us[0]) / slowdown,
            runs_us=timed.runs_us[0],
            seconds_building=candidate.seconds_building,
            seconds_timing=outcome.seconds_timing,
            slowdown=slowdown,
            disturbed=timed.disturbed > 0,
            seconds_waiting=timed.seconds_waiting,
            predicted_build_seconds=candidate.predicted,
            host=timed.host,
            reference_us=timed.references_us[0],
        )

    # ---- programs ----

    def verify(
        self,
        reference: IRModule,
        candidate: IRModule,
        seed: int = 0,
        limits: Limits | None = None,
        given: Any = None,
    ) -> Verification:
        """See :meth:`Measurer.verify`; by the first worker, which keeps what the reference computes, unless it was
        foreseen."""
        limits = limits or self._limits
        seconds = allowed(limits, first_run=limits.reference_seconds)
        pair = Pair(reference, candidate, seed, given)
        return self._comparisons.verified(pair, lambda request: self._request(FIRST, request, seconds))

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.foresee`; all candidates of a reference by one worker, which keeps what that computes,
        and the kernels for when they are timed."""
        if self._away is not None or len(self._pool) == 1:
            return
        asked = self._comparisons.foresee(pairs, limits or self._limits)
        self.seconds_building += sum(one.seconds_building for one in asked) / len(self._pool)
        self.seconds_timing += sum(one.seconds_timing for one in asked) / len(self._pool)

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`; always the first worker, which has built those that were verified."""
        limits = limits or self._limits
        seconds = allowed(limits, first_run=limits.reference_seconds)
        drawing = None if inputs is None else self.settle(inputs, limits)
        request = InterleaveRequest(tuple(modules), rounds, self._quiet_us, self._patient(limits), drawing)
        outcome = self._request(FIRST, request, seconds)
        if not isinstance(outcome.reply, TimedReply):
            raise MeasureError(f"timing in turn failed at program {outcome.module}: {outcome.describe()}")
        return [list(latencies) for latencies in zip(*outcome.reply.runs_us, strict=True)]

    def clock(self, module: IRModule, parts: int, inputs: Inputs, limits: Limits | None = None) -> list[float] | None:
        """See :meth:`Measurer.clock`; by the first worker, but on no board."""
        if self._away is not None:
            return None
        limits = limits or self._limits
        drawing = with_counts(self.settle(inputs, limits))
        seconds = allowed(limits, limits.export_seconds, limits.reference_seconds)
        outcome = self._request(FIRST, ClockRequest(module, parts, drawing, limits.apart_bytes), seconds)
        if not isinstance(outcome.reply, ClockedReply):
            raise MeasureError(f"the program cannot be timed by its parts: {outcome.describe()}")
        return [*outcome.reply.cycles]

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`. A worker builds, since LLVM may crash there as with any candidate."""
        suffix = OBJECTS if path.suffix == OBJECTS else ".so"
        if suffix != OBJECTS and is_foreign(self._target):
            raise NoLinker(
                f"a kernel for {architecture_of(self._target)} cannot be linked here; write it as a {OBJECTS} file, "
                "which TVM links where it is loaded"
            )
        if suffix != OBJECTS and cc.get_cc() is None:
            raise NoLinker("a C compiler is needed to write a kernel library; install gcc or clang, or set CXX")
        limits = limits or self._limits
        seconds = allowed(limits, building=limits.export_seconds)
        try:
            with replacing(path) as written:
                built = written.with_name(f"kernel{suffix}")  # TVM goes by the suffix
                outcome = self._request(FIRST, ExportRequest(module, str(built.resolve())), seconds)
                if not isinstance(outcome.reply, ExportedReply):
                    raise ExportError(f"{path} is not written: {outcome.describe()}")
                built.rename(written)
        except OSError as error:
            raise ExportError(f"{path} is not written: {error.strerror}") from None

    def interrupt(self, for_good: bool = False) -> None:
        """End what another thread has the workers do: it ends as if they had crashed. For any thread.

        ``for_good``: none is started any more.
        """
        self._pool.interrupt(for_good)

    def close(self) -> None:
        """End the workers at once. May be repeated."""
        self._pool.close()
        self._drawings.close()
        if self._folder is not None:
            self._folder.cleanup()

    def settle(self, inputs: Inputs, limits: Limits | None = None) -> Drawing:
        """How the inputs come about, tried out by the first worker. Raises :class:`MeasureError` if they do not."""
        limits = limits or self._limits
        seconds = allowed(limits, first_run=limits.reference_seconds)
        return self._drawings.settled(inputs, lambda request: self._request(FIRST, request, seconds))

    # ---- requests ----

    def _request(self, worker: int, request: Request, seconds: Mapping[Stage, float]) -> Exchange:
        """Have one worker answer while the others are idle, not even starting after a fault; keep the accounts."""
        outcome = self._pool.ask_alone(worker, request, seconds)
        self.seconds_building += outcome.seconds_building
        self.seconds_timing += outcome.seconds_timing
        for remark in outcome.remarks:
            self._remarks.setdefault(remark, False)
        if isinstance(outcome.reply, TimedReply):
            self._note_noise(outcome.reply)
        return outcome

    def _note_noise(self, timed: TimedReply) -> None:
        if self._away is None:  # a board's is known where the connections are: the next may be to another
            self._quiet_us = timed.quiet_us if self._quiet_us is None else min(self._quiet_us, timed.quiet_us)
        self.host, self.reference_us = timed.host, statistics.median(timed.references_us)
        self.noise.probes += len(timed.slowdowns)
        self.noise.disturbed += timed.disturbed
        self.noise.worst_slowdown = max(self.noise.worst_slowdown, *timed.slowdowns)
        self.noise.seconds_waiting += timed.seconds_waiting

    def _patient(self, limits: Limits) -> Limits:
        """The limits with what is left of the time for waiting: a machine that is never quiet must not stop a run."""
        patience = self._pace.patience_seconds + self._pace.patience_share * (perf_counter() - self._started)
        left = patience - self.noise.seconds_waiting
        return replace(limits, noise_wait_seconds=max(1e-9, min(limits.noise_wait_seconds, left)))
