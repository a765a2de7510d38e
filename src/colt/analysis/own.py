"""The own loops of a block for some values, with what follows from them alone: many schedules have them in common."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from colt.analysis.loops import Loop, footprint, touched
from colt.analysis.skeleton import Block, BlockWork

LINE = 64
"""Bytes of a cache line."""


class CacheLines(NamedTuple):
    """Cache lines that an access touches: ``rows`` runs of ``run`` lines, ``apart`` lines from each other."""

    rows: int
    run: float
    apart: int
    total: float
    """Those of all rows."""


class OwnLoops:
    """A block's own loops, outermost first. The innermost ``vector`` of them are vectorised, the ``unrolled`` loops
    around those unrolled. ``work`` is that of the block and of all that is inlined into it, per point.

    ``parallel`` is the extent of their fused parallel loop (1: serial). ``turns[depth]`` says how often the loops from
    that depth on run, ``turns[-1]`` how many points there are. ``regions`` holds how much of its iters a guest computes
    at a time under a loop, by the loop's depth and the guest's number.
    """

    def __init__(
        self, block: Block, work: BlockWork, loops: list[Loop], vector: int, unrolled: int, parallel: int = 1
    ) -> None:
        self.block = block
        self.work = work
        self.loops = loops
        self.vector = vector
        self.unrolled = unrolled
        self.parallel = parallel
        self.regions: dict[tuple[int, int], tuple[int, ...]] = {}
        self.turns = [1]
        for loop in loops:
            self.turns.append(self.turns[-1] * loop.extent)
        self.depths = [len(loops), *[depth for depth in range(len(loops) - 1, -1, -1) if loops[depth].extent > 1]]
        """Where data may be loaded anew: inside each loop of more than one turn, innermost first, and outside all."""
        self._reaches: dict[int, list[int]] = {}
        self._bytes: dict[tuple[str, int], int] = {}

    @property
    def vector_extent(self) -> int:
        """Elements of one vector statement; 1 if scalar."""
        return math.prod([loop.extent for loop in self.loops[len(self.loops) - self.vector :]])

    def reach(self, depth: int) -> list[int]:
        """How many consecutive values each iter takes while the loops from that depth on run."""
        found = self._reaches.get(depth)
        if found is None:
            found = self._reaches[depth] = [1] * len(self.block.iters)
            for loop in self.loops[depth:]:
                found[loop.iter] += (loop.extent - 1) * loop.step
        return found

    def bytes_of(self, buffer: str, depth: int) -> int:
        """Bytes of the buffer that are touched while the loops from that depth on run."""
        key = buffer, depth
        if key not in self._bytes:
            reach = self.reach(depth)
            accesses = [access for access in self.block.accesses if access.buffer == buffer]
            sizes = [math.prod(footprint(access, reach)) * access.element_bytes for access in accesses]
            self._bytes[key] = max(sizes)
        return self._bytes[key]

    def lines(self, number: int, first: int, again: bool) -> list[CacheLines]:
        """Cache lines that access ``number`` of the block touches while the loops from each of ``depths`` on run. Those
        outside loop ``first`` touch the same again.

        ``again``: the loops run many times, so the rest of a line is touched soon after.
        """
        access = self.block.accesses[number]
        shape, element_bytes, dimensions, along = access.shape, access.element_bytes, access.dimensions, access.along
        reach = [1] * len(self.block.iters)
        counts = footprint(access, reach)
        found = [lines_of(shape, element_bytes, tuple(counts), again)]
        for depth in self.depths[1:]:
            loop = self.loops[depth]
            moved = along.get(loop.iter) if depth >= first else None
            if moved is None:
                found.append(found[-1])
                continue
            reach[loop.iter] += (loop.extent - 1) * loop.step
            for dimension in moved:
                counts[dimension] = touched(dimensions[dimension], reach)
            found.append(lines_of(shape, element_bytes, tuple(counts), again))
        return found


@lru_cache(maxsize=1 << 16)
def lines_of(shape: tuple[int, ...], element_bytes: int, counts: tuple[int, ...], again: bool) -> CacheLines:
    """Cache lines of ``counts`` neighbouring elements in each dimension of a buffer. ``again``: see
    :meth:`OwnLoops.lines`."""
    run, rows, apart, below = 1, 1, 1, 1
    contiguous = True
    for size, count in zip(reversed(shape), reversed(counts), strict=True):
        if contiguous:
            run = count * below
            contiguous = count == size
        elif count > 1:
            if rows == 1:
                apart = max(1, below * element_bytes // LINE)
            rows *= count
        below *= size
    lines = run * element_bytes / LINE
    length = max(0.5, lines) if again else math.ceil(lines)
    return CacheLines(rows, length, apart, rows * length)
