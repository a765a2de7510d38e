"""How often to run a kernel: once if it is slow, else until it can be ranked among the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self

from colt.measure.base import Limits
from colt.util.stats import median_interval

_SHORT_SHOTS = 3
_FAR = 2.0
"""After a first run so many times above the drop limit, one more run without a warm-up settles it."""
_REPEATS_AT_ONCE = 3
_MOST_WAITED = 0.99
"""The share of a run's time that is believed to have been waiting."""


@dataclass(frozen=True, slots=True)
class Clocked:
    """A run, or the average of several, in microseconds."""

    us: float
    waited_us: float = 0.0
    """For how long its thread waited for a core meanwhile."""

    @property
    def alone_us(self) -> float:
        """What it would have taken without that."""
        return max(self.us - self.waited_us, (1 - _MOST_WAITED) * self.us)


class Runnable(Protocol):
    """A built kernel together with its arguments."""

    def once(self) -> Clocked:
        """One run, no warm-up."""
        ...

    def repeated(self, number: int, repeats: int) -> list[Clocked]:
        """``repeats`` averages over ``number`` runs each, after a run that is not counted; where memory can be laid out
        anew each has a layout of its own (see :mod:`~colt.tvm.workers.layout`)."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Runs of one kernel, and under which circumstances they were timed."""

    runs: tuple[Clocked, ...]
    dropped: bool = False
    """Not repeated, since it is far slower than the best."""
    slowdown: float = 1.0
    """How much longer it took than on the quiet machine, as far as that is certain."""
    disturbed: bool = False
    """Whether another load was there, in spite of waiting."""
    seconds_waiting: float = 0.0
    reference_us: float = 0.0
    """What the reference kernel took just before or after, in its fastest run; what it takes on the quiet machine if
    the timing is corrected for one that was not. 0 if nobody looked."""

    @property
    def runs_us(self) -> tuple[float, ...]:
        """What they took, in microseconds."""
        return tuple(run.us for run in self.runs)

    def corrected(self, usual: float = 1.0, least: float = 1.0) -> Self:
        """With the slowdown that is certain of the latency, which is the median.

        ``usual`` times longer than on the quiet machine other runs took, the fastest of them ``least`` times. So did
        these, beside what each has waited; but the latency is no less than what the fastest run comes to by itself, as
        that may have met nothing else.
        """
        fastest = min(self.runs, key=lambda run: run.us)
        quiet_us = max(statistics.median(run.alone_us for run in self.runs) / usual, fastest.alone_us / least)
        return replace(self, slowdown=max(1.0, statistics.median(self.runs_us) / quiet_us))


class Round(Timing):
    """One run of each of several kernels, timed in turn."""

    __slots__ = ()

    def corrected(self, usual: float = 1.0, least: float = 1.0) -> Self:
        """Each run is corrected by itself; ``slowdown`` is the largest of them. See :meth:`Timing.corrected`."""
        quiet = tuple(Clocked(run.alone_us / least) for run in self.runs)
        slowdown = max(run.us / alone.us for run, alone in zip(self.runs, quiet, strict=True))
        return replace(self, runs=quiet, slowdown=slowdown)


def time_candidate(
    kernel: Runnable, best_us: float | None, limits: Limits, before_repeats: Callable[[], None]
) -> Timing:
    """One shot (a few if it is short), and repeats unless the candidate is far slower than the best, or long-running.

    ``before_repeats`` is called after the first run if more follow.
    """
    drop_us = math.inf if best_us is None else limits.drop_factor * best_us
    cold = kernel.once()
    dropped = cold.alone_us > drop_us
    if cold.us >= limits.single_run_ms * 1e3 or (dropped and cold.us >= limits.cold_ms * 1e3):
        return Timing((cold,), dropped)
    before_repeats()
    shots = _shots(kernel, cold.us, drop_us, limits)
    if min(shot.alone_us for shot in shots) > drop_us:
        return Timing(tuple(shots), dropped=True)
    return Timing(tuple(_repeat(kernel, statistics.median(shot.us for shot in shots), best_us, limits)))


def _shots(kernel: Runnable, cold_us: float, drop_us: float, limits: Limits) -> list[Clocked]:
    """Warm runs: a few of a short one, which may be hit by anything; one of a candidate that is far off."""
    if cold_us < limits.short_ms * 1e3:
        return kernel.repeated(1, _SHORT_SHOTS)
    return [kernel.once()] if cold_us > _FAR * drop_us else kernel.repeated(1, 1)


def _repeat(kernel: Runnable, shot_us: float, best_us: float | None, limits: Limits) -> list[Clocked]:
    number = runs_per_repeat(shot_us, limits)
    runs = _averages(kernel, number, limits.min_repeats, shot_us, limits)
    while (
        len(runs) < limits.max_repeats
        and sum(run.us for run in runs) * number < limits.total_ms * 1e3
        and not is_ranked([run.us for run in runs], best_us, limits)
    ):
        more = min(_REPEATS_AT_ONCE, limits.max_repeats - len(runs))
        runs += _averages(kernel, number, more, shot_us, limits)
    return runs


def _averages(kernel: Runnable, number: int, repeats: int, latency_us: float, limits: Limits) -> list[Clocked]:
    """Averages over ``number`` runs. A long run has no warm-up, which would double its time."""
    if latency_us >= limits.warm_up_ms * 1e3:
        return [kernel.once() for _ in range(repeats)]
    return kernel.repeated(number, repeats)


def is_ranked(runs_us: Sequence[float], best_us: float | None, limits: Limits) -> bool:
    """Whether more repeats would not help to rank the candidate: its median is known well, or is above the best."""
    interval = median_interval(runs_us)
    if interval is None:
        return False
    return interval.relative_half_width <= limits.precision or (best_us is not None and interval.low > best_us)


def time_in_turn(
    kernels: Sequence[Runnable],
    rounds: int,
    limits: Limits,
    before_run: Callable[[int], None],
    quietly: Callable[[Callable[[], Timing]], Timing],
) -> list[Timing]:
    """``rounds`` times one latency of each kernel, taken in turn, so that drifts of the machine meet all alike.

    Every other round goes backwards. ``before_run`` is called with the kernel's index before each run, ``quietly`` has
    a round repeated that another load disturbed.
    """
    latencies_us = []
    for index, kernel in enumerate(kernels):
        before_run(index)
        us = kernel.once().us
        latencies_us.append(us if us >= limits.cold_ms * 1e3 else kernel.repeated(1, 1)[0].us)

    def one(index: int) -> Clocked:
        before_run(index)
        number = runs_per_repeat(latencies_us[index], limits)
        return _averages(kernels[index], number, 1, latencies_us[index], limits)[0]

    def round_in(order: range) -> Round:
        latencies = {index: one(index) for index in order}
        return Round(tuple(latencies[index] for index in range(len(kernels))))

    forwards, backwards = range(len(kernels)), range(len(kernels) - 1, -1, -1)
    return [quietly(partial(round_in, backwards if turn % 2 else forwards)) for turn in range(rounds)]


def runs_per_repeat(latency_us: float, limits: Limits) -> int:
    """How many runs of ``latency_us`` fill one repeat."""
    return max(1, math.ceil(limits.min_repeat_ms * 1e3 / latency_us))
