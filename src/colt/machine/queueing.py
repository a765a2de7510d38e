"""How long this process's threads have waited for a core while they could run, from Linux's scheduler statistics.

That is the time that other loads on the machine take from the kernel that is timed. The host of a virtual machine does
not show here; the reference kernel of :mod:`colt.tvm.workers.noise` is for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic

_TASKS, _THIS = Path("/proc/self/task"), Path("/proc/thread-self/schedstat")
_MOST = 0.99
Crew = Mapping[int, float]
"""Threads that run kernels together: for each the seconds that it has been runnable without running."""


def this_crew() -> dict[int, Crew]:
    """All threads of this process."""
    return {0: queued_seconds()}


class QueueWatch:
    """Watches from its creation on. ``crews`` gives all that have run kernels, ended ones included, by number."""

    def __init__(self, crews: Callable[[], Mapping[int, Crew]] = this_crew) -> None:
        self._crews = crews
        self._started = monotonic()
        self._before = crews()

    def share(self) -> float:
        """The share of the time since then, below 1, for which a thread was runnable without running: the largest of a
        crew. Crews work one after the other, so their waiting adds up.

        It tells another load; not how much longer kernels took, since a thread of a pool may have had nothing to do.
        """
        passed = monotonic() - self._started
        if passed <= 0:
            return 0.0
        waited = 0.0
        for number, crew in self._crews().items():
            before = self._before.get(number, {})
            waited += max((seconds - before.get(thread, 0.0) for thread, seconds in crew.items()), default=0.0)
        return min(_MOST, waited / passed)


class NotWatched(QueueWatch):
    """Kernels run elsewhere: what this process waits for says nothing about them."""

    def share(self) -> float:
        return 0.0


def queued_seconds() -> dict[int, float]:
    """For each thread of this process the seconds that it has been runnable without running, since it started."""
    found = {}
    for task in _TASKS.glob("*"):
        with suppress(*_UNKNOWN):
            found[int(task.name)] = _queued_seconds(task / "schedstat")
    return found


def waited_seconds() -> float:
    """For how long the present thread has been runnable without running, since it started; 0 where Linux does not say.

    A kernel that it has called meanwhile took that much longer: TVM gives the caller as large a part of a parallel loop
    as any other thread.
    """
    try:
        return _queued_seconds(_THIS)
    except _UNKNOWN:
        return 0.0


_UNKNOWN = (OSError, ValueError, IndexError)
"""A thread may have ended; some kernels have no such file."""


def _queued_seconds(path: Path) -> float:
    return int(path.read_text().split()[1]) / 1e9
