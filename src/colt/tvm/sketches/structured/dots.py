"""Contractions by dot instructions: which block can be one, and its operands in the layout that it takes.

The right operand is packed into vectors that hold a group of neighbours along the sum for each lane, the left one is
contiguous along the sum. Extents are padded to whole vectors and whole steps. See :mod:`colt.tvm.dots`.

For an instruction on tiles, rows are padded to whole tiles too. The rows of the left operand lie in one matrix, and so
do those of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tvm import tirx
from tvm.ir import TensorLoad

from colt.analysis.estimate import TILE_LATENCY
from colt.analysis.skeleton import Block, MemoryAccess
from colt.tvm.dots import Dot
from colt.tvm.dots.shims import BF16_IR, IMPORT, KEEP_IR, TILE_IR
from colt.tvm.dots.table import TILE_FORMS, TILE_ROWS, Method
from colt.tvm.dots.tiles import SCOPE, store_name, zero_name
from colt.tvm.programs.walks import every
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


def shape_with_dot(block: Block, find: Find, begun: bool = True) -> BlockShape | None:
    """The shape of a contraction that a dot instruction computes; ``None`` if none can. ``begun``: sums that begin with
    others may have one."""
    return next(_shapes(block, find), None) if begun or not block.goes_on else None


def _shapes(block: Block, find: Find) -> Iterator[BlockShape]:
    if block.product is None or not _are_factors(block):
        return
    for swapped in (False, True):
        left, right = operands(block, swapped)
        types = block.product.dtypes[::-1] if swapped else block.product.dtypes
        for column in spatial(block):
            along = _along(block, left, right, column)
            if along is None or not _is_column(block, left, right, column):
                continue
            dot = find(*types, block.product.result, block.iters[along].extent)
            if dot is not None and dot.tiles is not None and block.goes_on:
                continue  # tiles begin with zeros
            if dot is not None and dot.tiles is not None:
                dot = _formed(block, dot, column, left)
            if dot is not None and dot.method is Method.HALVES and not _halves_apart(block, left):
                dot = None
            padded = None if dot is None else _padded(block, dot, column, along)
            copied = padded != extents_of(block) or step_of(left, along) != 1 or step_of(right, column) != 1
            if dot is not None and dot.interleaved and copied:
                continue
            if dot is not None and padded is not None:
                yield BlockShape(
                    BlockKind.KERNEL,
                    column,
                    dot.columns,
                    rows_of(block, column),
                    padded=() if padded == extents_of(block) else padded,
                    dot=UsesDot(dot, along, swapped, block.product.half),
                )


def _are_factors(block: Block) -> bool:
    """Whether all that the block reads are the two factors of its product, and what the sum begins with."""
    assert block.product is not None
    factors = {block.reads[number].buffer for number in block.product.factors}
    return len(factors) == 2 and (block.goes_on or len({read.buffer for read in block.reads}) == 2)


def operands(block: Block, swapped: bool) -> tuple[MemoryAccess, MemoryAccess]:
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


def _halves_apart(block: Block, left: MemoryAccess) -> bool:
    """Whether the left operand's terms that meet lower halves can be brought apart from those that meet upper ones."""
    assert block.product is not None
    half = block.product.half
    both = half is not None and half in reduced(block) and block.iters[half].extent == 2
    return both and half is not None and stands_alone(left, half) and copying_pays(block, left)


def _padded(block: Block, dot: Dot, column: int, along: int) -> tuple[int, ...] | None:
    """The extents in whole vectors and steps, and rows with good divisors; ``None`` if that needs padding that is not
    possible."""
    extents = list(extents_of(block))
    rows = rows_of(block, column)
    sizes = [(column, dot.columns), (along, dot.terms)]
    sizes += [(rows, dot.rows)] if dot.tiles is not None and rows is not None else []
    for iter_, size in sizes:
        extents[iter_] = -(-extents[iter_] // size) * size
        if extents[iter_] != block.iters[iter_].extent and not can_be_padded(block, iter_):
            return None
    if dot.tiles is None and rows is not None and can_be_padded(block, rows):
        extents[rows] = extents[rows] if dot.interleaved else rounded_rows(extents[rows])
    return tuple(extents)


def _formed(block: Block, dot: Dot, column: int, left: MemoryAccess) -> Dot | None:
    """The instruction on tiles in the form of register tile that suits the block's extents; ``None`` if its rows and
    columns are not those of a matrix, or if rows that cannot be padded do not fill tiles."""
    rows = rows_of(block, column)
    if rows is None or not _moves_by_one(left, rows) or not stands_alone(block.write, rows):
        return None
    if not stands_alone(block.write, column) or _dimension(block.write, rows) + 1 != _dimension(block.write, column):
        return None
    extents = block.iters[rows].extent, block.iters[column].extent
    padded = can_be_padded(block, rows)
    forms = [form for form in TILE_FORMS if padded or extents[0] % (TILE_ROWS * form[0]) == 0]
    best = min(forms, key=lambda form: _tiles_time(form, *extents), default=None)
    return None if best is None else replace(dot, tiles=best)


def _moves_by_one(access: MemoryAccess, iter_: int) -> bool:
    """Whether a step of the iter moves the access to the next index of one dimension, such as a window's."""
    return sum(sum(c for n, c in index or () if n == iter_) for index in access.index) == 1.0


def _tiles_time(form: tuple[int, int], rows: int, columns: int) -> tuple[float, int, float]:
    """The time that tiles of sums in this form take for so many rows and columns, padding included, in instructions
    one after the other; then how many tiles there are, and the operands that are loaded for each."""
    down, across = form
    tiles = math.prod(-(-extent // (TILE_ROWS * n)) * n for extent, n in ((rows, down), (columns, across)))
    return tiles * max(1.0, TILE_LATENCY / (down * across)), tiles, (down + across) / (down * across)


# ---- packing ----


def pack_for_dots(schedule: Any, shapes: Mapping[str, BlockShape]) -> tuple[list[Packed], dict[str, BlockShape]]:
    """Bring the operands of all dots into their layouts; return what was packed, and the shapes of the copies of right
    operands by name."""
    done: list[Packed] = []
    copies: dict[str, BlockShape] = {}
    for block, shape in with_shapes(schedule, shapes):
        if shape.dot is None or shape.dot.instruction.interleaved:
            continue
        left, right = operands(block, shape.dot.swapped)
        if step_of(left, shape.dot.along) != 1 or not _in_rows(left, shape):
            done.append(_copy(schedule, block, left, _last(left, shape)))
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
    """The dimension whose index moves with the iter."""
    (found,) = [number for number, index in enumerate(access.index) if any(n == iter_ for n, _ in index or ())]
    return found


def _in_rows(left: MemoryAccess, shape: BlockShape) -> bool:
    """Whether the left operand's rows are those of one matrix, where the instruction loads several at once."""
    if not shape.on_tiles or shape.rows is None or shape.dot is None:
        return True
    return _dimension(left, shape.rows) + 1 == _dimension(left, shape.dot.along)


def _last(access: MemoryAccess, shape: BlockShape) -> Callable[..., list[Any]]:
    """Moves the dimension along the sum to the end, and that of the rows before it if they are loaded together."""
    assert shape.dot is not None
    if shape.dot.half is not None:
        return _halves_last(access, shape.dot)
    last = [_dimension(access, shape.dot.along)]
    if shape.on_tiles:
        last.insert(0, _dimension(access, shape.rows))
    order = [n for n in range(len(access.index)) if n not in last] + last
    return lambda *index: [index[n] for n in order]


def _halves_last(access: MemoryAccess, dot: UsesDot) -> Callable[..., list[Any]]:
    """The layout of what halves of bytes are multiplied with: other dimensions, groups, halves, neighbours."""
    along, half, group = _dimension(access, dot.along), _dimension(access, dot.half), dot.instruction.group
    others = [n for n in range(len(access.index)) if n not in (along, half)]

    def layout(*index: Any) -> list[Any]:
        k = index[along]
        return [*(index[n] for n in others), k // group, index[half], k % group]

    return layout


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
    loop of its sum, the outermost loop of the step; for an instruction on tiles, the block that stores them."""

    block: Any
    sums: Any
    inner: Any
    dot: UsesDot
    store: Any = None


def import_shims(schedule: Any, loop: Any, steps: Iterable[DotStep]) -> None:
    """Bring along what the steps under the loop call."""
    called = {text for step in steps for text in step.dot.instruction.shims}
    if called:
        schedule.annotate(loop, IMPORT, "".join(text for text in (BF16_IR, KEEP_IR, TILE_IR) if text in called))


def use_instruction(schedule: Any, step: DotStep) -> None:
    """Set the sums to what they begin with before the first turn, and replace the step by the instruction."""
    initial = schedule.decompose_reduction(step.block, step.sums)
    _forget_initial(schedule, step.block)
    dot = step.dot.instruction
    if dot.tiles is None:
        schedule.vectorize(schedule.get_loops(initial)[-1])
    else:
        use_intrinsic(schedule, schedule.get_loops(initial)[-2], zero_name(dot.result, dot.tiles))
        use_intrinsic(schedule, schedule.get_loops(step.store)[-2], store_name(dot.result, dot.tiles))
    use_intrinsic(schedule, step.inner, dot.intrinsic(step.dot.swapped))


def _forget_initial(schedule: Any, sum_: Any) -> None:
    """Take what the sum began with from the reads of the block that only adds to it now: an instruction has no such."""
    block = schedule.get(sum_)
    loads = every(block.body, TensorLoad)
    unread = [n for n, one in enumerate(block.reads) if not any(load.source.same_as(one.source) for load in loads)]
    if unread:
        schedule.unsafe_hide_buffer_access(sum_, "read", unread)


def sums_in_tiles(schedule: Any, block: Any) -> Any:
    """Let the block leave its sums in tiles; return the block that stores them."""
    return schedule.cache_write(block, 0, SCOPE)


def use_intrinsic(schedule: Any, loop: Any, name: str) -> None:
    """Replace the loop by a tensor intrinsic. (A schedule in which a loop was replaced itself cannot be copied.)"""
    schedule.tensorize(schedule.blockize(loop), name)
