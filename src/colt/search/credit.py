"""What members are credited with, derived anew from all results.

A child is judged against its parent, by what both measured. With ``structure_after`` a child that brought a structure
is judged as a structure: by the best that anybody has reached in it, against the best of the structure that it changed.
So a member that finds good structures and guesses their knobs badly scores hits as soon as experts have tuned them.
"""

from __future__ import annotations

from colt.search.pool import Pool
from colt.search.setup import Setup
from colt.search.structures import StructureRecord, structure_of
from colt.search.tree import Node, Tree


def credited(tree: Tree, setup: Setup, node: Node) -> set[str]:
    """Who has a share in what the node measures: who made it and, with ``structure_after``, who brought its
    structure."""
    if not setup.structure_after or node.parent is None:
        return {node.by}
    return {node.by, tree.brought[structure_of(node.facts.schedule)].by}


def is_structure(tree: Tree, setup: Setup, node: Node) -> bool:
    """Whether the node stands for the structure that it brought: its own knobs say nothing of that."""
    return bool(setup.structure_after) and tree.brings(node)


def count_verdicts(tree: Tree, setup: Setup) -> None:
    """Count the hits and regressions of each member: of its children that have a result, as their parents have."""
    records = setup.pool.records
    for record in records.values():
        record.measured_hits = record.measured_regressions = 0
    for node in tree.nodes:
        if not node.counted or node.parent is None:
            continue
        before, after = node.parent.facts.measured_us, node.facts.measured_us
        if is_structure(tree, setup, node):
            of_parent, own = tree.record(node.parent), tree.record(node)
            before = of_parent.best_us if of_parent.trials else before
            after = own.best_us if own.trials else None
        if before is not None and after is not None:
            records[node.by].measured_hits += after < before
            records[node.by].measured_regressions += after > before


def count_structures(tree: Tree, pool: Pool) -> None:
    """Count the structures that each member brought, and how often trials of its own, and of others in these
    structures, became the fastest of the run."""
    for record in pool.records.values():
        record.structures = record.improvements = record.improvements_below = 0
    for structure, node in tree.brought.items():
        bringer = pool.records.get(node.by)
        if bringer is not None:
            bringer.structures += 1
        for by, count in tree.reached.get(structure, StructureRecord()).improvements.items():
            if by in pool.records:
                pool.records[by].improvements += count
            if bringer is not None and by != node.by:
                bringer.improvements_below += count
