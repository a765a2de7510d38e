"""Orders the loops of one block and marks those that become vectors, are unrolled or become dot instructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from colt.analysis.nests import LLVM_UNROLLS
from colt.analysis.skeleton import Block
from colt.tvm.programs.loops import fuse_all, loops_by_iter
from colt.tvm.sketches.structured.dots import DotStep, sums_in_tiles
from colt.tvm.sketches.structured.flow import Flow, reduced, spatial
from colt.tvm.sketches.structured.shapes import BlockKind, BlockShape
from colt.tvm.sketches.structured.tiles import SQUARE, split_sum, unroll_sum

SPLIT_OFF = "pragma_loop_partition_hint"
"""TVM's mark of a loop whose conditional turns are to be split off."""


@dataclass(slots=True)
class BlockNests:
    """The nests of a group's blocks, whose iters are split into parts by then."""

    schedule: Any
    flow: Flow
    shapes: Sequence[BlockShape]
    finishers: dict[int, list[int]]
    """The blocks that bring each kernel's results to their place, in order, by kernel."""
    long_sums: bool
    """Whether the anchor's contraction is summed in parts, each over the whole parallel tile."""
    steps: list[DotStep] = field(default_factory=list)
    """What becomes dot instructions at the end: TVM moves and marks no loops around these."""

    def loops_of(self, rv: Any) -> list[Any]:
        """The loop over each iter of a block that was not moved yet."""
        loops = loops_by_iter(self.schedule, rv)
        assert loops is not None, "the program was plain, and a block is moved only after this"
        return loops

    def look_up(self, number: int) -> tuple[Block, BlockShape, Any]:
        block = self.flow.blocks[number]
        return block, self.shapes[number], self.schedule.get_sblock(block.name)

    def finishers_of(self, number: int | None) -> list[int]:
        """The blocks that bring the kernel's results to their place; none if there is no kernel."""
        return [] if number is None else self.finishers.get(number, [])

    def is_folded(self, number: int) -> bool:
        """Whether what finishes the kernel adds up the lanes of its sums."""
        return any(self.shapes[finisher].is_fold for finisher in self.finishers_of(number))

    def side(self, loop: Any) -> list[Any]:
        """The loop split into squares' sides."""
        return list(self.schedule.split(loop, [None, SQUARE]))

    def order(self, number: int, parts: dict[int, list[Any]], sums: list[Any], outer: list[Any]) -> Any:
        """Order and mark the loops; fuse the ``outer`` ones and return the fused loop."""
        block, shape, rv = self.look_up(number)
        if shape.kind is BlockKind.KERNEL:
            return self._kernel(number, rv, parts, sums, outer)
        if shape.square is not None:
            return self._square(number, parts, outer)
        if shape.alone:
            return self._add_up(parts, sums, shape.vector)
        vector = parts.pop(shape.vector, None) if shape.vector is not None else None
        loops = [loop for iter_ in parts for loop in parts[iter_]]
        if vector and shape.kind is BlockKind.POINTWISE:  # it is empty if each element is a job
            self.schedule.reorder(*outer, *loops, *vector)
            lanes = self._lanes(vector[-1], shape.width) if len(vector) == 1 and outer else vector[-1]
            if len(vector) > 1 or outer:
                self.schedule.vectorize(lanes)
        elif vector is not None:
            short = math.prod(block.iters[n].extent for n in reduced(block)) <= LLVM_UNROLLS
            self.schedule.reorder(*outer, *loops, *(vector + sums if short else sums + vector))
        else:
            self.schedule.reorder(*outer, *loops[:-1], *sums, *loops[-1:])
        return fuse_all(self.schedule, outer)

    def _add_up(self, parts: dict[int, list[Any]], sums: list[Any], vector: int | None) -> None:
        """Add up what the parts of a sum leave, on one thread."""
        (lanes,) = parts.pop(vector) if vector is not None else [None]
        within = [loop for iter_ in parts for loop in parts[iter_]]
        self.schedule.reorder(*within, *sums, *([] if lanes is None else [lanes]))
        if lanes is not None:
            self.schedule.vectorize(lanes)

    def _square(self, number: int, parts: dict[int, list[Any]], outer: list[Any]) -> Any:
        """Nest a transposition: in each square, elements that are contiguous in the source are loaded together."""
        block, shape, _ = self.look_up(number)
        assert shape.square is not None
        read, written = shape.square
        whole = all(block.iters[n].extent % SQUARE == 0 for n in shape.square)
        sides = [parts[written].pop(), parts[read].pop()]
        self.schedule.reorder(*outer, *(loop for iter_ in parts for loop in parts[iter_]), *sides)
        if outer and whole and not block.work.branches:
            self.schedule.vectorize(sides[-1])
        return fuse_all(self.schedule, outer)

    def _kernel(self, number: int, rv: Any, parts: dict[int, list[Any]], sums: list[Any], outer: list[Any]) -> Any:
        """Nest a contraction: the sums around a register tile, whose results are written back at its end."""
        shape = self.shapes[number]
        middle, row, vectors, lanes = self._around_tile(shape, parts)
        tile = [loop for loop in (row, vectors) if loop is not None]
        copies = self._write_back(number, rv)
        first, unrolled, terms = self._split_sums(number, sums, bool(outer))
        tile = [*unrolled, *tile]
        self.schedule.reorder(*outer, *first, *middle, *sums, *tile, *([] if lanes is None else [lanes]), *terms)
        if shape.rest:
            for loop in sums:
                self.schedule.annotate(loop, SPLIT_OFF, 1)
        fused = fuse_all(self.schedule, outer)
        around = [*([fused] if outer else []), *([] if first else middle)]
        for copy in copies if around else ():
            self.schedule.reverse_compute_at(copy, around[-1], preserve_unit_loops=True)
        if shape.dot is not None:
            inner, store = (row, copies[0]) if shape.on_tiles else (lanes, None)
            self.steps.append(DotStep(rv, (first or sums)[0], inner, shape.dot, store))
        elif lanes is not None:
            self.schedule.vectorize(lanes)
        for loop in tile if not shape.on_tiles else ():
            self.schedule.unroll(loop)
        if self.is_folded(number):
            for finisher in self.finishers_of(number):
                self._few_sums(finisher)
        elif self._writes_vectors(number) and (number in self.finishers or not shape.on_tiles):
            self.schedule.vectorize(self._lanes(self.schedule.get_loops(copies[-1])[-1], shape.width))
        return fused

    def _around_tile(self, shape: BlockShape, parts: dict[int, list[Any]]) -> tuple[list[Any], Any, Any, Any]:
        """The loops around a register tile, and its own: over rows, over vectors, and over a vector's lanes, each
        ``None`` if there is none."""
        *columns, lanes = parts.pop(shape.vector) if shape.vector is not None else [None]
        vectors = columns.pop() if columns and not shape.on_tiles else None
        if shape.columns is not None:
            columns = parts.pop(shape.columns)
            vectors = columns.pop() if len(columns) > 1 else None
        rows = parts.pop(shape.rows) if shape.rows is not None else []
        row = rows.pop() if len(rows) > 1 or shape.on_tiles else None
        middle = [loop for iter_ in parts for loop in parts[iter_]]
        return [*middle, *rows[:1], *columns, *rows[1:]], row, vectors, lanes

    def _split_sums(self, number: int, sums: list[Any], within: bool) -> tuple[list[Any], list[Any], list[Any]]:
        """Split a contraction's loops, in ``sums``: the loop over parts of long ones, if this is ``within`` the loop of
        the threads; the loop that is unrolled; and the loops over the terms of a dot instruction."""
        block, shape = self.flow.blocks[number], self.shapes[number]
        extents = [block.iters[n].extent for n in reduced(block)]
        terms: list[Any] = []
        if shape.dot is not None:
            place, step = reduced(block).index(shape.dot.along), shape.dot.instruction.terms
            if shape.dot.half is not None:
                place_of_half = reduced(block).index(shape.dot.half)
                terms, _ = [sums.pop(place_of_half)], extents.pop(place_of_half)
                place -= place_of_half < place
            sums[place], term = self.schedule.split(sums[place], [None, step])
            extents[place] //= step
            terms.insert(0, term)
        if self.long_sums and within:
            longest = max(range(len(sums)), key=lambda n: extents[n])
            part, sums[longest] = split_sum(self.schedule, sums[longest], extents[longest])
            return [part], [], terms
        if shape.dot is not None and not shape.on_tiles:
            sums[place], unrolled = unroll_sum(self.schedule, sums[place], extents[place], step)
            sums.append(sums.pop(place))
            return [], [unrolled], terms
        return [], [], terms

    def _few_sums(self, number: int) -> None:
        """Unroll sums of a few terms each, in vectors if the sums are partial results themselves."""
        block, shape, rv = self.look_up(number)
        loops = self.schedule.get_loops(rv)[-len(block.iters) :]
        along = shape.vector if shape.is_fold else None
        sums = [loops[n] for n in reduced(block)]
        lanes = [] if along is None else [loops[along]]
        self.schedule.reorder(*(loops[n] for n in spatial(block) if n != along), *sums, *lanes)
        for loop in sums:
            self.schedule.unroll(loop)
        for loop in lanes:
            self.schedule.vectorize(loop)

    def _write_back(self, number: int, rv: Any) -> list[Any]:
        """The blocks that bring a register tile's results to their place; several if the kernel has several results or
        finishers. Sums in tiles are stored first."""
        stored = [sums_in_tiles(self.schedule, rv)] if self.shapes[number].on_tiles else []
        if number in self.finishers:
            return [*stored, *(self.look_up(finisher)[2] for finisher in self.finishers[number])]
        if stored:
            return stored
        results = len(self.schedule.get(rv).writes)
        return [self.schedule.cache_write(rv, result, "global") for result in range(results)]

    def _writes_vectors(self, number: int) -> bool:
        """Whether the results are written in the vectors that they are computed in. If they are cropped or transposed,
        LLVM finds the vectors instead."""
        kernel, vector = self.flow.blocks[number], self.shapes[number].vector
        if vector is None or number not in self.finishers:
            return vector is not None
        (finisher,) = self.finishers[number]
        along = self.shapes[finisher].vector
        if along is None or self.flow.counterpart(finisher, (), number, along) != vector:
            return False
        return self.flow.blocks[finisher].iters[along].extent == kernel.iters[vector].extent

    def _lanes(self, loop: Any, width: int) -> Any:
        return self.schedule.split(loop, [None, width])[1]
