"""How far a median can be believed, by 95 % intervals of medians and of the ratio of two series taken in turn, and how
well predictions rank.

From six samples on, an interval comes from order statistics, which hold whatever the distribution: the true median lies
between the k-th smallest and the k-th largest of n samples with probability 1 - 2 P(Binomial(n, 1/2) < k). Fewer cannot
reach 95 % that way; for two to five it is Student's t on the logarithms, which takes latencies and ratios to vary by
factors that are about log-normal. One sample says nothing about its own spread and has no interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_MISSES = 0.05
"""How often an interval may miss the true median."""
FEWEST_FOR_ORDER = 6
"""Samples with which order statistics reach the level: extremes of five miss the median in 2 of 32 cases."""
_STUDENT = {2: 12.7062, 3: 4.3027, 4: 3.1824, 5: 2.7764}
"""The 97.5 % quantile of Student's t by number of samples."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends included."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies within."""
        return self.low <= value <= self.high

    @property
    def relative_half_width(self) -> float:
        """Half the width as a share of the middle: 0.01 for 99 to 101."""
        return 1.0 if self.high == math.inf else (self.high - self.low) / (self.high + self.low)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The median of samples; ``interval`` contains it, and is ``None`` for a single sample."""

    median: float
    interval: Interval | None
    samples: int


def estimate(samples: Sequence[float]) -> Estimate:
    """Median and 95 % interval of independent samples, in any order. Raises as :func:`median_interval`."""
    interval = median_interval(samples)
    return Estimate(statistics.median(samples), interval, len(samples))


def median_interval(samples: Sequence[float]) -> Interval | None:
    """The 95 % interval of the median, ``None`` for a single sample. Cheap enough for after every repeat.

    Raises
    ------
    ValueError
        There are no samples, or one is not a finite number above 0.
    """
    ordered = sorted(samples)
    count = len(ordered)
    if not count:
        raise ValueError("no samples to take a median of")
    if not all(0 < sample < math.inf for sample in ordered):
        raise ValueError(f"samples are {ordered}, not all of them finite and above 0")
    if count == 1:
        return None
    if count < FEWEST_FOR_ORDER:
        return _student_interval(ordered)
    rank = order_rank(count)
    return Interval(ordered[rank - 1], ordered[-rank])


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """How many times larger one series is than the other, where the i-th samples of both were taken together.

    Ratios are taken round by round: a machine that is slow for some rounds slows both, and cancels.

    Raises
    ------
    ValueError
        The series are not of the same length, or as for :func:`median_interval`.
    """
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} and {len(denominators)} samples make no pairs")
    if not all(denominators):
        raise ValueError(f"samples are {list(denominators)}, not all of them above 0")
    return estimate([above / below for above, below in zip(numerators, denominators, strict=True)])


def rank_correlation(predicted: Sequence[float], actual: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where it is not defined."""
    if len(set(predicted)) < 2 or len(set(actual)) < 2:
        return 0.0
    from scipy.stats import spearmanr  # a second of imports, which most runs can do without

    value = float(spearmanr(predicted, actual).statistic)
    return value if math.isfinite(value) else 0.0


@lru_cache(maxsize=1024)
def order_rank(count: int) -> int:
    """The largest k such that the k-th smallest and the k-th largest of ``count`` samples miss rarely enough.

    Raises
    ------
    ValueError
        ``count`` is below :data:`FEWEST_FOR_ORDER`.
    """
    if count < FEWEST_FOR_ORDER:
        raise ValueError(f"{count} samples are too few for order statistics; it takes {FEWEST_FOR_ORDER}")
    rank, ways = 0, 1  # 2 * ways / 2^count is how often the true median lies outside of ranks `rank + 1`
    while 2 * ways <= MAX_MISSES * 2**count:
        rank += 1
        ways += math.comb(count, rank)
    return rank


def _student_interval(ordered: Sequence[float]) -> Interval:
    median = statistics.median(ordered)
    logarithms = [math.log(sample) for sample in ordered]
    centre = statistics.fmean(logarithms)
    reach = _STUDENT[len(ordered)] * statistics.stdev(logarithms, centre) / math.sqrt(len(ordered))
    # The centre is the mean of the logarithms; rounding must not put the median of equal samples outside.
    return Interval(min(_power(centre - reach), median), max(_power(centre + reach), median))


def _power(logarithm: float) -> float:
    """e to that power, or infinity: two samples that are far apart give bounds that no float holds."""
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf
