"""The worker's side: ``python -m colt.tvm.measure.worker REQUESTS REPLIES TARGET MEMORY_MB CACHE_MB TIED``.

``REQUESTS`` and ``REPLIES`` are inherited file descriptors, ``TARGET`` is JSON, ``MEMORY_MB`` limits private memory,
``CACHE_MB`` the arrays kept, and ``TIED`` is 1 if the worker was started from its parent's main thread.

Standard output and error are free for whatever kernels and LLVM print.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import pickle
import resource
import select
import signal
import sys
import threading
from contextlib import suppress

from tvm import IRModule
from tvm.target import Target

from colt.tvm.host import cpu_intrinsics
from colt.tvm.measure.access import analyse
from colt.tvm.measure.arguments import ArgumentCache, signature
from colt.tvm.measure.kernel import BoundKernel, Kernel, entry_function
from colt.tvm.measure.messages import (
    Entered,
    Exported,
    ExportRequest,
    Failed,
    InterleaveRequest,
    MeasureRequest,
    Ready,
    Reply,
    Request,
    Stage,
    Timed,
    Verified,
    VerifyRequest,
)
from colt.tvm.measure.timing import time_candidate, time_in_turn
from colt.tvm.measure.verify import Verifier
from colt.tvm.measure.wire import FrameReader, encode_reply

_PR_SET_PDEATHSIG = 1
_MAX_REQUEST_BYTES = (1 << 32) - 1
_MAX_LOG_BYTES = 1 << 28  # of each file that the worker writes: what kernels print, an exported library


def main(arguments: list[str]) -> None:
    """Answer requests until the parent closes the pipe."""
    requests, replies, target, memory_mb, cache_mb, tied = arguments
    requests_fd, replies_fd = int(requests), int(replies)
    _protect(requests_fd, replies_fd, int(memory_mb), tied == "1")
    with cpu_intrinsics():
        session = Session(Target(json.loads(target)), replies_fd, int(cache_mb) << 20)
        session.reply(Ready())
        reader = FrameReader(_MAX_REQUEST_BYTES)
        while data := os.read(requests_fd, 1 << 20):
            reader.feed(data)
            while (payload := reader.next()) is not None:
                session.serve(payload)


class Session:
    """Serves requests, one at a time."""

    def __init__(self, target: Target, replies_fd: int, cache_bytes: int) -> None:
        self._target = target
        self._replies_fd = replies_fd
        self._arguments = ArgumentCache(cache_bytes)
        self._verifier = Verifier(target)

    def serve(self, payload: bytes) -> None:
        """Answer one request: stages, then the result or the exception's text."""
        try:
            self._enter(Stage.BUILDING)
            self.reply(self._answer(pickle.loads(payload)))
        except Exception as error:  # noqa: BLE001 - whatever a candidate raises is its result
            self.reply(Failed(f"{type(error).__name__}: {error}"))

    def reply(self, reply: Reply) -> None:
        """Send a reply."""
        data = memoryview(encode_reply(reply))
        while data:
            data = data[os.write(self._replies_fd, data) :]

    def _enter(self, stage: Stage, module: int = 0) -> None:
        self.reply(Entered(stage, module))

    def _answer(self, request: Request) -> Reply:
        match request:
            case MeasureRequest():
                return self._measure(request)
            case VerifyRequest():
                return self._verify(request)
            case InterleaveRequest():
                return self._interleave(request)
            case ExportRequest():
                return self._export(request)
            case _:
                raise TypeError(f"unknown request {type(request).__name__}")

    def _prepare(self, module: IRModule, index: int) -> BoundKernel:
        self._enter(Stage.BUILDING, index)
        kernel = Kernel(module, self._target)
        self._enter(Stage.PREPARING, index)
        return kernel.bind(self._arguments.get(signature(module), analyse(entry_function(module)).in_place))

    def _measure(self, request: MeasureRequest) -> Timed:
        bound = self._prepare(request.module, 0)
        self._enter(Stage.RUNNING)
        runs = time_candidate(bound, request.best_us, request.limits, lambda: self._enter(Stage.TIMING))
        return Timed((tuple(runs),))

    def _verify(self, request: VerifyRequest) -> Verified:
        result = self._verifier.verify(request.reference, request.candidate, request.seed, self._enter)
        return Verified(
            ok=result.ok,
            max_abs_error=_finite(result.max_abs_error),
            max_rel_error=_finite(result.max_rel_error),
            tolerance=result.tolerance,
            message=result.message,
        )

    def _interleave(self, request: InterleaveRequest) -> Timed:
        bound = [self._prepare(module, index) for index, module in enumerate(request.modules)]
        latencies = time_in_turn(bound, request.rounds, request.limits, lambda i: self._enter(Stage.RUNNING, i))
        return Timed(tuple(map(tuple, latencies)))

    def _export(self, request: ExportRequest) -> Exported:
        kernel = Kernel(request.module, self._target)
        self._enter(Stage.LINKING)
        kernel.library.export_library(request.path)
        return Exported()


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _protect(requests_fd: int, replies_fd: int, memory_mb: int, tied: bool) -> None:
    """Let nothing outlive the parent, fill its disk or memory, or leave core files; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # TVM prints a backtrace from its SIGSEGV handler, which can deadlock in a process with a broken heap.
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    for fd in (requests_fd, replies_fd):  # compilers that the worker starts must not keep them open
        os.set_inheritable(fd, False)
    # This signal comes when the thread that started us ends: only the main thread lives as long as the parent.
    if tied and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    threading.Thread(target=_end_with_pipe, args=(requests_fd,), daemon=True).start()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _MAX_LOG_BYTES)
    _limit(resource.RLIMIT_DATA, memory_mb << 20)
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
