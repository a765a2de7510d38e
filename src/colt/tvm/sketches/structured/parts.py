"""Sums of many terms with few results, cut into parts that are summed side by side.

Such a sum leaves nothing to run in parallel and waits for each addition. So its terms are dealt to the threads in
parts, and within a part to the lanes of several vectors, or to several rows if vectors run along the results. Any
length can be cut so: where it does not divide, the last turns are conditional, and the loop around them is marked for
TVM to split those turns off. What the parts leave is little and is added up at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from colt.analysis.skeleton import Block
from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.sketches.structured.flow import Flow, extents_of, reduced, spatial, step_of, work_of
from colt.tvm.sketches.structured.groups import JOBS
from colt.tvm.sketches.structured.prepare import with_shapes
from colt.tvm.sketches.structured.shapes import BlockKind, BlockShape, lanes_of, shape_of
from colt.tvm.sketches.structured.tiles import MAX_VECTORS

LONG = 1024
"""A sum of at least this many terms is cut into parts."""
PARTS = 8
"""PartedSum for each thread, at most."""
TURNS = 4
"""Each part takes at least this many turns."""
ROWS = 8
"""Sums side by side where vectors do not run along the sum."""


@dataclass(frozen=True, slots=True)
class PartedSum:
    """A sum cut into parts: the block of the parts, and those that add them up, by name.

    ``rest``: some turns are conditional. ``lanes``: the innermost dimension of the parts are lanes, not rows.
    """

    partial: str
    folds: tuple[str, ...]
    rest: bool
    lanes: bool


def shape_in_parts(block: Block, shape: BlockShape, vector_bits: int, threads: int) -> BlockShape:
    """The shape of a long sum with few results, cut into parts; ``shape`` if it is none.

    Few are results that give the threads too little to do: rows if the sum is contiguous, vectors otherwise.
    """
    lanes, sums = lanes_of(block, vector_bits), reduced(block)
    extents = extents_of(block)
    results = prod(extents[n] for n in spatial(block))
    if not sums or prod(extents[n] for n in sums) < LONG or shape.packed or block.goes_on:
        return shape
    along = _contiguous(block, MAX_VECTORS * lanes)
    if along is not None and results < JOBS * threads and not block.work.branches:
        return BlockShape(BlockKind.ROWS, along, lanes, parts=PARTS * threads)
    if along is None and results < JOBS * threads * lanes:
        vector = shape.vector if shape.is_contraction else None
        return BlockShape(BlockKind.KERNEL, vector, 1 if vector is None else shape.width, parts=PARTS * threads)
    return shape


def _contiguous(block: Block, least: int) -> int | None:
    """The innermost reduced iter of ``least`` or more terms along which all that is read is contiguous or stays."""
    for along in reversed(reduced(block)):
        steps = [step_of(read, along) for read in block.reads]
        if block.iters[along].extent >= least and 1 in steps and all(step in (0, 1) for step in steps):
            return along
    return None


@dataclass(frozen=True, slots=True)
class _Cut:
    """A sum's iter ``along`` in ``turns`` of ``side`` terms; the turns, or the iter ``dealt`` if that is another, in
    ``count`` parts of ``length``."""

    along: int
    side: int
    turns: int
    dealt: int
    count: int
    length: int
    rest: bool

    @classmethod
    def of(cls, block: Block, shape: BlockShape) -> _Cut:
        extents = extents_of(block)
        lanes = _in_lanes(shape)
        along = shape.vector if lanes else max(reduced(block), key=lambda n: extents[n])
        assert along is not None
        side = MAX_VECTORS * shape.width if lanes else ROWS
        turns = -(-extents[along] // side)
        dealt = next((n for n in reduced(block) if n != along and extents[n] >= PARTS * TURNS), along)
        whole = turns if dealt == along else extents[dealt]
        length = -(-whole // max(1, min(shape.parts, whole // TURNS)))
        count = -(-whole // length)
        rest = turns * side != extents[along] or count * length != whole
        return cls(along, side, turns, dealt, count, length, rest)


def _in_lanes(shape: BlockShape) -> bool:
    return shape.kind is BlockKind.ROWS and shape.vector is not None


def split_parts(schedule: Any, shapes: Mapping[str, BlockShape]) -> list[PartedSum]:
    """Cut the sums whose shapes say so."""
    chosen = [(block, shape) for block, shape in with_shapes(schedule, shapes) if shape.parts]
    return [_split(schedule, block, shape) for block, shape in chosen]


def _split(schedule: Any, block: Block, shape: BlockShape) -> PartedSum:
    """One block becomes up to three: the parts, what folds them over the parts, and the total over lanes or rows."""
    cut, lanes = _Cut.of(block, shape), _in_lanes(shape)
    rv = schedule.get_sblock(block.name)
    loops = loops_by_iter(schedule, rv)
    assert loops is not None, "the program is plain"
    axis = len(spatial(block)) if lanes else 0
    if cut.dealt == cut.along:
        part, _, inner = schedule.split(loops[cut.along], [cut.count, cut.length, cut.side])
    else:
        _, inner = schedule.split(loops[cut.along], [cut.turns, cut.side])
        part, _ = schedule.split(loops[cut.dealt], [cut.count, cut.length])
    place = [schedule.get(loop).same_as(schedule.get(part)) for loop in schedule.get_loops(rv)].index(True)
    fold = schedule.rfactor(inner, factor_axis=axis)
    partial = schedule.rfactor(schedule.get_loops(fold)[place], factor_axis=axis)
    folds = str(schedule.get(fold).name_hint), block.name
    return PartedSum(str(schedule.get(partial).name_hint), folds, cut.rest, lanes)


def with_parts(
    flow: Flow, shapes: list[BlockShape], split: Collection[PartedSum], vector_bits: int
) -> list[BlockShape]:
    """The shapes of all blocks, with those of the blocks that sums were cut into."""
    found = list(shapes)
    for one in split:
        number = flow.number(one.partial)
        found[number] = _shape_of_parts(flow.blocks[number], one, vector_bits)
        for name in one.folds:
            fold = flow.number(name)
            along = _iter_at(flow.blocks[fold], -1) if name != one.folds[-1] else None
            found[fold] = BlockShape(BlockKind.LOOP, along, alone=True)
    return found


def _shape_of_parts(block: Block, one: PartedSum, vector_bits: int) -> BlockShape:
    if one.lanes:
        lanes = _iter_at(block, -1)
        return BlockShape(
            BlockKind.KERNEL, lanes, lanes_of(block, vector_bits), partial=True, alone=True, rest=one.rest
        )
    row, found = _iter_at(block, 1), shape_of(block, vector_bits)
    columns = found.vector if found.is_contraction and found.vector != row and not found.packed else None
    width = 1 if columns is None else found.width
    return BlockShape(BlockKind.KERNEL, columns, width, row, partial=True, alone=True, rest=one.rest)


def _iter_at(block: Block, dimension: int) -> int:
    """The iter of that dimension of the result."""
    index = block.write.index[dimension]
    assert index, "the result has a dimension for each iter that a sum was cut into"
    return index[0][0]


def shapes_in_parts(
    flow: Flow, shapes: Mapping[str, BlockShape], vector_bits: int, threads: int
) -> dict[str, BlockShape]:
    """The shapes with long sums of few results in parts. Only one of them, that of most work, may have conditional
    turns: TVM loses track of the others."""
    found = {one.name: shape_in_parts(one, shapes[one.name], vector_bits, threads) for one in flow.blocks}
    conditional = [one for one in flow.blocks if found[one.name].parts and _Cut.of(one, found[one.name]).rest]
    for block in sorted(conditional, key=work_of)[:-1]:
        found[block.name] = shapes[block.name]
    return found
