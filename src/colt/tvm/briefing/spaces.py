"""The sketches of a space in words, and all of a job together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from colt.hardware import Hardware
from colt.knobs import CategoryKnob, Knob, LocationKnob, Schedule, TileKnob
from colt.tvm.briefing.equations import calls, equations
from colt.tvm.briefing.families import Family
from colt.tvm.briefing.machine import machine
from colt.tvm.briefing.nests import inlined, nests
from colt.tvm.plans import Plan, Plans
from colt.tvm.source import Program
from colt.tvm.space import TvmSpace
from colt.tvm.vector_math import FUNCTIONS

IN_FULL = 8
"""Sketches that are described one by one; of more a line each."""
LISTED = 6
"""MetaSchedule's sketches up to this number have a line each; of more the choices are told."""
_VECTORS = re.compile(r"vectors of \d+")


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a prompt says of a job, the same in every call. Satisfies :class:`colt.pool.prompt.Briefing`."""

    machine: str
    program: str
    sketches: str
    keys: tuple[tuple[str, str], ...]
    labels: dict[tuple[str, str], str]
    """What sets apart the sketches that are told as choices."""
    flops: int | None
    _plans: Plans = field(repr=False, compare=False)

    def knobs(self, variant: str, sketch: str) -> tuple[Knob, ...]:
        """The knobs of that sketch; those of locations list none. Raises :class:`~colt.errors.IllegalEdit`."""
        return self._plans.find(variant, sketch).knobs

    def label(self, variant: str, sketch: str) -> str:
        """What sets that sketch apart, in a few words; nothing if it is described in full."""
        return self.labels.get((variant, sketch), "")


def brief(space: TvmSpace, program: Program, hardware: Hardware, threads: int, *, vector_math: bool) -> Briefing:
    """Describe a job. Works out the sketches that it shows in full, and some of the others."""
    writer = _Writer(space)
    text = "\n".join(writer.lines())
    return Briefing(
        machine(hardware, threads),
        _program(program, hardware, vector_math),
        text,
        tuple(space.plans.keys),
        writer.labels,
        program.flops,
        space.plans,
    )


def _program(program: Program, hardware: Hardware, vector_math: bool) -> str:
    lines = [equations(program.module)]
    facts = [f"{program.name}: {program.min_bytes / 1e6:.3g} MB in and out"]
    if program.flops:
        facts.append(f"{program.flops / 1e9:.4g} GFLOP")
        if peak := hardware.peaks.fma_gflops_all_threads:
            facts.append(f"{program.flops / peak / 1e3:.4g} us at the peak")
    for name in sorted(calls(program.module)):
        fast = vector_math and name in FUNCTIONS
        facts.append(
            f"{name} runs in vectors, about {FUNCTIONS[name].slots:.0f} instructions each"
            if fast
            else f"{name} is a scalar library call for each element"
        )
    return "\n".join([", ".join(facts), *lines])


@dataclass(slots=True)
class _Writer:
    space: TvmSpace
    labels: dict[tuple[str, str], str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        plans = self.space.plans
        choices = plans.choices()
        own = [number for number in range(len(plans)) if number not in choices]
        for number in own[:IN_FULL]:
            yield from self._in_full(plans[number], plans.summary(number))
        for number in own[IN_FULL:]:
            yield f"{'/'.join(plans.keys[number])}: {plans.summary(number)}"
        for variant in dict.fromkeys(plans.keys[number][0] for number in choices):
            numbers = [number for number in choices if plans.keys[number][0] == variant]
            family = Family.of([plans.keys[n][1] for n in numbers], [choices[n] for n in numbers])
            yield from self._family(variant, family, numbers)

    def _in_full(self, plan: Plan, summary: str) -> Iterator[str]:
        yield f"## {plan.variant}/{plan.name}: {summary}"
        yield from self._nests(plan)
        yield _knob_line(plan.knobs)

    def _nests(self, plan: Plan) -> Iterator[str]:
        skeleton = self.space.skeleton(Schedule(plan.variant, plan.name, plan.first))
        yield from nests(skeleton, plan.knobs)
        inside = inlined(self.space.skeleton(self.space.untuned), skeleton)
        if inside:
            yield "inlined: " + ", ".join(f"{block} into {consumer}" for block, consumer in inside.items())

    def _family(self, variant: str, family: Family, numbers: Sequence[int]) -> Iterator[str]:
        """All members at once: nests of the first, choices, and the knobs that some of them have."""
        plans = self.space.plans
        first, last = family.names[0], family.names[-1]
        title = f"{variant}/{first}" + (f" to {last}" if len(numbers) > 1 else "")
        yield f"## {title}: MetaSchedule's, each block in a nest of its own"
        plan = plans[numbers[0]]
        skeleton = self.space.skeleton(Schedule(plan.variant, plan.name, plan.first))
        yield _rules(skeleton.max_parallel, skeleton.max_vector)
        yield f"Nests of {first}:"
        yield from self._nests(plan)
        if len(numbers) <= LISTED:
            for name, number in zip(family.names, numbers, strict=True):
                yield f"{name}: {plans.summary(number)}"
        else:
            yield from family.lines()
            self.labels |= {plans.keys[n]: family.label(place) for place, n in enumerate(numbers)}
        union: dict[str, Knob] = {}
        for place in family.examples():
            for knob in plans[numbers[place]].knobs:
                union.setdefault(knob.name, knob)
        yield _knob_line(list(union.values()))


def _rules(max_parallel: int, max_vector: int) -> str:
    return (
        f"Outer loops of a nest are fused from the left and run in parallel while that makes at most {max_parallel} "
        f"iterations; the innermost is vectorised if contiguous, up to {max_vector} elements; loops of at most "
        "`unroll` steps in all are unrolled, a vector statement being one step. Tile level n: the loops ending in _n-1."
    )


def _knob_line(knobs: Sequence[Knob]) -> str:
    return "Knobs: " + "; ".join(_knob(knob) for knob in knobs)


def _knob(knob: Knob) -> str:
    if isinstance(knob, TileKnob):
        limit = f", last <= {knob.max_innermost}" if knob.max_innermost < knob.extent else ""
        vectors = _VECTORS.search(knob.roles[-1])
        unit = f" {vectors.group()}" if vectors else ""
        return f"{knob.name} {knob.extent}{unit} in {knob.parts}{limit}"
    if isinstance(knob, CategoryKnob):
        return f"{knob.name} one of {list(knob.candidates)}"
    assert isinstance(knob, LocationKnob)
    return f"{knob.name} a loop of {knob.consumer or 'its consumer'}"
