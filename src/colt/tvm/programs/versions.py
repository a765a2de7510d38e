"""Results that are updated in place: ``C = A @ B`` and then ``C[i, j] = max(C[i, j], 0)``.

TVM schedules a block freely only if no other writes its buffer. So what was there before the update gets a buffer of
its own.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, PrimFunc, decl_buffer

from colt.tvm.programs.naming import buffers_of, substituted, with_block
from colt.tvm.programs.nests import PlainNest, covers, element, mentions, nests_of, with_nests
from colt.tvm.programs.walks import walk
from colt.util.text import distinct_names


def versions_apart(func: PrimFunc) -> PrimFunc:
    """The function with a buffer for each version of such results; ``func`` itself if it has none.

    Only for updates of a whole buffer, each element from itself, that the program has set as a whole before.
    """
    nests = nests_of(func)
    names = [str(buffer.name) for buffer in buffers_of(func)]
    added: list[Any] = []
    for number, stmt in enumerate(nests):
        nest = PlainNest.of(stmt)
        if nest is None or not _updates(nest) or not _is_set(nests[:number], nest.block.body.buffer):
            continue
        buffer = nest.block.body.buffer
        name = distinct_names([f"{buffer.name}_before"], [*names, *(str(one.name) for one in added)])[0]
        before = decl_buffer(buffer.ty.shape, str(buffer.ty.dtype), name)
        added.append(before)
        nests[:number] = [substituted(one, {buffer: before}) for one in nests[:number]]
        nests[number] = _reading(nest, buffer, before)
    return with_nests(func, nests, added) if added else func


def _updates(nest: PlainNest) -> bool:
    """Whether the block computes each element of a whole buffer from that element."""
    block, store = nest.block, nest.block.body
    if block.init is not None or not isinstance(store, BufferStore) or len(store.indices) != len(block.iter_vars):
        return False
    if not mentions(store.value, store.buffer) or not covers(store, nest):
        return False
    others: list[Any] = []

    def load(node: Any) -> None:
        own = node.source.same_as(store.buffer)
        if own and not all(a.same_as(b) for a, b in zip(node.indices, store.indices, strict=True)):
            others.append(node)

    walk(store.value, (tvm.ir.TensorLoad, load))
    return not others


def _is_set(before: list[Any], buffer: Any) -> bool:
    """Whether the first of the statements to touch the buffer sets all of it."""
    first = next((stmt for stmt in before if mentions(stmt, buffer)), None)
    nest = None if first is None else PlainNest.of(first)
    if nest is None or not isinstance(nest.block.body, BufferStore) or not nest.block.body.buffer.same_as(buffer):
        return False
    reads = nest.block.init is None and mentions(nest.block.body.value, buffer)
    return not reads and covers(nest.block.body, nest)


def _reading(nest: PlainNest, buffer: Any, before: Any) -> Any:
    block, store = nest.block, nest.block.body
    reads = [region for region in block.reads if not region.source.same_as(buffer)]
    new = with_block(
        block,
        reads=[element(before, store.indices), *reads],
        body=BufferStore(buffer, substituted(store.value, {buffer: before}), store.indices),
    )
    values = list(nest.realize.iter_values)
    return nest.around(SBlockRealize(values, True, new), values)
