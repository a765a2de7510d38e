"""What a language model is told of the search around its node."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence

from colt.search.openings import kind_of
from colt.search.policy import has_stalled
from colt.search.setup import Setup
from colt.search.steps import views
from colt.search.structures import NOISE, StructureRecord, structure_of
from colt.search.tree import Facts, Node, Tree
from colt.search.types import PendingQuestion, RankView, StructureView, Surroundings, Ticket
from colt.util.stats import rank_correlation

GOOD = 3
"""How many fast schedules of different kinds are shown; two slow ones follow."""
WAITING = 2
"""How many schedules are shown that were not measured yet."""
FEWEST = 4
"""Fewer measured schedules say nothing of predictions."""


def surroundings(tree: Tree, setup: Setup, ticket: Ticket) -> Surroundings:
    """What there is to tell when the ticket's member is asked."""
    node = tree.nodes[ticket.node]
    measured = [facts for facts in tree.known[1:] if facts.measured_us is not None]
    ran = sorted((facts for facts in measured if facts.measured_us != math.inf), key=_measured)
    structure = structure_of(node.facts.schedule)
    here = [facts for facts in ran if structure_of(facts.schedule) == structure]
    return Surroundings(
        structure=_structure(tree, setup, node),
        visits=node.n,
        value=node.w / node.n if node.n else 0.0,
        pending=tuple(
            PendingQuestion(other.acting, other.places, tree.nodes[other.node].facts.schedule)
            for other in tree.queue
            if other is not ticket and other.acting in setup.models and other.id not in tree.answers
        ),
        waiting=views(facts.node for facts in _waiting(tree, node)),
        contrast=views(facts.node for facts in _contrast(ran, node)),
        noise=NOISE,
        ranks=_ranks(ran),
        ranks_here=_ranks(here),
    )


def _measured(facts: Facts) -> float:
    assert facts.measured_us is not None
    return facts.measured_us


def _structure(tree: Tree, setup: Setup, node: Node) -> StructureView:
    record = StructureRecord() if node.parent is None else tree.record(node)
    bringer = tree.brought.get(structure_of(node.facts.schedule))
    after = setup.structure_after
    return StructureView(
        record.trials,
        record.best_us if record.best_us < math.inf else None,
        record.since_gain,
        "" if bringer is None else bringer.by,
        bool(after) and has_stalled(tree, node, after),
    )


def _waiting(tree: Tree, node: Node) -> list[Facts]:
    """The most promising schedules without a result, but for children of the node, which are shown as such."""
    children = {id(child.facts) for child in node.tried}
    fresh = (f for f in tree.known[1:] if f.measured_us is None and f.scorer and id(f) not in children)
    others = (facts for facts in fresh if facts is not node.facts)
    return heapq.nsmallest(WAITING, others, key=lambda facts: facts.predicted_us * facts.node.residual)


def _contrast(ran: Sequence[Facts], node: Node) -> Iterator[Facts]:
    """The fastest of each of a few kinds, then the middle one of all and the slowest; not the node itself."""
    chosen: list[Facts] = []
    kinds = set()
    for facts in ran:
        kind = kind_of(facts.schedule)
        if kind not in kinds and len(chosen) < GOOD:
            kinds.add(kind)
            chosen.append(facts)
    if ran:
        chosen += [ran[len(ran) // 2], ran[-1]]
    yield from (facts for facts in dict.fromkeys(chosen) if facts is not node.facts)


def _ranks(ran: Iterable[Facts]) -> RankView | None:
    pairs = [(facts.predicted_us, _measured(facts)) for facts in ran if facts.scorer]
    if len(pairs) < FEWEST:
        return None
    predicted, measured = zip(*pairs, strict=True)
    return RankView(len(pairs), rank_correlation(predicted, measured))
