"""Knobs and edits: the decisions that make a schedule, as pure data.

A *sketch* is a program structure with open decisions; each decision is a *knob* with a readable name
(``"C.i"`` is the tiling of loop ``i`` of block ``C``). A *schedule* is a variant, a sketch and one value for each
knob. An *edit* sets one knob, a *jump* goes to another sketch, a *move* makes another sketch of this one
(:mod:`colt.moves`), and a *transformation* is a list of these. Every
value is checked here before TVM sees it: a zero inside a tile kills TVM's process.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from colt.errors import IllegalEdit
from colt.moves import Move, read_structure, show_move

EDITION = 17
"""The edition of what is derived from a program: sketches and their knobs. A change is another edition, and recorded
runs keep theirs. The first had neither dot instructions nor long sums in parts. The second had what TVM miscompiles:
sums under loops that repeat them, consumers that pad at their producers' loops, indices that wrap around. The
third left sums over rows of awkward length whole. The fourth packed no bfloat16 for dot instructions. The fifth left
loops that hold several statements together, and its model saw what is inlined into several blocks in one of them only.
The sixth had no instructions on tiles, and none on halves of bytes. The seventh left out several contractions of one
packed operand, and those in one group whose tiles run along other iters than the vectors of the result. The eighth
had one row in a register tile where it is all of 17, 19 or 23 now.
The ninth had constants in panels only where vectors would gather them, and copies of operands that are not padded; its
model had epilogues wait for memory before the next sums begin. The tenth put candidates of lanes
together in the order of the lanes, whichever came first. The eleventh left blocks inside of blocks to the rules of
stock TVM, and had programs in the same form for all processors: dot instructions flipped signs and corrected their
sums themselves, and zero points were added to sums that were stored. It put no constants in panels for contractions
whose results are read by blocks with vectors inside, and multiplied the zeros between the pixels of transposed
convolutions. It summed rows of which no register tile can have several, such as 389, each in one vector.
Its runs measured schedules of relatives before they looked for any of their own. Its vector math knew no instruction
for powers of two, and the ends of loops that no vector divides were left to LLVM. The twelfth divided by what stays
the same throughout a loop, knew no use for a relative's schedule with a knob more or less, and had no moves.
The thirteenth multiplied by powers of integers where AVX-512 takes floats, added a few terms one after the other, and
asked for nothing ahead of the next job. Its model did not know how long a part of a tile is that moves had split again,
no move applied a sketch, and the architect proposed structures where it was asked for anything. In the fourteenth where
the time of the fastest schedule goes was not measured, structures that experts look for were opened with others of
their schedules whenever they were looked at, and moves named no instructions that call code of our own. The fifteenth
cut no loop in pieces where producers compute what lies around each piece as well, such as the rows of a convolution,
padded no extents of contractions whose constants are in panels, and left quotients in indices that never change, such
as those of a reshape. It computed the ends of loops twice even where the second time reads what the first has written.
In the sixteenth threads went through the tiles of a contraction in the order of its iters, asked for no part of a large
operand while they computed with the part before, and summed nothing in lanes whose operands are used 64 times. Its
vector math left to libm what is rounded to bfloat16. It measured relatives' schedules as they were adopted, the best
promises first, whatever their sketches.
"""

Value = tuple[int, ...] | int | str
"""A tile's parts (outermost first), a category's candidate, or the name of a compute location."""

ROOT_LOCATION = "root"
INLINE_LOCATION = "inline"


@dataclass(frozen=True, slots=True)
class TileKnob:
    """How one loop is split: ``parts`` integers whose product is ``extent``.

    ``roles[p]`` says in words what part ``p`` becomes. The innermost part is at most ``max_innermost``.
    """

    name: str
    block: str
    loop: str
    extent: int
    parts: int
    roles: tuple[str, ...]
    max_innermost: int

    def check(self, value: object) -> tuple[int, ...]:
        """Return ``value`` as a tuple if it is legal.

        Raises
        ------
        IllegalEdit
            It is not a sequence of ``parts`` integers ≥ 1 whose product is ``extent``, or its last is too large.
        """
        wanted = f"{self.parts} integers >= 1 whose product is {self.extent}, the last at most {self.max_innermost}"
        if not isinstance(value, (list, tuple)):
            raise IllegalEdit(f"knob {self.name} takes {wanted}, not {_shown(value)}")
        if not all(type(part) is int for part in value):
            raise IllegalEdit(f"knob {self.name} takes {wanted}, not {_shown(value)}: a part is not an integer")
        if len(value) != self.parts:
            raise IllegalEdit(f"knob {self.name} takes {wanted}, not {_shown(value)}: it has {len(value)} parts")
        if any(part < 1 or part > self.extent for part in value):
            raise IllegalEdit(f"knob {self.name} takes {wanted}, not {_shown(value)}: a part is out of range")
        if math.prod(value) != self.extent:
            raise IllegalEdit(
                f"knob {self.name} takes {wanted}, not {_shown(value)}: the product is {math.prod(value)}"
            )
        if value[-1] > self.max_innermost:
            raise IllegalEdit(f"knob {self.name} takes {wanted}, not {_shown(value)}: the last part is too large")
        return tuple(value)

    def sample(self, rng: random.Random) -> tuple[int, ...]:
        """A random legal value: each prime factor goes to a random part, uniformly and independently."""
        while True:
            value = [1] * self.parts
            for prime in prime_factors(self.extent):
                value[rng.randrange(self.parts)] *= prime
            if value[-1] <= self.max_innermost:
                return tuple(value)

    def neighbours(self, value: tuple[int, ...]) -> list[tuple[int, ...]]:
        """All values that differ by moving one prime factor from one part to another."""
        found: dict[tuple[int, ...], None] = {}
        for source in range(self.parts):
            for prime in sorted(set(prime_factors(value[source]))):
                for target in range(self.parts):
                    if target == source:
                        continue
                    moved = list(value)
                    moved[source] //= prime
                    moved[target] *= prime
                    if moved[-1] <= self.max_innermost:
                        found[tuple(moved)] = None
        return list(found)

    def describe(self) -> str:
        """The legal values in words."""
        return f"{self.parts} integers whose product is {self.extent}, the last at most {self.max_innermost}"


@dataclass(frozen=True, slots=True)
class CategoryKnob:
    """A choice among integers, such as the greatest number of statements to unroll (``what``)."""

    name: str
    block: str
    what: str
    candidates: tuple[int, ...]

    def check(self, value: object) -> int:
        """Return ``value`` if it is one of ``candidates``; raise :class:`IllegalEdit` otherwise."""
        if type(value) is not int or value not in self.candidates:
            raise IllegalEdit(f"knob {self.name} takes one of {list(self.candidates)}, not {_shown(value)}")
        return value

    def sample(self, rng: random.Random) -> int:
        """A random candidate."""
        return rng.choice(self.candidates)

    def neighbours(self, value: int) -> list[int]:
        """All other candidates."""
        return [candidate for candidate in dict.fromkeys(self.candidates) if candidate != value]

    def describe(self) -> str:
        """The legal values in words."""
        return f"one of {list(self.candidates)}"


@dataclass(frozen=True, slots=True)
class LocationKnob:
    """Where a block is computed: ``"root"``, ``"inline"``, or inside a loop of its consumer, by the loop's name.

    Which locations are legal depends on the other knobs: ``locations`` are those of the schedule for which the knob was
    made.
    """

    name: str
    block: str
    consumer: str
    locations: tuple[str, ...]

    def check(self, value: object) -> str:
        """Return ``value`` if it is one of ``locations``; raise :class:`IllegalEdit` otherwise."""
        if not isinstance(value, str) or value not in self.locations:
            raise IllegalEdit(f"knob {self.name} takes one of {list(self.locations)}, not {_shown(value)}")
        return value

    def sample(self, rng: random.Random) -> str:
        """A random location."""
        return rng.choice(self.locations)

    def neighbours(self, value: str) -> list[str]:
        """All other locations."""
        return [location for location in self.locations if location != value]

    def describe(self) -> str:
        """The legal values in words."""
        return f"one of {list(self.locations)}"


Knob = TileKnob | CategoryKnob | LocationKnob


@dataclass(frozen=True, slots=True)
class Sketch:
    """A program structure with open decisions. ``summary`` says in one line how it differs from its siblings.

    The locations of a :class:`LocationKnob` here are those of the sketch's first sample.
    """

    variant: str
    name: str
    summary: str
    knobs: tuple[Knob, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A variant, a sketch, and a value for each of the sketch's knobs in their order. A tree node holds one."""

    variant: str
    sketch: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """A new value for the knob of that name. ``None`` stands for any legal value but the present one."""

    knob: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class Jump:
    """A move to another sketch, perhaps of another variant. Knobs of the same name keep their values where legal."""

    variant: str
    sketch: str


Transformation = tuple[Edit | Jump | Move, ...]
"""Steps from one schedule to another: a jump first, then moves in their order, then edits, wherever they stand."""


def steps_to(schedule: Schedule, names: Sequence[str]) -> Transformation:
    """What makes a schedule of nothing: its sketch, the moves made on that, and a value for each knob by its name."""
    try:
        sketch, moves = read_structure(schedule.sketch)
    except IllegalEdit:  # a name from elsewhere, which no structure has
        sketch, moves = schedule.sketch, ()
    edits = (Edit(name, value) for name, value in zip(names, schedule.values, strict=False))
    return (Jump(schedule.variant, sketch), *moves, *edits)


def describe_transformation(transformation: Iterable[Edit | Jump | Move]) -> str:
    """One line for people: ``"C.i = [1, 64, 1, 8]; unroll = 64"``."""
    return "; ".join(_describe_step(step) for step in transformation) or "nothing"


def _describe_step(step: Edit | Jump | Move) -> str:
    if isinstance(step, Move):
        return show_move(step)
    if isinstance(step, Jump):
        return f"go to sketch {step.variant}/{step.sketch}"
    shown = "anything legal" if step.value is None else show_value(step.value)
    return f"{step.knob} = {shown}"


def show_value(value: Value) -> str:
    """A value as it is written in messages and prompts: tiles as lists."""
    return str(list(value)) if isinstance(value, tuple) else str(value)


def differences(knobs: Sequence[Knob], old: Sequence[Value], new: Sequence[Value]) -> Transformation:
    """The edits that lead from ``old`` to ``new``, which hold a value for each of ``knobs``."""
    return tuple(Edit(knob.name, after) for knob, before, after in zip(knobs, old, new, strict=True) if before != after)


def neighbours(knob: Knob, value: Value) -> list[Value]:
    """The legal values next to ``value``: one prime factor moved for a tile, all others for a choice."""
    if isinstance(knob, TileKnob):
        return [*knob.neighbours(knob.check(value))]
    if isinstance(knob, CategoryKnob):
        return [*knob.neighbours(knob.check(value))]
    return [location for location in knob.locations if location != value]


@lru_cache(maxsize=4096)
def prime_factors(number: int) -> tuple[int, ...]:
    """Prime factors with multiplicity, ascending; empty for 1."""
    factors = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    if number > 1:
        factors.append(number)
    return tuple(factors)


def _shown(value: object) -> str:
    """A value that may be anything, in at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits, a list nested without end
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else text[:77] + "..."
