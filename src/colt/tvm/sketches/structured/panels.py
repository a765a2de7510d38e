"""Constant operands in panels: the columns of a few vectors lie together for all terms of the sum.

A kernel whose vectors would gather a constant gets a copy with the vectors' dimension last, whose rows lie as far apart
as the operand is wide. If the constant does not fit into the caches, it is better read from end to end: a panel is as
wide as a register tile at most, and the iter over columns becomes one over panels and one within them.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from colt.analysis.skeleton import Block
from colt.tvm.sketches.structured.flow import reduced
from colt.tvm.sketches.structured.prepare import Packed, read_flow, slot_of
from colt.tvm.sketches.structured.shapes import BlockShape, lanes_of, shape_of
from colt.tvm.sketches.structured.tiles import MAX_VECTORS


def pack_in_panels(schedule: Any, vector_bits: int) -> list[Packed]:
    """Pack the constant operands of kernels that write arguments; return what was packed."""
    flow = read_flow(schedule)
    done: list[Packed] = []
    for block in flow.blocks if flow is not None else ():
        shape = shape_of(block, vector_bits)
        width = MAX_VECTORS * lanes_of(block, vector_bits)
        if _in_panels(block, shape, width):
            assert shape.vector is not None
            done += [_copy(schedule, block, block.reads[read], shape.vector, width) for read in shape.packed]
            _split(schedule, block, shape.vector, width)
    return done


def _in_panels(block: Block, shape: BlockShape, width: int) -> bool:
    """Whether all that the block's vectors would gather is constant, and makes whole panels, more than one."""
    if block.local or block.ahead or not reduced(block) or shape.vector is None or not shape.is_contraction:
        return False
    extent = block.iters[shape.vector].extent
    constant = all(block.reads[read].constant for read in shape.packed)
    return bool(shape.packed) and constant and extent % width == 0 and extent > width


def _copy(schedule: Any, block: Block, access: Any, column: int, width: int) -> Packed:
    rv = schedule.get_sblock(block.name)
    slot, dtype = slot_of(schedule, rv, access.buffer), _index_type(schedule, rv)
    copy = schedule.get(schedule.cache_read(rv, slot, "global"))
    (place,) = [number for number, index in enumerate(access.index) if index == ((column, 1.0),)]

    def layout(*index: Any) -> list[Any]:
        return [index[place] // width, *index[:place], *index[place + 1 :], index[place] % width]

    mapping = tirx.IndexMap.from_func(layout, ndim=len(access.index), index_dtype=dtype)
    schedule.transform_layout(rv, ("read", slot), index_map=mapping)
    return Packed(block.name, access.buffer, str(copy.name_hint))


def _split(schedule: Any, block: Block, column: int, width: int) -> None:
    """Make the iter over columns one over panels, followed by one within them."""
    rv = schedule.get_sblock(block.name)

    def iters(*index: Any) -> list[Any]:
        return [*index[:column], index[column] // width, index[column] % width, *index[column + 1 :]]

    mapping = tirx.IndexMap.from_func(iters, ndim=len(block.iters), index_dtype=_index_type(schedule, rv))
    schedule.transform_block_layout(rv, mapping)


def _index_type(schedule: Any, rv: Any) -> str:
    return str(schedule.get(rv).iter_vars[0].var.ty)
