"""Constant operands in panels: the columns of a few vectors lie together for all terms of the sum.

A kernel whose vectors would gather a constant gets a copy with the vectors' dimension last, whose rows lie as far apart
as the operand is wide. If the constant does not fit into the caches, it is better read from end to end: a panel is as
wide as a register tile at most, and the iter over columns becomes one over panels and one within them. So is one that
vectors load as it is: rows a power of two apart fall into few sets of a cache, and each into a page of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tvm import tirx

from colt.analysis.skeleton import Block
from colt.tvm.sketches.structured.flow import Flow, reduced
from colt.tvm.sketches.structured.prepare import Packed, read_flow, slot_of
from colt.tvm.sketches.structured.shapes import BlockShape, lanes_of, shape_of, stands_alone
from colt.tvm.sketches.structured.tiles import MAX_VECTORS

_FREE = "layout_free_buffers"
"""An attribute of functions by which TVM lays out operands itself: wrongly, where they are copied already."""


def laid_out_by_tvm(mod: Any) -> bool:
    """Whether TVM is to lay out operands of the program itself, after it is scheduled."""
    return bool((mod["main"].attrs or {}).get(_FREE))


def pack_in_panels(
    schedule: Any, vector_bits: int, only_gathered: bool = False, for_arranged: bool = True
) -> list[Packed]:
    """Pack the constants that contractions load in vectors; return what was packed.

    What reads the results of such a contraction gets its columns in panels too. ``only_gathered``: only where vectors
    would gather constants, and by contractions that write arguments. ``for_arranged``: also by contractions whose
    results are read by blocks with vectors inside, and stay where they are.
    """
    flow = read_flow(schedule)
    done: list[Packed] = []
    for number, block in enumerate(flow.blocks if flow is not None else ()):
        assert flow is not None
        shape, column = shape_of(block, vector_bits), shape_of(block, vector_bits).vector
        width = MAX_VECTORS * lanes_of(block, vector_bits)
        finishers = _finishers(flow, number, column, for_arranged) if column is not None else None
        if column is None or finishers is None or not _is_contraction(block, shape, width):
            continue
        operands = shape.packed if only_gathered else _operands(block, shape, column)
        if not operands or (only_gathered and block.local):
            continue
        done += [_copy(schedule, block, block.reads[read], column, width) for read in operands]
        first = not only_gathered and _are_larger(block, operands)
        for each, iter_ in [(block, column), *finishers]:
            _split(schedule, each, iter_, width, first)
        if finishers:
            _lay_out_results(schedule, block, column, width)
    return done


def _is_contraction(block: Block, shape: BlockShape, width: int) -> bool:
    """Whether the columns of the block make whole panels, more than one, and all that its vectors would gather is
    constant."""
    if block.ahead or not reduced(block) or shape.vector is None or not shape.is_contraction:
        return False
    return all(block.reads[read].constant for read in shape.packed) and _makes_panels(block, shape.vector, width)


def _operands(block: Block, shape: BlockShape, column: int) -> list[int]:
    """The numbers of the constants that the block's vectors load or would gather."""
    loaded = [n for n, read in enumerate(block.reads) if read.constant and stands_alone(read, column)]
    return [n for n in range(len(block.reads)) if n in loaded or n in shape.packed]


def _finishers(flow: Flow, number: int, column: int, for_arranged: bool) -> list[tuple[Block, int]] | None:
    """The blocks that read the block's results, each with the iter that runs over its columns; ``None`` if one of them
    needs the columns otherwise. Those with vectors inside need not be changed."""
    block = flow.blocks[number]
    if not block.local:
        return []
    if for_arranged and all(flow.blocks[consumer].arranged for consumer in flow.consumers(number)):
        return []
    places = [place for place, index in enumerate(block.write.index) if index == ((column, 1.0),)]
    found = []
    for consumer in (flow.blocks[n] for n in flow.consumers(number)):
        reads = [read.index for read in consumer.reads if read.buffer == block.write.buffer]
        index = reads[0][places[0]] if len(places) == len(reads) == 1 else None
        if consumer.local or reduced(consumer) or index is None or len(index) != 1:
            return None
        ((iter_, step),) = index
        if step != 1.0 or consumer.iters[iter_].extent != block.iters[column].extent:
            return None
        found.append((consumer, iter_))
    return found


def _lay_out_results(schedule: Any, block: Block, column: int, width: int) -> None:
    """Give the block's results a dimension over panels, and one within them."""
    rv = schedule.get_sblock(block.name)
    (place,) = [place for place, index in enumerate(block.write.index) if index == ((column, 1.0),)]

    def layout(*index: Any) -> list[Any]:
        return [*index[:place], index[place] // width, index[place] % width, *index[place + 1 :]]

    mapping = tirx.IndexMap.from_func(layout, ndim=len(block.write.index), index_dtype=_index_type(schedule, rv))
    schedule.transform_layout(rv, ("write", 0), index_map=mapping)


def _makes_panels(block: Block, column: int, width: int) -> bool:
    extent = block.iters[column].extent
    return extent % width == 0 and extent > width


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


def _are_larger(block: Block, operands: Sequence[int]) -> bool:
    """Whether these operands have more elements than the others: then each panel is to be read once, and the others
    again for each panel."""
    sizes = [prod(read.shape) for read in block.reads]
    return 2 * sum(sizes[number] for number in operands) > sum(sizes)


def _split(schedule: Any, block: Block, column: int, width: int, first: bool) -> None:
    """Make the iter over columns one over panels and one within them. That over panels is the block's ``first``, or it
    stands where that over columns was."""
    rv = schedule.get_sblock(block.name)

    def iters(*index: Any) -> list[Any]:
        panel, within = index[column] // width, index[column] % width
        if first:
            return [panel, *index[:column], within, *index[column + 1 :]]
        return [*index[:column], panel, within, *index[column + 1 :]]

    mapping = tirx.IndexMap.from_func(iters, ndim=len(block.iters), index_dtype=_index_type(schedule, rv))
    schedule.transform_block_layout(rv, mapping)


def _index_type(schedule: Any, rv: Any) -> str:
    return str(schedule.get(rv).iter_vars[0].var.ty)
