"""From a skeleton and knob values to concrete loop nests, as MetaSchedule's post-processors will rewrite them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colt.analysis.skeleton import FIXED, ROOT, Access, Block, LoopSource, Skeleton, Work
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, Value

LLVM_UNROLLS = 8
"""Statements up to which LLVM unrolls constant loops by itself."""


@dataclass(slots=True)
class Loop:
    """A concrete loop: ``step`` is how far it moves its block's iter."""

    iter: int
    extent: int
    step: int
    reduce: bool


@dataclass(slots=True)
class Nest:
    """A block with its own loops, outermost first, run ``times`` times in each of ``chunks`` parallel pieces.

    ``vector`` innermost loops are vectorised, the ``unrolled`` ones around them unrolled. ``parallel`` is the extent
    of the fused parallel loop (1: serial).
    """

    block: Block
    work: Work
    loops: list[Loop]
    times: int
    parallel: int
    vector: int
    unrolled: int

    def vector_extent(self) -> int:
        """Elements of one vector statement; 1 if scalar."""
        return math.prod(loop.extent for loop in self.loops[len(self.loops) - self.vector :])


def instantiate(skeleton: Skeleton, values: Sequence[Value]) -> list[Nest]:
    """The nests of all blocks that are not inlined, in program order."""
    work = [block.work for block in skeleton.blocks]
    placed: list[tuple[Block, int, int] | None] = []
    for number, block in enumerate(skeleton.blocks):
        host, depth = _location(skeleton, block, values)
        if host is None:
            consumer = block.host if block.host != ROOT else number
            work[consumer] = work[consumer] + block.work
            placed.append(None)
        else:
            placed.append((block, host, depth))
    nests: dict[int, Nest] = {}
    order = [n for n, place in enumerate(placed) if place is not None and place[1] == ROOT]
    order += [n for n, place in enumerate(placed) if place is not None and place[1] != ROOT]
    limit = max(_unroll_limit(skeleton, values), LLVM_UNROLLS)
    shared = _shared_depths(placed)
    for number in order:
        place = placed[number]
        assert place is not None
        nests[number] = _nest(skeleton, number, place, values, work[number], nests, shared.get(number), limit)
    return [nests[number] for number in sorted(nests)]


def _location(skeleton: Skeleton, block: Block, values: Sequence[Value]) -> tuple[int | None, int]:
    """Host and depth of a block; ``None`` as host if it is inlined."""
    if block.location_knob == FIXED:
        return block.host, block.depth
    where = values[block.location_knob]
    if where == INLINE_LOCATION:
        return None, 0
    if where == ROOT_LOCATION or block.host == ROOT:
        return ROOT, 0
    names = skeleton.blocks[block.host].loop_names
    return (block.host, names.index(str(where))) if where in names else (ROOT, 0)


def _shared_depths(placed: Sequence[tuple[Block, int, int] | None]) -> dict[int, int]:
    """For each host the outermost loop that has a guest beside the loops further in."""
    depths: dict[int, int] = {}
    for place in placed:
        if place is not None and place[1] != ROOT:
            depths[place[1]] = min(depths.get(place[1], place[2]), place[2])
    return depths


def _nest(
    skeleton: Skeleton,
    number: int,
    place: tuple[Block, int, int],
    values: Sequence[Value],
    work: Work,
    nests: dict[int, Nest],
    shared_depth: int | None,
    unroll_limit: int,
) -> Nest:
    block, host, depth = place
    host_nest = nests.get(host)
    if host_nest is None:
        loops = _own_loops(block, values)
        parallel = _parallel_extent(loops, skeleton.max_parallel, shared_depth)
        times = 1
    else:
        loops = _guest_loops(block, host_nest, depth)
        parallel = host_nest.parallel
        times = host_nest.times * math.prod(loop.extent for loop in host_nest.loops[: depth + 1])
    vector = _vector_loops(block, loops, skeleton.max_vector, shared_depth)
    unrolled = _unrolled_loops(loops[: len(loops) - vector], unroll_limit)
    return Nest(block, work, loops, times, parallel, vector, unrolled)


def _own_loops(block: Block, values: Sequence[Value]) -> list[Loop]:
    steps = [1] * len(block.iters)
    loops = []
    for source in reversed(block.loops):
        extent = loop_extent(source, values)
        loops.append(Loop(source.iter, extent, steps[source.iter], block.iters[source.iter].reduce))
        steps[source.iter] *= extent
    loops.reverse()
    return loops


def loop_extent(source: LoopSource, values: Sequence[Value]) -> int:
    """How often the loop runs."""
    if source.knob == FIXED:
        return source.extent
    parts = values[source.knob]
    assert isinstance(parts, tuple)
    return parts[source.part]


def _guest_loops(block: Block, host: Nest, depth: int) -> list[Loop]:
    """Loops over the region that the host's loops inside ``depth`` need (or leave), in the order of the guest's."""
    region = [iter_.extent for iter_ in block.iters]
    if block.link is not None:
        reach = reaches(host.loops[depth + 1 :], len(host.block.iters))
        needed = footprint(block.link, reach)
        for dimension, index in enumerate(block.write.index if host.block.write is not block.link else ()):
            _narrow(region, index, needed[dimension])
        if host.block.write is block.link:
            for access in block.reads:
                if access.buffer == block.link.buffer:
                    for dimension, index in enumerate(access.index):
                        _narrow(region, index, needed[dimension])
                    break
    return [Loop(n, extent, 1, block.iters[n].reduce) for n, extent in enumerate(region)]


def _narrow(region: list[int], index: tuple[tuple[int, float], ...] | None, needed: int) -> None:
    if index is not None and len(index) == 1:
        iter_ = index[0][0]
        region[iter_] = min(region[iter_], needed)


def reaches(loops: Sequence[Loop], iters: int) -> list[int]:
    """How many consecutive values each iter takes while these loops run."""
    reach = [1] * iters
    for loop in loops:
        reach[loop.iter] += (loop.extent - 1) * loop.step
    return reach


def footprint(access: Access, reach: Sequence[int]) -> list[int]:
    """Elements touched in each dimension while the iters take ``reach`` values each."""
    sizes = []
    for size, index in zip(access.shape, access.index, strict=True):
        if index is None:
            sizes.append(size)
        else:
            touched = 1.0
            for iter_, coefficient in index:
                touched += abs(coefficient) * (reach[iter_] - 1)
            sizes.append(min(size, math.ceil(touched)))
    return sizes


def _parallel_extent(loops: Sequence[Loop], limit: int, shared_depth: int | None) -> int:
    """Leading spatial loops are fused until their product passes the limit or a loop has several children."""
    product = 1
    if not limit:
        return 1
    for depth, loop in enumerate(loops):
        if loop.reduce:
            break
        product *= loop.extent
        if product > limit or depth == shared_depth:
            break
    return product


def _vector_loops(block: Block, loops: Sequence[Loop], limit: int, shared_depth: int | None) -> int:
    """How many innermost loops are fused into a vector: spatial, contiguous in every access, within the limit."""
    fusible = min((_contiguous_loops(access, loops) for access in (*block.reads, block.write)), default=0)
    product, count = 1, 0
    for depth in range(len(loops) - 1, -1, -1):
        if loops[depth].reduce or count == fusible or depth == shared_depth:
            break
        product *= loops[depth].extent
        if product > limit:
            break
        count += 1
    total = math.prod(loop.extent for loop in loops[len(loops) - count :])
    return count if total > 1 else 0


def stride(access: Access, loop: Loop) -> float:
    """How many elements one step of the loop moves the access in memory; 0 if it does not move it."""
    below = 1
    for size, index in zip(reversed(access.shape), reversed(access.index), strict=True):
        for iter_, coefficient in index or ():
            if iter_ == loop.iter:
                return coefficient * loop.step * below
        below *= size
    return 0.0


def _contiguous_loops(access: Access, loops: Sequence[Loop]) -> int:
    """The rule of MetaSchedule's post-processor, unit loops included."""
    count, inner = 0, None
    for loop in reversed(loops):
        step = stride(access, loop)
        if step == 0:
            count += 1
            continue
        if inner is None:
            if step != 1 and count != 0:
                break
        elif step != stride(access, inner) * inner.extent:
            break
        count += 1
        inner = loop
    return count


def _unroll_limit(skeleton: Skeleton, values: Sequence[Value]) -> int:
    return int(str(values[skeleton.unroll_knob])) if skeleton.unroll_knob != FIXED else 0


def _unrolled_loops(loops: Sequence[Loop], limit: int) -> int:
    """How many loops just outside the vector are unrolled within ``limit`` statements."""
    statements, count = 1, 0
    for loop in reversed(loops):
        statements *= loop.extent
        if statements > limit:
            break
        count += 1
    return count
