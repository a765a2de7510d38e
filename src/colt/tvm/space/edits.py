"""A transformation becomes one wish for each knob, checked before TVM sees anything. Pure Python.

Tiles and categories are checked in full. Whether a compute location is legal depends on the program at that point of
the replay, so only its form is checked here; ``colt.tvm.space.realise`` does the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from colt.errors import IllegalEdit
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, Edit, Jump, Knob, LocationKnob, Value, neighbours
from colt.moves import Move
from colt.util.text import nearest


@dataclass(frozen=True, slots=True)
class Take:
    """Take this value. ``asked``: an edit names it."""

    value: Value
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep this location if it is legal; otherwise take any legal one."""

    value: str


@dataclass(frozen=True, slots=True)
class Other:
    """Take any legal location except this one; for ``None``, any legal one."""

    value: str | None = None


@dataclass(frozen=True, slots=True)
class At:
    """Take the location of this number of TVM's if it is legal; otherwise any legal one."""

    index: int


Wish = Take | Keep | Other | At

Edits = dict[str, Value | None]


def read_transformation(transformation: object) -> tuple[Jump | None, tuple[Move, ...], Edits]:
    """The jump, if any, the moves, and the edits by knob name.

    Raises
    ------
    IllegalEdit
        A step is neither an edit nor a jump nor a move, or there are two jumps or two edits of one knob.
    """
    if not isinstance(transformation, (list, tuple)):
        raise IllegalEdit(
            f"a transformation is a sequence of edits, jumps and moves, not a {type(transformation).__name__}"
        )
    jump: Jump | None = None
    edits: Edits = {}
    moves: list[Move] = []
    for step in transformation:
        if isinstance(step, Jump):
            if jump is not None:
                raise IllegalEdit("a transformation takes at most one jump to another sketch")
            jump = step
        elif isinstance(step, Move):
            moves.append(step)
        elif isinstance(step, Edit) and isinstance(step.knob, str):
            if step.knob in edits:
                raise IllegalEdit(f"knob {brief(step.knob)} is edited twice in one transformation")
            edits[step.knob] = step.value
        else:
            raise IllegalEdit(
                f"a transformation holds edits (of a knob by its name), jumps and moves, not {_form(step)}"
            )
    return jump, tuple(moves), edits


def require_known(edits: Iterable[str], knobs: Sequence[Knob]) -> None:
    """Raise :class:`IllegalEdit` for a name that no knob has; the message lists similar names, or all."""
    names = [knob.name for knob in knobs]
    for name in edits:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names) or 'none'}"
            raise IllegalEdit(f"there is no knob {brief(name)} here; {hint}")


def checked(knobs: Sequence[Knob], values: Sequence[object]) -> tuple[Value, ...]:
    """The values of a schedule, each checked against its knob, locations only in form. Raises :class:`IllegalEdit`."""
    if not isinstance(values, (list, tuple)) or len(values) != len(knobs):
        raise IllegalEdit(f"a schedule of this sketch has {len(knobs)} values, one for each knob")
    return tuple(_checked(knob, value) for knob, value in zip(knobs, values, strict=True))


def edited(knobs: Sequence[Knob], present: Sequence[Value], edits: Edits, rng: random.Random) -> tuple[Wish, ...]:
    """Wishes for an edit within one sketch. Raises :class:`IllegalEdit`."""
    return tuple(
        _asked(knob, value, edits[knob.name], rng) if knob.name in edits else Take(value)
        for knob, value in zip(knobs, present, strict=True)
    )


def carried(knobs: Sequence[Knob], old: Mapping[str, Value], edits: Edits, rng: random.Random) -> tuple[Wish, ...]:
    """Wishes after a jump: the edits, then legal values of old knobs of the same name, then random values.

    Raises
    ------
    IllegalEdit
        A value in ``edits`` is not legal.
    """
    return tuple(
        _asked(knob, old.get(knob.name), edits[knob.name], rng)
        if knob.name in edits
        else _carried(knob, old.get(knob.name), rng)
        for knob in knobs
    )


def other_value(knob: Knob, present: Value, rng: random.Random) -> Value:
    """A random legal value that is not ``present``. Raises :class:`IllegalEdit` if there is none."""
    if not neighbours(knob, present):
        raise IllegalEdit(f"knob {knob.name} has no other legal value than the present one")
    while (value := knob.sample(rng)) == present:
        pass
    return value


def brief(text: str) -> str:
    """A name from outside, quoted and cut to 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _asked(knob: Knob, present: Value | None, value: Value | None, rng: random.Random) -> Wish:
    if isinstance(knob, LocationKnob):
        if value is None:
            return Other(present if isinstance(present, str) else None)
        return Take(_checked(knob, value), asked=True)
    if value is not None:
        return Take(knob.check(value), asked=True)
    known = present is not None and _is_legal(knob, present)
    return Take(other_value(knob, present, rng) if known and present is not None else knob.sample(rng))


def _carried(knob: Knob, old: Value | None, rng: random.Random) -> Wish:
    if isinstance(knob, LocationKnob):
        return Keep(old) if isinstance(old, str) else Other()
    return Take(old) if old is not None and _is_legal(knob, old) else Take(knob.sample(rng))


def _checked(knob: Knob, value: object) -> Value:
    if not isinstance(knob, LocationKnob):
        return knob.check(value)
    if not isinstance(value, str):
        raise IllegalEdit(
            f"knob {knob.name} takes {ROOT_LOCATION!r}, {INLINE_LOCATION!r} or the name of a loop"
            f" around {knob.consumer or 'its consumer'}, not {_form(value)}"
        )
    return value


def _is_legal(knob: Knob, value: Value) -> bool:
    try:
        knob.check(value)
    except IllegalEdit:
        return False
    return True


def _form(value: object) -> str:
    return f"a {type(value).__name__}"
