"""Whether the machine is quiet while kernels are timed, and what another load has done to a figure.

Two things tell. A *reference kernel* keeps the multiply-add units of all threads busy for half a millisecond. It is
timed beside the candidates and takes longer than its fastest run so far when anything slows the machine down, the host
of a virtual machine included. And Linux says how long the threads of the timed kernel have *queued* for a core, which
explains most of what another process does, in figures.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from colt.machine.queueing import QueueWatch
from colt.measure.base import Limits
from colt.tvm.workers.timing import Timing

_RUNS = 3
_LOOKS = 16
_PAUSE_SECONDS = 0.005
_ATTEMPTS = 2
_MOST_CORRECTED = 4.0


@dataclass(frozen=True, slots=True)
class Look:
    """The machine at one moment."""

    slowdown: float
    """How many times longer the reference takes than its fastest run, less what queueing explains; at least 1."""
    queued: float
    """The share of the time for which a thread of the reference waited for a core, see :class:`QueueWatch`."""
    least_us: float
    """The fastest of its runs."""

    def quiet(self, limits: Limits) -> bool:
        """Whether timing may begin."""
        return self.slowdown <= limits.noise_threshold and self.queued <= limits.noise_queued

    @property
    def stretch(self) -> float:
        """How many times longer a kernel is expected to take than on a quiet machine."""
        return self.slowdown / (1 - self.queued)


class Gauge:
    """Looks at the machine.

    ``reference`` runs the reference kernel once and returns microseconds; ``quiet_us`` is what it takes on a quiet
    machine as far as is known. ``watch`` begins to watch how long kernels queue, where they can be watched.
    """

    def __init__(self, reference: Callable[[], float], watch: Callable[[], QueueWatch] | None = None) -> None:
        self._reference = reference
        self.watch = watch or QueueWatch
        self.quiet_us: float | None = None
        self.least_us = math.inf
        """The fastest run of all: hosts are compared by it, since it needs no more than a moment of quiet."""

    def expect(self, quiet_us: float | None) -> None:
        """Take in what is known of the quiet machine from elsewhere."""
        if quiet_us is not None:
            self.quiet_us = quiet_us if self.quiet_us is None else min(self.quiet_us, quiet_us)

    def follow(self, before: Gauge) -> None:
        """Take in what an earlier gauge of the same machine knows."""
        self.expect(before.quiet_us)
        self.least_us = min(self.least_us, before.least_us)

    def beside_us(self, before: Look, after: Look, limits: Limits) -> float:
        """What the reference takes around a timing, if that was on a machine that counts as quiet."""
        return min(before.least_us, after.least_us, limits.noise_threshold * self.least_us)

    def least_slowdown(self, before: Look, after: Look) -> float:
        """How many times longer than on the quiet machine the reference took in its fastest run, before and after."""
        assert self.quiet_us is not None
        return max(1.0, min(before.least_us, after.least_us) / min(self.quiet_us, self.least_us))

    def look(self, stretch_seconds: float = 0.0) -> Look:
        """Run the reference a few times; go on running it, to see whether threads queue, for so long."""
        self._reference()  # wakes the threads
        watch, started = self.watch(), time.monotonic()
        times_us = [self._reference() for _ in range(_RUNS)]
        while time.monotonic() - started < stretch_seconds:
            self._reference()
        queued = watch.share()
        self.expect(statistics.median(times_us))
        self.least_us = min(self.least_us, *times_us)
        assert self.quiet_us is not None
        slowdown = max(1.0, statistics.fmean(times_us) * (1 - queued) / self.quiet_us)
        return Look(slowdown, queued, min(times_us))

    def know(self) -> float:
        """What the reference takes in a moment of quiet: the least of many runs."""
        for _ in range(_LOOKS):
            time.sleep(_PAUSE_SECONDS)
            self.look()
        return self.least_us

    def wait(self, limits: Limits, seconds: float) -> tuple[Look, float]:
        """Wait for a quiet machine, for so many seconds at most. Returns the last look and the seconds waited."""
        started = time.monotonic()
        look, waited = self.look(), 0.0
        while not look.quiet(limits) and time.monotonic() - started + _PAUSE_SECONDS <= seconds:
            time.sleep(_PAUSE_SECONDS)
            look = self.look()
            waited = time.monotonic() - started
        return look, waited


def time_quietly(
    timed: Callable[[float], Timing], gauge: Gauge, limits: Limits, before_look: Callable[[], None]
) -> Timing:
    """A timing that no other load disturbed; timed once more if one did.

    If that fails too the last timing counts, with the slowdown that it suffered. ``timed`` is told how many times
    longer than on the quiet machine kernels take just now. ``before_look`` is called before the machine is looked at.
    """
    left = limits.noise_wait_seconds
    for attempt in range(1, _ATTEMPTS + 1):
        before_look()
        before, waited = gauge.wait(limits, left)
        left -= waited
        watch, started = gauge.watch(), time.monotonic()
        timing = timed(1.0 if before.quiet(limits) else before.stretch)
        queued, seconds = watch.share(), time.monotonic() - started
        before_look()
        after = gauge.look()
        # Over a long run a look at its end says little: the machine was slow if it was at both ends.
        long = seconds > limits.noise_wait_seconds
        slowest = (min if long else max)(before.slowdown, after.slowdown)
        disturbed = slowest > limits.noise_threshold or queued > limits.noise_queued
        if not disturbed or long or attempt == _ATTEMPTS:
            break
    waited = limits.noise_wait_seconds - left
    beside_us = gauge.beside_us(before, after, limits)
    if not disturbed:
        return replace(timing, seconds_waiting=waited, reference_us=beside_us)
    # Corrected by what is certain only: a figure that is too good would drop all that are measured after it.
    usual = least = 1.0
    if min(before.slowdown, after.slowdown) > limits.noise_threshold:
        usual = min(before.slowdown, after.slowdown, _MOST_CORRECTED)
        least = min(usual, gauge.least_slowdown(before, after))
        beside_us = gauge.least_us
    timing = timing.corrected(usual, least)
    return replace(timing, disturbed=True, seconds_waiting=waited, reference_us=beside_us)
