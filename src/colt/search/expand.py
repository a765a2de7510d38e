"""Apply and score: from a joint action to scored children of a node (design, section 3, steps 3 to 5)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from colt import events
from colt.errors import IllegalEdit, Rejected
from colt.events import Emit
from colt.knobs import Schedule, Transformation
from colt.options import SearchConfig
from colt.search import policy
from colt.search.openings import most_diverse
from colt.search.pool import MemberRecord, Pool
from colt.search.tree import Facts, Node, Tree
from colt.search.types import NotAsked, Proposal, ProposalError, Scorer, Space, Ticket

RANDOM = "random"
"""Who makes the transformation that stands in for an unusable one."""


@dataclass(slots=True)
class Expansion:
    """The children that one proposal gave. ``credited``: they are the acting model's own, not a fallback's."""

    children: list[Node] = field(default_factory=list)
    credited: bool = False
    verdicts: list[str] = field(default_factory=list)

    def best(self) -> Node:
        """The child of the lowest prediction, the first of equals."""
        return min(self.children, key=lambda child: child.facts.predicted_us)

    def regressed(self, child: Node) -> bool:
        """Whether that child is worse than its parent."""
        return self.verdicts[self.children.index(child)] == "regression"


class Expander:
    """Makes children. Holds no state of its own beside what it was given."""

    def __init__(self, space: Space, scorer: Scorer, tree: Tree, pool: Pool, config: SearchConfig, emit: Emit) -> None:
        self._space = space
        self._scorer = scorer
        self._tree = tree
        self._pool = pool
        self._config = config
        self._emit = emit

    # ---- expanding by a proposal ----

    def expand(self, ticket: Ticket, node: Node, reply: Proposal | ProposalError, rng: random.Random) -> Expansion:
        """Children by the acting model, or by chance if it has no usable transformation; perhaps none at all."""
        record = None if ticket.feeding else self._pool.records[ticket.acting]
        if record is not None:
            record.calls += 1
        next_model = self._next_model(ticket, node, reply, record)
        outcome = self._by_proposal(ticket, node, reply, next_model, record, rng)
        if not outcome.children:
            if record is not None:
                record.fallbacks += 1
            outcome = self._by_chance(ticket, node, next_model, rng)
        if not outcome.children:
            node.dead_ends += 1
            self._tree.fail(node)
            self._emit(events.Failed(ticket.id, node.id, "no new legal schedule was found from here"))
        for child in outcome.children:
            outcome.verdicts.append(self._credit(child, record if outcome.credited else None))
        return outcome

    def alternative(
        self, ticket: Ticket, node: Node, reply: Proposal | ProposalError, rng: random.Random
    ) -> Node | None:
        """The largest model's own child of the same node in a course alteration, counted apart; ``None`` on failure."""
        if isinstance(reply, NotAsked):
            return None
        record = self._pool.records[ticket.acting]
        record.alterations += 1
        next_model = self._next_model(ticket, node, reply, record)
        for transformation in _alternatives(reply):
            try:
                child = self._make_child(ticket, node, transformation, ticket.acting, next_model, rng)
            except (IllegalEdit, Rejected) as error:
                self._unusable(ticket, record, str(error))
                continue
            child.alteration = True
            self._credit(child, None)
            return child
        if not _alternatives(reply):
            self._unusable(ticket, record, _why_none(reply))
        return None

    def _by_proposal(
        self,
        ticket: Ticket,
        node: Node,
        reply: Proposal | ProposalError,
        next_model: str,
        record: MemberRecord | None,
        rng: random.Random,
    ) -> Expansion:
        if not _alternatives(reply):
            self._unusable(ticket, record, _why_none(reply))
        outcome = Expansion(credited=record is not None)
        places = max(1, policy.room(node, self._config))
        for transformation in _alternatives(reply):
            if len(outcome.children) == places:
                break
            try:
                child = self._make_child(ticket, node, transformation, ticket.acting, next_model, rng)
            except (IllegalEdit, Rejected) as error:
                self._unusable(ticket, record, str(error))
            else:
                child.counted = record is not None
                outcome.children.append(child)
        return outcome

    def _by_chance(self, ticket: Ticket, node: Node, next_model: str, rng: random.Random) -> Expansion:
        for _ in range(self._config.fallback_tries):
            try:
                transformation = self._space.random_transformation(node.facts.schedule, rng)
                return Expansion([self._make_child(ticket, node, transformation, RANDOM, next_model, rng)])
            except (IllegalEdit, Rejected):
                continue
        return Expansion()

    def _make_child(
        self,
        ticket: Ticket,
        parent: Node,
        transformation: Transformation,
        by: str,
        next_model: str,
        rng: random.Random,
    ) -> Node:
        """Apply in the space. Raises :class:`IllegalEdit` or :class:`Rejected` if no new child comes of it."""
        applied = self._space.apply(parent.facts.schedule, transformation, rng)
        if self._tree.repeats(parent, applied.schedule):
            raise Rejected("the schedule equals this node, one tried from it before, or one that it came from")
        alias = applied.schedule in self._tree.facts
        child = self._tree.add(parent, self._tree.know(applied.schedule), by, next_model)
        child.transformation, child.notes = transformation, applied.notes
        self._emit(
            events.Applied(
                ticket.id,
                child.id,
                parent.id,
                by,
                next_model,
                transformation,
                applied.schedule,
                applied.notes,
                alias,
            )
        )
        self._roll_out(child, rng)
        return child

    # ---- the next model ----

    def _next_model(
        self, ticket: Ticket, node: Node, reply: Proposal | ProposalError, record: MemberRecord | None
    ) -> str:
        if ticket.feeding:
            return node.next_model
        if isinstance(reply, Proposal) and reply.next_model in self._pool.specs:
            return reply.next_model
        chosen = self._pool.fallback(ticket.acting)
        if isinstance(reply, Proposal) and record is not None:
            record.errors += 1
            record.fallbacks += 1
            reason = f"there is no model {reply.next_model!r} in the pool"
            self._emit(events.FellBack(ticket.id, ticket.acting, "next-model", reason))
        return chosen

    def _unusable(self, ticket: Ticket, record: MemberRecord | None, reason: str) -> None:
        if record is not None:
            record.errors += 1
        self._emit(events.FellBack(ticket.id, ticket.acting, "transformation", reason))

    # ---- scoring ----

    def predict(self, many: Sequence[Facts]) -> None:
        """Bring the predictions of these facts up to the scorer's present version."""
        version = self._scorer.version
        stale = [facts for facts in many if facts.scorer != version]
        if not stale:
            return
        for facts, predicted in zip(stale, self._scorer.predict([f.schedule for f in stale]), strict=True):
            facts.predicted_us, facts.scorer = predicted, version

    @property
    def scorer_version(self) -> str:
        """The version that predictions are made by at present."""
        return self._scorer.version

    def _roll_out(self, child: Node, rng: random.Random) -> None:
        """Predict the child and a few random legal edits of it, in one call of the scorer."""
        schedule = child.facts.schedule
        rollouts = [self._space.perturb(schedule, rng) for _ in range(self._config.rollouts)]
        version = self._scorer.version
        predicted = self._scorer.predict([schedule, *rollouts])
        child.facts.predicted_us, child.facts.scorer = predicted[0], version
        child.rollout_ratios = tuple(latency / predicted[0] for latency in predicted[1:])

    def _credit(self, child: Node, record: MemberRecord | None) -> str:
        """Score against the parent, and credit the model that made the child."""
        assert child.parent is not None
        outcome, measured = self.verdict(child.parent.facts, child.facts)
        if record is not None and not measured:
            record.predicted_hits += outcome == "hit"
            record.predicted_regressions += outcome == "regression"
        facts = child.facts
        value = self._tree.values.own(child)
        self._emit(events.Scored(child.id, facts.predicted_us, facts.scorer, value, outcome, measured))
        return outcome

    def verdict(self, parent: Facts, child: Facts) -> tuple[str, bool]:
        """``hit``, ``regression`` or ``even``, and whether it was judged by measurements (on both ends or none)."""
        if parent.measured_us is not None and child.measured_us is not None:
            return _compare(parent.measured_us, child.measured_us), True
        self.predict((parent, child))
        return _compare(parent.predicted_us, child.predicted_us), False

    def is_better(self, first: Node, second: Node) -> bool:
        """Whether the first is strictly better by the same judge on both sides."""
        return self.verdict(second.facts, first.facts)[0] == "hit"

    # ---- openings ----

    def best_openings(self, openings: Iterable[tuple[Schedule, str]]) -> list[tuple[Facts, str]]:
        """Rank distinct openings by the scorer and keep the ``root_width`` best that differ enough."""
        made_by: dict[Schedule, str] = {}
        for schedule, by in openings:
            made_by.setdefault(schedule, by)
        made_by.pop(self._tree.root.facts.schedule, None)
        if not made_by:
            return []
        predicted = self._scorer.predict(list(made_by))
        ranked = [schedule for _, _, schedule in sorted(zip(predicted, range(len(predicted)), made_by, strict=True))]
        chosen = most_diverse(ranked, self._config.root_width)
        return [(self._tree.know(schedule), made_by[schedule]) for schedule in chosen]

    def open_child(self, opening: tuple[Facts, str], next_model: str, rng: random.Random) -> Node:
        """Make a scored opening, visited once."""
        facts, by = opening
        node = self._tree.add(self._tree.root, facts, by, next_model)
        self._roll_out(node, rng)
        self._emit(events.Opened(node.id, facts.schedule, by, next_model, facts.predicted_us))
        return node


def _alternatives(reply: Proposal | ProposalError) -> tuple[Transformation, ...]:
    return () if isinstance(reply, ProposalError) else reply.transformations


def _why_none(reply: Proposal | ProposalError) -> str:
    return str(reply) if isinstance(reply, ProposalError) else "no transformation"


def _compare(parent_us: float, child_us: float) -> str:
    if child_us == parent_us:
        return "even"
    return "hit" if child_us < parent_us else "regression"
