"""What may be said of a tuned program, from timings that are given here."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from colt.measure.base import Limits, Pace
from colt.run.compare import Comparison, compare, rank_in_turn, repeat_milliseconds, rounds_for
from colt.store.receipt import Verdict
from colt.util.stats import estimate, paired_ratio

Clock = Callable[[str, float], float]


class Timings:
    """In the measurer's place: latencies come from ``clock``, which is told the program and the time of day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = 0.0
        self.asked: list[tuple[list[str], int, Limits]] = []

    def interleave(self, modules: Sequence[str], rounds: int, limits: Limits, inputs: Any) -> list[list[float]]:
        self.asked.append((list(modules), rounds, limits))
        series: list[list[float]] = [[] for _ in modules]
        for turn in range(rounds):
            for index in range(len(modules)) if turn % 2 == 0 else reversed(range(len(modules))):
                us = self._clock(modules[index], self.now)
                self.now += us
                series[index].append(us)
        return series


def compared(clock: Clock, untuned_us: float = 100.0, tuned_us: float = 50.0) -> tuple[Comparison, Timings]:
    timings: Any = Timings(clock)
    return compare(timings, "untuned", "tuned", untuned_us, tuned_us, Pace()), timings


def noisy(tuned_us: float, noise: float = 0.02, seed: int = 0) -> Clock:
    rng = random.Random(seed)
    return lambda program, now: (100.0 if program == "untuned" else tuned_us) * rng.uniform(1 - noise, 1 + noise)


@pytest.mark.parametrize(
    ("tuned_us", "verdict"),
    [
        (50.0, Verdict.FASTER),
        (97.0, Verdict.FASTER),
        (100.0, Verdict.NO_DIFFERENCE),
        (103.0, Verdict.SLOWER),
        (200.0, Verdict.SLOWER),
    ],
)
def test_the_verdict_is_that_of_the_interval(tuned_us: float, verdict: Verdict) -> None:
    found, _ = compared(noisy(tuned_us))
    assert found.verdict is verdict
    assert found.speedup.interval is not None
    assert found.speedup.interval.contains(found.speedup.median)
    assert found.speedup.interval.contains(100.0 / tuned_us)


def test_equal_programs_are_rarely_called_different() -> None:
    wrong = [compared(noisy(100.0, seed=seed))[0].verdict is not Verdict.NO_DIFFERENCE for seed in range(400)]
    assert sum(wrong) / len(wrong) < 0.08  # 5 % at most, but for the chance of 400 draws


def test_a_machine_that_slows_down_all_the_time_does_not_hide_the_ratio() -> None:
    """Three times slower at the end than at the beginning: latencies spread far, the ratio does not."""
    found, _ = compared(lambda program, now: (100.0 if program == "untuned" else 95.0) * (1 + now / 4000.0))
    assert found.verdict is Verdict.FASTER
    assert found.speedup.median == pytest.approx(100 / 95, rel=0.002)
    assert found.untuned.interval is not None
    assert found.untuned.interval.relative_half_width > 0.1


def test_the_untuned_program_stands_between_two_timings_of_the_tuned_one() -> None:
    _, timings = compared(noisy(50.0))
    assert [modules for modules, _, _ in timings.asked] == [["tuned", "untuned", "tuned"]]


def test_a_round_is_one_sample_however_often_the_tuned_program_runs_in_it() -> None:
    found, timings = compared(noisy(50.0))
    assert found.speedup.samples == found.untuned.samples == found.tuned.samples == timings.asked[0][1]


@pytest.mark.parametrize(
    ("untuned_seconds", "rounds"),
    [
        (0.0001, 25),
        (0.1, 10),
        (0.5, 6),
        (1.0, 6),
        (2.0, 4),
        (4.0, 2),
        (9.0, 2),
        (14.9, 2),
        (15.1, 1),
        (90.0, 1),
    ],
)
def test_rounds_fit_the_time_that_there_is(untuned_seconds: float, rounds: int) -> None:
    untuned_us = untuned_seconds * 1e6
    repeat_us = repeat_milliseconds(untuned_us) * 1e3
    assert rounds_for(untuned_us, max(untuned_us, repeat_us) + 2 * repeat_us, Pace()) == rounds


def test_beside_a_slow_program_the_tuned_one_runs_for_longer() -> None:
    assert [repeat_milliseconds(seconds * 1e6) for seconds in (0.001, 0.1, 0.5, 60.0)] == [20.0, 20.0, 100.0, 200.0]
    found, timings = compared(lambda program, now: 60e6 if program == "untuned" else 1e5, 60e6, 1e5)
    assert timings.asked[0][2].min_repeat_ms == 200.0
    assert found.speedup.median == 600.0


def test_one_round_decides_nothing() -> None:
    found, _ = compared(lambda program, now: 60e6 if program == "untuned" else 1e5, 60e6, 1e5)
    assert found.verdict is Verdict.UNDECIDED
    assert found.speedup.interval is None


def test_an_interval_that_touches_1_is_no_difference() -> None:
    ones, more = [1.0] * 6, [1.0, 1.1, 1.1, 1.1, 1.1, 1.1]
    assert Comparison(estimate(more), estimate(ones), paired_ratio(more, ones)).verdict is Verdict.NO_DIFFERENCE
    assert Comparison(estimate(ones), estimate(more), paired_ratio(ones, more)).verdict is Verdict.NO_DIFFERENCE


# ---- the race of the leaders ----

RACE = Pace(ranking_seconds=1.5, race_rounds=8)


def raced(latencies: Sequence[float], pace: Pace = RACE, noise: float = 0.02, seed: int = 0) -> tuple[list[float], Any]:
    rng = random.Random(seed)
    timings: Any = Timings(lambda program, now: latencies[int(program)] * rng.uniform(1 - noise, 1 + noise))
    names = [str(number) for number in range(len(latencies))]
    return rank_in_turn(timings, names, latencies, pace), timings


def test_leaders_that_are_slower_for_certain_leave_the_race() -> None:
    medians, timings = raced([104.0, 100.0, 150.0, 100.5])
    assert [modules for modules, _, _ in timings.asked] == [["0", "1", "2", "3"], ["1", "3"]]
    assert medians[0] == medians[2] == math.inf
    assert medians[1] == pytest.approx(100.0, rel=0.01)


def test_the_race_ends_when_nobody_can_be_ahead_by_much() -> None:
    medians, timings = raced([100.0, 100.0], noise=0.001)
    assert [rounds for _, rounds, _ in timings.asked] == [8]
    assert sorted(map(math.isinf, medians)) == [False, True]


def test_a_race_that_nobody_wins_takes_as_many_rounds_as_there_is_time_for() -> None:
    _, timings = raced([100.0, 100.0], noise=0.3, seed=1)
    assert [rounds for _, rounds, _ in timings.asked] == [8] * 6 + [2]
    assert [rounds for _, rounds, _ in raced([100.0, 100.0], Pace(), noise=0.3)[1].asked] == [50]


def test_the_race_is_won_by_one_of_the_fastest() -> None:
    latencies = [103.0, 100.0, 100.3, 101.0, 110.0]
    lost = []
    for seed in range(200):
        medians, _ = raced(latencies, noise=0.07, seed=seed)
        lost.append(latencies[medians.index(min(medians))] / 100.0 - 1)
    assert statistics.fmean(lost) < 0.005
    assert max(lost) < 0.04


@pytest.mark.parametrize(("tuned_us", "rounds"), [(50.0, 12), (49.0, 12), (51.0, 25), (99.0, 25)])
def test_what_is_plainly_faster_is_timed_in_turn_for_half_as_long(tuned_us: float, rounds: int) -> None:
    timings: Any = Timings(noisy(tuned_us))
    compare(timings, "untuned", "tuned", 100.0, tuned_us, Pace(plain_ratio=1.99))
    assert timings.asked[0][1] == rounds
