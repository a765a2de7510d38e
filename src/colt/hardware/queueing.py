"""How long this process's threads have waited for a core while they wanted to run, from Linux's scheduler statistics.

That is what another load on the machine takes away, known for the very kernel that is timed. A virtual machine's host
is not seen here: the reference kernel of :mod:`colt.tvm.measure.noise` is for that.
"""

from __future__ import annotations

import threading
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
    """Of the thread that watches, which is the one that calls kernels: so much longer they took at least."""
    most: float = 0.0
    """Of the thread that waited most. It may have had nothing to do: threads of a pool spin between kernels."""


class QueueWatch:
    """Watches from its making on."""

    def __init__(self) -> None:
        self._started = monotonic()
        self._before = queued_seconds()

    def shares(self) -> Queued:
        """Of the time since."""
        passed = monotonic() - self._started
        if passed <= 0:
            return Queued()
        now = queued_seconds()
        shares = {
            thread: min(_MOST, (seconds - self._before.get(thread, 0.0)) / passed) for thread, seconds in now.items()
        }
        return Queued(shares.get(threading.get_native_id(), 0.0), max(shares.values(), default=0.0))


class NotWatched(QueueWatch):
    """For kernels that run elsewhere: what this process waits for says nothing about them."""

    def shares(self) -> Queued:
        return Queued()


def queued_seconds() -> dict[int, float]:
    """For each thread of this process how long it has been runnable without running, all its life."""
    found = {}
    for task in _TASKS.glob("*"):
        with suppress(OSError, ValueError, IndexError):  # a thread may end; some kernels have no such file
            found[int(task.name)] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found
