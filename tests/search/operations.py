"""Random lives of a search: sequences of operations, and someone who carries them out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from colt.knobs import Edit
from colt.measure.base import Measurement
from colt.options import SearchConfig
from colt.search.search import answer
from colt.search.toy import ToySpace
from colt.search.types import NotAsked, Observation, Proposal, ProposalError, Ticket, Trial
from tests.search.toyworld import LineSpace, World, measure

CONFIGS = {
    "default": SearchConfig.preset(),
    "paper": SearchConfig.preset("paper"),
    "narrow": SearchConfig.preset(widening_coefficient=0.0, branching=2, root_width=3, dead_end_limit=2),
    "several": SearchConfig.preset(proposals_per_call=3, branching=3, alteration_period=1),
    "models": SearchConfig.preset(
        "models", proposals_per_call=2, root_width=4, model_openings=3, alteration_period=1, widening_coefficient=0.0
    ),
    "patient": SearchConfig.preset(alteration_period=3, rollouts=0, epsilon=0.5, widening_coefficient=2.0),
}

Operation = tuple[str, int]
KINDS = (
    "select",
    "select",
    "select",
    "commit",
    "commit",
    "commit",
    "commit",
    "withdraw",
    "stand_in",
    "feed",
    "ask",
    "tell",
    "again",
    "version",
)

operations = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99)), min_size=30, max_size=80)
worlds = st.tuples(st.sampled_from(sorted(CONFIGS)), st.sampled_from(["toy", "line", "tiny"]))
few = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Life:
    """A world, the tickets that are out, and the trials that are on the hardware."""

    world: World
    out: list[Ticket] = field(default_factory=list)
    asked: list[Trial] = field(default_factory=list)
    told: list[Measurement] = field(default_factory=list)
    selected: list[Ticket] = field(default_factory=list)

    def live(self, steps: list[Operation]) -> Life:
        for kind, number in steps:
            self.step(kind, number)
        return self

    def step(self, kind: str, number: int) -> None:
        getattr(self, kind)(number)

    # ---- operations ----

    def select(self, number: int) -> None:
        self._out(self.world.search.select())

    def feed(self, number: int) -> None:
        self._out(self.world.search.select(feeder="scout"))

    def stand_in(self, number: int) -> None:
        """One of the members is benched."""
        names = list(self.world.search.pool.specs)
        ticket = self.world.search.select(benched={names[number % len(names)]})
        assert ticket is None or ticket.acting != names[number % len(names)]
        self._out(ticket)

    def withdraw(self, number: int) -> None:
        """A member could not be asked."""
        if self.out:
            ticket = self.out[number % len(self.out)]
            if not ticket.feeding:
                self.out.remove(ticket)
                self.out += self.world.search.commit(ticket, NotAsked("benched"))

    def commit(self, number: int) -> None:
        """Answer any ticket that is out, not just the oldest."""
        if self.out:
            self.answer(self.out[number % len(self.out)])

    def ask(self, number: int) -> None:
        self.asked += self.world.search.ask(number % 4 + 1, lambda seen: self.propose(seen))

    def tell(self, number: int) -> None:
        """Some of the outstanding results, in some order, some of them crashes."""
        told = {result.trial for result in self.told}
        waiting = [trial for trial in self.asked if trial.id not in told]
        rng = random.Random(number)
        some = rng.sample(waiting, rng.randint(0, len(waiting)))
        results = [self.result(trial) for trial in some]
        self.told += results
        self.world.search.tell(results)

    def again(self, number: int) -> None:
        """Results that were told before."""
        rng = random.Random(number)
        self.world.search.tell(rng.choices(self.told, k=3) if self.told else [])

    def version(self, number: int) -> None:
        """The scorer learns."""
        if number % 3 == 0:
            self.world.scorer.advance()

    # ---- what the world answers ----

    def answer(self, ticket: Ticket) -> None:
        self.out.remove(ticket)
        reply = answer(self.propose, self.world.search.observe(ticket))
        self.out += self.world.search.commit(ticket, reply)

    def finish(self) -> None:
        """Answer everything that is out."""
        while self.out:
            self.answer(self.out[0])

    def propose(self, observation: Observation) -> Proposal:
        """By the observation alone: mostly usable, now and then not, of one to three alternatives."""
        rng = random.Random(f"life/{observation.acting.name}/{observation.seed}")
        kind = rng.randrange(12)
        if kind == 0:
            raise ProposalError("nothing comes to mind")
        space, schedule = self.world.space, observation.node.schedule
        drawn = [space.random_transformation(schedule, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        if kind == 1:
            drawn[0] = (Edit("no such knob", 1),)
        if kind == 2:
            drawn = []
        names = [member.spec.name for member in observation.members]
        return Proposal(tuple(drawn), rng.choice([*names, *names, "nobody"]))

    def result(self, trial: Trial) -> Measurement:
        return measure(self.world.space, trial, crash_share=0.2)

    def _out(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self.out.append(ticket)
            self.selected.append(ticket)


def life(world: tuple[str, str] = ("default", "toy"), seed: int = 0) -> Life:
    """The beginning of a life: in the toy space, in a line of six schedules, where everything is met again soon, or
    in one of three, which comes to its end."""
    config, space = world
    spaces = {"toy": ToySpace(32), "line": LineSpace(6), "tiny": LineSpace(3)}
    return Life(World(CONFIGS[config], seed=seed, openings=6, space=spaces[space]))


def tree(world: World) -> list[tuple[Any, ...]]:
    """The whole tree with everything in it, exactly."""
    return [
        (
            node.id,
            node.parent.id if node.parent else None,
            node.by,
            node.next_member,
            node.n,
            node.w,
            node.failed_visits,
            node.dead_ends,
            node.closed,
            node.pruned,
            node.held,
            node.counted,
            node.facts.schedule,
            node.facts.measured_us,
            node.facts.predicted_us,
            node.facts.trial,
            [child.id for child in node.children],
            [child.id for child in node.tried],
        )
        for node in world.nodes
    ]
