"""Rewrites at the head of a trace: inlines pointwise blocks, packs operands, transposes results, splits row reductions
into lanes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

from tvm import tirx

from colt.analysis.skeleton import Block, MemoryAccess
from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.sketches.structured.flow import Extents, Flow, points_of, spatial
from colt.tvm.sketches.structured.shapes import BlockKind, BlockShape
from colt.tvm.sketches.structured.tiles import FEWEST_ROWS, MAX_ROWS, MAX_VECTORS, divisor
from colt.tvm.space.skeleton import read_skeleton

MANY_ROWS = 64
"""This many rows hide the latency of the sums if they are reduced side by side."""
MOST_SUMS = 8
"""So many sums side by side hide their latency."""
SMALLER = 2
"""Constants that take so many times less memory before they are widened are widened in the call."""
FOLDED = 4
"""Lanes of the shorter vectors that a contraction's vectors are folded into."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An operand that is copied into another layout before ``block`` reads it."""

    block: str
    operand: str
    copy: str


def read_flow(schedule: Any, unpadded: Mapping[str, Extents] = MappingProxyType({})) -> Flow | None:
    """The dataflow of the program's present state; see :meth:`Flow.of`."""
    return Flow.of(read_skeleton(schedule.mod, (), ()), unpadded)


def inline_pointwise(
    schedule: Any,
    unpadded: Mapping[str, Extents] = MappingProxyType({}),
    copies: bool = True,
    arranged: bool = False,
) -> list[str]:
    """Inline the pointwise blocks whose work is not repeated by that; return their names. ``copies``: those too that
    only bring a sum's operand from one buffer into another of the same layout. ``arranged``: blocks with vectors inside
    are tried, which TVM refuses."""
    done: list[str] = []
    while True:
        flow = read_flow(schedule, unpadded)
        name = None if flow is None else _inlinable(flow, copies, arranged)
        if name is None:
            return done
        schedule.compute_inline(schedule.get_sblock(name))
        done.append(name)


def _inlinable(flow: Flow, plain_copies: bool, arranged: bool) -> str | None:
    for number, block in enumerate(flow.blocks):
        consumers = flow.consumers(number)
        if len(consumers) != 1 or not block.local or any(iter_.reduce for iter_ in block.iters):
            continue
        if block.arranged and not arranged:
            continue
        consumer = flow.blocks[consumers[0]]
        reads = sum(read.buffer == block.write.buffer for read in consumer.reads)
        reduces = any(iter_.reduce for iter_ in consumer.iters)
        if _is_compressed(block) or (plain_copies and _is_copy(block)):
            return block.name
        once = points_of(flow.useful[number]) == points_of(flow.useful[consumers[0]]) and reads == 1
        copies = not block.work.branches and block.work.calls + block.work.divisions + block.work.fused == 0
        if once and not block.work.branches and (not reduces or len(consumer.reads) == 1):
            return block.name
        if copies and block.work.simple == 0 and not reduces:
            return block.name
    return None


def _is_copy(block: Block) -> bool:
    """Whether the block only copies, each element to where it was."""
    work = block.work
    if work.branches or work.calls or work.divisions or work.fused or work.simple or len(block.reads) != 1:
        return False
    (read,) = block.reads
    return read.index == block.write.index and read.element_bytes == block.write.element_bytes


def _is_compressed(block: Block) -> bool:
    """Whether the block only brings constants into a wider form, such as float32 from 4 bits: read narrow in each call,
    they take less of the memory's time than the wide form would."""
    if not block.ahead or block.work.branches or block.work.calls:
        return False
    narrow = sum(prod(read.shape) * read.element_bytes for read in block.reads)
    return SMALLER * narrow <= prod(block.write.shape) * block.write.element_bytes


def find_epilogues(flow: Flow, shapes: Sequence[BlockShape]) -> dict[int, int]:
    """Each pointwise block that finishes the results of exactly one reduction point by point, with that reduction."""
    found: dict[int, int] = {}
    for number, shape in enumerate(shapes):
        block = flow.blocks[number]
        if shape.kind is not BlockKind.KERNEL or len(flow.consumers(number)) != 1 or not block.local or block.ahead:
            continue
        (consumer,) = flow.consumers(number)
        if (
            shapes[consumer].kind is BlockKind.POINTWISE
            and flow.producers(consumer) == [number]  # TVM takes nothing along that reads what is made elsewhere
            and _pointwise(flow, number, consumer)
        ):
            found[consumer] = number
    return found


def find_folds(flow: Flow, shapes: Sequence[BlockShape]) -> dict[int, int]:
    """Each block that adds up a contraction's vectors in one of two steps, with the contraction."""
    folds = [number for number, shape in enumerate(shapes) if shape.is_fold]
    kernels = {fold: kernel for fold in folds for kernel in flow.producers(fold) if not flow.blocks[kernel].ahead}
    return kernels | {total: kernels[fold] for fold in kernels for total in flow.consumers(fold)}


def _pointwise(flow: Flow, kernel: int, consumer: int) -> bool:
    """Whether the consumer has exactly the kernel's spatial iters."""
    iters = range(len(flow.blocks[consumer].iters))
    large = [n for n in iters if flow.blocks[consumer].iters[n].extent > 1]
    matches = [flow.counterpart(consumer, (), kernel, n) for n in large]
    wanted = [n for n, it in enumerate(flow.blocks[kernel].iters) if not it.reduce and it.extent > 1]
    return None not in matches and sorted(match for match in matches if match is not None) == wanted


def pack_operands(schedule: Any, shapes: Mapping[str, BlockShape], shared: bool = True) -> list[Packed]:
    """Copy the operands that a kernel's vectors would gather, with the vectors' dimension last.

    TVM gives a copy to all that read the operand. ``shared``: a kernel that needs the same copy has it then.
    """
    done = []
    copies: dict[tuple[str, int], str] = {}
    for block, shape in with_shapes(schedule, shapes):
        for read in shape.packed if shape.kind is BlockKind.KERNEL else ():
            access = block.reads[read]
            needed = access.buffer, _vectors_dimension(access, shape)
            if needed not in copies or not shared:
                rv = schedule.get_sblock(block.name)
                slot = slot_of(schedule, rv, access.buffer)
                copies[needed] = str(schedule.get(schedule.cache_read(rv, slot, "global")).name_hint)
                schedule.transform_layout(rv, ("read", slot), index_map=_vectors_last(access, shape))
            done.append(Packed(block.name, access.buffer, copies[needed]))
    return done


def transpose_results(schedule: Any, shapes: Mapping[str, BlockShape]) -> None:
    """If a kernel's vectors are not contiguous in its result, make it write the result with their dimension last.

    If the result is an argument, the kernel writes a copy in that layout, which is then written to the argument.
    """
    for block, shape in with_shapes(schedule, shapes):
        if shape.transposed:
            rv = schedule.get_sblock(block.name)
            if not block.local:
                schedule.cache_write(rv, 0, "global")
            schedule.transform_layout(rv, ("write", 0), index_map=_vectors_last(block.write, shape))


def slot_of(schedule: Any, rv: Any, buffer: str) -> int:
    """The position of the buffer among the block's reads."""
    return [str(region.source.name) for region in schedule.get(rv).reads].index(buffer)


def with_shapes(schedule: Any, shapes: Mapping[str, BlockShape]) -> Iterator[tuple[Block, BlockShape]]:
    """The blocks that have a shape, in their present state."""
    flow = read_flow(schedule)
    assert flow is not None, "names stay distinct"
    yield from [(block, shapes[block.name]) for block in flow.blocks if block.name in shapes]


def _vectors_dimension(access: MemoryAccess, shape: BlockShape) -> int:
    """The dimension that a kernel's vectors run along."""
    (found,) = [d for d, index in enumerate(access.index) if index == ((shape.vector, 1.0),)]
    return found


def _vectors_last(access: MemoryAccess, shape: BlockShape) -> tirx.IndexMap:
    """An index map that moves the vectors' dimension to the end."""
    last = _vectors_dimension(access, shape)
    order = [d for d in range(len(access.index)) if d != last] + [last]
    return tirx.IndexMap.from_func(lambda *dimensions: [dimensions[n] for n in order], ndim=len(order))


@dataclass(frozen=True, slots=True)
class Lanes:
    """A row reduction split into the lanes of vectors: the block of the vectors, and the block that folds them into
    shorter ones, if there is one."""

    vectors: str
    fold: str | None = None


def split_rows(schedule: Any, shapes: Mapping[str, BlockShape], one_by_one: bool = True) -> list[Lanes]:
    """Split row reductions into the lanes of vectors, which are added up at the end.

    Each row gets one vector if there are enough rows to hide the latency of the sums, otherwise several. With
    ``one_by_one`` it also gets several if there are many rows, such as 389, of which a register tile can have too few.
    Those, and the vectors of a contraction, one for each result, are added up in two steps. LLVM does not reorder sums,
    and adding lane after lane would take a quarter of the time.
    """
    done = []
    for block, shape in with_shapes(schedule, shapes):
        if shape.kind is not BlockKind.ROWS or shape.vector is None or shape.parts:
            continue
        rv = schedule.get_sblock(block.name)
        if shape.columns is not None and shape.width > FOLDED:
            done.append(_split_twice(schedule, rv, shape, shape.width // FOLDED, FOLDED))
            continue
        rows = prod(iter_.extent for iter_ in block.iters if not iter_.reduce)
        count = block.iters[shape.vector].extent // shape.width
        beside = 1 if shape.rows is None else divisor(block.iters[shape.rows].extent, MAX_ROWS)
        alone = one_by_one and rows >= MANY_ROWS and beside < FEWEST_ROWS
        vectors = divisor(count, MOST_SUMS // beside if alone else MAX_VECTORS) if alone or rows < MANY_ROWS else 1
        if alone and vectors > 1:
            done.append(_split_twice(schedule, rv, shape, vectors, shape.width))
            continue
        loops = loops_by_iter(schedule, rv)
        assert loops is not None
        _, lanes = schedule.split(loops[shape.vector], [None, vectors * shape.width])
        partial = schedule.rfactor(lanes, factor_axis=len(spatial(block)))
        done.append(Lanes(str(schedule.get(partial).name_hint)))
    return done


def _split_twice(schedule: Any, rv: Any, shape: BlockShape, parts: int, lanes: int) -> Lanes:
    """Split a sum so that two blocks add up its vectors of ``parts`` times ``lanes``: one folds them to ``lanes``, one
    sums."""
    loops = loops_by_iter(schedule, rv)
    assert loops is not None
    assert shape.vector is not None
    _, part, lane = schedule.split(loops[shape.vector], [None, parts, lanes])
    place = [schedule.get(loop).same_as(schedule.get(part)) for loop in schedule.get_loops(rv)].index(True)
    last = len(schedule.get(rv).writes[0].region)
    fold = schedule.rfactor(lane, factor_axis=last)
    vectors = schedule.rfactor(schedule.get_loops(fold)[place], factor_axis=last)
    dtype = str(schedule.get(vectors).iter_vars[0].var.ty)
    schedule.transform_layout(vectors, ("write", 0), index_map=_joined(last, last + 2, lanes, dtype))
    loops = loops_by_iter(schedule, vectors)
    assert loops is not None
    schedule.reorder(*loops)
    schedule.transform_block_layout(vectors, _joined(0, len(loops), lanes, dtype))
    return Lanes(str(schedule.get(vectors).name_hint), str(schedule.get(fold).name_hint))


def _joined(first: int, count: int, lanes: int, dtype: str) -> tirx.IndexMap:
    """An index map of ``count`` dimensions that joins ``first`` and the next one, which has ``lanes``."""

    def mapping(*index: Any) -> list[Any]:
        return [*index[:first], index[first] * lanes + index[first + 1], *index[first + 2 :]]

    return tirx.IndexMap.from_func(mapping, ndim=count, index_dtype=dtype)
