"""The child process of the fuzz test: carries out arbitrary transformations on real spaces and judges the outcome.

A child, since what is being looked for kills processes (a zero inside a tile is a SIGFPE) or hangs them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Knob, LocationKnob, Schedule
from colt.tvm.devices.host import resolve_target
from colt.tvm.moves.chance import RandomMoves
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs


@dataclass(frozen=True)
class Legal:
    """Stands for a legal value of the knob, drawn with this seed."""

    seed: int


@dataclass(frozen=True)
class Step:
    """An edit of knob number ``knob`` (any number: modulo their count) or of that name; a jump for a tuple."""

    knob: Any
    value: Any


@dataclass(frozen=True)
class Case:
    """A transformation of a schedule of ``program`` that is sampled with ``seed``: ``steps``, or so many random
    ``moves``, each made on a copy first if ``probed``. Half of the moves are on the untuned program."""

    program: str
    seed: int
    steps: tuple[Step, ...] = ()
    moves: int = 0
    probed: bool = True


@dataclass(frozen=True)
class Verdict:
    """``fate`` is what became of it; ``wrong`` says what rule was broken, if any."""

    fate: str
    wrong: str = ""


def serve(connection: Connection) -> None:
    """Answer cases with verdicts until the other end hangs up."""
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        connection.send(judge(case))


@cache
def space_of(program: str, copy: int) -> TvmSpace:
    """Two spaces for each program: the second judges what the first has realised, with nothing remembered of it."""
    mod = programs.PROGRAMS[program]()
    return TvmSpace.generated(mod, resolve_target(None, 2), cache_size=1 + 127 * (1 - copy))


def judge(case: Case) -> Verdict:
    space, chance = space_of(case.program, 0), random.Random(case.seed)
    if case.moves:
        return _judge_moves(case, space, chance)
    try:
        schedule = space.sample(chance)
    except Rejected:
        return Verdict("no sample")
    knobs = space.knobs(schedule)
    transformation = tuple(_step(space, step, knobs) for step in case.steps)
    try:
        applied = space.apply(schedule, transformation, chance)
    except (IllegalEdit, Rejected) as error:
        return Verdict(type(error).__name__, "" if 0 < len(str(error)) < 2000 else f"message {str(error)[:100]!r}")
    wrong = _judge_values(space, schedule, transformation, applied.schedule, applied.notes)
    return Verdict("Applied", wrong or _judge_again(case.program, applied.schedule))


def _judge_moves(case: Case, space: TvmSpace, chance: random.Random) -> Verdict:
    """What moves make is made again of its name alone, in a space that knows nothing of it."""
    try:
        start = space.sample(chance) if chance.random() < 0.5 else UNTUNED
    except Rejected:
        return Verdict("no sample")
    drawing = RandomMoves(space.plans.making(start.variant, start.sketch), chance)
    drawn = [drawing.draw() for _ in range(case.moves)] if not case.probed else drawing.made(case.moves, 6 * case.moves)
    try:
        applied = space.apply(start, tuple(move for move in drawn if move is not None), chance)
    except (IllegalEdit, Rejected) as error:
        return Verdict(type(error).__name__, "" if 0 < len(str(error)) < 2000 else f"message {str(error)[:100]!r}")
    known = {knob.name: value for knob, value in zip(space.knobs(start), start.values, strict=True)}
    found = {
        knob.name: value for knob, value in zip(space.knobs(applied.schedule), applied.schedule.values, strict=True)
    }
    if {name: found.get(name) for name in known} != known and not applied.notes:
        return Verdict("Applied", f"values of {start} were lost in {applied.schedule}")
    return Verdict("Applied", _judge_again(case.program, applied.schedule))


def _step(space: TvmSpace, step: Step, knobs: tuple[Knob, ...]) -> Edit | Jump:
    if isinstance(step.knob, tuple):
        return Jump(*step.knob)
    if not isinstance(step.knob, int) or isinstance(step.knob, bool) or not knobs:
        return Edit(step.knob, step.value)
    knob = knobs[step.knob % len(knobs)]
    value = knob.sample(random.Random(step.value.seed)) if isinstance(step.value, Legal) else step.value
    return Edit(knob.name, value)


def _judge_values(
    space: TvmSpace, before: Schedule, transformation: tuple[Edit | Jump, ...], after: Schedule, notes: tuple[str, ...]
) -> str:
    """Every value is the one asked for, or the one before, or a note says that it is not."""
    jumps = [step for step in transformation if isinstance(step, Jump)]
    asked = {step.knob: step.value for step in transformation if isinstance(step, Edit)}
    where = (jumps[0].variant, jumps[0].sketch) if jumps else (before.variant, before.sketch)
    if (after.variant, after.sketch) != where:
        return f"is of sketch {after.variant}/{after.sketch}"
    old = {knob.name: value for knob, value in zip(space.knobs(before), before.values, strict=True)}
    for knob, value in zip(space.knobs(after), after.values, strict=True):
        try:
            knob.check(value)
        except IllegalEdit as error:
            return f"realised value is not legal: {error}"
        noted = any(note.startswith(f"{knob.name} = ") for note in notes)
        wrong = _judge_value(knob, value, asked, old, jumped=bool(jumps))
        if wrong and not noted:
            return wrong
    return ""


def _judge_value(knob: Knob, value: Any, asked: dict[str, Any], old: dict[str, Any], jumped: bool) -> str:
    if asked.get(knob.name) is not None:
        wanted = asked[knob.name]
        same = value == (tuple(wanted) if isinstance(wanted, list) else wanted)
        return "" if same else f"{knob.name} = {wanted!r} became {value!r}"
    if knob.name in asked:
        return f"{knob.name} is still {value!r}" if old.get(knob.name) == value else ""
    if not jumped:
        return "" if old[knob.name] == value else f"{knob.name} moved from {old[knob.name]!r} to {value!r}"
    if knob.name in old and old[knob.name] != value and not isinstance(knob, LocationKnob):
        try:
            knob.check(old[knob.name])
        except IllegalEdit:
            return ""
        return f"{knob.name} = {old[knob.name]!r} was lost in the jump"
    return ""


def _judge_again(program: str, schedule: Schedule) -> str:
    """Carried out anew, a realised schedule is itself."""
    again = space_of(program, 1).realise(schedule)
    return "" if (again.schedule, again.notes) == (schedule, ()) else f"carried out again it is {again}"


NASTY: tuple[Any, ...] = (
    0, -1, 1, 16, True, False, 2**31, 2**32, 2**32 + 1, 2**63, -(2**63), 10**5000, 1.0, 0.5, math.nan, math.inf, "",
    "root", "inline", "i_0", "i", "ax0#2", "0", "x" * 10**5, "\N{SNOWMAN}\ud800", None, [], {}, [[]], [None], {"a": 1},
    [0, 1, 1, 64], [1, 1, 1, 64], [64, 1, 1, 0], (0, 0, 0, 0), [1, 64], [64, 1], [32, 2], [-8, -8], [2.0, 32],
    [True, 64], ["64", 1], [2**32, 1], [2**64, 1], [10**5000, 1], [1] * 10**5, [[1, 64]], b"root", ((1, 1), (1, 1)),
)  # fmt: skip
"""Values chosen for what they did to TVM when they reached it, or might do."""
