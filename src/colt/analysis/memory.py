"""How long a loop nest waits for its data: the lines that come into each cache, and the bandwidth of what is behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colt.analysis.loops import footprint, reaches, stride
from colt.analysis.nests import Nest
from colt.analysis.processor import Machine
from colt.analysis.skeleton import MemoryAccess

LINE = 64
"""Bytes of a cache line."""
STREAMS = 32
"""How many streams of loads are prefetched side by side."""
ABREAST = 6
"""How many rows are prefetched into L1 side by side, if every step moves each row on by a line."""
LATE = 2.0
"""How many times as long the lines take to come from L2 if there are more rows."""
PAGE = 4096
"""Bytes of a page."""
WAYS = 8
"""Lines of one set of a cache."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """Cache lines that an access touches: ``rows`` runs of ``run`` lines, ``apart`` lines from each other."""

    rows: int
    run: float
    apart: int

    @property
    def total(self) -> float:
        return self.rows * self.run


@dataclass(frozen=True, slots=True)
class Waits:
    """Nanoseconds of one execution of a nest: for what comes from L2 and from L3 on one thread, and from memory on all
    threads together."""

    l2: float
    l3: float
    dram: float


def memory_waits(nest: Nest, machine: Machine) -> Waits:
    """How long one execution of a nest waits for each level of memory."""
    loops = nest.loops
    depths = [len(loops)] + [d for d in range(len(loops) - 1, -1, -1) if loops[d].extent > 1]
    memory = _Memory(nest, depths, [_lines(access, nest, depths) for access in (*nest.block.reads, nest.block.write)])
    l1 = memory.misses(machine.l1_bytes, machine.l2_jump, LATE)
    l2 = memory.misses(machine.l2_bytes, machine.l3_jump)
    dram = 0.0
    if memory.total(len(depths) - 1) * LINE > machine.l3_bytes:  # otherwise repeated runs find their data in L3
        dram = memory.misses(machine.l3_bytes, machine.dram_jump) / machine.dram
    return Waits(l1 / machine.l2, l2 / machine.l3, dram)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The ``lines`` that each access of a nest touches while the loops from each of ``depths`` on run, innermost depth
    first."""

    nest: Nest
    depths: Sequence[int]
    lines: Sequence[Sequence[_Lines]]

    def misses(self, capacity: int, jump: float, late: float = 1.0) -> float:
        """Bytes that come into a cache. Each time a read leaves a row adds ``jump`` lines; the lines of a read of many
        rows abreast count ``late`` times.

        The loops from some depth on fit. The next loop around them loads every line that it touches once: the lines of
        its previous turn are still there (stack distance). Each turn of the loops further out starts anew. A buffer
        that is used in pieces that fit is not loaded at all.
        """
        around = self._first_too_large(capacity)
        turns = math.prod(loop.extent for loop in self.nest.loops[: self.depths[around]])
        block = self.nest.block
        moved = 0.0
        for number, access in enumerate((*block.reads, block.write)):
            piece = self.nest.pieces.get(access.buffer)
            if piece is None or 2 * piece.bytes > capacity:
                read = number < len(block.reads)  # a written line is loaded, then stored; nothing waits for that
                times = late if read and self._abreast(number) > ABREAST else 1.0
                moved += self.lines[number][around].total * (times if read else 2)
                moved += jump * self._jumps(number, around) if read else 0.0
        return moved * LINE * turns

    def _abreast(self, number: int) -> int:
        """How many rows of vectors each step of the innermost reduction moves on by a line or more; 1 for none."""
        access = (*self.nest.block.reads, self.nest.block.write)[number]
        loops = self.nest.loops
        steps = [depth for depth, loop in enumerate(loops) if loop.reduce and loop.extent > 1]
        if not steps or not self.nest.vector or stride(access, loops[-1]) != 1:
            return 1
        if stride(access, loops[steps[-1]]) * access.element_bytes < LINE:
            return 1
        inside = max(place for place, depth in enumerate(self.depths) if depth > steps[-1])
        return self.lines[number][inside].rows

    def total(self, around: int) -> float:
        """The lines that all accesses touch."""
        return sum(lines[around].total for lines in self.lines)

    def _first_too_large(self, capacity: int) -> int:
        """The first of ``depths`` at which not everything fits; the last one if there is none."""
        sets = capacity // (LINE * WAYS)
        crowded = sets * LINE <= PAGE  # see _occupied
        for around in range(len(self.depths) - 1):
            occupied = sum(_occupied(sets, lines[around]) for lines in self.lines) if crowded else self.total(around)
            if occupied * LINE > capacity:
                return around
        return len(self.depths) - 1

    def _jumps(self, number: int, around: int) -> float:
        """How often the access jumps elsewhere. Up to ``STREAMS`` rows are prefetched side by side."""
        lines = self.lines[number]
        run = max((part.run for part in lines[: around + 1] if part.rows <= STREAMS), default=lines[0].run)
        return lines[around].total / run if run * LINE < PAGE else 0.0


def _occupied(sets: int, part: _Lines) -> float:
    """How many lines of a cache with ``sets`` sets these lines take up.

    Rows a power of two apart fall into few sets and evict each other although the other sets are free. This does not
    apply to a cache whose sets span more than a page: the order of pages in memory is practically random.
    """
    reached = min(sets, sets // math.gcd(part.apart, sets) * part.run)
    return part.total * (sets / reached if part.total > reached * WAYS else 1.0)


def _lines(access: MemoryAccess, nest: Nest, depths: Sequence[int]) -> list[_Lines]:
    """Cache lines that an access touches while the nest's loops from each of ``depths`` on run, innermost first."""
    piece = nest.pieces.get(access.buffer)
    first = 0 if piece is None else piece.first
    moving = {iter_ for index in access.index for iter_, _ in index or ()}
    reach = reaches(nest.loops[max(first, depths[0]) :], len(nest.block.iters))
    found = [_lines_within(access, reach, nest.times > 1)]
    for depth in depths[1:]:
        loop = nest.loops[depth]
        if depth >= first and loop.iter in moving:
            reach[loop.iter] += (loop.extent - 1) * loop.step
            found.append(_lines_within(access, reach, nest.times > 1))
        else:
            found.append(found[-1])
    return found


def _lines_within(access: MemoryAccess, reach: Sequence[int], again: bool) -> _Lines:
    """Cache lines that an access touches while the iters take ``reach`` values each.

    ``again``: the nest runs many times, so the rest of a line is touched soon after.
    """
    run, rows, apart, below = 1, 1, 1, 1
    contiguous = True
    for size, count in zip(reversed(access.shape), reversed(footprint(access, reach)), strict=True):
        if contiguous:
            run = count * below
            contiguous = count == size
        elif count > 1:
            if rows == 1:
                apart = max(1, below * access.element_bytes // LINE)
            rows *= count
        below *= size
    lines = run * access.element_bytes / LINE
    return _Lines(rows, max(0.5, lines) if again else math.ceil(lines), apart)
