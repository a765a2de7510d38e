"""Layouts of memory: where the stacks and workspaces of running kernels lie.

Caches, store buffers and way predictors are indexed by bits of addresses, and the system draws addresses at random for
each process. The same kernel on the same data takes up to one and a half times as long in one process as in another,
constantly, until the process ends. Such a draw says nothing about the schedule. So a kernel is timed in many draws, as
Curtsinger and Berger do ("STABILIZER: statistically sound performance evaluation", ASPLOS 2013).

A draw is a thread. For every thread that calls kernels TVM keeps a pool of threads, and workspaces for each of them; a
new thread gets new ones, and mappings of random sizes beforehand see to it that they lie elsewhere.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import tvm

from colt.machine.queueing import Crew, queued_seconds

T = TypeVar("T")

_GAPS = 6
_MOST_PAGES = 200
_END_SECONDS = 0.1
_POLL_SECONDS = 1e-4
_M_PERTURB = -6
_PATTERN = 0x01
"""Its complement, 0xFE, is what memory is filled with."""
_REMEMBERED = 256
"""Ended layouts: more than the timing of one candidate takes."""


class Layout:
    """One draw. Calls run in a thread of its own until :meth:`end`."""

    def __init__(self, rng: random.Random) -> None:
        self._gaps = [
            mmap.mmap(-1, rng.randint(1, _MOST_PAGES) * mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ)
            for _ in range(_GAPS)
        ]
        others = set(queued_seconds())
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._caller = self._executor.submit(_make_pool).result()
        self._threads = [thread for thread in queued_seconds() if thread not in others]
        self._queued = dict.fromkeys(self._threads, 0.0)
        self._keep_apart()

    def run(self, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises."""
        return self._executor.submit(self._watched, call).result()

    def crew(self) -> Crew:
        """Its threads, and how long they have queued in calls."""
        return dict(self._queued)

    def _watched(self, call: Callable[[], T]) -> T:
        before = queued_seconds()
        try:
            return call()
        finally:
            after = queued_seconds()
            for thread in self._threads:
                self._queued[thread] += after.get(thread, 0.0) - before.get(thread, 0.0)

    def _keep_apart(self) -> None:
        """Keep the caller off the cores to which TVM has bound the pool's other threads. New threads may share a core
        for a tenth of a second before Linux moves one."""
        bound = [os.sched_getaffinity(thread) for thread in self._threads if thread != self._caller]
        free = os.sched_getaffinity(self._caller) - set().union(*(cores for cores in bound if len(cores) == 1))
        if free:
            os.sched_setaffinity(self._caller, free)

    def end(self) -> None:
        """Give back threads and memory, so that the next draw does not begin beside the last one's end."""
        self._executor.shutdown()
        deadline = time.monotonic() + _END_SECONDS
        while not queued_seconds().keys().isdisjoint(self._threads) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for gap in self._gaps:
            gap.close()


def _make_pool() -> int:
    """Have TVM make the pool of the present thread; returns the thread's id in the system."""
    tvm.get_global_func("runtime.NumThreads")()
    return threading.get_native_id()


@contextmanager
def _scribbled_memory() -> Iterator[None]:
    """Have new memory filled with a pattern, where the C library can do that (glibc, see mallopt(3)). As a number of
    any float type the pattern is vast."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)
    set_option(_M_PERTURB, _PATTERN)
    try:
        yield
    finally:
        set_option(_M_PERTURB, 0)


def _leave_as_they_are() -> None:
    """What is done to stacks by default."""


class Layouts:
    """Runs calls in one layout until another is wanted. ``fill_stacks`` leaves no 0 on the stacks of its threads."""

    def __init__(self, fill_stacks: Callable[[], None] = _leave_as_they_are) -> None:
        self._fill_stacks = fill_stacks
        self._rng = random.Random()
        self._layout: Layout | None = None
        self._drawn = 0
        self._ended: dict[int, Crew] = {}

    def run(self, call: Callable[[], T]) -> T:
        """Call in the present layout. Returns what it returns, or raises what it raises."""
        if self._layout is None:
            self._layout = Layout(self._rng)
            self._drawn += 1
        return self._layout.run(call)

    def run_in_fresh_memory(self, call: Callable[[], T]) -> T:
        """Call in a new layout whose workspaces and stacks hold nothing that a kernel may have left there: what is read
        without having been written is neither 0 nor a right value by chance."""

        def call_at_once() -> T:
            self._fill_stacks()
            return call()

        self.change()
        with _scribbled_memory():
            return self.run(call_at_once)

    def change(self) -> None:
        """Later calls run in another layout."""
        if self._layout is not None:
            self._ended[self._drawn] = self._layout.crew()
            self._ended.pop(self._drawn - _REMEMBERED, None)
            self._layout.end()
            self._layout = None

    def crews(self) -> dict[int, Crew]:
        """Who has run calls, by layout, ended ones included."""
        present = {} if self._layout is None else {self._drawn: self._layout.crew()}
        return {**self._ended, **present}
