"""The LLM-aware tree policy: which node is expanded next (paper, section 3, *selection*)."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence

from colt.options import SearchConfig
from colt.search.tree import Node


def descend(
    root: Node,
    phi: Mapping[str, float],
    config: SearchConfig,
    rng: random.Random,
    busy: Collection[str] = (),
) -> Node | None:
    """The open node with room for a child at which the descent from the root ends; ``None`` if there is none now.

    A node whose next member is ``busy`` is passed through like one without room.
    """
    blocked: set[int] = set()
    while root.id not in blocked and not root.closed:
        node = root
        while node.next_member in busy or node.dead_ends >= config.dead_end_limit or room(node, config) <= 0:
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


def room(node: Node, config: SearchConfig) -> int:
    """How many more children the node may get. Tickets in flight count as children."""
    base = config.root_width + config.model_openings if node.parent is None else config.branching
    taken = len(node.children) + node.pending
    if config.widening_coefficient:
        base = max(base, int(config.widening_coefficient * node.n**config.widening_exponent))
        if base <= taken and not node.pending and all(child.closed for child in node.children):
            return 1  # nothing below can be visited any more: only a new child can bring the next visit
    return base - taken
