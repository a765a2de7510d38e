"""Scripted proposers, toy hardware and a tiny space: a world in which every run can be told in advance."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from colt.errors import IllegalEdit, Rejected
from colt.events import Event
from colt.knobs import CategoryKnob, Edit, Jump, Knob, Schedule, Sketch, Transformation, Value
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.search.search import Search
from colt.search.toy import ToySpace
from colt.search.tree import Node
from colt.search.types import (
    AppliedSchedule,
    MemberSpec,
    Observation,
    Proposal,
    ProposalError,
    Proposer,
    Scorer,
    Space,
    Trial,
)

SMALL, MIDDLE, LARGE = MemberSpec("small", 7.0), MemberSpec("middle", 32.0), MemberSpec("large", 400.0)
MEMBERS = (SMALL, MIDDLE, LARGE)
UNTUNED_US = 12_800.0

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class BestOf:
    """A member of skill ``tries``: of so many random legal edits it proposes those that the scorer likes best.

    ``error_rate`` is the share of calls with no answer, of calls with an illegal edit, and of calls that name a next
    member outside the pool, each.
    """

    spec: MemberSpec
    space: Space
    scorer: Scorer
    tries: int
    error_rate: float = 0.0

    def propose(self, observation: Observation) -> Proposal:
        rng = random.Random(f"{self.spec.name}/{observation.seed}")
        fate, name = rng.random(), rng.random()
        if fate < self.error_rate:
            raise ProposalError("out of words")
        names = [member.spec.name for member in observation.members]
        next_member = "nobody" if name < self.error_rate else rng.choice(names)
        if fate < 2 * self.error_rate:
            return Proposal(((Edit("no such knob", 1),),), next_member)
        ranked = self._ranked(observation, rng)
        return Proposal(tuple(ranked[: observation.proposals_wanted]), next_member, f"best of {self.tries}")

    def _ranked(self, observation: Observation, rng: random.Random) -> list[Transformation]:
        schedule = observation.node.schedule
        known = {view.schedule for view in (observation.node, *observation.ancestors, *observation.tried)}
        found: dict[Schedule, Transformation] = {}
        drawn: Transformation = ()
        for _ in range(self.tries * observation.proposals_wanted):
            drawn = self.space.random_transformation(schedule, rng)
            try:
                applied = self.space.apply(schedule, drawn, rng)
            except (IllegalEdit, Rejected):
                continue
            if applied.schedule not in known:
                found.setdefault(applied.schedule, drawn)
        if not found:
            return [drawn]
        predicted = self.scorer.predict(list(found))
        return [found[schedule] for _, schedule in sorted(zip(predicted, found, strict=True), key=lambda pair: pair[0])]


def graded_pool(space: Space, scorer: Scorer, error_rate: float = 0.0) -> dict[str, Proposer]:
    """Three members, the larger the more skilled."""
    tries = {SMALL: 1, MIDDLE: 3, LARGE: 12}
    return {spec.name: BestOf(spec, space, scorer, tries[spec], error_rate) for spec in MEMBERS}


def speak(pool: dict[str, Proposer]) -> Callable[[Observation], Proposal]:
    """Whom the observation names, answers."""
    return lambda observation: pool[observation.acting.name].propose(observation)


def measure(space: TrueSpace, trial: Trial, crash_share: float = 0.0) -> Measurement:
    """Toy hardware: the true latency, or a crash for a fixed share of schedules."""
    if zlib.crc32(repr(trial.schedule).encode()) % 1000 < 1000 * crash_share:
        return Measurement(trial.id, Fate.CRASH, None, message="boom")
    return Measurement(trial.id, Fate.OK, space.latency_us(trial.schedule), 0.1)


def sampled(space: Space, count: int, seed: int = 0) -> Iterator[tuple[Schedule, str]]:
    """Openings by sampling."""
    rng = random.Random(seed)
    while count:
        try:
            yield space.sample(rng), "sampled"
        except Rejected:
            continue
        count -= 1


class TrueSpace(Space, Protocol):
    """A space that knows its schedules' latencies."""

    def latency_us(self, schedule: Schedule) -> float: ...


class VersionedScorer:
    """The true latency, off by a factor that is fixed for each schedule and version.

    :meth:`advance` makes a new version, whose predictions are all different.
    """

    def __init__(self, space: TrueSpace, blur: float = 1.3) -> None:
        self._space = space
        self._blur = blur
        self._number = 1
        self._cache: dict[Schedule, float] = {}

    @property
    def version(self) -> str:
        return f"v{self._number}"

    def advance(self) -> None:
        self._number += 1
        self._cache.clear()

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [self._predicted(schedule) for schedule in schedules]

    def _predicted(self, schedule: Schedule) -> float:
        if schedule not in self._cache:
            chance = zlib.crc32(repr(schedule).encode(), self._number) / 0xFFFFFFFF
            factor = self._blur ** (2.0 * chance - 1.0)
            self._cache[schedule] = self._space.latency_us(schedule) * factor * self._number
        return self._cache[schedule]


@dataclass
class World:
    """One search of a toy space with everything it emitted."""

    config: SearchConfig = field(default_factory=SearchConfig)
    members: Sequence[MemberSpec] = MEMBERS
    seed: int = 0
    space: TrueSpace = field(default_factory=lambda: ToySpace(32))
    openings: int = 32
    error_rate: float = 0.0
    blur: float = 1.3

    def __post_init__(self) -> None:
        self.scorer = VersionedScorer(self.space, self.blur)
        self.events: list[Event] = []
        self.search = Search(
            self.space, self.scorer, self.members, self.config, seed=self.seed, emit=self.events.append
        )
        if self.openings:
            self.search.open(sampled(self.space, self.openings, self.seed), self.space.latency_us(self.space.untuned))
        self.pool = graded_pool(self.space, self.scorer, self.error_rate)

    @property
    def nodes(self) -> list[Node]:
        return self.search.tree.nodes

    @property
    def root(self) -> Node:
        return self.search.tree.root

    def propose(self, observation: Observation) -> Proposal:
        return speak(self.pool)(observation)

    def propose_as(self, observation: Observation) -> Proposal:
        """Whoever is asked, strangers included."""
        return self.pool.get(observation.acting.name, self.pool["small"]).propose(observation)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def tell_all(self, trials: Iterable[Trial], crash_share: float = 0.0) -> None:
        self.search.tell(measure(self.space, trial, crash_share) for trial in trials)


class LineSpace:
    """``size`` schedules in one sketch, one knob: small enough to be exhausted.

    The latency of schedule ``k`` is ``latencies[k]``, or ``100 + k`` µs; the values in ``rejected`` give no program.
    """

    def __init__(self, size: int, latencies: dict[int, float] | None = None, rejected: frozenset[int] = frozenset()):
        self.sketches: Sequence[Sketch] = (
            Sketch("plain", "line", "one knob", (CategoryKnob("k", "root", "nothing", tuple(range(size))),)),
        )
        self.untuned = Schedule("plain", "untuned", ())
        self._latencies = latencies or {}
        self._rejected = rejected

    def at(self, value: int) -> Schedule:
        return Schedule("plain", "line", (value,))

    def latency_us(self, schedule: Schedule) -> float:
        if schedule == self.untuned:
            return 1000.0
        (value,) = schedule.values
        assert isinstance(value, int)
        return self._latencies.get(value, 100.0 + value)

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        return () if schedule == self.untuned else self.sketches[0].knobs

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        return self.realise(self.at(rng.choice(self._values()))).schedule

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        if schedule == self.untuned:
            return AppliedSchedule(schedule)
        if (schedule.variant, schedule.sketch) != ("plain", "line") or len(schedule.values) != 1:
            raise IllegalEdit(f"there is no schedule {schedule.sketch}")
        value = self.sketches[0].knobs[0].check(schedule.values[0])
        if value in self._rejected:
            raise Rejected("no program")
        return AppliedSchedule(self.at(int(str(value))))

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        for step in sorted(transformation, key=lambda step: isinstance(step, Edit)):
            if isinstance(step, Jump):
                if (step.variant, step.sketch) != ("plain", "line"):
                    raise IllegalEdit(f"there is no sketch {step.sketch}")
                schedule = self.at(rng.choice(self._values()))
            elif schedule == self.untuned or step.knob != "k":
                raise IllegalEdit(f"there is no knob {step.knob}")
            else:
                value = rng.choice(self._others(schedule)) if step.value is None else step.value
                schedule = Schedule("plain", "line", (value,))
        return self.realise(schedule)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return (
            schedule if schedule == self.untuned else Schedule("plain", "line", (rng.choice(self._others(schedule)),))
        )

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        if schedule == self.untuned:
            return (Jump("plain", "line"),)
        return (Edit("k", rng.choice(self._others(schedule))),)

    def _values(self) -> tuple[int, ...]:
        knob = self.sketches[0].knobs[0]
        assert isinstance(knob, CategoryKnob)
        return knob.candidates

    def _others(self, schedule: Schedule) -> list[Value]:
        return [value for value in self._values() if (value,) != schedule.values] or [*schedule.values]


LINE = SearchConfig.preset(root_width=1, branching=64, widening_coefficient=0.0, rollouts=0)
"""One opening, and room enough below it that every iteration goes there."""


def line_world(
    config: SearchConfig = LINE,
    members: Sequence[MemberSpec] = (SMALL, LARGE),
    openings: Sequence[int] = (50,),
    **latencies: float,
) -> World:
    """A line of 100 schedules with an exact scorer, and as opening number 50 (150 µs): node 1, the small member's.

    ``latencies`` holds those that are not 100 µs plus the number: ``at_60=150.0``.
    """
    known = {int(name.removeprefix("at_")): latency for name, latency in latencies.items()}
    space = LineSpace(100, known)
    world = World(config, members, space=space, openings=0, blur=1.0)
    world.search.open([(space.at(value), "sampled") for value in openings], 1000.0)
    return world


def to(*values: int, then: str = "small") -> Proposal:
    """The proposal to go to these numbers of the line."""
    return Proposal(tuple((Edit("k", value),) for value in values), then)


ILLEGAL = Proposal(((Edit("no such knob", 1),),), "small")
