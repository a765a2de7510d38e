"""A toy space of many structures, each with one knob: good ones are 1.25 times as fast as the first at their best, and
slower at their worst; bad ones are never as fast.

The latency of schedule ``k`` of a structure is the structure's own times ``1 + |k - BEST| / 10``. Moves multiply it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from colt.errors import IllegalEdit
from colt.knobs import CategoryKnob, Edit, Jump, Knob, Schedule, Sketch, Transformation
from colt.moves import Move, read_structure, show_move, structure_name
from colt.options import SearchConfig
from colt.proposers.desk import Desk
from colt.proposers.dispatcher import Dispatcher
from colt.proposers.experts.routing import next_member
from colt.proposers.experts.tuner import Tuner
from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest, ReplySchema
from colt.proposers.language.node import RunFacts
from colt.search.search import Search
from colt.search.types import AppliedSchedule, MemberSpec, Observation, Proposal
from colt.util.clock import Stopwatch
from tests.helpers.toyworld import measure
from tests.helpers.virtual_desk import TRIAL_S, VirtualDesk

VALUES, BEST, WORST = tuple(range(24)), 8, 23
FIRST = "first"
GOOD, BAD = 100, 100
"""How many structures there are of each kind."""


class ManyStructures:
    """Implements :class:`~colt.search.types.Space`."""

    def __init__(self, moves: Mapping[str, float] | None = None) -> None:
        """``moves`` can be made on every structure; each makes it take so many times as long."""
        self.moves = dict(moves or {})
        names = [FIRST, *(f"good-{n}" for n in range(GOOD)), *(f"bad-{n}" for n in range(BAD))]
        self.untuned = Schedule("plain", "untuned", ())
        self.sketches: Sequence[Sketch] = tuple(
            Sketch("plain", name, "", (CategoryKnob("k", "root", "nothing", VALUES),)) for name in names
        )
        self._names = set(names)

    def allow(self, names: Sequence[str]) -> None:
        """Let there be structures of these names, too."""
        self._names.update(names)

    def at(self, name: str, value: int) -> Schedule:
        return Schedule("plain", name, (value,))

    def latency_us(self, schedule: Schedule) -> float:
        if schedule == self.untuned:
            return 10_000.0
        sketch, moves = read_structure(schedule.sketch)
        kind, _, _ = sketch.partition("-")
        own = {FIRST: 1000.0, "good": 800.0, "bad": 1200.0}[kind]
        own *= math.prod(self.moves.get(show_move(move), 1.0) for move in moves)
        (value,) = schedule.values
        assert isinstance(value, int)
        return own * (1 + abs(value - BEST) / 10)

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        return () if schedule == self.untuned else self.sketches[0].knobs

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        return self.at((sketch or self.sketches[0]).name, rng.choice(VALUES))

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        sketch, moves = read_structure(schedule.sketch)
        known = sketch in self._names and all(show_move(move) in self.moves for move in moves)
        if schedule != self.untuned and schedule.sketch not in self._names and not known:
            raise IllegalEdit(f"there is no sketch {schedule.sketch}")
        return AppliedSchedule(schedule)

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        for step in transformation:
            if isinstance(step, Jump):
                schedule = self.at(step.sketch, WORST)
            elif isinstance(step, Move):
                schedule = replace(schedule, sketch=structure_name(schedule.sketch, [step]))
            else:
                value = rng.choice(VALUES) if step.value is None else step.value
                schedule = Schedule(schedule.variant, schedule.sketch, (value,))
        return self.realise(schedule)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return schedule if schedule == self.untuned else self.at(schedule.sketch, rng.choice(VALUES))

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        return (Jump("plain", FIRST),) if schedule == self.untuned else (Edit("k", rng.choice(VALUES)),)


class Brings:
    """A scripted language model that answers every question with the next structure of its kind, at that value of the
    knob. It names the member to go on by the records, as the experts do.
    """

    def __init__(self, spec: MemberSpec, kind: str, value: int) -> None:
        self.spec = spec
        self._kind = kind
        self._value = value
        self._given = 0

    def request(self, observation: Observation, facts: RunFacts) -> ChatRequest:
        return ChatRequest("", "", ReplySchema("nothing", {}))

    def read(self, call: Call, observation: Observation) -> Proposal:
        numbers = range(self._given, self._given + observation.proposals_wanted)
        self._given += observation.proposals_wanted
        steps = tuple((Jump("plain", f"{self._kind}-{n % GOOD}"), Edit("k", self._value)) for n in numbers)
        return Proposal(steps, next_member(observation, random.Random(observation.seed)))


class ExactScorer:
    """Predicts what is true."""

    version = "exact"

    def __init__(self, space: ManyStructures) -> None:
        self._space = space

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [self._space.latency_us(schedule) for schedule in schedules]


FINDS, POLISHES = MemberSpec("finds", 70.0), MemberSpec("polishes", 70.0)
"""One brings good structures at their worst value, the other bad ones at their best."""


class StructureRun:
    """A search of that space by these two models, and by the tuner in the time between their answers."""

    def __init__(self, trials: int, seed: int = 0, **settings: Any) -> None:
        self.space, self.trials = ManyStructures(), trials
        scorer, specs = ExactScorer(self.space), (FINDS, POLISHES)
        base = {"root_width": 1, "model_openings": 0, "proposals_per_call": 1, "batch_size": 4}
        self.search = Search(
            self.space,
            scorer,
            specs,
            SearchConfig.preset("models", **(base | settings)),
            seed=seed,
            trials_total=trials,
            models=[spec.name for spec in specs],
        )
        self.search.open([(self.space.at(FIRST, WORST), "sampled")], self.space.latency_us(self.space.untuned))
        self.desk = VirtualDesk(delays=lambda model: 2 * TRIAL_S, seed=seed)
        self.desk.answers = {spec.name: "said" for spec in specs}
        models: Any = {FINDS.name: Brings(FINDS, "good", WORST), POLISHES.name: Brings(POLISHES, "bad", BEST)}
        self.dispatcher = Dispatcher(
            self.search,
            Desk({}, models, self.desk, {spec.name: 2 for spec in specs}, Stopwatch()),
            [Tuner(self.space, scorer, MemberSpec("tuner", 8.0, nominal=True))],
            trials_total=trials,
        )

    def finish(self) -> StructureRun:
        """All trials."""
        while self.search.trials.charged < self.trials:
            self.dispatcher.settle()
            self.dispatcher.send(4)
            for trial in self.dispatcher.pick(4):
                self.desk.now += TRIAL_S
                self.search.tell([measure(self.space, trial)])
        return self
