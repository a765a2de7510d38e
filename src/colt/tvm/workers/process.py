"""One worker process as its parent sees it: pipes with deadlines, its last words, and its end."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from dataclasses import asdict
from time import monotonic

import psutil
from tvm.target import Target

from colt.measure.base import Limits
from colt.tvm.own import kernel_command
from colt.tvm.workers.messages import Away, Reply, WorkerSettings
from colt.tvm.workers.wire import MAX_REPLY_BYTES, FrameReader, decode_reply, frame
from colt.util.process import Child, describe_status

_LAST_WORDS_BYTES = 2000
_LONGEST_WAIT_SECONDS = 7 * 86400.0  # the system takes milliseconds as an int
SPINS = "1000"
"""Turns for which threads of a worker's pool keep a core busy before they sleep: 3 ms. TVM's own 300,000 would take
the core from the next worker for most of a second; kernels in a loop are launched within microseconds."""

_MAPPED_BYTES = str(1 << 17)
"""From this size on memory is mapped by the system, not cut from a heap, so that each layout has its own addresses.
It is glibc's first threshold, which it raises otherwise when such memory is freed."""


class WorkerDied(Exception):
    """The process is gone, or closed its pipe; the text says how and what it printed last.

    ``killed``: by SIGKILL, which comes from outside, such as when memory runs out.
    """

    def __init__(self, text: str, killed: bool = False) -> None:
        super().__init__(text)
        self.killed = killed


class WorkerLate(Exception):
    """The deadline passed without a reply."""


class WorkerProcess:
    """A started worker, in a session and process group of its own. It need not be ready yet."""

    def __init__(self, target: Target, threads: int, limits: Limits, away: Away | None = None) -> None:
        requests_fd, self._requests = os.pipe()
        self._replies, replies_fd = os.pipe()
        os.set_blocking(self._requests, False)
        try:
            self._child = Child(
                _command(requests_fd, replies_fd, target, threads, limits, away),
                pass_fds=(requests_fd, replies_fd),
                env={
                    **os.environ,
                    "TVM_NUM_THREADS": str(threads),
                    "TVM_BIND_THREADS": "1",  # a layout keeps the caller off their cores
                    "TVM_THREAD_POOL_SPIN_COUNT": SPINS,
                    "MALLOC_MMAP_THRESHOLD_": _MAPPED_BYTES,
                },
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(requests_fd)
            os.close(replies_fd)
        self._reader = FrameReader(MAX_REPLY_BYTES)
        self._ended = False

    @property
    def pid(self) -> int:
        """The process id, which is its process group's id too."""
        return self._child.pid

    def send(self, payload: bytes, deadline: float) -> None:
        """Write a request by ``deadline`` (of :func:`time.monotonic`). Raises WorkerDied and WorkerLate."""
        self._child.forget_words()
        data = memoryview(frame(payload))
        while data:
            self._await(self._requests, select.POLLOUT, deadline)
            try:
                data = data[os.write(self._requests, data) :]
            except BrokenPipeError:
                raise self._death() from None

    def receive(self, deadline: float) -> Reply:
        """The next reply, by ``deadline``. Raises WorkerDied, WorkerLate and :class:`~.wire.WireError`."""
        while (payload := self._reader.next()) is None:
            self._await(self._replies, select.POLLIN, deadline)
            data = os.read(self._replies, 1 << 16)
            if not data:
                raise self._death()
            self._reader.feed(data)
        return decode_reply(payload)

    def last_words(self) -> str:
        """The end of what the process printed since the last request."""
        return self._child.last_words(_LAST_WORDS_BYTES)

    def stop(self) -> None:
        """Kill the process and all that it started; :meth:`receive` then raises. For any thread."""
        self._child.stop()

    def kill(self) -> None:
        """End the process and all that it started, and wait for it. May be repeated."""
        if self._ended:
            return
        self._ended = True
        self._child.end()
        self._close_pipes()

    def _await(self, fd: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(fd, event)
        seconds = min(max(0.0, deadline - monotonic()), _LONGEST_WAIT_SECONDS)
        if not poll.poll(seconds * 1e3):
            raise WorkerLate

    def _death(self) -> WorkerDied:
        cause = self._child.cause_of_death()  # it may have closed the pipe and live on
        words = self.last_words()
        return WorkerDied(f"{cause}\n{words}" if words else cause, cause == describe_status(-signal.SIGKILL))

    def _close_pipes(self) -> None:
        os.close(self._requests)
        os.close(self._replies)


def _command(
    requests_fd: int, replies_fd: int, target: Target, threads: int, limits: Limits, away: Away | None
) -> list[str]:
    settings = WorkerSettings(
        requests_fd=requests_fd,
        replies_fd=replies_fd,
        target=str(target),
        threads=threads,
        memory_mb=limits.memory_mb or psutil.virtual_memory().total * 4 // 5 >> 20,
        cache_mb=limits.cache_mb,
        kernels=limits.kernels,
        tied=threading.current_thread() is threading.main_thread(),
        away=away,
    )
    return kernel_command("colt.tvm.workers.worker", json.dumps(asdict(settings)))
