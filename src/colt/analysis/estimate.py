"""What a loop nest costs on a CPU: instruction throughput, latency, caches, parallel balance.

The model counts *slots*: a slot is the time in which one thread does one vector multiply-add at its measured peak.
For every step of the innermost reduction it takes the tightest of four limits (arithmetic, loads, stores, the latency
of the accumulation), then adds the time that cache misses of each level cost. It knows which accumulators stay in
registers, which loads are vectors, broadcasts or gathers, and what a call into libm costs.

What depends on the processor is a field of :class:`~colt.analysis.processor.Machine`. The constants below describe
LLVM's code, and what all processors of interest share; they are fitted to measured schedules, so they cover a little
more than their names say. The model is meant to rank schedules of one program; ``benchmarks/estimate_rank.py`` measures
how well it does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from colt.analysis.loops import Loop, stride
from colt.analysis.memory import memory_waits
from colt.analysis.nests import Made, Nest, instantiate
from colt.analysis.own import OwnLoops
from colt.analysis.processor import Machine
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
CODE_FREE = 24
"""Vector instructions of unrolled code that cost nothing extra."""
CODE_GROWTH = 0.17
"""The share that each doubling beyond that adds: instruction caches, spills, and time in LLVM."""
TILE_LATENCY = 3.25
"""Instructions on tiles that start until the first of them has ended: on Intel's, one every 16 of its 52 cycles."""
LEAST_US = 1e-6
"""The prediction for a program of which the model sees nothing, such as a call of foreign code."""
OVERLAP = 0.07
"""The share of the smaller of compute and memory time that the larger does not hide."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The microseconds that each part of all executions of one nest would take alone."""

    compute_us: float
    memory_us: float
    launches_us: float

    def __add__(self, other: Cost) -> Cost:
        """The cost of both, where one computes while the other waits for memory."""
        return Cost(
            self.compute_us + other.compute_us,
            self.memory_us + other.memory_us,
            self.launches_us + other.launches_us,
        )

    @property
    def total_us(self) -> float:
        """The larger of compute and memory hides most of the smaller one."""
        small, large = sorted((self.compute_us, self.memory_us))
        return large + OVERLAP * small + self.launches_us


MOST_KNOWN = 10_000
"""How many nests' costs are remembered."""


@dataclass(slots=True)
class KnownCosts:
    """What has been worked out for one machine: schedules have most in common with their neighbours."""

    made: Made = field(default_factory=Made)
    slots: dict[OwnLoops, float] = field(default_factory=dict)
    """Slots of one execution of a block's own loops."""
    costs: dict[tuple[object, ...], Cost] = field(default_factory=dict)
    """What nests cost, by all that it depends on."""

    def cost(self, nest: Nest, machine: Machine) -> Cost:
        """What the nest costs, worked out once."""
        key = nest.depends_on()
        found = self.costs.get(key)
        if found is None:
            if nest.own not in self.slots:
                self.slots[nest.own] = step_of(nest.own, machine).slots
            found = self.costs[key] = cost(nest, machine, self.slots[nest.own])
        return found

    def make_room(self) -> None:
        """Forget everything if it has become too much."""
        if max(len(self.costs), len(self.made.own), len(self.made.arrangements)) >= MOST_KNOWN:
            self.made, self.slots, self.costs = Made(), {}, {}


def estimate_us(
    skeleton: Skeleton, values: Sequence[Value], machine: Machine, known: KnownCosts | None = None
) -> float:
    """Predicted latency in microseconds of the sketch with these values. ``known`` is filled, and looked up."""
    return max(LEAST_US, sum([total(costs).total_us for costs in nest_costs(skeleton, values, machine, known)]))


def nest_costs(
    skeleton: Skeleton, values: Sequence[Value], machine: Machine, known: KnownCosts | None = None
) -> list[list[tuple[Nest, Cost]]]:
    """The nests with what each costs alone; together those of which one computes while another waits for memory."""
    known = KnownCosts() if known is None else known
    known.make_room()
    costs: dict[int, list[tuple[Nest, Cost]]] = {}
    for number, nest in enumerate(instantiate(skeleton, values, known.made)):
        if nest.block.ahead and nest.times == 1:
            continue
        alone = -1 - number
        with_others = not skeleton.in_turn and (nest.times == 1 or _finishes(nest))
        costs.setdefault(nest.owner if with_others else alone, []).append((nest, known.cost(nest, machine)))
    return list(costs.values())


def total(costs: Sequence[tuple[Nest, Cost]]) -> Cost:
    """The cost of all of them together."""
    return reduce(add, (own for _, own in costs))


def _finishes(nest: Nest) -> bool:
    """Whether the nest brings what others have summed up under the same loops to its place: the processor waits for
    memory there while it goes on with the next sums."""
    return not nest.block.local and not nest.block.reduces


def cost(nest: Nest, machine: Machine, slots: float | None = None) -> Cost:
    """What one nest costs. ``slots``: those of one execution, if they are known."""
    threads = _speedup(nest.parallel, machine.threads)
    compute = (step_of(nest.own, machine).slots if slots is None else slots) * machine.slot_ns / threads
    waits = memory_waits(nest, machine)
    memory = max((waits.l2 + waits.l3) / threads, waits.dram)
    launches = machine.launch_us if nest.parallel > 1 and nest.times == 1 else 0.0
    return Cost(compute * nest.times / 1000.0, memory * nest.times / 1000.0, launches)


def _speedup(chunks: int, threads: int) -> float:
    """How much faster ``chunks`` equal pieces run on ``threads`` threads."""
    return chunks / math.ceil(chunks / threads)


# ---- compute ----


@dataclass(frozen=True, slots=True)
class InnerStep:
    """A step of the innermost reduction of a nest, in slots of one thread: it takes the longest of four limits, and the
    turn of the loop. ``count`` steps make one execution of the nest; ``bulk`` is the share that much code adds."""

    count: float
    arithmetic: float
    calls: float
    """What of the arithmetic is calls of the C library."""
    loads: float
    stores: float
    latency: float
    turns: float
    bulk: float
    spilled: float
    """Accumulators that do not stay in a register."""

    @property
    def slots(self) -> float:
        """Slots of one execution of the nest."""
        longest = max(self.arithmetic, self.loads, self.stores, self.latency)
        return self.count * (longest + self.turns) * (1.0 + self.bulk)


def step_of(own: OwnLoops, machine: Machine) -> InnerStep:
    """What limits the inner loop of a nest."""
    shape = _shape(own, machine)
    work = own.work
    fused = machine.dots.get(own.block.instruction, 1.0) * work.fused
    vector_work = fused + work.simple + machine.division * work.divisions
    vector_work += BRANCH * work.branches if shape.found else 0.0
    scalar_work = CALL * work.calls + (0.0 if shape.found else BRANCH * work.branches)
    arithmetic = shape.tile_points * (shape.vectors * vector_work + shape.vector * scalar_work)
    arithmetic += sum([_preparing(access, own.block.write, shape) for access in own.block.reads])
    loads = sum([_transfers(access, shape, machine.broadcast) for access in own.block.reads])
    accumulators = _transfers(own.block.write, shape, machine.broadcast)
    in_registers = shape.run > 1 and not own.block.on_tiles
    spilled = max(0.0, accumulators + SPARE - machine.registers) if in_registers else 0.0
    loads += (accumulators / shape.run if own.block.reduces else 0.0) + SPILL * spilled
    stores = machine.store * accumulators / shape.run + SPILL * spilled
    latency = 0.0
    if shape.chained and shape.unrolled_run < math.prod([loop.extent for loop in own.loops if loop.reduce]):
        waits = _waits(shape, arithmetic, work.fused > 0, machine) if in_registers else 0.0
        waits = TILE_LATENCY * shape.vectors * vector_work if own.block.on_tiles else waits
        latency = waits + machine.forwarding / (shape.run * shape.looped)
    turns = machine.loop / shape.unrolled_run
    points = own.turns[-1]
    steps = points / (shape.tile_points * shape.vector)
    instructions = shape.tile_points * (1.0 if own.block.on_tiles else shape.vectors) * shape.unrolled_run
    bulk = CODE_GROWTH * max(0.0, math.log2(instructions / CODE_FREE))
    calls = shape.tile_points * shape.vector * CALL * work.calls
    return InnerStep(steps, arithmetic, calls, loads, stores, latency, turns, bulk, spilled)


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


def _shape(own: OwnLoops, machine: Machine) -> _Shape:
    lanes = machine.vector_bits // (8 * own.block.write.element_bytes)
    body = own.loops[: len(own.loops) - own.vector]
    unrolled = own.unrolled
    vector_loop = own.loops[-1] if own.vector else None
    vector = own.vector_extent
    vectors: float = math.ceil(vector / lanes) / vector_quality(vector, lanes)
    found = _llvm_vectorises(own, body, unrolled) if vector == 1 else None
    if found is not None:
        vector_loop, vector = body[found], body[found].extent
        vectors = AUTO_VECTOR * math.ceil(vector / lanes)  # LLVM pads or peels as it likes
        body = body[:found] + body[found + 1 :]
    elif own.work.branches:
        vectors = float(vector)  # LLVM breaks the statement up into single elements
    tile, looped = _register_tile(body, unrolled)
    run, unrolled_run = _reduction_run(body, len(tile), unrolled)
    chained = _next_is_reduction(body, len(tile)) or looped > 1
    if looped > 1 or not own.block.local:
        run = unrolled_run if looped == 1 else 1  # stores to an argument may alias its loads: they go through memory
    points = math.prod([loop.extent for loop in tile])
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
    count = math.prod([loop.extent for loop in shape.tile if stride(access, loop) != 0])
    spread = shape.vector_loop is not None and stride(access, shape.vector_loop) == 0
    if access.slots is not None:
        return access.slots * count * (1.0 if spread else shape.vectors)
    return WIDEN * count * (2.0 if spread else shape.vectors)


def _llvm_vectorises(own: OwnLoops, body: Sequence[Loop], unrolled: int) -> int | None:
    """The depth of the loop that LLVM itself vectorises: the innermost that is left after unrolling, if it is spatial,
    contiguous or nearly so in every access, and calls nothing."""
    if own.work.calls:
        return None
    for depth in range(len(body) - 1 - unrolled, -1, -1):
        loop = body[depth]
        if loop.extent == 1:
            continue
        near = all(0 <= stride(access, loop) <= NEAR for access in own.block.reads)
        return depth if near and stride(own.block.write, loop) in (0, 1) and not loop.reduce else None
    return None
