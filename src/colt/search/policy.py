"""The LLM-aware tree policy: which node is expanded next, and by whom (paper, section 3, *selection*)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence

from colt.options import SearchConfig
from colt.search.setup import Setup
from colt.search.tree import Node, Tree


def descend(
    root: Node,
    phi: Mapping[str, float],
    config: SearchConfig,
    rng: random.Random,
    busy: Collection[str] = (),
    passes: Callable[[Node], bool] = lambda node: False,
) -> Node | None:
    """The open node with room for a child at which the descent from the root ends; ``None`` if there is none now.

    A node whose next member is ``busy``, or that ``passes``, is passed through like one without room.
    """
    blocked: set[int] = set()
    while root.id not in blocked and not root.closed:
        node = root
        while (
            node.next_member in busy
            or node.dead_ends >= config.dead_end_limit
            or room(node, config) <= 0
            or passes(node)
        ):
            children = [c for c in node.children if not (c.closed or c.held or (blocked and c.id in blocked))]
            if not children:
                blocked.add(node.id)
                break
            node = best_child(node, children, phi, config, rng)
        else:
            return node
    return None


def best_child(
    node: Node, children: Sequence[Node], phi: Mapping[str, float], config: SearchConfig, rng: random.Random
) -> Node:
    """The child of the highest score; ``rng`` breaks ties.

    ``score(j) = (1 - λ) w_j / n_j + λ φ(m_j) + c sqrt(ln n_i / n_j)``. Tickets in flight count as visits of value 0
    (virtual loss). Unvisited children come first, larger φ before smaller. λ counts as 0 where φ is the same for all.
    """
    shared = phi[children[0].next_member]
    mixed = any(phi[child.next_member] != shared for child in children)
    weight = config.size_weight if mixed else 0.0
    spread = config.exploration * math.sqrt(math.log(max(node.n + node.virtual, 1)))
    best_score, best = -math.inf, [children[0]]
    for child in children:
        visits = child.n + child.virtual
        if visits:
            score = (1.0 - weight) * child.w / visits + spread / math.sqrt(visits)
            if weight:
                score += weight * phi[child.next_member]
        else:
            score = 1e9 + phi[child.next_member]
        if score > best_score:
            best_score, best = score, [child]
        elif score == best_score:
            best.append(child)
    return best[0] if len(best) == 1 else rng.choice(best)


def has_stalled(tree: Tree, node: Node, after: int) -> bool:
    """Whether the knobs of the node's structure are no longer worth tuning from there. The untuned program has none:
    new structures come of it."""
    return node.parent is not None and (node.enumerated or tree.record(node).since_gain >= after)


def due_at(tree: Tree, node: Node, acting: str, setup: Setup, benched: Collection[str] = ()) -> str | None:
    """Who does the work that is due at the node, where it is ``acting``'s turn; ``None`` if nobody of the pool does.

    Language models change structures that have stalled, the pool's other members tune knobs before that. Whoever is
    fit to and is not ``benched`` takes the turn of one who is not.
    """
    if node.parent is None:
        return acting
    pool, stalled = setup.pool, has_stalled(tree, node, setup.structure_after)
    fit = [name for name in pool.specs if (name in setup.models) is stalled and name not in benched]
    if acting in fit or (stalled and not fit):
        return acting
    return pool.fallback(acting, [name for name in pool.specs if name not in fit]) if fit else None


def room(node: Node, config: SearchConfig) -> int:
    """How many more children the node may get. Tickets in flight count as children."""
    base = config.root_width + config.model_openings if node.parent is None else config.branching
    taken = len(node.children) + node.pending
    if config.widening_coefficient:
        base = max(base, int(config.widening_coefficient * node.n**config.widening_exponent))
        if base <= taken and not node.pending and all(child.closed for child in node.children):
            return 1  # nothing below can be visited any more: only a new child can bring the next visit
    return base - taken
