"""How long a loop nest waits for its data: the lines that come into each cache, and the bandwidth of what is behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from colt.analysis.loops import stride
from colt.analysis.nests import Nest
from colt.analysis.own import LINE, CacheLines
from colt.analysis.processor import Machine

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
class Waits:
    """Nanoseconds of one execution of a nest: for what comes from L2 and from L3 on one thread, and from memory on all
    threads together."""

    l2: float
    l3: float
    dram: float


def memory_waits(nest: Nest, machine: Machine) -> Waits:
    """How long one execution of a nest waits for each level of memory."""
    memory = _Memory(nest)
    l1 = memory.misses(machine.l1_bytes, machine.l2_jump, LATE)
    l2 = memory.misses(machine.l2_bytes, machine.l3_jump)
    dram = 0.0
    if memory.totals[-1] * LINE > machine.l3_bytes:  # otherwise repeated runs find their data in L3
        dram = memory.misses(machine.l3_bytes, machine.dram_jump) / machine.dram
    return Waits(l1 / machine.l2, l2 / machine.l3, dram)


class _Memory:
    """The ``lines`` that each access of a nest touches while the loops from each of its depths on run; ``totals`` are
    those of all accesses."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.lines: list[list[CacheLines]] = []
        for number, access in enumerate(nest.block.accesses):
            piece = nest.pieces.get(access.buffer)
            self.lines.append(nest.own.lines(number, 0 if piece is None else piece.first, nest.times > 1))
        self.totals = [sum([part.total for part in parts]) for parts in zip(*self.lines, strict=True)]

    def misses(self, capacity: int, jump: float, late: float = 1.0) -> float:
        """Bytes that come into a cache. Each time a read leaves a row adds ``jump`` lines; the lines of a read of many
        rows abreast count ``late`` times.

        The loops from some depth on fit. The next loop around them loads every line that it touches once: the lines of
        its previous turn are still there (stack distance). Each turn of the loops further out starts anew. A buffer
        that is used in pieces that fit is not loaded at all.
        """
        around = self._first_too_large(capacity)
        turns = self.nest.own.turns[self.nest.own.depths[around]]
        block = self.nest.block
        moved = 0.0
        for number, access in enumerate(block.accesses):
            piece = self.nest.pieces.get(access.buffer)
            if piece is None or 2 * piece.bytes > capacity:
                read = number < len(block.reads)  # a written line is loaded, then stored; nothing waits for that
                times = late if read and late != 1.0 and self._abreast(number) > ABREAST else 1.0
                moved += self.lines[number][around].total * (times if read else 2)
                moved += jump * self._jumps(number, around) if read else 0.0
        return moved * LINE * turns

    def _abreast(self, number: int) -> int:
        """How many rows of vectors each step of the innermost reduction moves on by a line or more; 1 for none."""
        access, loops = self.nest.block.accesses[number], self.nest.loops
        if not self.nest.vector or stride(access, loops[-1]) != 1:
            return 1
        steps = [depth for depth, loop in enumerate(loops) if loop.reduce and loop.extent > 1]
        if not steps or stride(access, loops[steps[-1]]) * access.element_bytes < LINE:
            return 1
        inside = max([place for place, depth in enumerate(self.nest.own.depths) if depth > steps[-1]])
        return self.lines[number][inside].rows

    def _first_too_large(self, capacity: int) -> int:
        """The first of the nest's depths at which not everything fits; the last one if there is none."""
        sets = capacity // (LINE * WAYS)
        crowded = sets * LINE <= PAGE  # see _occupied
        for around in range(len(self.totals) - 1):
            occupied = sum([_occupied(sets, lines[around]) for lines in self.lines]) if crowded else self.totals[around]
            if occupied * LINE > capacity:
                return around
        return len(self.totals) - 1

    def _jumps(self, number: int, around: int) -> float:
        """How often the access jumps elsewhere. Up to ``STREAMS`` rows are prefetched side by side."""
        lines = self.lines[number]
        run = max([part.run for part in lines[: around + 1] if part.rows <= STREAMS], default=lines[0].run)
        return lines[around].total / run if run * LINE < PAGE else 0.0


def _occupied(sets: int, part: CacheLines) -> float:
    """How many lines of a cache with ``sets`` sets these lines take up.

    Rows a power of two apart fall into few sets and evict each other although the other sets are free. This does not
    apply to a cache whose sets span more than a page: the order of pages in memory is practically random.
    """
    reached = min(sets, sets // math.gcd(part.apart, sets) * part.run)
    return part.total * (sets / reached if part.total > reached * WAYS else 1.0)
