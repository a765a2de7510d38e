"""The workers of one measurer: one is asked while the others are idle, or all take from what is waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from tvm.target import Target

from colt.measure.base import Limits
from colt.tvm.workers.conversation import Exchange
from colt.tvm.workers.messages import Away, Request, Stage
from colt.tvm.workers.supervisor import Supervisor
from colt.util.interrupt import ENDLESS_S

T = TypeVar("T")

FIRST = 0
"""The worker that does what one alone can do."""


class WorkerPool:
    """``count`` workers, by number. They start in the background; the first request waits for them. For one thread at a
    time, except for :meth:`interrupt`."""

    def __init__(self, target: Target, threads: int, limits: Limits, away: Away | None, count: int) -> None:
        self.workers = [Supervisor(target, threads, limits, away) for _ in range(count)]
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="colt-build")

    def __len__(self) -> int:
        return len(self.workers)

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced."""
        return sum(worker.restarts for worker in self.workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the present workers."""
        return [worker.pid for worker in self.workers]

    def await_ready(self) -> None:
        """Have all ready. Raises :class:`~colt.errors.MeasureError` if one does not get there."""
        for worker in self.workers:
            worker.await_ready()

    def ask_alone(self, number: int, request: Request, allowed: Mapping[Stage, float]) -> Exchange:
        """Have one worker answer while the others are idle, not even starting after a fault."""
        self.await_ready()
        return self.ask(number, request, allowed)

    def ask(self, number: int, request: Request, allowed: Mapping[Stage, float]) -> Exchange:
        """Have one worker answer, whatever the others are at. For one thread at a time for each worker."""
        return self.workers[number].request(request, allowed)

    def share(self, work: Callable[[int, SimpleQueue[T]], None], waiting: SimpleQueue[T]) -> None:
        """Have all workers do what is waiting: ``work`` is called with the number of each, in a thread of its own. If
        we are interrupted, end what they do: nobody will use it."""
        self.await_ready()
        threads = [self._threads.submit(work, number, waiting) for number in range(len(self.workers))]
        try:
            for thread in threads:
                thread.result(ENDLESS_S)
        except BaseException:
            for _ in taken_from(waiting):
                pass
            self.interrupt()
            wait(threads)
            raise

    def interrupt(self, for_good: bool = False) -> None:
        """End what the workers are at: it ends as if they had crashed. ``for_good``: none is started any more. For any
        thread."""
        for worker in self.workers:
            worker.interrupt(for_good)

    def close(self) -> None:
        """End the workers at once. May be repeated."""
        for worker in self.workers:
            worker.close()
        self._threads.shutdown()


def taken_from(waiting: SimpleQueue[T]) -> Iterator[T]:
    """Take one thing after another until nothing is waiting."""
    with suppress(Empty):
        while True:
            yield waiting.get_nowait()


def allowed(limits: Limits, building: float | None = None, first_run: float = 0.0) -> dict[Stage, float]:
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
