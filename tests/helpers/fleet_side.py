"""What the hosts of tests do: they are what they are, and make latencies up. Imported on the hosts.

A host whose environment says so dies, hangs or takes all memory at a candidate, once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from colt.machine import Hardware, Peaks, detect
from colt.measure.base import Build, Fate, Job, Limits, Measurement, Measurer, Pace
from colt.measure.simulated import SimulatedMeasurer
from colt.tvm.devices.fleet import CpuSide
from colt.tvm.programs.program import fingerprint

REFERENCE_US = 500.0
LIBRARY = b"what a builder has built"
DIES, HANGS, EATS = "COLT_TEST_DIES", "COLT_TEST_HANGS", "COLT_TEST_EATS"
"""Each names a file that is made when it has happened."""
_AT = 2
MOST_EATEN = 4 << 30
_BITE = 128 << 20


class SimulatedSide(CpuSide):
    """A candidate takes ``trial_s`` there."""

    def __init__(self, trial_s: float) -> None:
        self.trial_s = trial_s

    def hardware(self, target: str, threads: int) -> tuple[Hardware, tuple[str, ...]]:
        return replace(detect(), peaks=Peaks(125.0, 125.0 * threads, 30.0, "copy", threads)), ()

    def measurer(self, target: str, threads: int, limits: Limits, pace: Pace) -> Measurer:
        return Frail(fingerprint, trial_s=self.trial_s, limits=limits)

    def references_us(self, measurer: Measurer) -> Sequence[float]:
        assert os.geteuid() or os.getpriority(os.PRIO_PROCESS, 0) == 0, "what is timed gives way to others"
        return [REFERENCE_US]


class Frail(SimulatedMeasurer):
    """Makes latencies up until something happens to its host."""

    _count = 0

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        chosen = list(jobs)
        assert all(job.library in (None, LIBRARY) for job in chosen)
        for done in super().measure(chosen, best_us, limits):
            self._count += 1
            if self._count == _AT:
                _happen(DIES, lambda: os.kill(os.getppid(), signal.SIGKILL))  # the node's daemon
                _happen(HANGS, lambda: os.kill(os.getpid(), signal.SIGSTOP))
                _happen(EATS, _eat)
            yield replace(done, reference_us=REFERENCE_US if done.fate.timed else None)

    def libraries(self, jobs: Iterable[Job], limits: Limits | None = None) -> Iterator[tuple[Build, bytes | None]]:
        for job in jobs:
            yield Build(job.id, Fate.OK, 0.0, 0.0), LIBRARY


def _eat() -> None:
    """Take memory until that is noticed, up to :data:`MOST_EATEN`."""
    eaten = []
    for _ in range(MOST_EATEN // _BITE):
        eaten.append(b"1" * _BITE)
        time.sleep(0.02)
    time.sleep(5.0)


def _happen(variable: str, act: Any) -> None:
    path = os.environ.get(variable)
    if path and not Path(path).exists():
        Path(path).touch()
        act()
        if variable == DIES:
            signal.pause()  # Ray ends what its daemon had started
