"""A toy space with a known optimum: all of the search, in milliseconds and without a compiler.

The kernel is made up and has two sketches. ``flat`` has two tiles and an unroll category; ``cached`` also has a compute
location and is up to 1.5 times as fast. A schedule's latency is 100 µs times a factor for each knob that is away from
its best value: every edit towards the optimum helps, and the optimum, 100 µs, is known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from colt.errors import IllegalEdit, Rejected
from colt.knobs import (
    CategoryKnob,
    Edit,
    Jump,
    Knob,
    LocationKnob,
    Schedule,
    Sketch,
    TileKnob,
    Transformation,
    Value,
    neighbours,
)
from colt.search.types import AppliedSchedule

VARIANT = "plain"
_ROLES = ("parallel", "outer", "inner", "vectorised")


def _sketches(extent: int) -> tuple[Sketch, ...]:
    rows = TileKnob("C.i", "C", "i", extent, 4, _ROLES, 64)
    columns = TileKnob("C.j", "C", "j", extent, 4, _ROLES, 64)
    unroll = CategoryKnob("unroll", "root", "statements to unroll", (0, 16, 64, 512))
    where = LocationKnob("pad.at", "pad", "C", ("root", "inline", "i_0", "j_0"))
    return (
        Sketch(VARIANT, "flat", "accumulates in memory", (rows, columns, unroll)),
        Sketch(VARIANT, "cached", "accumulates in registers", (rows, columns, unroll, where)),
    )


class ToySpace:
    """Implements :class:`~colt.search.types.Space`. ``extent`` is that of both loops, a power of two from 32 to 2^20.

    Schedules whose register tile holds more than ``spill`` numbers are rejected, as by a post-processor.
    """

    def __init__(self, extent: int = 64, spill: int = 2048) -> None:
        self.sketches: Sequence[Sketch] = _sketches(extent)
        self.untuned = Schedule(VARIANT, "untuned", ())
        self._by_name = {sketch.name: sketch for sketch in self.sketches}
        self._spill = spill

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        """All values are legal in every state."""
        return () if schedule == self.untuned else self._by_name[schedule.sketch].knobs

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        """Uniform over each knob."""
        sketch = sketch or rng.choice(self.sketches)
        values: tuple[Value, ...] = tuple(knob.sample(rng) for knob in sketch.knobs)
        return self.realise(Schedule(sketch.variant, sketch.name, values)).schedule

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        """Check every value and the register tile."""
        if schedule == self.untuned:
            return AppliedSchedule(schedule)
        sketch = self._sketch(schedule.variant, schedule.sketch)
        if len(schedule.values) != len(sketch.knobs):
            raise IllegalEdit(f"sketch {sketch.name} has {len(sketch.knobs)} knobs, not {len(schedule.values)}")
        values = tuple(knob.check(value) for knob, value in zip(sketch.knobs, schedule.values, strict=True))
        if _register_tile(values) > self._spill:
            raise Rejected("the register tile is too large")
        return AppliedSchedule(Schedule(VARIANT, sketch.name, values))

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        """A jump first, then edits; at most one of each kind for a knob."""
        names = [step.knob if isinstance(step, Edit) else None for step in transformation]
        if len(set(names)) != len(names):
            raise IllegalEdit("a transformation may edit each knob once and jump once")
        for step in transformation:
            if isinstance(step, Jump):
                schedule = self._jump(schedule, step, rng)
        for step in transformation:
            if isinstance(step, Edit):
                schedule = self._edit(schedule, step, rng)
        return self.realise(schedule)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        """One knob set to another value."""
        if schedule == self.untuned:
            return schedule
        return self._edit(schedule, Edit(rng.choice(self.knobs(schedule)).name, None), rng)

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        """Mostly one edit; one in eight is a jump."""
        if schedule == self.untuned or rng.random() < 0.125:
            others = [sketch for sketch in self.sketches if sketch.name != schedule.sketch]
            return (Jump(VARIANT, rng.choice(others).name),)
        knob = rng.choice(self.knobs(schedule))
        value = schedule.values[self.knobs(schedule).index(knob)]
        return (Edit(knob.name, rng.choice(neighbours(knob, value))),)

    def latency_us(self, schedule: Schedule) -> float:
        """The true latency; 100 for the optimum, 12,800 for the untuned program."""
        if schedule == self.untuned:
            return 12_800.0
        rows, columns, unroll, *where = schedule.values
        assert isinstance(rows, tuple)
        assert isinstance(columns, tuple)
        wanted = ((1, 4), (4, 32)) if len(where) else ((1, 2), (4, 16))
        steps = _octaves(rows[0], 4) + _octaves(rows[-1], wanted[0][1]) + _octaves(columns[-1], wanted[1][1])
        steps += 0.25 * _octaves(rows[2], wanted[0][0]) + 0.25 * _octaves(columns[0], 1)
        steps += {64: 0.0, 16: 0.5, 512: 1.0, 0: 2.0}[int(str(unroll))]
        steps += {"j_0": 0.0, "i_0": 0.3, "inline": 0.8, "root": 1.0}[str(where[0])] if where else 1.0
        return 100.0 * math.pow(1.5, steps)

    def optimum_us(self) -> float:
        """The least latency in the space."""
        return 100.0

    def _sketch(self, variant: str, name: str) -> Sketch:
        sketch = self._by_name.get(name)
        if variant != VARIANT or sketch is None:
            raise IllegalEdit(f"there is no sketch {variant}/{name}; there are {', '.join(self._by_name)}")
        return sketch

    def _jump(self, schedule: Schedule, jump: Jump, rng: random.Random) -> Schedule:
        """Knobs of equal name keep their values, the others are sampled."""
        sketch = self._sketch(jump.variant, jump.sketch)
        kept = dict(zip((knob.name for knob in self.knobs(schedule)), schedule.values, strict=True))
        values = tuple(kept[knob.name] if knob.name in kept else knob.sample(rng) for knob in sketch.knobs)
        return Schedule(VARIANT, sketch.name, values)

    def _edit(self, schedule: Schedule, edit: Edit, rng: random.Random) -> Schedule:
        for index, knob in enumerate(self.knobs(schedule)):
            if knob.name == edit.knob:
                value = rng.choice(neighbours(knob, schedule.values[index])) if edit.value is None else edit.value
                values = (*schedule.values[:index], knob.check(value), *schedule.values[index + 1 :])
                return Schedule(schedule.variant, schedule.sketch, values)
        names = ", ".join(knob.name for knob in self.knobs(schedule)) or "none"
        raise IllegalEdit(f"there is no knob {edit.knob!r}; there are {names}")


class ToyScorer:
    """The true latency, blurred: off by a factor that is fixed for each schedule, at most ``blur``."""

    def __init__(self, space: ToySpace, blur: float = 1.3) -> None:
        self._space = space
        self._blur = blur
        self.version = "toy"

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """Implements :class:`~colt.search.types.Scorer`."""
        return [self._space.latency_us(schedule) * self._factor(schedule) for schedule in schedules]

    def _factor(self, schedule: Schedule) -> float:
        mixed = 0
        for value in schedule.values:
            parts = value if isinstance(value, tuple) else (len(value) if isinstance(value, str) else value,)
            for part in parts:
                mixed = (mixed * 1_000_003 + part * 7919 + 12345) & 0xFFFFFFFF
        return float(self._blur ** (2.0 * mixed / 0xFFFFFFFF - 1.0))


def _octaves(value: int, best: int) -> float:
    return abs(math.log2(value / best))


def _register_tile(values: Sequence[Value]) -> int:
    rows, columns = values[0], values[1]
    assert isinstance(rows, tuple)
    assert isinstance(columns, tuple)
    return rows[-1] * columns[-1]
