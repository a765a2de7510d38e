"""Contractions by dot instructions: which block can be one, and its operands in the layout that it takes.

The right operand is packed into vectors that hold a group of neighbours along the sum for each lane, the left one is
contiguous along the sum. Extents are padded to whole vectors and whole steps. See :mod:`colt.tvm.dots`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from colt.analysis.skeleton import Block, MemoryAccess
from colt.tvm.dots import Dot
from colt.tvm.dots.shims import BF16_IR, IMPORT, KEEP_IR
from colt.tvm.dots.table import Method
from colt.tvm.sketches.structured.flow import extents_of, reduced, spatial, step_of
from colt.tvm.sketches.structured.prepare import Packed, slot_of, with_shapes
from colt.tvm.sketches.structured.shapes import (
    BlockKind,
    BlockShape,
    Packing,
    UsesDot,
    can_be_padded,
    copying_pays,
    mentions,
    rounded_rows,
    rows_of,
    stands_alone,
)

Find = Callable[[str, str, str, int], Dot | None]
"""Finds the dot instruction for the types of left, right and result, and a number of terms."""


def shape_with_dot(block: Block, find: Find) -> BlockShape | None:
    """The shape of a contraction that a dot instruction computes; ``None`` if none can."""
    return next(_shapes(block, find), None)


def _shapes(block: Block, find: Find) -> Iterator[BlockShape]:
    if block.product is None or len({read.buffer for read in block.reads}) != 2:
        return
    for swapped in (False, True):
        left, right = _operands(block, swapped)
        types = block.product.dtypes[::-1] if swapped else block.product.dtypes
        for column in spatial(block):
            along = _along(block, left, right, column)
            if along is None or not _is_column(block, left, right, column):
                continue
            dot = find(*types, block.product.result, block.iters[along].extent)
            padded = None if dot is None else _padded(block, dot, column, along)
            copied = padded != extents_of(block) or step_of(left, along) != 1 or step_of(right, column) != 1
            if dot is not None and dot.interleaved and copied:
                continue
            if dot is not None and padded is not None:
                yield BlockShape(
                    BlockKind.KERNEL,
                    column,
                    dot.lanes,
                    rows_of(block, column),
                    padded=() if padded == extents_of(block) else padded,
                    dot=UsesDot(dot, along, swapped),
                )


def _operands(block: Block, swapped: bool) -> tuple[MemoryAccess, MemoryAccess]:
    """Left and right: what is broadcast, and what is packed."""
    assert block.product is not None
    first, second = (block.reads[number] for number in block.product.factors)
    return (second, first) if swapped else (first, second)


def _is_column(block: Block, left: MemoryAccess, right: MemoryAccess, iter_: int) -> bool:
    """Whether vectors can run along the iter."""
    own = mentions(right, iter_) and not mentions(left, iter_) and stands_alone(right, iter_)
    return own and block.iters[iter_].extent > 1 and step_of(block.write, iter_) == 1 and copying_pays(block, right)


def _along(block: Block, left: MemoryAccess, right: MemoryAccess, column: int) -> int | None:
    """The iter along which terms are grouped: one that is contiguous in the left operand, or can be made so."""
    found = [n for n in reduced(block) if n > column and stands_alone(right, n) and mentions(left, n)]
    found = [n for n in found if step_of(left, n) == 1 or (stands_alone(left, n) and copying_pays(block, left))]
    return max(found, key=lambda n: (step_of(left, n) == 1, block.iters[n].extent), default=None)


def _padded(block: Block, dot: Dot, column: int, along: int) -> tuple[int, ...] | None:
    """The extents in whole vectors and steps, and rows with good divisors; ``None`` if that needs padding that is not
    possible."""
    extents = list(extents_of(block))
    for iter_, size in ((column, dot.lanes), (along, dot.terms)):
        extents[iter_] = -(-extents[iter_] // size) * size
        if extents[iter_] != block.iters[iter_].extent and not can_be_padded(block, iter_):
            return None
    rows = rows_of(block, column)
    if rows is not None and can_be_padded(block, rows):
        extents[rows] = extents[rows] if dot.interleaved else rounded_rows(extents[rows])
    return tuple(extents)


# ---- packing ----


def pack_for_dots(schedule: Any, shapes: Mapping[str, BlockShape]) -> tuple[list[Packed], dict[str, BlockShape]]:
    """Bring the operands of all dots into their layouts; return what was packed, and the shapes of the copies of right
    operands by name."""
    done: list[Packed] = []
    copies: dict[str, BlockShape] = {}
    for block, shape in with_shapes(schedule, shapes):
        if shape.dot is None or shape.dot.instruction.interleaved:
            continue
        left, right = _operands(block, shape.dot.swapped)
        if step_of(left, shape.dot.along) != 1:
            done.append(_copy(schedule, block, left, _last(left, shape.dot.along)))
        copy = _copy(schedule, block, right, _grouped(right, shape))
        columns, rows = _dimension(right, shape.vector), _dimension(right, shape.dot.along)
        packing = Packing(shape.dot.instruction, rows, columns, len(right.index))
        copies[copy.copy] = BlockShape(BlockKind.POINTWISE, packing=packing)
        done.append(copy)
    return done, copies


def _copy(schedule: Any, block: Block, access: MemoryAccess, layout: Callable[..., list[Any]]) -> Packed:
    rv = schedule.get_sblock(block.name)
    dtype = str(schedule.get(rv).iter_vars[0].var.ty)
    slot = slot_of(schedule, rv, access.buffer)
    copy = schedule.get(schedule.cache_read(rv, slot, "global"))
    schedule.transform_layout(
        rv, ("read", slot), index_map=tirx.IndexMap.from_func(layout, ndim=len(access.index), index_dtype=dtype)
    )
    return Packed(block.name, access.buffer, str(copy.name_hint))


def _dimension(access: MemoryAccess, iter_: int | None) -> int:
    """The dimension whose index is the iter."""
    (found,) = [number for number, index in enumerate(access.index) if index == ((iter_, 1.0),)]
    return found


def _last(access: MemoryAccess, iter_: int) -> Callable[..., list[Any]]:
    """Moves the iter's dimension to the end."""
    along, count = _dimension(access, iter_), len(access.index)
    order = [n for n in range(count) if n != along] + [along]
    return lambda *index: [index[n] for n in order]


def _grouped(access: MemoryAccess, shape: BlockShape) -> Callable[..., list[Any]]:
    """The layout of a right operand: other dimensions, vectors, groups, lanes, neighbours."""
    assert shape.dot is not None
    column, along, count = _dimension(access, shape.vector), _dimension(access, shape.dot.along), len(access.index)
    lanes, group = shape.dot.instruction.lanes, shape.dot.instruction.group
    others = [n for n in range(count) if n not in (column, along)]

    def layout(*index: Any) -> list[Any]:
        j, k = index[column], index[along]
        return [*(index[n] for n in others), j // lanes, k // group, j % lanes, k % group]

    return layout


@dataclass(frozen=True, slots=True)
class DotStep:
    """A register tile's step that is to become an instruction once nothing moves any more: the block, the outermost
    loop of its sum, the loop over lanes."""

    block: Any
    sums: Any
    lanes: Any
    dot: UsesDot


def import_shims(schedule: Any, loop: Any, steps: Iterable[DotStep]) -> None:
    """Bring along what the steps under the loop call."""
    instructions = [step.dot.instruction for step in steps]
    called = [BF16_IR] if any(one.method is Method.BF16 for one in instructions) else []
    called += [KEEP_IR] if any(one.keeps for one in instructions) else []
    if called:
        schedule.annotate(loop, IMPORT, "".join(called))


def use_instruction(schedule: Any, step: DotStep) -> None:
    """Set the sums to zero before the first turn, and replace the step by the instruction."""
    initial = schedule.decompose_reduction(step.block, step.sums)
    schedule.vectorize(schedule.get_loops(initial)[-1])
    use_intrinsic(schedule, step.lanes, step.dot.instruction.intrinsic(step.dot.swapped))


def use_intrinsic(schedule: Any, loop: Any, name: str) -> None:
    """Replace the loop by a tensor intrinsic. (A schedule in which a loop was replaced itself cannot be copied.)"""
    schedule.tensorize(schedule.blockize(loop), name)
