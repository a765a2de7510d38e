"""The worker's side: ``python -m colt.tvm.workers.worker SETTINGS``, where ``SETTINGS`` is the JSON of
:class:`~colt.tvm.workers.messages.WorkerSettings`.

Standard output and error are free for whatever kernels and LLVM print.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tvm import IRModule
from tvm.target import Target

from colt.tvm.programs.domains import domains
from colt.tvm.workers.access import analyse
from colt.tvm.workers.arguments import Drawing, Signature, signature
from colt.tvm.workers.board import BoardLost
from colt.tvm.workers.kernel import BoundKernel, entry_function
from colt.tvm.workers.messages import (
    BuildRequest,
    Built,
    ClockedReply,
    ClockRequest,
    Crashed,
    Entered,
    ExportedReply,
    ExportRequest,
    FailedReply,
    Gauged,
    GaugeRequest,
    InterleaveRequest,
    LostReply,
    MeasureRequest,
    Ready,
    Remark,
    Reply,
    Request,
    Settled,
    SettleRequest,
    Stage,
    TimedReply,
    VerifiedReply,
    VerifyRequest,
    WorkerSettings,
)
from colt.tvm.workers.noise import Gauge, time_quietly
from colt.tvm.workers.place import Place, ThisProcess
from colt.tvm.workers.timing import Timing, time_candidate, time_in_turn
from colt.tvm.workers.verify import Verifier
from colt.tvm.workers.wire import FrameReader, encode_reply
from colt.util.process import die_with_parent

_MAX_REQUEST_BYTES = (1 << 32) - 1
_PATIENT_ROUNDS = 3  # of timing in turn that may wait for a quiet machine as long as they are allowed to
_CLOCKED_RUNS = 5
_NO_TIME = 1e-9
_MAX_LOG_BYTES = 1 << 26  # of each file that the worker writes: what kernels print, an exported library


def main(arguments: list[str]) -> None:
    """Answer requests until the parent closes the pipe."""
    settings = WorkerSettings.from_json(arguments[0])
    _protect(settings)
    session = WorkerSession(settings)
    session.reply(Ready())
    reader = FrameReader(_MAX_REQUEST_BYTES)
    while data := os.read(settings.requests_fd, 1 << 20):
        reader.feed(data)
        while (payload := reader.next()) is not None:
            session.serve(payload)


class WorkerSession:
    """Serves requests, one at a time."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._replies_fd = settings.replies_fd
        self._place = _place(settings)
        self._verifier = Verifier(self._place)
        self._allowed: dict[Stage, float] = {}
        self._stage = Stage.BUILDING

    def serve(self, payload: bytes) -> None:
        """Answer one request: stages, then the result or the exception's text."""
        request, self._allowed = pickle.loads(payload)
        try:
            if self._place.remote and not isinstance(request, BuildRequest | ExportRequest):
                self.reply(self._answer_from_afar(request))
            else:
                self._announce(Stage.BUILDING)
                self.reply(self._answer(request))
        except BoardLost as error:
            self.reply(LostReply(str(error)))
        except Exception as error:  # noqa: BLE001 - whatever a candidate raises is its result
            self.reply(FailedReply(f"{type(error).__name__}: {error}"))

    def _answer_from_afar(self, request: Request) -> Reply:
        """Answer with a connection to the place. That it breaks is no candidate's fault, unless it breaks twice while
        the same one is running."""
        reply = self._try_from_afar(request) or self._try_from_afar(request)
        if reply is not None:
            return reply
        if self._stage in (Stage.RUNNING, Stage.TIMING):
            return Crashed("the process that ran it on the board has ended, twice")
        raise BoardLost(f"the connection to the board has broken twice, at last while {self._stage}")

    def _try_from_afar(self, request: Request) -> Reply | None:
        """The answer; ``None`` if the connection broke."""
        self._connect()
        try:
            reply = self._answer(request)
        except Exception:
            if self._place.lost():
                return None
            self._place.rest()
            raise
        self._place.rest()
        return reply

    def _connect(self) -> None:
        self._announce(Stage.CONNECTING)
        for remark in self._place.connect(self._allowed):
            self.reply(Remark(remark))

    def reply(self, reply: Reply) -> None:
        """Send a reply."""
        data = memoryview(encode_reply(reply))
        while data:
            data = data[os.write(self._replies_fd, data) :]

    def _enter(self, stage: Stage, module: int = 0) -> None:
        self._announce(stage, module)
        self._place.allow(self._allowed[stage])

    def _announce(self, stage: Stage, module: int = 0) -> None:
        self._stage = stage
        self.reply(Entered(stage, module))

    def _answer(self, request: Request) -> Reply:
        match request:
            case BuildRequest():
                return self._build(request)
            case MeasureRequest():
                return self._measure(request)
            case GaugeRequest():
                return self._gauge()
            case SettleRequest():
                return self._settle(request)
            case VerifyRequest():
                return self._verify(request)
            case InterleaveRequest():
                return self._interleave(request)
            case ClockRequest():
                return self._clock(request)
            case ExportRequest():
                return self._export(request)
            case _:
                raise TypeError(f"unknown request {type(request).__name__}")

    def _build(self, request: BuildRequest) -> Built:
        if request.library is None:
            self._place.build(request.module)
        else:
            self._place.adopt(request.module, request.library)
        return Built()

    def _prepare(self, module: IRModule, index: int, drawing: Drawing, apart_bytes: int | None) -> BoundKernel:
        self._enter(Stage.BUILDING, index)
        kernel = self._place.build(module)
        self._enter(Stage.PREPARING, index)
        return kernel.bind(self._place.arguments.get(*_called_with(module), drawing), apart_bytes)

    def _measure(self, request: MeasureRequest) -> TimedReply:
        limits, gauge = request.limits, self._ready_gauge(request.quiet_us)
        drawing = request.drawing or _drawing_for(request.module)

        def timed(stretch: float) -> Timing:
            bound = self._prepare(
                request.module, 0, drawing, limits.apart_bytes
            )  # anew each time: a program may update its arguments
            self._enter(Stage.RUNNING)
            best_us = None if request.best_us is None else request.best_us * stretch
            return time_candidate(bound, best_us, limits, lambda: self._enter(Stage.TIMING))

        timing = time_quietly(timed, gauge, limits, self._enter_waiting)
        return self._timed_reply([timing], gauge)

    def _interleave(self, request: InterleaveRequest) -> TimedReply:
        drawing = request.drawing or _drawing_for(request.modules[0])
        apart = request.limits.apart_bytes
        bound = [self._prepare(module, index, drawing, apart) for index, module in enumerate(request.modules)]
        gauge, limits = self._ready_gauge(request.quiet_us), request.limits
        waited = 0.0

        def quietly(timed: Callable[[], Timing]) -> Timing:
            nonlocal waited
            left = max(_NO_TIME, min(limits.noise_wait_seconds, _PATIENT_ROUNDS * limits.noise_wait_seconds - waited))
            patient = replace(limits, noise_wait_seconds=left)
            timing = time_quietly(lambda stretch: timed(), gauge, patient, self._enter_waiting)
            waited += timing.seconds_waiting
            return timing

        timings = time_in_turn(bound, request.rounds, limits, lambda index: self._enter(Stage.RUNNING, index), quietly)
        return self._timed_reply(timings, gauge)

    def _clock(self, request: ClockRequest) -> ClockedReply:
        bound = self._prepare(request.module, 0, request.drawing, request.apart_bytes)
        counts = self._place.arguments.get(*_called_with(request.module), request.drawing)[-1]
        self._enter(Stage.RUNNING)
        bound.run()
        before = counts.numpy()
        self._enter(Stage.TIMING)
        for _ in range(_CLOCKED_RUNS):
            bound.once()
        spent = (counts.numpy() - before).sum(axis=0)[: request.parts] / _CLOCKED_RUNS
        return ClockedReply(tuple(max(0.0, float(cycles)) for cycles in spent))

    def _timed_reply(self, timings: Sequence[Timing], gauge: Gauge) -> TimedReply:
        assert gauge.quiet_us is not None
        return TimedReply(
            runs_us=tuple(timing.runs_us for timing in timings),
            slowdowns=tuple(timing.slowdown for timing in timings),
            disturbed=sum(timing.disturbed for timing in timings),
            seconds_waiting=sum(timing.seconds_waiting for timing in timings),
            quiet_us=gauge.quiet_us,
            references_us=tuple(timing.reference_us for timing in timings),
            dropped=any(timing.dropped for timing in timings),
            host=self._place.address,
        )

    def _enter_waiting(self) -> None:
        self._enter(Stage.WAITING)

    def _ready_gauge(self, quiet_us: float | None) -> Gauge:
        gauge = self._place.gauge()
        gauge.expect(quiet_us)
        return gauge

    def _gauge(self) -> Gauged:
        gauge = self._ready_gauge(None)
        self._enter_waiting()
        return Gauged(gauge.know(), self._place.address)

    def _settle(self, request: SettleRequest) -> Settled:
        positive = self._verifier.settle(request.reference, request.drawing, self._enter)
        return Settled(finite=positive is not None, positive=bool(positive))

    def _verify(self, request: VerifyRequest) -> VerifiedReply:
        result = self._verifier.verify(request.reference, request.candidate, request.drawing, self._enter)
        return VerifiedReply(
            ok=result.ok,
            max_abs_error=_finite(result.max_abs_error),
            max_rel_error=_finite(result.max_rel_error),
            tolerance=result.tolerance,
            message=result.message,
            untuned_error=None if result.untuned_error is None else _finite(result.untuned_error),
        )

    def _export(self, request: ExportRequest) -> ExportedReply:
        self._announce(Stage.LINKING)
        self._place.export(request.module, Path(request.path), request.timed)
        return ExportedReply()


def _called_with(module: IRModule) -> tuple[Signature, frozenset[int]]:
    """The parameters of a program, and which of them it reads and writes."""
    return signature(module), analyse(entry_function(module)).in_place


def _drawing_for(module: IRModule) -> Drawing:
    """For a program of which nothing else is known."""
    return Drawing(domains(entry_function(module)))


def _place(settings: WorkerSettings) -> Place:
    target = Target(json.loads(settings.target))
    if settings.away is None:
        return ThisProcess(target, settings.threads, settings.kernels, settings.cache_mb << 20)
    from colt.tvm.workers.onboard import OnBoard

    away = settings.away
    return OnBoard(away.board, target, settings.threads, settings.kernels, Path(away.folder), away.files)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _protect(settings: WorkerSettings) -> None:
    """Let nothing outlive the parent, fill its disk or memory, or leave core files; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # TVM prints a backtrace from its SIGSEGV handler, which can deadlock in a process with a broken heap.
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    for fd in (settings.requests_fd, settings.replies_fd):  # compilers that the worker starts must not keep them open
        os.set_inheritable(fd, False)
    # This signal comes when the thread that started us ends: only the main thread lives as long as the parent.
    if settings.tied:
        die_with_parent()
    threading.Thread(target=_end_with_pipe, args=(settings.requests_fd,), daemon=True).start()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _MAX_LOG_BYTES)
    _limit(resource.RLIMIT_DATA, settings.memory_mb << 20)
    # If memory runs out after all, this process should go first; some sandboxes have no such file.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _end_with_pipe(requests_fd: int) -> None:
    """Kill the process group when the parent's end of the pipe closes, even in the midst of an endless kernel."""
    poll = select.poll()
    poll.register(requests_fd, 0)  # a hang-up is reported whatever is asked for
    poll.poll()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
