"""What a loop nest costs on a CPU: instruction throughput, latency, caches, parallel balance.

The model counts *slots*: a slot is the time in which one thread does one vector multiply-add at its measured peak.
For every step of the innermost reduction it takes the tightest of four limits (arithmetic, loads, stores, the latency
of the accumulation), then adds the time that cache misses of each level cost. It knows which accumulators stay in
registers, which loads are vectors, broadcasts or gathers, and what a call into libm costs.

What depends on the processor is a field of :class:`Machine`. The constants below describe LLVM's code, and what all
processors of interest share; they are fitted to measured schedules, so they cover a little more than their names say.
The model is meant to rank schedules of one program; ``benchmarks/estimate_rank.py`` measures how well it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from colt.analysis.nests import Loop, Nest, footprint, instantiate, reaches, stride
from colt.analysis.skeleton import MemoryAccess, Skeleton
from colt.knobs import Value

WIDEN = 1.0
"""Slots of widening a vector of elements narrower than the result's; twice that for a broadcast element."""
SPARE = 9
"""Vector registers that LLVM needs besides accumulators."""
SPILL = 6.5
"""Slots of each accumulator that does not stay in a register, in each step."""
GATHER = 2.0
"""Slots of each element of a strided vector load or store."""
CALL = 8.0
"""Slots of a scalar libm call, for each element."""
BRANCH = 2.1
"""Slots of a conditional load, for each element."""
AUTO_VECTOR = 1.65
"""How much slower LLVM's own vectorisation is than vectorised statements."""
NEAR = 4
"""The largest stride at which LLVM loads vectors and shuffles them."""
LONG_VECTOR = 0.15
"""Quality of vector statements longer than a register that do not fill a power of two of registers, on matmuls."""
ODD_VECTOR = 0.45
"""Quality of those shorter than a register and more than half full whose length is not a power of two."""
SMALL_VECTOR = 0.9
"""Quality of those at most half full whose length is not a power of two."""
LINE = 64
"""Bytes of a cache line."""
CODE_FREE = 24
"""Vector instructions of unrolled code that cost nothing extra."""
CODE_GROWTH = 0.17
"""The share that each doubling beyond that adds: instruction caches, spills, and time in LLVM."""
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
LEAST_US = 1e-6
"""The prediction for a program of which the model sees nothing, such as a call of foreign code."""
OVERLAP = 0.07
"""The share of the smaller of compute and memory time that the larger does not hide."""


ASSUMED_DOTS: Mapping[str, float] = MappingProxyType({"avx512bw": 2.0, "avx2": 2.0})
"""Two instructions where the processor has none that also adds."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware as the model sees it. The defaults are assumptions, for machines on which nothing was measured.

    ``l2``, ``l3`` and ``dram`` are bandwidths of contiguous loads in bytes per nanosecond, ``dram`` for all threads
    together, the others for each. A load that starts elsewhere costs as much as that many further lines of its level:
    ``l2_jump``, ``l3_jump``, ``dram_jump``.
    """

    vector_bits: int
    registers: int
    threads: int
    peak_gflops: float
    """The fp32 peak of one thread."""
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    dram: float
    l2: float = 100.0
    l3: float = 24.0
    l2_jump: float = 0.0
    l3_jump: float = 5.0
    dram_jump: float = 5.0
    latency: float = 7.0
    """Slots from one multiply-add to the next into the same register."""
    add_latency: float = 7.0
    """The same of sums, maxima and minima."""
    window: float = 0.0
    """Vector multiply-adds among which the processor finds some that need not wait for each other; 0: only the next."""
    store: float = 1.8
    """Slots of a vector store."""
    broadcast: float = 0.85
    """Slots of loading one element into all lanes."""
    division: float = 10.0
    """Slots of a vector division."""
    loop: float = 0.35
    """Slots that one turn of a loop that is not unrolled costs besides its body."""
    forwarding: float = 20.0
    """Slots from storing an accumulator to loading it again."""
    launch_us: float = 4.0
    """Microseconds to start a parallel loop on all threads."""
    dots: Mapping[str, float] = field(default_factory=lambda: ASSUMED_DOTS)
    """Slots of a vector dot instruction, by instruction set; 1 for those that it does not name."""

    @property
    def slot_ns(self) -> float:
        """Nanoseconds of one vector multiply-add."""
        return 2.0 * (self.vector_bits / 32) / self.peak_gflops


@dataclass(frozen=True, slots=True)
class Cost:
    """The microseconds that each part of all executions of one nest would take alone."""

    compute_us: float
    memory_us: float
    launches_us: float

    @property
    def total_us(self) -> float:
        """The larger of compute and memory hides most of the smaller one."""
        small, large = sorted((self.compute_us, self.memory_us))
        return large + OVERLAP * small + self.launches_us


def estimate_us(skeleton: Skeleton, values: Sequence[Value], machine: Machine) -> float:
    """Predicted latency in microseconds of the sketch with these values."""
    nests = [nest for nest in instantiate(skeleton, values) if not (nest.block.ahead and nest.times == 1)]
    return max(LEAST_US, sum(cost(nest, machine).total_us for nest in nests))


def cost(nest: Nest, machine: Machine) -> Cost:
    """What one nest costs."""
    threads = _speedup(nest.parallel, machine.threads)
    compute = _compute_slots(nest, machine) * machine.slot_ns / threads
    caches, dram = _memory_ns(nest, machine)
    memory = max(caches / threads, dram)
    launches = machine.launch_us if nest.parallel > 1 and nest.times == 1 else 0.0
    return Cost(compute * nest.times / 1000.0, memory * nest.times / 1000.0, launches)


def _speedup(chunks: int, threads: int) -> float:
    """How much faster ``chunks`` equal pieces run on ``threads`` threads."""
    return chunks / math.ceil(chunks / threads)


# ---- compute ----


def _compute_slots(nest: Nest, machine: Machine) -> float:
    """Slots of one execution of the nest on one thread."""
    shape = _shape(nest, machine)
    work = nest.work
    fused = machine.dots.get(nest.block.instruction, 1.0) * work.fused
    vector_work = fused + work.simple + machine.division * work.divisions
    vector_work += BRANCH * work.branches if shape.found else 0.0
    scalar_work = CALL * work.calls + (0.0 if shape.found else BRANCH * work.branches)
    arithmetic = shape.tile_points * (shape.vectors * vector_work + shape.vector * scalar_work)
    arithmetic += sum(_preparing(access, nest.block.write, shape) for access in nest.block.reads)
    loads = sum(_transfers(access, shape, machine.broadcast) for access in nest.block.reads)
    accumulators = _transfers(nest.block.write, shape, machine.broadcast)
    reduces = any(iter_.reduce for iter_ in nest.block.iters)
    spilled = max(0.0, accumulators + SPARE - machine.registers) if shape.run > 1 else 0.0
    loads += (accumulators / shape.run if reduces else 0.0) + SPILL * spilled
    stores = machine.store * accumulators / shape.run + SPILL * spilled
    latency = 0.0
    if shape.chained and shape.unrolled_run < math.prod(loop.extent for loop in nest.loops if loop.reduce):
        waits = _waits(shape, arithmetic, work.fused > 0, machine) if shape.run > 1 else 0.0
        latency = waits + machine.forwarding / (shape.run * shape.looped)
    turns = machine.loop / shape.unrolled_run
    points = math.prod(loop.extent for loop in nest.loops)
    steps = points / (shape.tile_points * shape.vector)
    instructions = shape.tile_points * shape.vectors * shape.unrolled_run
    bulk = CODE_GROWTH * max(0.0, math.log2(instructions / CODE_FREE))
    return steps * (max(arithmetic, loads, stores, latency) + turns) * (1.0 + bulk)


def _waits(shape: _Shape, arithmetic: float, fused: bool, machine: Machine) -> float:
    """Slots from one step to the next that adds to the same accumulators.

    A run that is short beside the processor's window overlaps with the runs after it, which add to other accumulators.
    """
    latency = machine.latency if fused else machine.add_latency
    return latency / max(1.0, machine.window / (shape.run * max(1.0, arithmetic)))


def vector_quality(elements: int, lanes: int) -> float:
    """The quality of LLVM's code for a statement of ``elements`` elements, empty lanes not counted: 1 is best.

    LLVM breaks up statements longer than a register unless they fill a power of two of registers.
    """
    if elements > lanes:
        return LONG_VECTOR if elements % lanes or not _is_power_of_two(elements // lanes) else 1.0
    return 1.0 if _is_power_of_two(elements) else ODD_VECTOR if 2 * elements > lanes else SMALL_VECTOR


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


@dataclass(slots=True)
class _Shape:
    """How the innermost loops of a nest become instructions.

    One step runs the register ``tile`` (unrolled spatial loops) once, with statements of ``vector`` elements that take
    ``vectors`` instructions. ``run`` steps in a row keep their accumulators in registers, ``unrolled_run`` of them
    without a branch; ``looped`` is the extent of a spatial loop between tile and reduction that is not unrolled.
    ``chained``: the next step adds to the same accumulators, so latency counts unless the whole reduction is unrolled.
    ``found``: LLVM found the vectors itself; it can shuffle and mask them.
    """

    tile: list[Loop]
    tile_points: int
    vector_loop: Loop | None
    vector: int
    vectors: float
    run: int
    unrolled_run: int
    looped: int
    chained: bool
    found: bool


def _shape(nest: Nest, machine: Machine) -> _Shape:
    lanes = machine.vector_bits // (8 * nest.block.write.element_bytes)
    body = nest.loops[: len(nest.loops) - nest.vector]
    unrolled = nest.unrolled
    vector_loop = nest.loops[-1] if nest.vector else None
    vector = nest.vector_extent()
    vectors: float = math.ceil(vector / lanes) / vector_quality(vector, lanes)
    found = _llvm_vectorises(nest, body, unrolled) if vector == 1 else None
    if found is not None:
        vector_loop, vector = body[found], body[found].extent
        vectors = AUTO_VECTOR * math.ceil(vector / lanes)  # LLVM pads or peels as it likes
        body = body[:found] + body[found + 1 :]
    elif nest.work.branches:
        vectors = float(vector)  # LLVM breaks the statement up into single elements
    tile, looped = _register_tile(body, unrolled)
    run, unrolled_run = _reduction_run(body, len(tile), unrolled)
    chained = _next_is_reduction(body, len(tile)) or looped > 1
    if looped > 1 or not nest.block.local:
        run = unrolled_run if looped == 1 else 1  # stores to an argument may alias its loads: they go through memory
    points = math.prod(loop.extent for loop in tile)
    return _Shape(tile, points, vector_loop, vector, vectors, run, unrolled_run, looped, chained, found is not None)


def _register_tile(body: Sequence[Loop], unrolled: int) -> tuple[list[Loop], int]:
    """The spatial loops inside the innermost reduction that are unrolled, and the extent of one that is not."""
    tile: list[Loop] = []
    first = len(body) - unrolled
    for depth in range(len(body) - 1, -1, -1):
        loop = body[depth]
        if loop.reduce:
            break
        if depth < first and loop.extent > 1:
            return tile, loop.extent if any(outer.reduce for outer in body[:depth]) else 1
        tile.append(loop)
    return tile, 1


def _reduction_run(body: Sequence[Loop], tile: int, unrolled: int) -> tuple[int, int]:
    """The number of consecutive reduction points around the register tile, and how many of them are unrolled."""
    run = inner = 1
    first = len(body) - unrolled
    for depth in range(len(body) - 1 - tile, -1, -1):
        loop = body[depth]
        if not loop.reduce and loop.extent > 1:
            break
        run *= loop.extent
        if depth >= first:
            inner *= loop.extent
    return run, inner


def _next_is_reduction(body: Sequence[Loop], tile: int) -> bool:
    for loop in reversed(body[: len(body) - tile]):
        if loop.extent > 1:
            return loop.reduce
    return False


def _transfers(access: MemoryAccess, shape: _Shape, broadcast: float) -> float:
    """Loads (or stores) of one access in one step: vectors, broadcasts, or single elements of a gather."""
    count = 1.0
    for loop in shape.tile:
        if loop.extent > 1 and stride(access, loop) != 0:
            count *= loop.extent
    if shape.vector_loop is None:
        return count
    step = stride(access, shape.vector_loop)
    if step == 0:
        return count * broadcast
    if shape.found:
        return count * step * shape.vectors
    return count * (shape.vectors if step == 1 else GATHER * shape.vector)


def _preparing(access: MemoryAccess, result: MemoryAccess, shape: _Shape) -> float:
    """Slots of arithmetic on what one access loads in one step before it is used, such as widening it."""
    if access.slots == 0 or (access.slots is None and access.element_bytes >= result.element_bytes):
        return 0.0
    count = math.prod(loop.extent for loop in shape.tile if stride(access, loop) != 0)
    spread = shape.vector_loop is not None and stride(access, shape.vector_loop) == 0
    if access.slots is not None:
        return access.slots * count * (1.0 if spread else shape.vectors)
    return WIDEN * count * (2.0 if spread else shape.vectors)


def _llvm_vectorises(nest: Nest, body: Sequence[Loop], unrolled: int) -> int | None:
    """The depth of the loop that LLVM itself vectorises: the innermost that is left after unrolling, if it is spatial,
    contiguous or nearly so in every access, and calls nothing."""
    if nest.work.calls:
        return None
    for depth in range(len(body) - 1 - unrolled, -1, -1):
        loop = body[depth]
        if loop.extent == 1:
            continue
        near = all(0 <= stride(access, loop) <= NEAR for access in nest.block.reads)
        return depth if near and stride(nest.block.write, loop) in (0, 1) and not loop.reduce else None
    return None


# ---- memory ----


@dataclass(frozen=True, slots=True)
class _Lines:
    """Cache lines that an access touches: ``rows`` runs of ``run`` lines, ``apart`` lines from each other."""

    rows: int
    run: float
    apart: int

    @property
    def total(self) -> float:
        return self.rows * self.run


def _memory_ns(nest: Nest, machine: Machine) -> tuple[float, float]:
    """Nanoseconds of one execution: for misses of L1 and L2 on one thread, and for misses of L3 on all threads."""
    loops = nest.loops
    depths = [len(loops)] + [d for d in range(len(loops) - 1, -1, -1) if loops[d].extent > 1]
    memory = _Memory(nest, depths, [_lines(access, nest, depths) for access in (*nest.block.reads, nest.block.write)])
    l1 = memory.misses(machine.l1_bytes, machine.l2_jump, LATE)
    l2 = memory.misses(machine.l2_bytes, machine.l3_jump)
    caches = l1 / machine.l2 + l2 / machine.l3
    if memory.total(len(depths) - 1) * LINE <= machine.l3_bytes:
        return caches, 0.0  # repeated runs find their data in L3
    return caches, memory.misses(machine.l3_bytes, machine.dram_jump) / machine.dram


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
