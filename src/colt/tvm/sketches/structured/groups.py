"""Groups of blocks computed together: an anchor whose tiles run in parallel, and the producers computed under them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from colt.tvm.sketches.structured.flow import Flow, spatial, step_of
from colt.tvm.sketches.structured.shapes import BlockKind, BlockShape

SMALL = 1 / 16
"""A chain of producers with less than this share of the work is cut off if it would restrict the tiling. If nothing is
contracted, keeping it is tried too, since such programs wait for memory."""
JOBS = 4
"""Tiles per thread that must remain if a producer restricts what is tiled."""


class Cut(IntEnum):
    """Where the chain of producers is cut into separate nests."""

    NOWHERE = 0
    """Only where recomputation or lack of parallel work forces it."""
    CONTRACTIONS = 1
    """Also where a contraction would have to give up tiling one of its iters."""
    EVERYWHERE = 2
    """Also at each contraction, which becomes an anchor."""


@dataclass(slots=True)
class Group:
    """Blocks by number. Tiles of the anchor's ``outer`` iters run in parallel; those of ``pieces`` among them are cut
    into few pieces, since producers compute what lies around each piece as well. ``kernel`` is the anchor itself if it
    is a contraction, or the contraction whose results it finishes (an epilogue)."""

    anchor: int
    outer: list[int]
    kernel: int | None
    members: list[int] = field(default_factory=list)
    pieces: frozenset[int] = frozenset()


def group(
    flow: Flow,
    shapes: Sequence[BlockShape],
    epilogues: dict[int, int],
    cut: Cut,
    threads: int,
    in_pieces: bool = True,
) -> list[Group]:
    """The groups in program order of their anchors. ``epilogues`` maps an epilogue to the contraction that it finishes,
    point by point or by adding up its lanes. ``in_pieces``: iters whose single values would have a producer compute too
    much again are cut into pieces."""
    where: dict[int, Group] = {}
    groups: list[Group] = []
    for number in reversed(range(len(flow.blocks))):
        homes = {id(where[consumer]): where[consumer] for consumer in flow.consumers(number)}
        home = next(iter(homes.values())) if len(homes) == 1 else None
        if home is None or not _join(flow, shapes, home, number, cut, threads, in_pieces):
            kernel = number if shapes[number].kind is BlockKind.KERNEL else epilogues.get(number)
            home = Group(number, _outer(flow, shapes[number], number, threads), kernel)
            groups.append(home)
        where[number] = home
    return groups[::-1]


def _outer(flow: Flow, shape: BlockShape, number: int, threads: int) -> list[int]:
    """The iters of an anchor whose tiles may run in parallel: all of them, unless LLVM should find vectors along one.
    That one is better left whole if the others give enough tiles and the anchor is not a contraction's total. Of the
    blocks of a sum in parts, only the parts are worth a thread each."""
    iters = flow.blocks[number].iters
    outer = [n for n in spatial(flow.blocks[number]) if iters[n].extent > 1]
    if shape.alone:
        dealt = [n for n in outer if n not in (shape.vector, shape.rows)] if shape.partial else []
        return sorted(dealt, key=lambda n: step_of(flow.blocks[number].write, n), reverse=True)
    others = [n for n in outer if n != shape.vector]
    if (
        shape.kind is BlockKind.LOOP
        and not shape.total
        and math.prod(iters[n].extent for n in others) >= JOBS * threads
    ):
        return others
    return outer


def _join(
    flow: Flow, shapes: Sequence[BlockShape], home: Group, number: int, cut: Cut, threads: int, in_pieces: bool
) -> bool:
    """Add the block to the group if computing it under the group's tiles is worthwhile; return whether it was added."""
    if not flow.blocks[number].local:
        return False  # a block that writes an argument cannot be computed in pieces
    if shapes[number].packing is not None or shapes[home.anchor].packing is not None:
        return False  # packed once, for all
    if flow.blocks[number].ahead:
        return False  # computed before the call
    if shapes[number].alone or shapes[home.anchor].alone:
        return False
    own = number == home.kernel
    if shapes[number].is_contraction and not own and cut is Cut.EVERYWHERE:
        return False
    kept = [n for n in home.outer if n not in home.pieces and _keeps(flow, shapes, home, number, n)]
    contracts = any(shapes[n].kind is BlockKind.KERNEL for n in (home.anchor, *home.members, number))
    if len(kept) < len(home.outer) - len(home.pieces):
        if (contracts or cut is not Cut.NOWHERE) and flow.chain_work(number) < SMALL * flow.chain_work(home.anchor):
            return False
        if home.kernel is not None and cut is not Cut.NOWHERE:
            return False
        if math.prod(flow.blocks[home.anchor].iters[n].extent for n in kept) < JOBS * threads:
            return False
    cut_up = {n for n in home.outer if n not in kept and in_pieces and _keeps(flow, shapes, home, number, n, threads)}
    home.outer = [n for n in home.outer if n in kept or n in cut_up]
    home.pieces = frozenset(cut_up)
    home.members.append(number)
    return True


def _keeps(
    flow: Flow, shapes: Sequence[BlockShape], home: Group, number: int, iter_: int, pieces: int | None = None
) -> bool:
    """Whether the block can be computed in the pieces that the iter will be cut into: so many, or else tiles or single
    values."""
    tile = 0 if _is_tiled(flow, shapes, home, number, iter_) else 1
    if pieces is not None:
        extent = flow.useful[home.anchor].iters[iter_].extent
        if tile == 0 or extent < 2 * pieces:
            return False
        tile = extent // pieces
    if not flow.follows(home.anchor, home.members, number, iter_, tile):
        return False
    whole = shapes[number].kind is BlockKind.KERNEL or shapes[number].total
    return not whole or flow.counterpart(home.anchor, home.members, number, iter_) is not None


def _is_tiled(flow: Flow, shapes: Sequence[BlockShape], home: Group, number: int, iter_: int) -> bool:
    """Whether a contraction of the group has its rows or vectors along the iter; true if there is no contraction."""
    blocks = (home.anchor, *home.members, number)
    kernels = [n for n in blocks if shapes[n].kind is BlockKind.KERNEL]
    matches = [(shapes[n], flow.counterpart(home.anchor, home.members, n, iter_)) for n in kernels]
    return not kernels or any(m is not None and m in (one.vector, one.rows, one.columns) for one, m in matches)
