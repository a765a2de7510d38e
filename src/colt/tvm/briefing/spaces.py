"""The sketches of a space in words, and the briefing as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from colt.analysis.bounds import BlockTime, block_times, corrected
from colt.analysis.processor import Machine
from colt.errors import Rejected
from colt.knobs import CategoryKnob, Knob, LocationKnob, Schedule, TileKnob
from colt.machine import Hardware
from colt.moves import is_moved
from colt.proposers.language.prompt import Profile
from colt.search.structures import structure_of
from colt.tvm.briefing.equations import calls, equations
from colt.tvm.briefing.families import SketchFamily
from colt.tvm.briefing.machine import machine
from colt.tvm.briefing.nests import inlined, nests, nests_as_they_are, padding
from colt.tvm.briefing.shares import shares_in_words
from colt.tvm.cost.scorer import machine_of
from colt.tvm.programs.constants import constants_of
from colt.tvm.programs.source import Program
from colt.tvm.sketches.structured.designs import TILES
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.space import TvmSpace
from colt.tvm.vector_math import FUNCTIONS
from colt.util.text import to_three_digits

_ABOUT_TILES = (
    "AMX has eight registers, each a tile of 16 rows x 64 bytes. An instruction multiplies a tile of 16 rows of terms "
    "by one of 16 columns and adds to a tile of 16 x 16 sums. A register tile has up to 4 tiles of sums."
)
_PLACES = ".at: where a block is computed, which is root, inline (at each use), or a loop of its consumer"
IN_FULL = 12
"""How many sketches are described in full; the others get a line each."""


@dataclass(frozen=True, slots=True)
class TvmBriefing:
    """What a prompt says about a job, the same in every call. Implements
    :class:`colt.proposers.language.prompt.Briefing`."""

    machine: str
    program: str
    sketches: str
    keys: tuple[tuple[str, str], ...]
    labels: dict[tuple[str, str], str]
    """How each sketch of a family differs from the others, by variant and name."""
    flops: int | None
    applies_sketches: bool
    _space: TvmSpace = field(repr=False, compare=False)
    _machine: Machine = field(repr=False, compare=False)
    _in_full: frozenset[tuple[str, str]] = frozenset()
    """The sketches whose knobs the prompt describes."""

    def knobs(self, variant: str, sketch: str) -> tuple[Knob, ...]:
        """The knobs of that sketch; location knobs list no locations. Raises :class:`~colt.errors.IllegalEdit`."""
        return self._space.plans.find(variant, sketch).knobs

    def nest(self, schedule: Schedule) -> Sequence[str]:
        """The loops of a schedule as they will run, a line for each block."""
        space = self._space
        if schedule == space.untuned or is_moved(schedule.sketch):
            try:
                return space.nests(schedule)
            except Rejected as error:
                return (str(error),)
        knobs = space.plans.find(schedule.variant, schedule.sketch).knobs if schedule.values else ()
        return nests_as_they_are(space.skeleton(space.untuned), space.skeleton(schedule), knobs, schedule.values)

    def unfolded(self, schedule: Schedule) -> str:
        """The knobs of a schedule's sketch, of locations what they are, if the prompt does not describe them for all
        calls; else empty."""
        key = schedule.variant, schedule.sketch
        if not schedule.values or key in self._in_full:
            return ""
        knobs = self.knobs(*key)
        told = [_knob(knob) for knob in knobs if not isinstance(knob, LocationKnob)]
        return "; ".join([*told, _PLACES] if len(told) < len(knobs) else told)

    def time(self, schedule: Schedule, measured_us: float | None, profile: Profile | None = None) -> str:
        """Where the time of a schedule goes, by block, and what bounds each: as predicted, corrected by the profile of
        a schedule of the same structure, and scaled to what was measured."""
        times = self._block_times(schedule)
        if profile is None or structure_of(profile.schedule) != structure_of(schedule):
            return shares_in_words(times, measured_us)
        of_profiled = self._block_times(profile.schedule)
        return shares_in_words(times, measured_us, corrected(times, profile.parts, of_profiled))

    def _block_times(self, schedule: Schedule) -> list[BlockTime]:
        return block_times(self._space.skeleton(schedule), schedule.values, self._machine)

    def label(self, variant: str, sketch: str) -> str:
        """How that sketch differs from its family, in a few words; empty if it is described in full."""
        return self.labels.get((variant, sketch), "")


def brief(
    space: TvmSpace, program: Program, hardware: Hardware, threads: int, *, vector_math: bool, cold: bool = False
) -> TvmBriefing:
    """Describe a job. Generates the sketches that it describes in full, and some of the others. ``cold``: timed runs
    find their weights in memory."""
    writer = _Writer(space)
    text = "\n".join(writer.lines())
    return TvmBriefing(
        machine(hardware, threads),
        _program(program, hardware, vector_math, cold),
        text,
        tuple(space.plans.keys),
        writer.labels,
        program.flops,
        space.applies_sketches,
        space,
        machine_of(hardware, threads),
        frozenset(writer.in_full),
    )


def _origin(program: Program, hardware: Hardware, cold: bool) -> str:
    """Where the arguments are when a timed run begins."""
    if cold:
        return "runs take turns with copies of the weights, which come from memory"
    fits = program.min_bytes <= hardware.last_level_cache.bytes
    return (
        "repeated runs find the arguments in the last cache"
        if fits
        else "larger than the last cache: the arguments come from memory"
    )


def _program(program: Program, hardware: Hardware, vector_math: bool, cold: bool) -> str:
    lines = [equations(program.module)]
    facts = [f"{program.name}: {program.min_bytes / 1e6:.3g} MB in and out"]
    if program.flops:
        peak = hardware.peaks.fma_gflops_all_threads
        facts.append(
            f"{program.flops / 1e9:.3g} GFLOP"
            + (f" ({to_three_digits(program.flops / peak / 1e3)} us at the peak)" if peak else "")
        )
    facts.append(_origin(program, hardware, cold))
    if constant := constants_of(program.module["main"]):
        facts.append(f"constant, so packed ahead for nothing: {', '.join(constant)}")
    for name in sorted(calls(program.module)):
        fast = vector_math and name in FUNCTIONS
        facts.append(
            f"{name} takes about {FUNCTIONS[name].slots:.0f} instructions a vector"
            if fast
            else f"{name} is a scalar library call per element"
        )
    return "\n".join([", ".join(facts), *lines])


@dataclass(frozen=True, slots=True)
class _Told:
    """A sketch that has been described in full: the lines of its nests, and its knobs in words."""

    key: str
    lines: tuple[str, ...]
    knobs: tuple[str, ...]

    def differs(self, other: _Told) -> list[str] | None:
        """The lines in which ``other`` differs; ``None`` if its blocks are other ones, or if too many lines differ."""
        if [_subject(line) for line in self.lines] != [_subject(line) for line in other.lines]:
            return None
        changed = [new.strip() for old, new in zip(self.lines, other.lines, strict=True) if old != new]
        return changed if 2 * len(changed) <= len(self.lines) and set(self.knobs) <= set(other.knobs) else None


def _without_repeats(new: _Told, told: Sequence[_Told]) -> Iterator[str]:
    """The lines of a sketch. Lines in a row that an earlier one has as well are one, if that is shorter."""
    place = 0
    while place < len(new.lines):
        count, key = max(((_common(new.lines[place:], one.lines), one.key) for one in told), default=(0, ""))
        same = new.lines[place : place + count]
        indent = " " * (count and len(same[0]) - len(same[0].lstrip()))
        ends = [_subject(line.strip()).removesuffix(":") for line in (*same[:1], *same[1:][-1:])]
        brief = f"{indent}{' to '.join(ends)}: as in {key}"
        if count and len(brief) < len("\n".join(same)):
            yield brief
            place += count
        else:
            yield new.lines[place]
            place += 1


def _common(lines: Sequence[str], others: Sequence[str]) -> int:
    """How many of the first lines stand in ``others`` in a row."""
    starts = (number for number, line in enumerate(others) if line == lines[0])
    return max((_same(lines, others[start:]) for start in starts), default=0)


def _same(lines: Sequence[str], others: Sequence[str]) -> int:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(lines, others, strict=False))
    return sum(1 for _ in pairs)


def _subject(line: str) -> str:
    return line if line.startswith("parallel") else line.partition(":")[0].partition(" (")[0]


@dataclass(slots=True)
class _Writer:
    space: TvmSpace
    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[_Told] = field(default_factory=list)
    in_full: set[tuple[str, str]] = field(default_factory=set)
    """The sketches whose knobs are described."""

    def lines(self) -> Iterator[str]:
        plans = self.space.plans
        choices = plans.choices()
        own = [number for number in range(len(plans)) if number not in choices]
        if any(variant == TILES for variant, _ in plans.keys):
            yield _ABOUT_TILES
        for number in own[:IN_FULL]:
            yield from self._in_full(plans[number])
        for number in own[IN_FULL:]:
            yield f"{'/'.join(plans.keys[number])}: {plans.summary(number)}"
        variants = dict.fromkeys(plans.keys[number][0] for number in choices)
        for place, variant in enumerate(variants):
            numbers = [number for number in choices if plans.keys[number][0] == variant]
            if own:
                yield self._in_short(numbers)
                continue
            family = SketchFamily.of([plans.keys[n][1] for n in numbers], [choices[n] for n in numbers])
            yield from self._family(variant, family, numbers, with_rules=place == 0)

    def _in_short(self, numbers: Sequence[int]) -> str:
        """MetaSchedule's sketches of a variant, where there are better ones: at their nodes prompts tell the rest."""
        (variant, first), (_, last) = (self.space.plans.keys[number] for number in (numbers[0], numbers[-1]))
        more = f" to {last}" if len(numbers) > 1 else ""
        return f"## {variant}/{first}{more}: by MetaSchedule, more tile levels; knobs are told at their nodes"

    def _in_full(self, plan: SketchPlan) -> Iterator[str]:
        """The nests and knobs, or how they differ from those of an earlier sketch."""
        self.in_full.add((plan.variant, plan.name))
        new = _Told(f"{plan.variant}/{plan.name}", tuple(self._nests(plan)), tuple(_knob(knob) for knob in plan.knobs))
        base = next((one for one in self.told if one.differs(new)), None)
        if base is None:
            yield f"## {new.key}"
            yield from _without_repeats(new, self.told)
            self.told.append(new)
            yield "Knobs: " + "; ".join(new.knobs)
        else:
            yield f"## {new.key}: as {base.key}, but"
            yield from base.differs(new) or ()
            yield "Knobs: " + "; ".join([f"those of {base.key}", *(k for k in new.knobs if k not in base.knobs)])

    def _nests(self, plan: SketchPlan) -> Iterator[str]:
        skeleton = self.space.skeleton(Schedule(plan.variant, plan.name, plan.first))
        untuned = self.space.skeleton(self.space.untuned)
        yield from nests(untuned, skeleton, plan.knobs)
        if padded := padding(untuned, skeleton):
            yield "padded: " + ", ".join(padded)
        if inside := inlined(untuned, skeleton):
            yield "inlined: " + ", ".join(f"{block} into {consumer}" for block, consumer in inside.items())

    def _family(self, variant: str, family: SketchFamily, numbers: Sequence[int], *, with_rules: bool) -> Iterator[str]:
        """A whole family: the nests of its first sketch, the choices, and the knobs."""
        plans = self.space.plans
        first, last = family.names[0], family.names[-1]
        yield f"## {variant}/{first}" + (f" to {last}" if len(numbers) > 1 else "") + ": by MetaSchedule"
        plan = plans[numbers[0]]
        skeleton = self.space.skeleton(Schedule(plan.variant, plan.name, plan.first))
        if with_rules:
            yield _rules(skeleton.max_parallel, skeleton.max_vector)
        if len(numbers) > 1:
            yield f"Nests of {first}:"
        yield from self._nests(plan)
        yield from family.lines()
        self.in_full |= {plans.keys[n] for n in numbers}
        self.labels |= {plans.keys[n]: family.label(place) for place, n in enumerate(numbers)}
        yield "Knobs: " + "; ".join(self._knobs_of(family, numbers))

    def _knobs_of(self, family: SketchFamily, numbers: Sequence[int]) -> Iterator[str]:
        """The knobs of all sketches of a family. A knob that only some have is followed by which ones."""
        examples = family.examples()
        having: dict[str, dict[int, str]] = {}
        for place in examples:
            for knob in self.space.plans[numbers[place]].knobs:
                having.setdefault(knob.name, {})[place] = _knob(knob)
        for of in having.values():
            first, *others = dict.fromkeys(of.values())
            text = " or ".join([first, *(one.rpartition(" ")[2] for one in others)])
            yield text if len(of) == len(examples) else f"{text} ({family.choice_of(of, examples)})"


def _rules(max_parallel: int, max_vector: int) -> str:
    return (
        f"Outer loops are fused from the left until a `[`, a `{{` or more than {max_parallel} iterations, and run in "
        f"parallel. Inner loops of up to {max_vector} elements become a vector if contiguous. Bodies of at most "
        "`unroll` steps (a vector is one step) are unrolled."
    )


def _knob(knob: Knob) -> str:
    if isinstance(knob, TileKnob):
        limit = f" <={knob.max_innermost}" if knob.max_innermost < knob.extent else ""
        units = {"vectors of": "v", "register tiles of": " register tiles"}
        unit = next((unit for role, unit in units.items() if role in knob.roles[-1]), "")
        return f"{knob.name} {knob.extent}{unit} in {knob.parts}{limit}"
    if isinstance(knob, CategoryKnob):
        return f"{knob.name} one of {list(knob.candidates)}"
    assert isinstance(knob, LocationKnob)
    return f"{knob.name} in {knob.consumer or 'its consumer'}"
