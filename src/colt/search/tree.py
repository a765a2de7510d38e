"""The shared tree: nodes, the facts that aliases share, values, backup and revaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from colt.knobs import Schedule, Transformation
from colt.search.types import NodeView


class Facts:
    """What is known of one schedule, wherever in the tree it stands."""

    __slots__ = ("measured_us", "node", "predicted_us", "schedule", "scorer", "trial")

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.node: Node | None = None
        """The node that first held it."""
        self.measured_us: float | None = None
        """Latency in microseconds; ``inf`` for a trial that failed."""
        self.predicted_us = 0.0
        self.scorer = ""
        """The version that made ``predicted_us``."""
        self.trial = -1


class Node:
    """A schedule in its place. ``n`` and ``w`` are visits and value sum, ``virtual`` counts tickets in flight."""

    __slots__ = (
        "alteration",
        "by",
        "children",
        "closed",
        "counted",
        "dead_ends",
        "facts",
        "failed_visits",
        "held",
        "id",
        "n",
        "next_model",
        "notes",
        "parent",
        "pending",
        "pruned",
        "residual",
        "rollout_ratios",
        "transformation",
        "tried",
        "virtual",
        "w",
    )

    def __init__(self, id: int, parent: Node | None, facts: Facts, by: str, next_model: str) -> None:
        self.id = id
        self.parent = parent
        self.facts = facts
        self.by = by
        self.next_model = next_model
        self.transformation: Transformation = ()
        self.notes: tuple[str, ...] = ()
        self.children: list[Node] = []
        self.tried: list[Node] = []
        """Every child there ever was, pruned ones included."""
        self.rollout_ratios: tuple[float, ...] = ()
        """Predicted latency of each rollout over the node's own, by one scorer version."""
        self.residual: float = 1.0 if parent is None else parent.residual
        """Measured over predicted latency of the nearest measured node from here upwards, this one included."""
        self.n = 0
        self.w = 0.0
        self.failed_visits = 0
        self.dead_ends = 0
        self.pending = 0
        """Tickets out for this very node."""
        self.virtual = 0
        self.closed = False
        self.held = False
        """Contested: not visited and not to be visited before the course alteration is settled."""
        self.pruned = False
        self.counted = False
        """Whether the child's verdict goes into the statistics of the model that made it."""
        self.alteration = False

    def path(self) -> Iterator[Node]:
        """This node and its ancestors, up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def view(self) -> NodeView:
        """The node as proposers see it."""
        facts = self.facts
        predicted = facts.predicted_us if facts.scorer else None
        return NodeView(self.id, facts.schedule, self.by, self.transformation, predicted, facts.measured_us, self.notes)


class Values:
    """How latencies become values in (0, 1] (design, section 3, *value*).

    A measured latency is compared with the best measured one. A prediction is first scaled by the *residual* of the
    nearest measured ancestor, what it measured over what the same scorer predicts for it: so a scorer's bias cancels,
    that of one region of the space as well as that of the whole.
    """

    __slots__ = ("best_us", "general_residual", "logarithmic")

    def __init__(self, kind: str) -> None:
        self.logarithmic = kind == "log"
        self.best_us = math.inf
        """The best measured latency; before anything was measured, the best predicted one."""
        self.general_residual = 1.0
        """That of the best measured schedule, for nodes without a measured ancestor."""

    def of_ratio(self, ratio: float) -> float:
        """``ratio`` is a latency over the best; below 1 counts as 1."""
        if ratio <= 1.0:
            return 1.0
        if ratio == math.inf:
            return 0.0
        return 1.0 / (1.0 + math.log(ratio)) if self.logarithmic else 1.0 / ratio

    def own(self, node: Node) -> float:
        """A node's own value: measured, else the mean of its rollouts, else predicted."""
        facts = node.facts
        if facts.measured_us is not None:
            return self.of_ratio(facts.measured_us / self.best_us) if facts.measured_us < math.inf else 0.0
        ratio = facts.predicted_us * node.residual / self.best_us
        if not node.rollout_ratios:
            return self.of_ratio(ratio)
        return math.fsum(self.of_ratio(ratio * r) for r in node.rollout_ratios) / len(node.rollout_ratios)

    def residual(self, node: Node) -> float:
        """The node's residual, its parent's being up to date. The root's is that of the best measured schedule: the
        untuned program is too unlike any schedule to say anything about a scorer."""
        if node.parent is None:
            return self.general_residual
        facts = node.facts
        if facts.measured_us is None or facts.measured_us == math.inf:
            return node.parent.residual
        return facts.measured_us / facts.predicted_us


class Tree:
    """All nodes in the order of their making, and the transposition table."""

    def __init__(self, untuned: Schedule, next_model: str, values: Values) -> None:
        self.values = values
        self.facts: dict[Schedule, Facts] = {}
        self.known: list[Facts] = []
        """The facts in the order in which schedules became known; the untuned program is the first."""
        self.nodes: list[Node] = []
        self.root = self._make(None, self.know(untuned), "untuned", next_model)
        self.root.n = 1
        self.root.w = values.own(self.root)

    def know(self, schedule: Schedule) -> Facts:
        """The facts of that schedule, made if it is new (the transposition table)."""
        facts = self.facts.get(schedule)
        if facts is None:
            facts = self.facts[schedule] = Facts(schedule)
            self.known.append(facts)
        return facts

    def repeats(self, parent: Node, schedule: Schedule) -> bool:
        """Whether a child with that schedule would equal its parent, a sibling (pruned or not) or an ancestor."""
        facts = self.facts.get(schedule)
        if facts is None:
            return False
        return any(child.facts is facts for child in parent.tried) or any(node.facts is facts for node in parent.path())

    def add(self, parent: Node, facts: Facts, by: str, next_model: str) -> Node:
        """A new child, not yet visited."""
        node = self._make(parent, facts, by, next_model)
        node.residual = self.values.residual(node)
        parent.children.append(node)
        parent.tried.append(node)
        return node

    def _make(self, parent: Node | None, facts: Facts, by: str, next_model: str) -> Node:
        node = Node(len(self.nodes), parent, facts, by, next_model)
        self.nodes.append(node)
        if facts.node is None:
            facts.node = node
        return node

    def backup(self, node: Node) -> None:
        """A new node's visit: its own value goes to it and to every ancestor, whichever models made them."""
        node.held = False
        value = self.values.own(node)
        for step in node.path():
            step.n += 1
            step.w += value

    def fail(self, node: Node) -> None:
        """A failed expansion: a visit with value 0."""
        node.failed_visits += 1
        for step in node.path():
            step.n += 1

    def prune(self, node: Node) -> None:
        """Take away slot and visits; the schedule stays known and tried."""
        assert node.parent is not None
        node.pruned, node.held = True, False
        node.parent.children.remove(node)
        for step in node.parent.path():
            step.n -= node.n
            step.w -= node.w
        node.n, node.w = 0, 0.0

    def revalue(self) -> None:
        """Value the whole tree anew: ``n = 1 + Σ n_child + failed visits``, ``w = own value + Σ w_child``."""
        own, residual = self.values.own, self.values.residual
        for node in self.nodes:
            node.residual = residual(node)
            if not (node.pruned or node.held):
                node.n = 1 + node.failed_visits
                node.w = own(node)
        for node in reversed(self.nodes):
            parent = node.parent
            if parent is not None and not (node.pruned or node.held):
                parent.n += node.n
                parent.w += node.w
