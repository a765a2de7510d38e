"""The rules of a :class:`~colt.search.types.Space`, one function each."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import cast

from colt.errors import IllegalEdit, Rejected
from colt.knobs import (
    Edit,
    Jump,
    LocationKnob,
    Schedule,
    Transformation,
    Value,
    describe_transformation,
    neighbours,
    show_value,
)
from colt.search.types import Space
from colt.testing.cases import SpaceCase, as_json, from_json, require
from colt.testing.illegal import illegal_transformations, illegal_values
from colt.testing.requirements import (
    applied_if_legal,
    everything_random,
    require_illegal,
    require_kept,
    require_legal,
    require_noted,
    require_raises,
    require_realised,
    require_takes,
    require_unique_knobs,
    require_well_formed,
    short,
    sketch_of,
    with_value,
)

NEIGHBOURS = 2
"""How many neighbouring values of each knob are tried."""


def check_space(space: Space, seed: int = 0, cases: int = 20) -> None:
    """Run every check of :data:`SPACE_CHECKS`. Raises :class:`NotConforming` at the first broken rule."""
    case = SpaceCase(space, seed, cases)
    for check in SPACE_CHECKS:
        check(case)


# ---- what the space consists of ----


def sketches_and_their_knobs_have_unique_names(case: SpaceCase) -> None:
    """Every knob is well-formed too: all parts of a tile have roles, and there is something to choose from."""
    sketches = list(case.space.sketches)
    require(len(sketches) > 0, "the space has no sketch")
    names = [(sketch.variant, sketch.name) for sketch in sketches]
    require(len(set(names)) == len(names), f"two sketches have the same name: {names}")
    require(list(case.space.sketches) == sketches, "the sketches change")
    for sketch in sketches:
        require_unique_knobs(sketch.knobs, sketch.name)
        for knob in sketch.knobs:
            require_well_formed(knob)


def the_untuned_program_has_no_sketch_and_no_knobs(case: SpaceCase) -> None:
    """It does not change, and no edit applies to it."""
    untuned = case.space.untuned
    require(untuned.values == () and case.space.knobs(untuned) == (), "the untuned program has knobs")
    names = {(sketch.variant, sketch.name) for sketch in case.space.sketches}
    require((untuned.variant, untuned.sketch) not in names, "the untuned program has the name of a sketch")
    require(case.space.untuned == untuned, "the untuned program changes")
    with_edit = cast(Transformation, (Edit("any", 1),))
    require_illegal(case.space, untuned, with_edit)


def a_schedules_knobs_are_those_of_its_sketch(case: SpaceCase) -> None:
    """They agree in name, order and kind; which values are legal may depend on the schedule."""
    for schedule in case.schedules("knobs"):
        knobs, sketch = case.space.knobs(schedule), sketch_of(case.space, schedule)
        require_unique_knobs(knobs, sketch.name)
        same = [(type(knob), knob.name) for knob in knobs] == [(type(knob), knob.name) for knob in sketch.knobs]
        require(same, f"{sketch.name}: a schedule's knobs differ from its sketch's by name, order or kind")
        require(case.space.knobs(schedule) == knobs, f"{sketch.name}: the knobs change")
        for knob in knobs:
            require_well_formed(knob)


# ---- schedules ----


def samples_are_legal_and_realised(case: SpaceCase) -> None:
    """They are of the sketch asked for, every value is legal, and realising them changes nothing."""
    sketches = list(case.space.sketches)
    for index, schedule in enumerate(case.schedules("sample")):
        sketch = sketches[index % len(sketches)]
        found = (schedule.variant, schedule.sketch)
        require(found == (sketch.variant, sketch.name), f"a sample of sketch {sketch.name} is of sketch {found[1]}")
        require_legal(case.space, schedule)
        require_realised(case.space, schedule)


def samples_of_no_particular_sketch_are_of_any(case: SpaceCase) -> None:
    """``sample`` may be called without a sketch."""
    rng = case.rng("any sketch")
    for _ in range(case.cases):
        try:
            schedule = case.space.sample(rng)
        except Rejected:
            continue
        require_legal(case.space, schedule)


def schedules_are_plain_data(case: SpaceCase) -> None:
    """They are hashable, equal to their copies, and the same after a round trip through JSON."""
    for schedule in [case.space.untuned, *case.schedules("plain data")]:
        copy = Schedule(schedule.variant, schedule.sketch, tuple(schedule.values))
        require(copy == schedule and hash(copy) == hash(schedule), f"{schedule} does not equal its copy")
        require(from_json(as_json(schedule)) == schedule, f"{schedule} does not survive JSON")


def schedules_can_be_constructed_from_values(case: SpaceCase) -> None:
    """``realise`` takes values of any origin, checks them as it checks edits, and notes what came out differently."""
    rng = case.rng("construct")
    for schedule in case.schedules("construct"):
        values = tuple(knob.sample(rng) for knob in case.space.knobs(schedule))
        constructed = Schedule(schedule.variant, schedule.sketch, values)
        try:
            applied = case.space.realise(constructed)
        except (IllegalEdit, Rejected):  # a location may be illegal beside the other new values
            continue
        require_noted(case.space, constructed, applied, "a constructed schedule")
        require_realised(case.space, applied.schedule)


def illegal_schedules_are_refused(case: SpaceCase) -> None:
    """``realise`` raises :class:`IllegalEdit` for unknown sketches, and for missing, extra or illegal values."""
    for schedule in case.schedules("illegal schedules", 4):
        wrong = [
            Schedule(schedule.variant, schedule.sketch + "?", schedule.values),
            Schedule(schedule.variant + "?", schedule.sketch, schedule.values),
            Schedule(schedule.variant, schedule.sketch, schedule.values[:-1]),
            Schedule(schedule.variant, schedule.sketch, (*schedule.values, 1)),
        ]
        for index, knob in enumerate(case.space.knobs(schedule)):
            for value in illegal_values(knob):
                wrong.append(with_value(schedule, index, cast(Value, value)))
        for other in wrong:
            require_raises(partial(case.space.realise, other), f"realise({short(other)})")


# ---- edits ----


def an_edit_to_a_neighbouring_value_gives_that_value(case: SpaceCase) -> None:
    """Else a note names the knob, as it must for any other knob whose value changed. The result is realised."""
    rng = case.rng("neighbours")
    accepted = 0
    for schedule in case.schedules("neighbours"):
        for index, knob in enumerate(case.space.knobs(schedule)):
            nearby = neighbours(knob, schedule.values[index])
            for value in rng.sample(nearby, min(NEIGHBOURS, len(nearby))):
                applied = applied_if_legal(case.space, schedule, (Edit(knob.name, value),), rng)
                if applied is not None:
                    accepted += 1
                    asked = f"{knob.name} = {show_value(value)}"
                    require_noted(case.space, with_value(schedule, index, value), applied, asked)
                    require_realised(case.space, applied.schedule)
    require(accepted > 0, "no edit to a neighbouring value was accepted")


def an_open_edit_changes_its_knob(case: SpaceCase) -> None:
    """``value=None`` stands for any legal value but the present one."""
    rng = case.rng("open edits")
    for schedule in case.schedules("open edits"):
        for index, knob in enumerate(case.space.knobs(schedule)):
            if not neighbours(knob, schedule.values[index]):
                continue
            applied = applied_if_legal(case.space, schedule, (Edit(knob.name, None),), rng)
            if applied is not None:
                require_legal(case.space, applied.schedule)
                moved = applied.schedule.values[index] != schedule.values[index]
                noted = any(knob.name in note for note in applied.notes)
                require(moved or noted, f"an open edit of {knob.name} left it at {schedule.values[index]}")


def several_edits_are_carried_out_together(case: SpaceCase) -> None:
    """Edits of all tiles and categories in one transformation give all of those values, or notes."""
    rng = case.rng("several edits")
    for schedule in case.schedules("several edits"):
        wanted = schedule
        for index, knob in enumerate(case.space.knobs(schedule)):
            nearby = [] if isinstance(knob, LocationKnob) else neighbours(knob, schedule.values[index])
            if nearby:
                wanted = with_value(wanted, index, rng.choice(nearby))
        edits = [
            Edit(knob.name, after)
            for knob, before, after in zip(case.space.knobs(schedule), schedule.values, wanted.values, strict=True)
            if before != after
        ]
        rng.shuffle(edits)
        try:
            applied = case.space.apply(schedule, tuple(edits), rng)
        except (IllegalEdit, Rejected):  # a location of before may be illegal beside the new values
            continue
        require_noted(case.space, wanted, applied, describe_transformation(edits))


def a_jump_leads_to_its_sketch(case: SpaceCase) -> None:
    """Every sketch can be reached from the untuned program and all others; knobs of one name keep legal values."""
    rng = case.rng("jumps")
    for schedule in [case.space.untuned, *case.schedules("jumps", len(case.space.sketches))]:
        for sketch in case.space.sketches:
            if (schedule.variant, schedule.sketch) == (sketch.variant, sketch.name):
                continue
            applied = applied_if_legal(case.space, schedule, (Jump(sketch.variant, sketch.name),), rng)
            if applied is None:
                continue
            found = (applied.schedule.variant, applied.schedule.sketch)
            require(found == (sketch.variant, sketch.name), f"a jump to {sketch.name} led to {found[1]}")
            require_legal(case.space, applied.schedule)
            require_realised(case.space, applied.schedule)
            require_kept(case.space, schedule, applied)


def a_jump_may_come_with_edits_of_its_target(case: SpaceCase) -> None:
    """The edits are of the sketch that is jumped to, in either order."""
    rng = case.rng("jump and edit")
    for sketch in case.space.sketches:
        choices = [knob for knob in sketch.knobs if not isinstance(knob, LocationKnob)]
        for knob in rng.sample(choices, min(NEIGHBOURS, len(choices))):
            edit, jump = Edit(knob.name, knob.sample(rng)), Jump(sketch.variant, sketch.name)
            for transformation in ((jump, edit), (edit, jump)):
                applied = applied_if_legal(case.space, case.space.untuned, transformation, rng)
                if applied is not None:
                    index = [other.name for other in sketch.knobs].index(knob.name)
                    kept = applied.schedule.values[index] == edit.value
                    noted = any(knob.name in note for note in applied.notes)
                    require(kept or noted, f"{describe_transformation(transformation)} lost the edit")


def illegal_edits_raise_illegal_edit(case: SpaceCase) -> None:
    """All of :mod:`colt.testing.illegal`, from every sketch: a zero inside a tile kills TVM."""
    for schedule in case.schedules("illegal edits", 2 * len(case.space.sketches)):
        knobs = case.space.knobs(schedule)
        for knob in knobs:
            for value in illegal_values(knob):
                require_illegal(case.space, schedule, (Edit(knob.name, cast(Value, value)),))
        for transformation in illegal_transformations(case.space.sketches, schedule, knobs):
            require_illegal(case.space, schedule, transformation)


# ---- chance ----


def random_transformations_are_legal(case: SpaceCase) -> None:
    """They never raise :class:`IllegalEdit`, though they may be rejected; from the untuned program they are jumps."""
    rng = case.rng("random transformations")
    for _ in range(case.cases):
        transformation = case.space.random_transformation(case.space.untuned, rng)
        is_jump = bool(transformation) and isinstance(transformation[0], Jump)
        require(is_jump, f"from the untuned program only a jump leads on, not {transformation!r}")
        applied_if_legal(case.space, case.space.untuned, transformation, rng)
    accepted = moved = 0
    for schedule in case.schedules("random transformations"):
        for _ in range(2):
            transformation = case.space.random_transformation(schedule, rng)
            require(len(transformation) > 0, f"a random transformation of {schedule} is empty")
            applied = applied_if_legal(case.space, schedule, transformation, rng)
            accepted += applied is not None
            moved += applied is not None and applied.schedule != schedule
    require(2 * moved > case.cases, f"of {2 * case.cases} random transformations {accepted} apply and {moved} move")


def rollouts_stay_in_the_sketch_and_legal(case: SpaceCase) -> None:
    """``perturb`` sets one knob to another legal value."""
    rng = case.rng("rollouts")
    moved = 0
    for schedule in case.schedules("rollouts"):
        for _ in range(5):
            other = case.space.perturb(schedule, rng)
            same = (other.variant, other.sketch) == (schedule.variant, schedule.sketch)
            require(same, f"a rollout of {schedule.sketch} is of {other.sketch}")
            for knob, value in zip(case.space.knobs(schedule), other.values, strict=True):
                require_takes(knob, value)
            changed = sum(a != b for a, b in zip(schedule.values, other.values, strict=True))
            require(changed <= 1, f"a rollout changed {changed} knobs: one edit was wanted")
            moved += changed
    require(2 * moved > 5 * case.cases, f"of {5 * case.cases} rollouts only {moved} changed anything")


def equal_generators_give_equal_answers(case: SpaceCase) -> None:
    """All chance comes from the generator given, and nothing is remembered."""
    state = random.getstate()
    for index, schedule in enumerate(case.schedules("determinism", 5)):
        first, second = (everything_random(case.space, schedule, case.rng(f"draw {index}")) for _ in range(2))
        require(first == second, f"equal generators gave different answers:\n{first}\n{second}")
    require(random.getstate() == state, "the module-wide random generator was used")


SPACE_CHECKS: tuple[Callable[[SpaceCase], None], ...] = (
    sketches_and_their_knobs_have_unique_names,
    the_untuned_program_has_no_sketch_and_no_knobs,
    a_schedules_knobs_are_those_of_its_sketch,
    samples_are_legal_and_realised,
    samples_of_no_particular_sketch_are_of_any,
    schedules_are_plain_data,
    schedules_can_be_constructed_from_values,
    illegal_schedules_are_refused,
    an_edit_to_a_neighbouring_value_gives_that_value,
    an_open_edit_changes_its_knob,
    several_edits_are_carried_out_together,
    a_jump_leads_to_its_sketch,
    a_jump_may_come_with_edits_of_its_target,
    illegal_edits_raise_illegal_edit,
    random_transformations_are_legal,
    rollouts_stay_in_the_sketch_and_legal,
    equal_generators_give_equal_answers,
)
