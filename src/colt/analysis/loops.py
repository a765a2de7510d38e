"""Concrete loops: how far they reach, what they touch, and which of them are parallel, vectors or unrolled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colt.analysis.skeleton import FIXED, AccessDimension, Block, LoopKind, LoopSource, MemoryAccess
from colt.knobs import Value

_UNMOVED = (0.0, 0)
"""A coefficient and a distance in memory, of an iter that the access does not depend on."""


@dataclass(slots=True)
class Loop:
    """A concrete loop: ``step`` is how far it moves its block's iter."""

    iter: int
    extent: int
    step: int
    reduce: bool
    kind: LoopKind = LoopKind.SERIAL


def own_loops(block: Block, values: Sequence[Value], region: Sequence[int]) -> list[Loop]:
    """The block's loops while ``region`` values of its iters are computed."""
    extents = [loop_extent(source, values) for source in block.loops]
    if block.has_rests:
        given = [1] * len(block.iters)
        for source, extent in zip(block.loops, extents, strict=True):
            given[source.iter] *= 1 if source.rest else extent
        extents = [
            -(-region[source.iter] // given[source.iter]) if source.rest else extent
            for source, extent in zip(block.loops, extents, strict=True)
        ]
    steps = [1] * len(block.iters)
    loops = []
    for source, extent in zip(reversed(block.loops), reversed(extents), strict=True):
        iter_ = source.iter
        loops.append(Loop(iter_, extent, steps[iter_], block.iters[iter_].reduce, source.kind))
        steps[iter_] *= extent
    loops.reverse()
    return loops


def loop_extent(source: LoopSource, values: Sequence[Value]) -> int:
    """How many iterations the loop has, unless it runs over what the others leave."""
    if source.knob == FIXED:
        return source.extent
    parts = values[source.knob]
    assert isinstance(parts, tuple)
    return parts[source.part]


def footprint(access: MemoryAccess, reach: Sequence[int]) -> list[int]:
    """Elements touched in each dimension while the iters take ``reach`` values each."""
    return [touched(dimension, reach) for dimension in access.dimensions]


def touched(dimension: AccessDimension, reach: Sequence[int]) -> int:
    """Elements touched in the dimension while the iters take ``reach`` values each."""
    size, _, terms, plain = dimension
    if plain is not None:
        return min(size, reach[plain])
    if terms is None:
        return size
    count = 1.0
    for iter_, coefficient in terms:
        count += coefficient * (reach[iter_] - 1)
    return size if count >= size else math.ceil(count)


def parallel_extent(loops: Sequence[Loop], limit: int, shared: set[int]) -> int:
    """The extent of the parallel loop: leading spatial loops are fused until their product passes the limit or a loop
    has several children."""
    product = 1
    if not limit:
        return 1
    for depth, loop in enumerate(loops):
        if loop.reduce:
            break
        product *= loop.extent
        if product > limit or depth in shared:
            break
    return product


def vector_loops(block: Block, loops: Sequence[Loop], limit: int, shared: set[int]) -> int:
    """How many innermost loops are fused into a vector: spatial, contiguous in every access, within the limit."""
    fusible = min([_contiguous_loops(access, loops) for access in block.accesses])
    product, count = 1, 0
    for depth in range(len(loops) - 1, -1, -1):
        if loops[depth].reduce or count == fusible or depth in shared:
            break
        product *= loops[depth].extent
        if product > limit:
            break
        count += 1
    total = math.prod([loop.extent for loop in loops[len(loops) - count :]])
    return count if total > 1 else 0


def stride(access: MemoryAccess, loop: Loop) -> float:
    """How many elements one step of the loop moves the access in memory; 0 if it does not move it."""
    coefficient, below = access.moved_by.get(loop.iter, _UNMOVED)
    return coefficient * loop.step * below


def _contiguous_loops(access: MemoryAccess, loops: Sequence[Loop]) -> int:
    """How many innermost loops are contiguous in the access, by the rule of MetaSchedule's post-processor, unit loops
    included."""
    count, whole = 0, None
    for loop in reversed(loops):
        step = stride(access, loop)
        if step == 0:
            count += 1
            continue
        if whole is None:
            if step != 1 and count != 0:
                break
        elif step != whole:
            break
        count += 1
        whole = step * loop.extent
    return count


def marked_loops(loops: Sequence[Loop], kind: LoopKind) -> int:
    """How many of the innermost loops are of that kind; unit loops between them count too."""
    count = 0
    for depth, loop in enumerate(reversed(loops)):
        if loop.kind is kind:
            count = depth + 1
        elif loop.extent > 1:
            break
    return count


def unrolled_loops(loops: Sequence[Loop], limit: int) -> int:
    """How many loops just outside the vector are unrolled within ``limit`` statements."""
    statements, count = 1, 0
    for loop in reversed(loops):
        statements *= loop.extent
        if statements > limit:
            break
        count += 1
    return count
