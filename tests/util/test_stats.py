"""Intervals of medians: how often they hold, and what they do with few, equal and impossible samples."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.util.stats import FEWEST_FOR_ORDER, Interval, estimate, median_interval, order_rank, paired_ratio

positive = st.floats(1e-6, 1e9)


def coverage(count: int, draw: Callable[[random.Random], float], median: float, series: int = 4000) -> float:
    """The share of ``series`` intervals of ``count`` samples each that contain the true median."""
    rng = random.Random(count)
    held = 0
    for _ in range(series):
        interval = estimate([draw(rng) for _ in range(count)]).interval
        assert interval is not None
        held += interval.contains(median)
    return held / series


@pytest.mark.parametrize("count", [2, 3, 5, 6, 7, 10, 25, 60])
def test_intervals_contain_the_median_of_latencies_95_times_in_100(count: int) -> None:
    share = coverage(count, lambda rng: 100.0 * math.exp(rng.gauss(0.0, 0.05)), 100.0)
    assert 0.94 <= share <= 0.995  # order statistics come in steps: 99.2 % is the least above 95 % for 8 samples


@pytest.mark.parametrize("count", [6, 10, 25])
def test_from_six_samples_on_no_shape_of_the_distribution_is_assumed(count: int) -> None:
    """Mostly fast, with a tail of runs that something disturbed."""
    share = coverage(count, lambda rng: 100.0 + rng.expovariate(1.0) ** 3, 100.0 + math.log(2) ** 3)
    assert 0.94 <= share <= 0.995


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (25, 8), (100, 40)])
def test_ranks_are_those_of_the_binomial_tables(count: int, rank: int) -> None:
    assert order_rank(count) == rank


@given(st.integers(FEWEST_FOR_ORDER, 300))
def test_the_rank_is_the_largest_that_misses_rarely_enough(count: int) -> None:
    def misses(rank: int) -> float:
        return 2 * sum(math.comb(count, below) for below in range(rank)) / 2**count

    assert misses(order_rank(count)) <= 0.05 < misses(order_rank(count) + 1)


@given(st.lists(positive, min_size=2, max_size=40))
def test_an_interval_contains_its_median_and_nothing_depends_on_the_order(samples: list[float]) -> None:
    found = estimate(samples)
    assert found.interval is not None
    assert found.interval.contains(found.median)
    assert found.median == statistics.median(samples)
    assert found.samples == len(samples)
    assert estimate(samples[::-1]) == found


@given(positive, st.integers(2, 12))
def test_equal_samples_leave_no_doubt(sample: float, count: int) -> None:
    found = estimate([sample] * count)
    assert found.median == sample
    assert found.interval is not None
    assert found.interval.contains(sample)
    assert found.interval.relative_half_width <= 1e-12


def test_one_sample_has_no_interval() -> None:
    found = estimate([7.0])
    assert (found.median, found.interval, found.samples) == (7.0, None, 1)
    assert median_interval([7.0]) is None


def test_the_relative_half_width_is_a_share_of_the_middle() -> None:
    assert Interval(99.0, 101.0).relative_half_width == pytest.approx(0.01)
    assert median_interval([90.0, 100.0, 100.0, 100.0, 100.0, 110.0]) == Interval(90.0, 110.0)


def test_samples_too_far_apart_for_floats_have_the_widest_interval() -> None:
    interval = median_interval([1e-300, 1e300])
    assert interval == Interval(0.0, math.inf)
    assert interval.relative_half_width == 1.0


@pytest.mark.parametrize("samples", [[], [0.0], [1.0, -1.0], [math.nan, 1.0], [1.0, math.inf]])
def test_samples_that_are_none_or_no_latencies_are_refused(samples: list[float]) -> None:
    for function in (estimate, median_interval):
        with pytest.raises(ValueError, match="samples"):
            function(samples)


def test_a_drift_of_the_machine_cancels_in_pairs() -> None:
    rng = random.Random(3)
    drift = [1.0 + 0.1 * turn for turn in range(12)]
    slow = [200.0 * factor * rng.uniform(0.99, 1.01) for factor in drift]
    fast = [100.0 * factor * rng.uniform(0.99, 1.01) for factor in drift]
    ratio = paired_ratio(slow, fast)
    assert ratio.interval is not None
    assert ratio.interval.contains(2.0)
    unpaired = median_interval(fast)
    assert unpaired is not None
    assert ratio.interval.relative_half_width < 0.02 < unpaired.relative_half_width


@pytest.mark.parametrize(("above", "below"), [([1.0], []), ([], []), ([1.0, 2.0], [1.0]), ([1.0], [0.0])])
def test_series_that_make_no_pairs_are_refused(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match="samples"):
        paired_ratio(above, below)


def test_the_ratio_of_a_single_pair_has_no_interval() -> None:
    assert paired_ratio([6.0], [2.0]).median == 3.0
    assert paired_ratio([6.0], [2.0]).interval is None
