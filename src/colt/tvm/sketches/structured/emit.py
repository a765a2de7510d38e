"""Schedules one group: the anchor's tiles run in parallel, and its producers are computed under them.

Every loop is kept, even if it has one iteration, so that a trace fits every choice of its tiles.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from colt.analysis.skeleton import Block
from colt.knobs import EDITION
from colt.tvm.dots import Dot
from colt.tvm.dots.table import OTHER_SIGN, packing_name
from colt.tvm.programs.loops import fuse_all
from colt.tvm.sketches.structured.block_nests import SPLIT_OFF, BlockNests
from colt.tvm.sketches.structured.dots import import_shims, use_instruction, use_intrinsic
from colt.tvm.sketches.structured.flow import Flow, reduced, spatial
from colt.tvm.sketches.structured.groups import JOBS, Group
from colt.tvm.sketches.structured.shapes import BlockKind, BlockShape
from colt.tvm.sketches.structured.tiles import (
    FIRST_ROWS,
    FIRST_SIDE,
    FIRST_VECTORS,
    MAX_ROWS,
    MAX_VECTORS,
    SCALARS,
    Tile,
    most_rows,
    sample_columns,
    sample_pieces,
    sample_rows,
    sample_steps,
    split_inner,
    split_rows,
)

_VECTORS_REFUSED = 7
"""The last edition that refused vectors of a result that no tile of its contractions runs along."""
_FEW_ROWS = 8
"""The last edition with no more rows in a register tile where the usual numbers do not divide a loop."""
_IN_PROGRAM_ORDER = 16
"""The last edition whose threads went through the tiles of a contraction in the order of its iters."""


def emit(
    schedule: Any,
    flow: Flow,
    shapes: Sequence[BlockShape],
    group: Group,
    epilogues: dict[int, int],
    threads: int,
    long_sums: bool,
    edition: int = EDITION,
) -> None:
    """Schedule the group's blocks. Raises what TVM raises if a primitive does not apply.

    ``long_sums``: the anchor's contraction is summed in parts, each over the whole parallel tile. ``edition``: that of
    the design space.
    """
    finishers: dict[int, list[int]] = {}
    for number, kernel in sorted(epilogues.items()):
        finishers.setdefault(kernel, []).append(number)
    nests = BlockNests(schedule, flow, shapes, finishers, long_sums)
    _Emitter(schedule, flow, shapes, group, nests, threads, edition).emit()


def set_apart(schedule: Any, flow: Flow, shapes: Sequence[BlockShape]) -> None:
    """Give the sum with conditional turns its first values in a block of their own, when all groups are scheduled.

    TVM checks every block again when it does this for one, and would not know this one for a sum any more.
    """
    for number, shape in enumerate(shapes):
        if shape.rest:
            rv = schedule.get_sblock(flow.blocks[number].name)
            loops = [loop for loop in schedule.get_loops(rv) if SPLIT_OFF in schedule.get(loop).annotations]
            schedule.decompose_reduction(rv, loops[0])


@dataclass(slots=True)
class _Emitter:
    schedule: Any
    flow: Flow
    shapes: Sequence[BlockShape]
    group: Group
    nests: BlockNests
    threads: int
    edition: int
    tiles: dict[int, Tile] = field(default_factory=dict)
    """The tiles by outer iter of the anchor."""

    def emit(self) -> None:
        if self.shapes[self.group.anchor].packing is not None:
            self._pack()
            return
        if self.flow.blocks[self.group.anchor].ahead:
            self._compute_ahead()
            return
        parallel = self._anchor()
        for number in sorted(self.group.members, reverse=True):
            if number != self.group.kernel and number not in self.nests.finishers_of(self.group.kernel):
                self._member(number, parallel)
        if parallel is not None:
            self.schedule.parallel(parallel)
            import_shims(self.schedule, parallel, self.nests.steps)
        for step in self.nests.steps:
            use_instruction(self.schedule, step)

    def _pack(self) -> None:
        """Copy a dot's right operand, groups of rows of one vector's width at a time."""
        _, shape, rv = self.nests.look_up(self.group.anchor)
        packing = shape.packing
        assert packing is not None
        loops = self.nests.loops_of(rv)
        groups, neighbours = self.schedule.split(loops[packing.rows], [None, packing.instruction.group])
        vectors, lanes = self.schedule.split(loops[packing.columns], [None, packing.instruction.lanes])
        others = [loop for number, loop in enumerate(loops) if number not in (packing.rows, packing.columns)]
        outer = [*others, vectors]
        if (packing.rows, packing.columns) == (packing.iters - 2, packing.iters - 1):
            self.schedule.reorder(*outer, groups, neighbours, lanes)
            self.schedule.parallel(fuse_all(self.schedule, outer))
            use_intrinsic(self.schedule, neighbours, self._packing_name(rv, packing.instruction))
        else:
            self.schedule.reorder(*outer, groups, lanes, neighbours)
            self.schedule.parallel(fuse_all(self.schedule, outer))
            if packing.rows == packing.iters - 1:
                self.schedule.vectorize(neighbours)

    def _packing_name(self, rv: Any, dot: Dot) -> str:
        """The intrinsic that packs; another one if the block takes bytes of the other sign and flips theirs."""
        (read,) = self.schedule.get(rv).reads
        flipped = OTHER_SIGN.get(dot.stored) == str(read.source.ty.dtype)
        return packing_name(dot.stored, dot.group, dot.lanes, flipped)

    def _compute_ahead(self) -> None:
        """What depends on constants alone is not timed: one loop for the threads, and nothing to choose."""
        block, _, rv = self.nests.look_up(self.group.anchor)
        loops = self.nests.loops_of(rv)
        outer = next((loops[n] for n in spatial(block) if block.iters[n].extent > 1), None)
        if outer is not None:
            self.schedule.parallel(outer)

    # ---- the anchor ----

    def _anchor(self) -> Any:
        """Tile the anchor, or the contraction that it finishes; return the loop for the threads."""
        number = self.group.anchor if self.group.kernel is None else self.group.kernel
        block, shape, rv = self.nests.look_up(number)
        loops = self.nests.loops_of(rv)
        rows, columns = self._tiled_iters()
        outer: dict[int, Any] = {}
        parts: dict[int, list[Any]] = {}
        single = [n for n in self.group.outer if n not in rows and n not in columns and n not in self.group.pieces]
        few = self._jobs(single) < self.threads
        jobs = self.threads if few and len(rows) + len(columns) == 1 else 1
        for iter_ in spatial(block):
            origin = self._origin(number, iter_)
            pieces = 0 if origin is None else jobs
            extent, loop = block.iters[iter_].extent, loops[iter_]
            tile = None
            size = self._step(number, iter_, origin)
            if size > 1:
                middle = 1 if origin in columns or iter_ == shape.vector else 2
                parts[iter_], tile = sample_steps(self.schedule, loop, extent, size, pieces, middle)
            elif origin in columns or (shape.kind is BlockKind.KERNEL and iter_ == shape.vector):
                width = columns.get(origin, shape.width)
                first = MAX_VECTORS if shape.alone else FIRST_VECTORS
                parts[iter_], tile = sample_columns(self.schedule, loop, extent, width, pieces, first=first)
            elif origin in rows or (shape.kind is BlockKind.KERNEL and iter_ in (shape.rows, shape.columns)):
                first = rows.get(origin, _first_rows(shape))
                over = self._longest(origin, loop, extent)
                tile = self._rows(*over, pieces, 2 if first else 0, first or FIRST_ROWS)
                parts[iter_] = split_rows(self.schedule, loop, tile)
            elif iter_ in (shape.square or ()):
                parts[iter_] = self.nests.side(loop)
            elif origin in self.group.pieces:
                parts[iter_], tile = sample_pieces(self.schedule, loop, extent)
            else:
                parts[iter_] = [loop]
            if origin is not None:
                outer[iter_] = parts[iter_].pop(0)
                if tile is not None:
                    self.tiles[origin] = tile
        sums = [loops[n] for n in reduced(block)]
        order = list(outer)
        if self.edition > _IN_PROGRAM_ORDER and shape.kind is BlockKind.KERNEL:
            order.sort(key=lambda iter_: -_bytes_along(block, iter_))
        return self.nests.order(number, parts, sums, [outer[iter_] for iter_ in order])

    def _step(self, number: int, iter_: int, origin: int | None) -> int:
        """How much of the kernel's iter, or of the anchor's outer iter that it follows, a step on tiles takes: the most
        that any kernel of the group does; 1 if none works on tiles there."""
        sizes = [_step_along(self.shapes[number], iter_)]
        for other in self._kernels():
            if origin is None:
                break
            match = self.flow.counterpart(self.group.anchor, self.group.members, other, origin)
            sizes.append(1 if match is None else _step_along(self.shapes[other], match))
        return max(sizes)

    def _longest(self, origin: int | None, loop: Any, extent: int) -> tuple[Any, int]:
        """The loop over the anchor's outer iter in the kernel that pads it furthest, and the loop's extent.

        For a contraction summed in lanes, the anchor's own loop: its kernel's loops have lost their names.
        """
        found = loop, extent
        if origin is None:
            return found
        if self.group.kernel is not None and self.nests.is_folded(self.group.kernel):
            return self.nests.loops_of(self.nests.look_up(self.group.anchor)[2])[origin], extent
        for number in self._kernels():
            match = self.flow.counterpart(self.group.anchor, self.group.members, number, origin)
            if match is not None and self.flow.blocks[number].iters[match].extent > found[1]:
                block, _, rv = self.nests.look_up(number)
                found = self.nests.loops_of(rv)[match], block.iters[match].extent
        return found

    def _tiled_iters(self) -> tuple[dict[int | None, int], dict[int | None, int]]:
        """The outer iters that are tiled: rows with their initial number (0 without a kernel), columns with their
        width."""
        group = self.group
        rows: dict[int | None, int] = {}
        columns: dict[int | None, int] = {}
        scalars: list[int] = []
        for number in self._kernels():
            shape = self.shapes[number]
            for outer in group.outer:
                match = self.flow.counterpart(group.anchor, group.members, number, outer)
                if match is not None and match == shape.vector:
                    columns.setdefault(outer, shape.width)
                elif match is not None and match == shape.rows and shape.vector is None:
                    scalars.append(outer)
                elif match is not None and match in (shape.rows, shape.columns):
                    rows[outer] = _first_rows(shape)
        for outer in scalars:
            if outer not in rows:
                columns.setdefault(outer, SCALARS)
        if group.outer and not rows and not columns and self.shapes[group.anchor].square is None:
            self._tile_anchor(rows, columns)
        elif group.kernel is None:
            self._keep_vectors({*rows, *columns})
        return {outer: first for outer, first in rows.items() if outer not in columns}, columns

    def _tile_anchor(self, rows: dict[int | None, int], columns: dict[int | None, int]) -> None:
        """Tile an anchor that has no kernel: vectors if it is pointwise, or pieces of its last iter for the threads."""
        anchor = self.shapes[self.group.anchor]
        reduces = any(self.shapes[n].kind is not BlockKind.POINTWISE for n in self._blocks())
        if anchor.vector in self.group.outer and anchor.vector is not None and not reduces:
            columns[anchor.vector] = anchor.width
        elif reduces or self._jobs(self.group.outer[:-1]) < JOBS * self.threads:
            rows[self.group.outer[-1]] = 0
        else:
            self.group.outer.pop()

    def _keep_vectors(self, tiled: Collection[int | None]) -> None:
        """Leave the loop of a pointwise anchor's vectors inside if no tile of its contractions runs along it."""
        group, anchor = self.group, self.shapes[self.group.anchor]
        if anchor.kind is not BlockKind.POINTWISE or anchor.vector not in group.outer or anchor.vector in tiled:
            return
        if self.edition <= _VECTORS_REFUSED:
            raise IndexError("list index out of range")  # the reason that recordings of these editions hold
        others = [n for n in group.outer if n != anchor.vector]
        if self._jobs(others) >= JOBS * self.threads:
            group.outer = others

    def _jobs(self, iters: Sequence[int]) -> int:
        return math.prod(self.flow.blocks[self.group.anchor].iters[n].extent for n in iters)

    def _blocks(self) -> Iterator[int]:
        yield from (self.group.anchor, *self.group.members)

    def _kernels(self) -> Iterator[int]:
        yield from (number for number in self._blocks() if self.shapes[number].kind is BlockKind.KERNEL)

    def _origin(self, number: int, iter_: int) -> int | None:
        """The anchor's outer iter that takes the same values as this iter."""
        group = self.group
        for outer in group.outer:
            if self.flow.counterpart(group.anchor, group.members, number, outer) == iter_:
                return outer
        return None

    # ---- members ----

    def _member(self, number: int, parallel: Any) -> None:
        block, _, rv = self.nests.look_up(number)
        if any(number in finishers for finishers in self.nests.finishers.values()):
            self.schedule.compute_at(rv, parallel, preserve_unit_loops=True)
            return  # its kernel takes it along
        tiles = self._own_tiles(number)
        self.schedule.compute_at(rv, parallel, preserve_unit_loops=True)
        loops = self.schedule.get_loops(rv)[-len(block.iters) :]
        useful = self.flow.useful[number]
        padded = {n: block.iters[n].extent > useful.iters[n].extent for n in spatial(block)}
        parts = {n: split_inner(self.schedule, loops[n], tiles.get(n), padded[n]) for n in spatial(block)}
        for iter_ in self.shapes[number].square or ():
            parts[iter_] = self.nests.side(loops[iter_])
        self.nests.order(number, parts, [loops[n] for n in reduced(block)], [])

    def _own_tiles(self, number: int) -> dict[int, Tile]:
        """Tiles by the block's iter: the anchor's if the iter follows one, sampled ones for a kernel's other iters."""
        block, shape, rv = self.nests.look_up(number)
        group = self.group
        touched = self.flow.touched(group.anchor, group.members, number, group.outer)
        loops = self.nests.loops_of(rv)
        found: dict[int, Tile] = {}
        for iter_ in spatial(block):
            extent = block.iters[iter_].extent
            origin = self._origin(number, iter_)
            if origin is not None:
                tile = self.tiles.get(origin)
                if tile is not None and (iter_ == shape.vector or shape.kind is BlockKind.KERNEL):
                    found[iter_] = tile
            elif iter_ in touched:
                continue  # only a part is needed, and it is not a tile
            elif _step_along(shape, iter_) > 1:
                _, found[iter_] = sample_steps(
                    self.schedule, loops[iter_], extent, _step_along(shape, iter_), 0, 1, split=False
                )
            elif shape.kind is BlockKind.KERNEL and iter_ == shape.vector:
                side_by_side = shape.partial and extent > MAX_VECTORS * shape.width
                _, found[iter_] = sample_columns(
                    self.schedule, loops[iter_], extent, shape.width, 0, split=False, all_=side_by_side
                )
            elif shape.kind is BlockKind.KERNEL and iter_ in (shape.rows, shape.columns):
                found[iter_] = self._rows(loops[iter_], extent, 0, 1, _first_rows(shape))
            elif shape.kind is BlockKind.POINTWISE and iter_ == shape.vector:
                found[iter_] = Tile((None,), shape.width, False)
        return found

    def _rows(self, loop: Any, extent: int, jobs: int, middle: int, first: int) -> Tile:
        most = MAX_ROWS if self.edition <= _FEW_ROWS else most_rows(extent)
        return sample_rows(self.schedule, loop, extent, jobs, middle, first, most)


def _bytes_along(block: Block, iter_: int) -> int:
    """The bytes of the operands that the iter goes through. Where threads go through the largest operand once, outside
    of all other loops, a part of it stays in the cache while the smaller ones go by."""
    return sum(math.prod(read.shape) * read.element_bytes for read in block.reads if iter_ in read.along)


def _step_along(shape: BlockShape, iter_: int) -> int:
    """How much of the iter a step of the kernel takes, if it works on tiles; else 1."""
    if not shape.on_tiles:
        return 1
    return shape.width if iter_ == shape.vector else shape.instruction_rows if iter_ == shape.rows else 1


def _first_rows(shape: BlockShape) -> int:
    """The initial number of rows of a register tile."""
    return FIRST_ROWS if shape.columns is None else FIRST_SIDE
