"""How long this process's threads have waited for a core while they could run, from Linux's scheduler statistics.

That is the time that other loads on the machine take from the kernel that is timed. The host of a virtual machine does
not show here; the reference kernel of :mod:`colt.tvm.workers.noise` is for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_TASKS = Path("/proc/self/task")
_MOST = 0.99


@dataclass(frozen=True, slots=True)
class Queued:
    """Shares of the time, below 1, that threads were runnable without running; 0 where Linux does not say."""

    mine: float = 0.0
    """The share of the thread that calls kernels; they took at least that much longer."""
    most: float = 0.0
    """The largest share of any thread. It may have had nothing to do: threads of a pool spin between kernels."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The thread that calls kernels, and the threads that run them with it."""

    caller: int
    queued: Mapping[int, float]
    """For each thread the seconds that it has been runnable without running, since it started."""


def this_crew() -> dict[int, Crew]:
    """All threads of this process, the present one calling kernels."""
    return {0: Crew(threading.get_native_id(), queued_seconds())}


class QueueWatch:
    """Watches from its creation on. ``crews`` gives all that have called kernels, ended ones included, by number."""

    def __init__(self, crews: Callable[[], Mapping[int, Crew]] = this_crew) -> None:
        self._crews = crews
        self._started = monotonic()
        self._before = crews()

    def shares(self) -> Queued:
        """The shares of the time since then. Crews work one after the other, so their waiting adds up."""
        passed = monotonic() - self._started
        if passed <= 0:
            return Queued()
        mine = most = 0.0
        for number, crew in self._crews().items():
            before = self._before[number].queued if number in self._before else {}
            waited = {thread: seconds - before.get(thread, 0.0) for thread, seconds in crew.queued.items()}
            mine += waited.get(crew.caller, 0.0)
            most += max(waited.values(), default=0.0)
        return Queued(min(_MOST, mine / passed), min(_MOST, most / passed))


class NotWatched(QueueWatch):
    """Kernels run elsewhere: what this process waits for says nothing about them."""

    def shares(self) -> Queued:
        return Queued()


def queued_seconds() -> dict[int, float]:
    """For each thread of this process the seconds that it has been runnable without running, since it started."""
    found = {}
    for task in _TASKS.glob("*"):
        with suppress(OSError, ValueError, IndexError):  # a thread may end; some kernels have no such file
            found[int(task.name)] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found
