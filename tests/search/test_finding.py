"""Does it find anything? On the toy space, whose optimum is known, in a stated number of trials, for fixed seeds."""

from __future__ import annotations

import itertools
from statistics import geometric_mean

import pytest

from colt.errors import IllegalEdit
from colt.knobs import Schedule, Sketch, Value
from colt.options import PRESETS, SearchConfig
from colt.search.toy import ToyScorer, ToySpace
from colt.testing import SpaceCase
from tests.search.toyworld import MEMBERS, UNTUNED_US, World, sampled

TRIALS = 128
SEEDS = range(8)
DEEP = SearchConfig.preset(widening_coefficient=0.0, exploration=0.2)
"""The toy's optimum lies many edits deep, and every edit towards it helps: little exploration pays here."""


def best_of_search(config: SearchConfig, seed: int, until_us: float = 0.0) -> float:
    """The best true latency measured within the trials, by graded proposers that err now and then."""
    world = World(config, MEMBERS, seed, ToySpace(64), openings=16, error_rate=0.03)
    best = UNTUNED_US
    while world.search.trials.told < TRIALS and best > until_us:
        trials = world.search.ask(8, world.propose)
        world.tell_all(trials)
        best = min(best, *(world.space.latency_us(trial.schedule) for trial in trials))
    return best


def best_of_sampling(seed: int) -> float:
    space = ToySpace(64)
    return min(space.latency_us(schedule) for schedule, _ in sampled(space, TRIALS, seed))


def test_the_optimum_is_found_within_a_tenth() -> None:
    """But for one seed at most, which gets within a half."""
    found = sorted(best_of_search(DEEP, seed, until_us=110.0) for seed in SEEDS)
    assert found[-2] <= 110.0
    assert found[-1] <= 150.0


def test_as_many_random_schedules_stay_twice_as_slow() -> None:
    assert min(best_of_sampling(seed) for seed in SEEDS) >= 200.0


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_beats_random_schedules_by_a_third(preset: str) -> None:
    """Over all seeds; and loses to them for none."""
    found = [best_of_search(SearchConfig.preset(preset), seed) for seed in SEEDS]
    sampled_alone = [best_of_sampling(seed) for seed in SEEDS]
    assert geometric_mean(found) < 2 / 3 * geometric_mean(sampled_alone)
    assert all(mine < theirs for mine, theirs in zip(found, sampled_alone, strict=True))


# ---- the toy itself ----


def test_the_toys_optimum_is_what_it_says() -> None:
    """Latencies are products over knobs: the best value of each does not depend on the others."""
    space = ToySpace(32)
    found = {}
    for sketch in space.sketches:
        values = next(SpaceCase(space).schedules("start")).values[:3] + ("root",) * (len(sketch.knobs) - 3)
        for index in range(len(values)):
            tries = [(*values[:index], value, *values[index + 1 :]) for value in values_of(space, sketch, index)]
            values = min(tries, key=lambda tried: space.latency_us(Schedule("plain", sketch.name, tried)))
        found[sketch.name] = space.latency_us(space.realise(Schedule("plain", sketch.name, values)).schedule)
    assert found["cached"] == space.optimum_us() == 100.0
    assert found["flat"] == 150.0


def values_of(space: ToySpace, sketch: Sketch, index: int) -> list[Value]:
    """All legal values of one knob."""
    knob = sketch.knobs[index]
    powers = [2**power for power in range(6)]
    found: list[Value] = []
    for value in [*itertools.product(powers, repeat=4), 0, 16, 64, 512, "root", "inline", "i_0", "j_0"]:
        try:
            found.append(knob.check(value))
        except IllegalEdit:
            continue
    return found


def test_the_toy_scorer_is_off_by_no_more_than_it_says() -> None:
    space = ToySpace(64)
    scorer = ToyScorer(space, blur=1.3)
    schedules = list(SpaceCase(space, cases=200).schedules("blur"))
    ratios = [
        predicted / space.latency_us(schedule)
        for predicted, schedule in zip(scorer.predict(schedules), schedules, strict=True)
    ]
    assert 1 / 1.3 <= min(ratios) < 0.9
    assert 1.1 < max(ratios) <= 1.3
