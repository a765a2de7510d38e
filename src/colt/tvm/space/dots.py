"""How the analytical model sees a block that was replaced by a tensor intrinsic: as one over groups of neighbours.

A step of a dot instruction multiplies vectors of groups as one of float32 multiplies vectors of numbers. So the block
is read as a contraction whose elements are groups, of 32 bits each, with the lanes as its vector. Packing is read in
the same way, as copying groups.

A tile is read as a vector of 16 rows of 16 words: an instruction on tiles counts as 16 on vectors, and loading one as
16 loads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from colt.analysis.skeleton import FIXED, Block, BlockWork, Iter, LoopKind, LoopSource, MemoryAccess
from colt.tvm.dots import TABLE, Dot
from colt.tvm.dots.table import TILE_ROWS, Method
from colt.tvm.dots.tiles import SCOPE
from colt.tvm.space.affine import linear

TENSORIZED = "_o"
"""What TVM adds to the names of a block, and of its iters, that it replaces."""
_FLIP, _WIDEN = 1.0, 1.0
"""Slots of flipping the signs of a group that is broadcast, and of widening a vector."""
_INTERLEAVE = 3.0
"""Slots of joining two rows into one vector."""
_APART = 3.0
"""Slots of taking the halves of bytes apart: two masks and a shift."""
_CORRECT = 1.0
"""Slots of the instruction that adds up what flipped signs add too much."""
_SUBTRACT = 0.5
"""Slots of subtracting a vector."""


def read_dot(stmt: Any, found: Block, arguments: Collection[str]) -> Block:
    """The block ``found``, as it was read from ``stmt``, in groups; ``found`` itself if it is no intrinsic of ours.

    ``arguments``: the names of the program's.
    """
    found = replace(found, local=str(stmt.writes[0].source.name) not in arguments)
    reads = [region for region in stmt.reads if not region.source.same_as(stmt.writes[0].source)]
    if len(reads) == 1:
        if str(reads[0].source.scope()) == SCOPE:
            return _store(stmt, found)
        return _packing(stmt, found) if _packs(stmt) else found
    right = next((region for region in reads if _dot_of(reads, region) is not None), None)
    if right is None or len(reads) != 2:
        return found
    dot = _dot_of(reads, right)
    assert dot is not None
    if dot.tiles is not None:
        return _on_tiles(stmt, found, dot, reads, right)
    lanes, fold = len(found.iters), len(found.iters) + 1
    accesses = {
        region.source: _right(stmt, region, dot, lanes, fold) if region is right else _left(stmt, region, dot, fold)
        for region in reads
    }
    *index, last = _index(stmt, stmt.writes[0])
    subtraction = _SUBTRACT / dot.fold if dot.corrected else 0.0
    return replace(
        found,
        iters=(*found.iters, Iter("lanes", dot.lanes, False), Iter("fold", dot.fold, True)),
        reads=tuple(accesses[region.source] for region in reads),
        write=_access(stmt.writes[0], (*index, (*last, (lanes, 1.0))), 4),
        work=BlockWork(fused=2.0 if dot.method is Method.HALVES else 1.0, simple=subtraction),
        instruction=dot.instruction_set,
        loops=_loops(found, lanes, dot.lanes, fold, dot.fold),
    )


def _packs(stmt: Any) -> bool:
    """Whether the block brings rows of a group into the layout of a right operand."""
    read, written = ([int(one.extent) for one in regions[0].region[-2:]] for regions in (stmt.reads, stmt.writes))
    return len(read) == len(written) == 2 and read == written[::-1] and read[0] in {row.group for row in TABLE}


def _packing(stmt: Any, found: Block) -> Block:
    """Packing as copying groups: rows of a group are loaded one by one, and joined."""
    (read,), lanes = stmt.reads, len(found.iters)
    group, width = (int(one.extent) for one in read.region[-2:])
    *outer, rows, columns = _index(stmt, read)
    size = group * _bytes(read)
    source = MemoryAccess(
        str(read.source.name),
        (*_shape(read)[:-2], -(-_shape(read)[-2] // group), _shape(read)[-1]),
        size,
        (*outer, tuple((n, c / group) for n, c in rows), (*columns, (lanes, 1.0))),
        slots=_WIDEN * group,
    )
    *index, _, _ = _index(stmt, stmt.writes[0])
    written = _access(stmt.writes[0], (*index, ((lanes, 1.0),)), size)
    return replace(
        found,
        iters=(*found.iters, Iter("lanes", width, False)),
        reads=(source,),
        write=replace(written, shape=written.shape[:-1]),
        work=BlockWork(),
        loops=(*found.loops, LoopSource(lanes, FIXED, 0, width, LoopKind.VECTORIZED)),
    )


def _dot_of(reads: Sequence[Any], right: Any) -> Dot | None:
    """The row whose right operand this region is."""
    shape = tuple(int(one.extent) for one in right.region)
    for other in reads:
        types = str(other.source.ty.dtype), str(right.source.ty.dtype)
        for row in TABLE:
            known = (row.left, row.stored) == types and row.right_shape == shape[-len(row.right_shape) :]
            extents = tuple(int(one.extent) for one in other.region[-len(row.left_shape) :])
            if known and other is not right and extents == row.left_shape:
                return row
    return None


# ---- tiles ----


@dataclass(frozen=True, slots=True)
class _InTiles:
    """The numbers of a block's further iters: rows and columns of tiles, and a tile's rows and words."""

    down: int
    across: int
    row: int
    word: int

    @classmethod
    def of(cls, found: Block) -> _InTiles:
        return cls(*range(len(found.iters), len(found.iters) + 4))

    def rows(self, terms: Any) -> Any:
        """The index of a matrix's row."""
        return (*terms, (self.down, float(TILE_ROWS)), (self.row, 1.0))

    def block(self, found: Block, form: tuple[int, int], **changes: Any) -> Block:
        """The block with these iters and their loops: each tile is a vector."""
        sizes = (*form, TILE_ROWS, TILE_ROWS)
        iters = [Iter(name, size, False) for name, size in zip(("down", "across", "row", "word"), sizes, strict=True)]
        kinds = (LoopKind.UNROLLED, LoopKind.UNROLLED, LoopKind.VECTORIZED, LoopKind.VECTORIZED)
        places = (self.down, self.across, self.row, self.word)
        loops = [LoopSource(n, FIXED, 0, size, kind) for n, size, kind in zip(places, sizes, kinds, strict=True)]
        return replace(found, iters=(*found.iters, *iters), loops=(*found.loops, *loops), on_tiles=True, **changes)


def _on_tiles(stmt: Any, found: Block, dot: Dot, reads: Sequence[Any], right: Any) -> Block:
    """A step on tiles."""
    assert dot.tiles is not None
    tiles = _InTiles.of(found)
    accesses = {}
    for region in reads:
        if region is right:
            *index, panels, groups, _, _ = _index(stmt, region)
            panel, group = (*panels, (tiles.across, 1.0)), (*groups, (tiles.row, 1.0))
            access = _access(region, (*index, panel, group, ((tiles.word, 1.0),)), dot.group * _bytes(region))
            accesses[region.source] = replace(access, shape=access.shape[:-1])
        else:
            *index, rows, terms = _index(stmt, region)
            words = (*((n, c / dot.group) for n, c in terms), (tiles.word, 1.0))
            access = _access(region, (*index, tiles.rows(rows), words), dot.group * _bytes(region))
            accesses[region.source] = replace(access, shape=(*access.shape[:-1], access.shape[-1] // dot.group))
    return tiles.block(
        found,
        dot.tiles,
        reads=tuple(accesses[region.source] for region in reads),
        write=_sums(stmt, stmt.writes[0], tiles),
        work=BlockWork(fused=1.0),
        instruction=dot.instruction_set,
    )


def _store(stmt: Any, found: Block) -> Block:
    """Storing a register tile of sums."""
    (read,), (written,) = stmt.reads, stmt.writes
    tiles = _InTiles.of(found)
    down, across = (int(one.extent) // TILE_ROWS for one in written.region[-2:])
    accesses = {"reads": (_sums(stmt, read, tiles),), "write": _sums(stmt, written, tiles)}
    return tiles.block(found, (down, across), work=BlockWork(), **accesses)


def _sums(stmt: Any, region: Any, tiles: _InTiles) -> MemoryAccess:
    *index, rows, columns = _index(stmt, region)
    column = (*columns, (tiles.across, float(TILE_ROWS)), (tiles.word, 1.0))
    return _access(region, (*index, tiles.rows(rows), column), 4)


# ---- operands of vector instructions ----


def _left(stmt: Any, region: Any, dot: Dot, fold: int) -> MemoryAccess:
    """The operand that is broadcast, in elements: what computes it may be under the same loops."""
    *index, last = _index(stmt, region)
    slots = 2 * _WIDEN if dot.method is Method.MADD else _FLIP if dot.corrected else 0.0
    size = 2 * _bytes(region) if dot.method is Method.HALVES else _bytes(region)
    return _access(region, (*index, (*last, (fold, float(dot.group)))), size, slots)


def _right(stmt: Any, region: Any, dot: Dot, lanes: int, fold: int) -> MemoryAccess:
    """The packed operand, in groups. Flipped signs take one more instruction for each vector."""
    if dot.interleaved:
        *index, rows, columns = _index(stmt, region)
        return _access(region, (*index, rows, (*columns, (lanes, 1.0))), _bytes(region), _INTERLEAVE)
    *index, groups, _, _ = _index(stmt, region)
    slots = _WIDEN if dot.method is Method.MADD else _CORRECT if dot.corrected else 0.0
    slots = _APART if dot.method is Method.HALVES else slots
    found = _access(region, (*index, (*groups, (fold, 1.0)), ((lanes, 1.0),)), dot.group * _bytes(region), slots)
    return replace(found, shape=found.shape[:-1])


def _loops(found: Block, lanes: int, width: int, fold: int, steps: int) -> tuple[LoopSource, ...]:
    """The block's loops with those inside the intrinsic: the steps inside the sum, the lanes innermost."""
    last = max((n for n, loop in enumerate(found.loops) if found.iters[loop.iter].reduce), default=-1) + 1
    steps_loop = LoopSource(fold, FIXED, 0, steps, LoopKind.UNROLLED)
    lanes_loop = LoopSource(lanes, FIXED, 0, width, LoopKind.VECTORIZED)
    return (*found.loops[:last], steps_loop, *found.loops[last:], lanes_loop)


def _index(stmt: Any, region: Any) -> list[tuple[tuple[int, float], ...]]:
    numbers = {axis.var: number for number, axis in enumerate(stmt.iter_vars)}
    found = [linear(one.min, numbers) for one in region.region]
    return [tuple((n, c) for n, c in (terms or {}).items() if c) for terms in found]


def _access(region: Any, index: Sequence[Any], size: int, slots: float | None = 0.0) -> MemoryAccess:
    return MemoryAccess(str(region.source.name), _shape(region), size, tuple(index), slots)


def _shape(region: Any) -> tuple[int, ...]:
    return tuple(int(extent) for extent in region.source.shape)


def _bytes(region: Any) -> int:
    return 2 if "16" in str(region.source.ty.dtype) else 1
