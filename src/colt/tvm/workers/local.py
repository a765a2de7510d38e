"""Workers on this machine build candidates side by side; then one at a time is timed, here or on a board."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

import tvm_ffi
from tvm import IRModule
from tvm.support import cc
from tvm.target import Target

from colt.errors import MeasureError
from colt.machine import detect
from colt.measure.base import (
    INPUTS_TO_BLAME,
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
from colt.tvm.space.recent import Recent
from colt.tvm.workers.arguments import Drawing
from colt.tvm.workers.board import Board
from colt.tvm.workers.code_size import BuildTime, code_size
from colt.tvm.workers.conversation import Exchange
from colt.tvm.workers.drawings import Drawings
from colt.tvm.workers.messages import (
    Away,
    BuildRequest,
    ExportedReply,
    ExportRequest,
    Gauged,
    GaugeRequest,
    InterleaveRequest,
    MeasureRequest,
    Request,
    Stage,
    TimedReply,
    VerifiedReply,
    VerifyRequest,
)
from colt.tvm.workers.reference import reference_gflop
from colt.tvm.workers.supervisor import Supervisor
from colt.util.files import replacing
from colt.util.interrupt import ENDLESS_S

MAX_WORKERS = 8
"""Workers by default, on machines that have as many cores: batches of trials are not larger."""
OBJECTS = ".tar"
"""The suffix of a kernel that is not linked yet."""
_USUAL = Pace()
_FIRST = 0
_REFERENCE = 0


@dataclass(slots=True)
class _Candidate:
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
        self._build_time = BuildTime()
        self._drawings = drawings or Drawings()
        self._foreseen: dict[tuple[int, int, int, int], Exchange] = {}
        """How comparing went of pairs that were not asked for yet."""
        kept = self._limits.kernels * workers
        self._built_by: Recent[int, int] = Recent(kept)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if board is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="colt-kernels-")
            away = Away(board, self._folder.name, kept)
        self._away = away
        self._workers = [Supervisor(target, threads, self._limits, away) for _ in range(workers)]
        self._builders = ThreadPoolExecutor(workers, thread_name_prefix="colt-build")

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced."""
        return sum(worker.restarts for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the present workers."""
        return [worker.pid for worker in self._workers]

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
        candidate = _Candidate(job, predicted=build.predicted_seconds, seconds_building=build.seconds)
        return self._time(candidate, best_us, limits or self._limits)

    def gauge(self, limits: Limits | None = None) -> tuple[str, float]:
        """Where kernels run just now, and what the reference kernel takes there in a moment of quiet, in microseconds.

        Raises
        ------
        MeasureError
            No worker starts, or the reference kernel does not run.
        """
        limits = limits or self._limits
        outcome = self._request(_FIRST, GaugeRequest(), _allowed(limits, first_run=limits.reference_seconds))
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

    def _linked(self, candidate: _Candidate, limits: Limits) -> bytes | None:
        if is_foreign(self._target) or cc.get_cc() is None:
            return None
        allowed = _allowed(limits, limits.allowed_build_seconds(candidate.predicted))
        with tempfile.TemporaryDirectory(prefix="colt-kernels-") as folder:
            path = Path(folder) / "kernel.so"
            request = ExportRequest(candidate.job.module, str(path), timed=True)
            outcome = self._request(candidate.worker or _FIRST, request, allowed)
            return path.read_bytes() if isinstance(outcome.reply, ExportedReply) else None

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`; of several workers each builds up to ``limits.ahead`` jobs ahead."""
        limits = limits or self._limits
        left = iter(jobs)
        ahead = limits.ahead * len(self._workers) if len(self._workers) > 1 else 1
        while chunk := list(islice(left, ahead)):
            for candidate in self._build(chunk, limits):
                result = self._time(candidate, best_us, limits)
                if result.latency_us is not None:
                    best_us = result.latency_us if best_us is None else min(best_us, result.latency_us)
                yield result

    def _build(
        self, jobs: Sequence[Job], limits: Limits, done: Callable[[_Candidate], None] = lambda candidate: None
    ) -> list[_Candidate]:
        """Build the jobs, each by whichever worker is free; leave out those that would take too long."""
        candidates = [_Candidate(job) for job in jobs]
        for worker in self._workers:
            worker.await_ready()
        started = perf_counter()
        waiting: SimpleQueue[_Candidate] = SimpleQueue()
        for candidate in candidates:
            waiting.put(candidate)
        if len(candidates) == 1 or len(self._workers) == 1:
            self._build_waiting(_FIRST, waiting, limits, done)
        else:
            self._share(partial(self._build_waiting, limits=limits, done=done), waiting)
        self.seconds_building += perf_counter() - started
        return candidates

    def _build_waiting(
        self, number: int, waiting: SimpleQueue[_Candidate], limits: Limits, done: Callable[[_Candidate], None]
    ) -> None:
        """One worker's share of the building; may run in a thread."""
        with suppress(Empty):
            while True:
                candidate = waiting.get_nowait()
                if self._is_to_be_built(candidate, limits):
                    self._build_one(candidate, number, limits)
                done(candidate)

    def _is_to_be_built(self, candidate: _Candidate, limits: Limits) -> bool:
        """Look at the candidate's code: a worker may have it already, or it is so large that it is to be skipped."""
        module = candidate.job.module
        candidate.key = int(tvm_ffi.structural_hash(module))
        candidate.size = code_size(module)
        candidate.predicted = self._build_time.predict(candidate.size)
        candidate.worker = self._built_by.get(candidate.key)
        if candidate.predicted > limits.build_seconds:
            candidate.fate = Fate.SKIPPED
            candidate.message = (
                f"building is predicted to take {candidate.predicted:.2g} s, more than {limits.build_seconds:g} s"
            )
        return candidate.fate is Fate.OK and candidate.worker is None

    def _build_one(self, candidate: _Candidate, number: int, limits: Limits) -> None:
        allowed = _allowed(limits, building=limits.allowed_build_seconds(candidate.predicted))
        outcome = self._workers[number].request(BuildRequest(candidate.job.module, candidate.job.library), allowed)
        candidate.seconds_building = outcome.seconds_building
        candidate.fate, candidate.message = outcome.fate, outcome.message
        if outcome.reply is not None:
            candidate.worker = number
            self._built_by.put(candidate.key, number)
        if outcome.reply is not None and candidate.job.library is None:
            self._build_time.learn(candidate.size, outcome.seconds_building)

    def _share(self, work: Callable[[int, SimpleQueue[Any]], None], waiting: SimpleQueue[Any]) -> None:
        """Have all workers do what is waiting, each by its number in a thread. If we are interrupted, end what they do:
        nobody will use it."""
        for worker in self._workers:
            worker.await_ready()
        threads = [self._builders.submit(work, number, waiting) for number in range(len(self._workers))]
        try:
            for thread in threads:
                thread.result(ENDLESS_S)
        except BaseException:
            with suppress(Empty):
                while True:
                    waiting.get_nowait()
            self.interrupt()
            wait(threads)
            raise

    def _time(self, candidate: _Candidate, best_us: float | None, limits: Limits) -> Measurement:
        if candidate.fate is not Fate.OK:
            return candidate.failed(candidate.fate, candidate.message)
        first_run = limits.first_run_seconds(best_us)
        allowed = _allowed(limits, limits.allowed_build_seconds(candidate.predicted), first_run)
        drawing = None if candidate.job.inputs is None else self.settle(candidate.job.inputs, limits)
        request = MeasureRequest(candidate.job.module, best_us, self._quiet_us, self._patient(limits), drawing)
        # Only one worker may talk to a board; it finds there what the others have built.
        timing = _FIRST if self._away is not None else candidate.worker or _FIRST
        outcome = self._request(timing, request, allowed)
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
        pair = Pair(reference, candidate, seed, given)
        outcome = self._foreseen.pop(_key(pair), None)
        if outcome is None:
            allowed = _allowed(limits, first_run=limits.reference_seconds)
            outcome = self._request(_FIRST, self._verify_request(pair), allowed)
        if isinstance(outcome.reply, VerifiedReply):
            found = outcome.reply
            return Verification(
                ok=found.ok,
                max_abs_error=math.inf if found.max_abs_error is None else found.max_abs_error,
                max_rel_error=math.inf if found.max_rel_error is None else found.max_rel_error,
                tolerance=found.tolerance,
                message=found.message,
                untuned_error=found.untuned_error,
            )
        if outcome.stage is None or outcome.module == _REFERENCE:
            blamed = f"; {INPUTS_TO_BLAME}" if outcome.stage is Stage.RUNNING else ""
            raise MeasureError(f"the untuned program gives nothing to verify with: {outcome.describe()}{blamed}")
        return Verification(False, math.inf, math.inf, 0.0, outcome.describe())

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.foresee`; all candidates of a reference by one worker, which keeps what that computes,
        and the kernels for when they are timed."""
        if self._away is not None or len(self._workers) == 1:
            return
        of_reference: dict[int, list[Pair]] = {}
        for pair in pairs:
            if _key(pair) in self._foreseen:
                continue
            of_reference.setdefault(int(tvm_ffi.structural_hash(pair.reference)), []).append(pair)
        waiting: SimpleQueue[Sequence[Pair]] = SimpleQueue()
        for group in of_reference.values():
            waiting.put(group)
        asked: list[Exchange] = []
        self._share(partial(self._foresee_waiting, limits=limits or self._limits, asked=asked), waiting)
        self.seconds_building += sum(one.seconds_building for one in asked) / len(self._workers)
        self.seconds_timing += sum(one.seconds_timing for one in asked) / len(self._workers)

    def _foresee_waiting(
        self, number: int, waiting: SimpleQueue[Sequence[Pair]], limits: Limits, asked: list[Exchange]
    ) -> None:
        """One worker's share of comparing; in a thread. What was ``asked`` is kept for the accounts."""
        allowed = _allowed(limits, first_run=limits.reference_seconds)

        def ask(request: Request) -> Exchange:
            asked.append(self._workers[number].request(request, allowed))
            return asked[-1]

        with suppress(Empty):
            while True:
                for pair in waiting.get_nowait():
                    with suppress(MeasureError):  # the same will be said when it is asked for
                        self._drawings.settled(Inputs(pair.reference, pair.seed, pair.given), ask)
                    self._foreseen[_key(pair)] = ask(self._verify_request(pair))
                    for module in (pair.reference, pair.candidate):
                        self._built_by.put(int(tvm_ffi.structural_hash(module)), number)

    def _verify_request(self, pair: Pair) -> VerifyRequest:
        drawing = self._drawings.unsettled(Inputs(pair.reference, pair.seed, pair.given))
        return VerifyRequest(pair.reference, pair.candidate, drawing)

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`; always the first worker, which has built those that were verified."""
        limits = limits or self._limits
        allowed = _allowed(limits, first_run=limits.reference_seconds)
        drawing = None if inputs is None else self.settle(inputs, limits)
        request = InterleaveRequest(tuple(modules), rounds, self._quiet_us, self._patient(limits), drawing)
        outcome = self._request(_FIRST, request, allowed)
        if not isinstance(outcome.reply, TimedReply):
            raise MeasureError(f"timing in turn failed at program {outcome.module}: {outcome.describe()}")
        turns = zip(outcome.reply.runs_us, outcome.reply.slowdowns, strict=True)
        corrected = [[us / slowdown for us in latencies] for latencies, slowdown in turns]
        return [list(latencies) for latencies in zip(*corrected, strict=True)]

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
        allowed = _allowed(limits, building=limits.export_seconds)
        try:
            with replacing(path) as written:
                built = written.with_name(f"kernel{suffix}")  # TVM goes by the suffix
                outcome = self._request(_FIRST, ExportRequest(module, str(built.resolve())), allowed)
                if not isinstance(outcome.reply, ExportedReply):
                    raise ExportError(f"{path} is not written: {outcome.describe()}")
                built.rename(written)
        except OSError as error:
            raise ExportError(f"{path} is not written: {error.strerror}") from None

    def interrupt(self, for_good: bool = False) -> None:
        """End what another thread has the workers do: it ends as if they had crashed. For any thread.

        ``for_good``: none is started any more.
        """
        for worker in self._workers:
            worker.interrupt(for_good)

    def close(self) -> None:
        """End the workers at once. May be repeated."""
        for worker in self._workers:
            worker.close()
        self._builders.shutdown()
        self._drawings.close()
        if self._folder is not None:
            self._folder.cleanup()

    def settle(self, inputs: Inputs, limits: Limits | None = None) -> Drawing:
        """How the inputs come about, tried out by the first worker. Raises :class:`MeasureError` if they do not."""
        limits = limits or self._limits
        allowed = _allowed(limits, first_run=limits.reference_seconds)
        return self._drawings.settled(inputs, lambda request: self._request(_FIRST, request, allowed))

    # ---- requests ----

    def _request(self, worker: int, request: Request, allowed: Mapping[Stage, float]) -> Exchange:
        """Have one worker answer while the others are idle, not even starting after a fault; keep the accounts."""
        for each in self._workers:
            each.await_ready()
        outcome = self._workers[worker].request(request, allowed)
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
        allowed = self._pace.patience_seconds + self._pace.patience_share * (perf_counter() - self._started)
        left = allowed - self.noise.seconds_waiting
        return replace(limits, noise_wait_seconds=max(1e-9, min(limits.noise_wait_seconds, left)))


def _key(pair: Pair) -> tuple[int, int, int, int]:
    reference, candidate = (int(tvm_ffi.structural_hash(module)) for module in (pair.reference, pair.candidate))
    return reference, candidate, pair.seed, id(pair.given)


def _allowed(limits: Limits, building: float | None = None, first_run: float = 0.0) -> dict[Stage, float]:
    """Seconds that a worker may spend in each stage."""
    return {
        Stage.CONNECTING: limits.connect_seconds,
        Stage.PREPARING: limits.prepare_seconds,
        Stage.BUILDING: limits.build_seconds if building is None else building,
        Stage.RUNNING: first_run,
        Stage.TIMING: limits.timing_seconds,
        Stage.WAITING: limits.prepare_seconds,
        Stage.COMPARING: limits.prepare_seconds,
        Stage.LINKING: limits.export_seconds,
    }
