"""Of schedules that promise the same the one that builds fastest is measured first."""

from __future__ import annotations

import random

import pytest

from colt.knobs import Schedule
from colt.options import SearchConfig
from colt.search.search import Search
from tests.search.toyworld import MEMBERS, LineSpace, VersionedScorer

LATENCIES = {0: 100.0, 1: 104.0, 2: 103.0, 3: 106.0, 4: 200.0, 5: 100.5, 6: 104.9, 7: 104.8}
SECONDS = {0: 4.0, 1: 1.0, 2: 3.0, 3: 0.1, 4: 0.1, 5: 6.0, 6: 0.2, 7: 0.3}


def picked(count: int, equal_promise: float, seconds: dict[int, float] | None = SECONDS) -> list[int]:
    """Values of the knob in the order in which they go to the hardware; nothing is left to chance."""
    space = LineSpace(8, LATENCIES)
    config = SearchConfig(epsilon=0.0, equal_promise=equal_promise, root_width=8)
    asked: list[Schedule] = []

    def build_seconds(schedule: Schedule) -> float:
        assert seconds is not None
        asked.append(schedule)
        return seconds[number(schedule)]

    scorer = VersionedScorer(space, blur=1.0)
    search = Search(space, scorer, MEMBERS, config, build_seconds=build_seconds if seconds else None)
    openings = [space.at(value) for value in range(8)]
    random.Random(1).shuffle(openings)
    search.open([(schedule, "sampled") for schedule in openings], 1000.0)
    found = [number(trial.schedule) for trial in search.trials.pick(count)]
    assert bool(asked) == bool(seconds and equal_promise)
    return found


def number(schedule: Schedule) -> int:
    (value,) = schedule.values
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize("seconds", [None, SECONDS])
def test_best_predicted_first_if_it_is_off(seconds: dict[int, float] | None) -> None:
    assert picked(8, 0.0, seconds) == [0, 5, 2, 1, 7, 6, 3, 4]


def test_the_fastest_build_of_four_that_are_equal_comes_first() -> None:
    """And none of the others is lost."""
    assert picked(8, 0.05) == [1, 7, 6, 2, 0, 5, 3, 4]


def test_nothing_that_promises_less_is_preferred_for_its_build() -> None:
    assert picked(2, 0.001) == [0, 5]


def test_without_build_times_the_best_predicted_is_first() -> None:
    assert picked(3, 0.05, None) == [0, 5, 2]
