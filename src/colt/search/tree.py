"""The shared tree and everything else about a search that changes: nodes, facts, values, tickets in flight."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from colt.knobs import Schedule, Transformation
from colt.moves import is_moved
from colt.search.structures import NEAR, STALLED, Structure, StructureRecord, structure_of
from colt.search.types import AppliedSchedule, Proposal, ProposalError, Scorer, Ticket


@dataclass(slots=True, eq=False, repr=False)
class Facts:
    """What is known of one schedule, wherever in the tree it stands."""

    schedule: Schedule
    node: Node
    """The node that first held it."""
    measured_us: float | None = None
    """Latency in microseconds; ``inf`` for a trial that failed. Set by :meth:`colt.search.trials.Trials.refresh`."""
    predicted_us: float = 0.0
    scorer: str = ""
    """The version that made ``predicted_us``."""
    trial: int = -1


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A schedule in its place. ``n`` and ``w`` are visits and value sum, ``virtual`` counts tickets in flight."""

    id: int
    parent: Node | None
    by: str
    next_member: str
    facts: Facts = field(init=False)
    transformation: Transformation = ()
    notes: tuple[str, ...] = ()
    children: list[Node] = field(default_factory=list)
    tried: list[Node] = field(default_factory=list)
    """Every child there ever was, pruned ones included."""
    rollout_ratios: tuple[float, ...] = ()
    """Predicted latency of each rollout over the node's own, by one scorer version."""
    residual: float = 1.0
    """Measured over predicted latency of the nearest measured node from here upwards, this one included."""
    own: float | None = None
    """The node's own value, and the measured latency that it was derived from, when the tree was valued last."""
    own_from_us: float | None = None
    n: int = 0
    w: float = 0.0
    failed_visits: int = 0
    dead_ends: int = 0
    pending: int = 0
    """Places that tickets in flight keep at this very node."""
    virtual: int = 0
    closed: bool = False
    held: bool = False
    """Contested: not visited and not to be visited before the course alteration is settled."""
    pruned: bool = False
    counted: bool = False
    """Whether the node's verdict goes into the statistics of the member that made it."""
    alteration: bool = False
    enumerated: bool = False
    """Whether a built-in expert has found no neighbour that was new."""

    def path(self) -> Iterator[Node]:
        """This node and its ancestors, up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


class Values:
    """How latencies become values in (0, 1].

    A measured latency is compared with the best measured one. A prediction is first scaled by the *residual* of the
    nearest measured ancestor: what it measured over what the same scorer predicts for it. This cancels a scorer's bias,
    in one region of the space as well as in the whole.
    """

    __slots__ = ("best_us", "general_residual", "logarithmic")

    def __init__(self, kind: str) -> None:
        self.logarithmic = kind == "log"
        self.best_us = math.inf
        """The best measured latency; before anything was measured, the best predicted one."""
        self.general_residual = 1.0
        """The residual of the best measured schedule, for nodes without a measured ancestor."""

    def own(self, node: Node) -> float:
        """A node's own value: measured, else the mean of its rollouts, else predicted.

        With ``r`` for a latency over the best, and at least 1, a value is ``1 / (1 + ln r)`` or ``1 / r``. A failed
        trial has value 0.
        """
        facts = node.facts
        rollouts: tuple[float, ...] = (1.0,)
        if facts.measured_us is None:
            ratio = facts.predicted_us * node.residual / self.best_us
            rollouts = node.rollout_ratios or rollouts
        elif facts.measured_us == math.inf:
            return 0.0
        else:
            ratio = facts.measured_us / self.best_us
        values = []
        for rollout in rollouts:
            r = ratio * rollout
            values.append(1.0 if r <= 1.0 else 1.0 / (1.0 + math.log(r)) if self.logarithmic else 1.0 / r)
        return math.fsum(values) / len(values)

    def residual(self, node: Node) -> float:
        """The node's residual; its parent's must be up to date.

        The root's is that of the best measured schedule: the untuned program is too unlike any schedule to say
        anything about a scorer.
        """
        if node.parent is None:
            return self.general_residual
        facts = node.facts
        if facts.measured_us is None or facts.measured_us == math.inf:
            return node.parent.residual
        return facts.measured_us / facts.predicted_us


class Tree:
    """All nodes in the order of their making, the transposition table, and what is in flight."""

    def __init__(self, untuned: Schedule, next_member: str, values: Values, seed: int = 0) -> None:
        self.values = values
        self.facts: dict[Schedule, Facts] = {}
        self.structures: dict[str, tuple[str, str]] = {}
        """Variant and sketch under which each structure that moves made came first: it keeps that name."""
        self.known: list[Facts] = []
        """The facts in the order in which schedules became known; the untuned program is the first."""
        self.nodes: list[Node] = []
        self.scorer = ""
        """The version of the scorer by which the tree was last valued."""
        self.leaders: list[Node] = []
        """The nodes of the fastest trials, fastest first."""
        self.iterations = 0
        self.streak = 0
        """Regressions of small members in a row, over the whole tree."""
        self.refusal = ""
        """Why the last unusable transformation was not usable."""
        self.rng = random.Random(seed)
        """Breaks the ties of the tree policy."""
        self.tickets = 0
        """The id of the next one."""
        self.queue: deque[Ticket] = deque()
        """The pool's tickets in flight, in the order in which their answers take effect."""
        self.feeding: set[int] = set()
        """Tickets of feeders in flight."""
        self.answers: dict[int, Proposal | ProposalError] = {}
        """Answers to tickets of the queue that wait for those before them."""
        self._basis: tuple[float, float, str] | None = None
        """What all own values followed from when the tree was valued last."""
        self.brought: dict[Structure, Node] = {}
        """The node that brought each structure into the tree."""
        self.reached: dict[Structure, StructureRecord] = {}
        """What was measured of each, as far as anything was. Set by :meth:`colt.search.trials.Trials.refresh`."""
        self.contested: dict[int, Node] = {}
        """By ticket of a course alteration, the child that is to be bettered."""
        self.has_moved = False
        """Whether moves made any of its structures."""
        self.explored: set[tuple[Structure, bool]] = set()
        """The structures for which others were looked for, and whether the run had stalled."""
        self.repeated: set[tuple[Structure, int]] = set()
        """Structures of moves that were made again on a node, and its id."""
        self.since_gain = 0
        """Results since the last that was the fastest by more than noise. Set there, too."""
        self.root = self.add(None, untuned, "untuned", next_member)
        self.root.n = 1
        self.root.w = values.own(self.root)

    def add(self, parent: Node | None, schedule: Schedule, by: str, next_member: str) -> Node:
        """A new node, not yet visited. All nodes of one schedule share its facts (the transposition table)."""
        node = Node(len(self.nodes), parent, by, next_member)
        self.nodes.append(node)
        facts = self.facts.get(schedule)
        if facts is None:
            facts = self.facts[schedule] = Facts(schedule, node)
            self.known.append(facts)
        node.facts = facts
        if parent is not None:
            node.residual = parent.residual if facts.node is node else self.values.residual(node)
            parent.children.append(node)
            parent.tried.append(node)
            self._bring(structure_of(schedule), node)
        return node

    def _bring(self, structure: Structure, node: Node) -> None:
        if structure not in self.brought:
            self.brought[structure] = node
            self.has_moved = self.has_moved or is_moved(structure[1])

    def known_as(self, applied: AppliedSchedule) -> Schedule:
        """The schedule by the name under which its structure came first."""
        made = applied.schedule
        if not applied.structure:
            return made
        variant, sketch = self.structures.setdefault(applied.structure, (made.variant, made.sketch))
        return replace(made, variant=variant, sketch=sketch)

    def brings(self, node: Node) -> bool:
        """Whether the node is the first of its structure."""
        return self.brought.get(structure_of(node.facts.schedule)) is node

    @property
    def stalled(self) -> bool:
        """Whether no structure has brought a gain for so long that another is worth a look."""
        return self.since_gain >= STALLED

    def on_probation(self, facts: Facts, models: Collection[str]) -> bool:
        """Whether the schedule is of a structure that an expert's moves made and that has not proven itself."""
        if not self.has_moved:
            return False
        structure = structure_of(facts.schedule)
        if not is_moved(structure[1]) or self.brought[structure].by in models:
            return False
        record = self.reached.get(structure)
        return record is None or not record.led

    def is_dormant(self, node: Node, models: Collection[str]) -> bool:
        """Whether the node's structure is on probation and has not come near the fastest: it is not worth tuning."""
        near_us = NEAR * min((one.facts.measured_us or math.inf for one in self.leaders), default=math.inf)
        return self.on_probation(node.facts, models) and self.record(node).best_us > near_us

    def record(self, node: Node) -> StructureRecord:
        """What was measured of the node's structure; an empty record if nothing was."""
        return self.reached.get(structure_of(node.facts.schedule)) or StructureRecord()

    def repeats(self, parent: Node, schedule: Schedule) -> bool:
        """Whether a child with that schedule would equal its parent, a sibling (pruned or not) or an ancestor."""
        facts = self.facts.get(schedule)
        if facts is None:
            return False
        return any(child.facts is facts for child in parent.tried) or any(node.facts is facts for node in parent.path())

    def prune(self, node: Node) -> None:
        """Take slot and visits away from a node; its schedule stays known and tried."""
        assert node.parent is not None
        node.pruned, node.held = True, False
        node.parent.children.remove(node)
        for step in node.parent.path():
            step.n -= node.n
            step.w -= node.w
        node.n, node.w = 0, 0.0

    def revalue(self) -> None:
        """Value the whole tree anew: ``n = 1 + Σ n_child + failed visits``, ``w = own value + Σ w_child``.

        Own values are kept where nothing has changed that they follow from: most of a large tree.
        """
        values = self.values
        basis = values.best_us, values.general_residual, self.scorer
        anew, self._basis = basis != self._basis, basis
        for node in self.nodes:
            residual, measured_us = values.residual(node), node.facts.measured_us
            if anew or node.own is None or residual != node.residual or measured_us != node.own_from_us:
                node.residual, node.own_from_us = residual, measured_us
                node.own = values.own(node)
            if not (node.pruned or node.held):
                node.n = 1 + node.failed_visits
                node.w = node.own
        for node in reversed(self.nodes):
            parent = node.parent
            if parent is not None and not (node.pruned or node.held):
                parent.n += node.n
                parent.w += node.w


def predict(scorer: Scorer, many: Sequence[Facts]) -> None:
    """Bring the predictions of these facts up to the scorer's present version."""
    version = scorer.version
    stale = [facts for facts in many if facts.scorer != version]
    if stale:
        for facts, predicted_us in zip(stale, scorer.predict([f.schedule for f in stale]), strict=True):
            facts.predicted_us, facts.scorer = predicted_us, version
