"""Schedules near others by their values alone: neighbours, mixtures, and the edits that lead to them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from colt.knobs import Knob, LocationKnob, Schedule, Sketch, TileKnob, Transformation, differences, steps_to
from colt.knobs import neighbours as values_next_to


def neighbours(schedule: Schedule, knobs: Sequence[Knob]) -> Iterator[Schedule]:
    """All schedules that differ in one knob: one prime factor moved, or another choice."""
    for number, (knob, value) in enumerate(zip(knobs, schedule.values, strict=True)):
        if isinstance(knob, TileKnob) or value in _choices(knob):
            for other in values_next_to(knob, value):
                yield replaced(schedule, number, other)


def _choices(knob: Knob) -> Sequence[int | str]:
    if isinstance(knob, TileKnob):
        return ()
    return knob.locations if isinstance(knob, LocationKnob) else knob.candidates


def mixed(schedule: Schedule, other: Schedule, rng: random.Random) -> Schedule:
    """``schedule`` with about half of its values from ``other``, which is of the same sketch."""
    values = [b if rng.random() < 0.5 else a for a, b in zip(schedule.values, other.values, strict=True)]
    return Schedule(schedule.variant, schedule.sketch, tuple(values))


def replaced(schedule: Schedule, number: int, value: object) -> Schedule:
    """The schedule with one value changed."""
    values = (*schedule.values[:number], value, *schedule.values[number + 1 :])
    return Schedule(schedule.variant, schedule.sketch, values)  # type: ignore[arg-type]


def random_values(sketch: Sketch, rng: random.Random) -> Schedule:
    """A schedule of that sketch with random legal values, not realised."""
    return Schedule(sketch.variant, sketch.name, tuple(knob.sample(rng) for knob in sketch.knobs))


def path(start: Schedule, goal: Schedule, goal_knobs: Sequence[Knob]) -> Transformation:
    """The transformation that turns ``start`` into ``goal``: edits, after a jump, and moves, if the sketches
    differ."""
    if (start.variant, start.sketch) == (goal.variant, goal.sketch):
        return differences(goal_knobs, start.values, goal.values)
    return steps_to(goal, [knob.name for knob in goal_knobs])
