"""Is the tuned program faster? Both are timed in turn, round by round, and the ratio decides what may be said.

A round is *tuned, untuned, tuned*. The tuned program, usually far the shorter, runs on both sides of the untuned one,
each time for a stretch that grows with the untuned program's; the mean of both sides is what it takes in the middle of
the round, when the untuned one runs. The round's speed-up is untuned / that mean, so that a drift of the machine that
goes on for longer than a round cancels. However often the tuned program runs within it, a round is one sample: the
interval is as wide as the number of runs of the *untuned* program warrants.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from colt.measure.base import Inputs, Limits, Measurer, Pace
from colt.store.receipt import Verdict
from colt.util.stats import FEWEST_FOR_ORDER, Estimate, estimate, paired_ratio

SLOW_SECONDS = 10.0
"""As long as this rounds go on for slow programs, until there are :data:`FEWEST_FOR_ORDER`."""
MOST_ROUNDS = 25
"""More would narrow the interval by little."""
PLAIN_ROUNDS = 4
"""As many show that a program is faster which is plainly so; Student's interval is wider, and says so."""
ONCE_SECONDS = 15.0
"""An untuned program that takes longer has one round, others at least two."""
FAST_REPEAT_MS, SLOW_REPEAT_MS = 20.0, 200.0
"""How long either program runs at least for one figure: the latter beside an untuned program of a second or more."""
RANKING_LIMITS = Limits(min_repeat_ms=5.0)
"""The limits of timing the leaders in turn. Many short rounds: each has a layout of memory of its own."""
RANKING_ROUNDS = 5, 50
"""At least and at most."""
CLOSE = 0.02
"""Contenders that cannot be further apart than this share are as good as each other."""
COMPARISON_LIMITS = Limits(build_seconds=60.0)
"""The untuned program may take longer to build than a candidate may."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Latencies in microseconds, and their ratio round by round."""

    untuned: Estimate
    tuned: Estimate
    speedup: Estimate

    @property
    def verdict(self) -> Verdict:
        """Faster and slower are said only if the whole interval is."""
        interval = self.speedup.interval
        if interval is None:
            return Verdict.UNDECIDED
        if interval.contains(1.0):
            return Verdict.NO_DIFFERENCE
        return Verdict.FASTER if interval.low > 1.0 else Verdict.SLOWER


def compare(
    measurer: Measurer,
    untuned: Any,
    tuned: Any,
    untuned_us: float,
    tuned_us: float,
    pace: Pace,
    inputs: Inputs | None = None,
) -> Comparison:
    """Time two modules in turn, called with ``inputs``; ``untuned_us`` and ``tuned_us`` are what they take at a guess.

    Raises
    ------
    MeasureError
        One of them does not build or run.
    """
    repeat_ms = repeat_milliseconds(untuned_us)
    round_us = max(untuned_us, repeat_ms * 1e3) + 2 * max(tuned_us, repeat_ms * 1e3)
    limits = replace(COMPARISON_LIMITS, min_repeat_ms=repeat_ms)
    rounds = rounds_for(untuned_us, round_us, pace, plain=untuned_us > pace.plain_ratio * tuned_us)
    before, between, after = measurer.interleave([tuned, untuned, tuned], rounds, limits, inputs)
    around = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
    return Comparison(estimate(between), estimate(around), paired_ratio(between, around))


def uncompared(untuned_us: float, tuned_us: float) -> Comparison:
    """What was measured in the search, as it is: a comparison without intervals."""
    untuned, tuned, speedup = (Estimate(value, None, 1) for value in (untuned_us, tuned_us, untuned_us / tuned_us))
    return Comparison(untuned, tuned, speedup)


def rank_in_turn(
    measurer: Measurer,
    modules: Sequence[Any],
    guesses_us: Sequence[float],
    pace: Pace,
    inputs: Inputs | None = None,
    apart_bytes: int | None = None,
) -> list[float]:
    """Time contenders in turn with each other; the median of each, in microseconds, infinite if it left the race.

    Those that are slower for certain leave every :attr:`Pace.race_rounds`. The race ends with one contender, when no
    other can be ahead of the best by more than :data:`CLOSE`, or when the time is up. Raises :class:`MeasureError`.
    """
    if len(modules) == 1:
        return list(guesses_us)
    limits = replace(RANKING_LIMITS, apart_bytes=apart_bytes)
    round_us = sum(max(us, RANKING_LIMITS.min_repeat_ms * 1e3) for us in guesses_us)
    fewest, most = RANKING_ROUNDS
    rounds = max(fewest, min(most, int(pace.ranking_seconds * 1e6 / round_us)))
    times: list[list[float]] = [[] for _ in modules]
    racing = list(range(len(modules)))
    while rounds > 0 and len(racing) > 1:
        leg = min(rounds, pace.race_rounds or rounds)
        found = measurer.interleave([modules[index] for index in racing], leg, limits, inputs)
        for index, more in zip(racing, found, strict=True):
            times[index] += more
        racing = still_racing(times, racing)
        rounds -= leg
    return [statistics.median(series) if index in racing else math.inf for index, series in enumerate(times)]


def still_racing(times: Sequence[Sequence[float]], racing: Sequence[int]) -> list[int]:
    """Those of ``racing`` that may be the fastest; the best so far alone if no other can be ahead of it by more than
    :data:`CLOSE`. ``times`` has the latencies of each contender, of those that race from the same rounds."""
    best = min(racing, key=lambda index: (statistics.median(times[index]), index))
    ratios = {index: paired_ratio(times[index], times[best]).interval for index in racing}
    least = {index: 0.0 if interval is None else interval.low for index, interval in ratios.items()}
    if all(low >= 1 - CLOSE for index, low in least.items() if index != best):
        return [best]
    return [index for index in racing if index == best or least[index] <= 1]


def repeat_milliseconds(untuned_us: float) -> float:
    """How long the tuned program runs at least on each side of the untuned one: a fifth of its time, within limits."""
    return min(max(untuned_us / 5e3, FAST_REPEAT_MS), SLOW_REPEAT_MS)


def rounds_for(untuned_us: float, round_us: float, pace: Pace, plain: bool = False) -> int:
    """How many rounds there is time for, when one takes ``round_us``; fewer if one program is ``plain`` faster."""
    seconds = pace.turn_seconds / 2 if plain else pace.turn_seconds
    fast = min(MOST_ROUNDS, int(seconds * 1e6 / round_us))
    slow = min(PLAIN_ROUNDS if plain else FEWEST_FOR_ORDER, int(SLOW_SECONDS * 1e6 / round_us))
    fewest = 1 if untuned_us > ONCE_SECONDS * 1e6 else 2
    return max(fast, slow, fewest)
