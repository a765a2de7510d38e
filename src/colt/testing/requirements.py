"""What the rules of a space require of schedules, knobs and answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from colt.errors import IllegalEdit, Rejected
from colt.knobs import (
    CategoryKnob,
    Edit,
    Knob,
    LocationKnob,
    Schedule,
    Sketch,
    TileKnob,
    Transformation,
    Value,
    describe_transformation,
    neighbours,
)
from colt.search.types import AppliedSchedule, Space
from colt.testing.cases import require


def sketch_of(space: Space, schedule: Schedule) -> Sketch:
    """The schedule's sketch, which the space must have."""
    for sketch in space.sketches:
        if (sketch.variant, sketch.name) == (schedule.variant, schedule.sketch):
            return sketch
    require(False, f"{schedule} is of no sketch of the space")
    raise AssertionError


def require_unique_knobs(knobs: Sequence[Knob], where: str) -> None:
    """No two knobs have the same name."""
    names = [knob.name for knob in knobs]
    require(len(set(names)) == len(names), f"{where}: two knobs have the same name: {names}")


def require_well_formed(knob: Knob) -> None:
    """All parts of a tile have roles, and there is something to choose from."""
    require(knob.name.strip() == knob.name != "", f"a knob's name is {knob.name!r}")
    if isinstance(knob, TileKnob):
        require(len(knob.roles) == knob.parts >= 1, f"{knob.name}: {knob.parts} parts and {len(knob.roles)} roles")
        require(knob.max_innermost >= 1, f"{knob.name}: no innermost part is legal")
    elif isinstance(knob, CategoryKnob):
        require(len(knob.candidates) > 0, f"{knob.name}: there is nothing to choose from")
        require(all(type(value) is int for value in knob.candidates), f"{knob.name}: a candidate is no int")
    else:
        require(len(knob.locations) > 0, f"{knob.name}: there is nothing to choose from")
        require(len(set(knob.locations)) == len(knob.locations), f"{knob.name}: two locations have the same name")


def require_takes(knob: Knob, value: Value) -> None:
    """The knob takes the value as it is."""
    try:
        taken = knob.check(value)
    except IllegalEdit as error:
        require(False, str(error))
    else:
        require(taken == value and type(taken) is type(value), f"{knob.name} makes {taken!r} of {value!r}")


def require_legal(space: Space, schedule: Schedule) -> None:
    """The schedule has a value of each knob, and the knobs take them."""
    knobs = space.knobs(schedule)
    sketch_of(space, schedule)
    require(len(knobs) == len(schedule.values), f"{schedule} has {len(knobs)} knobs")
    for knob, value in zip(knobs, schedule.values, strict=True):
        require_takes(knob, value)


def require_realised(space: Space, schedule: Schedule) -> None:
    """Realising a realised schedule changes nothing and gives no note."""
    try:
        applied = space.realise(schedule)
    except (IllegalEdit, Rejected) as error:
        require(False, f"realising {schedule} once more fails: {error}")
    else:
        require(applied.schedule == schedule, f"realising {schedule} once more gives {applied.schedule}")
        require(not applied.notes, f"realising {schedule} once more gives notes: {applied.notes}")


def require_noted(space: Space, wanted: Schedule, applied: AppliedSchedule, asked: str) -> None:
    """The sketch is the same, and a note names every knob whose value is not the wanted one."""
    found = applied.schedule
    same = (found.variant, found.sketch, len(found.values)) == (wanted.variant, wanted.sketch, len(wanted.values))
    require(same, f"{asked} led from sketch {wanted.sketch} to {found.sketch}")
    require_legal(space, found)
    for knob, old, new in zip(space.knobs(found), wanted.values, found.values, strict=True):
        noted = any(knob.name in note for note in applied.notes)
        require(old == new or noted, f"{asked}: {knob.name} is {new!r}, not {old!r}, and no note says so")


def require_kept(space: Space, before: Schedule, applied: AppliedSchedule) -> None:
    """After a jump a tile or category of the same name keeps its value if that is legal, or a note names it."""
    old = {knob.name: value for knob, value in zip(space.knobs(before), before.values, strict=True)}
    for knob, value in zip(space.knobs(applied.schedule), applied.schedule.values, strict=True):
        if isinstance(knob, LocationKnob) or knob.name not in old or old[knob.name] == value:
            continue
        noted = any(knob.name in note for note in applied.notes)
        try:
            knob.check(old[knob.name])
        except IllegalEdit:
            continue
        require(noted, f"a jump set {knob.name} from {old[knob.name]} to {value}, which was legal, without a note")


def applied_if_legal(
    space: Space, schedule: Schedule, transformation: Transformation, rng: random.Random
) -> AppliedSchedule | None:
    """Carry out a legal transformation; ``None`` if it was rejected."""
    try:
        return space.apply(schedule, transformation, rng)
    except Rejected:
        return None
    except IllegalEdit as error:
        require(False, f"the legal transformation {describe_transformation(transformation)} is refused: {error}")
        raise


def require_illegal(space: Space, schedule: Schedule, transformation: Transformation) -> None:
    """The transformation is refused as an illegal one."""
    rng = random.Random(0)
    require_raises(lambda: space.apply(schedule, transformation, rng), f"apply({short(transformation)})")


def require_raises(call: Callable[[], Any], what: str) -> None:
    """The call raises :class:`IllegalEdit`, and says why."""
    try:
        result = call()
    except IllegalEdit as error:
        require(str(error).strip() != "", f"{what} raises IllegalEdit without saying why")
    except Exception as error:  # noqa: BLE001  whatever else it raises would end a run
        require(False, f"{what} raises {type(error).__name__}, not IllegalEdit: {error}")
    else:
        require(False, f"{what} should raise IllegalEdit; it gave {short(result)}")


def with_value(schedule: Schedule, index: int, value: Value) -> Schedule:
    """The schedule with another value of one knob."""
    values = (*schedule.values[:index], value, *schedule.values[index + 1 :])
    return Schedule(schedule.variant, schedule.sketch, values)


def everything_random(space: Space, schedule: Schedule, rng: random.Random) -> list[object]:
    """What the space answers to each question that chance has a part in."""
    answers: list[object] = []
    transformation = space.random_transformation(schedule, rng)
    knobs = space.knobs(schedule)
    movable = [k for k, value in zip(knobs, schedule.values, strict=True) if neighbours(k, value)]
    opened: Transformation = tuple(Edit(knob.name, None) for knob in movable[:1])
    jump = space.random_transformation(space.untuned, rng)
    calls: list[Callable[[], object]] = [
        lambda: space.sample(rng),
        lambda: space.apply(schedule, transformation, rng),
        lambda: space.apply(schedule, opened, rng),
        lambda: space.apply(space.untuned, jump, rng),
        lambda: space.perturb(schedule, rng),
    ]
    answers.append(transformation)
    for call in calls:
        try:
            answers.append(call())
        except Rejected as error:
            answers.append(str(error))
    answers.append(rng.random())
    return answers


def short(thing: object) -> str:
    """The thing as text for a message, of whatever size it is."""
    try:
        text = repr(thing)
    except (ValueError, RecursionError):
        text = f"a {type(thing).__name__} too large to show"
    return text if len(text) <= 200 else text[:197] + "..."
