"""Sums of an awkward number of terms, in rows: ``s[i] = sum(x[i, k])`` over 1,009 terms.

Such a row is summed in the lanes of vectors, which its length does not divide into. So most of the terms, a length that
divides well, are summed by themselves, and the sum over the rest begins with what they give. Any reduction can be cut
so, one of several results among them: the largest element and where it is. Only the order of the terms changes, as in
every tiled sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import Bind, BufferStore, For, IntImm, IterVar, PrimFunc, decl_buffer

from colt.analysis.skeleton import Block
from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.programs.naming import buffers_of, substituted, with_block
from colt.tvm.programs.nests import PlainNest, element, nests_of, sequence, statements, with_nests
from colt.tvm.programs.program import module_of_function
from colt.tvm.refusals import TVM_ERRORS
from colt.tvm.sketches.structured.flow import extents_of, reduced, resized
from colt.tvm.sketches.structured.shapes import BlockKind, shape_of
from colt.tvm.space.skeleton import read_skeleton
from colt.util.text import distinct_names

BITS = 512
"""The widest vectors there are: a length that fills these fills shorter ones as well."""
LEAST, MOST = 16, 4096
"""What is summed by itself is a multiple of a power of two of so many terms."""
SHARE = 32
"""The rest is at most this part of the terms, as far as ``LEAST`` allows."""
SHORT = 64
"""Sums of fewer terms are not worth a second nest."""
FEW, LONG = 8, 1024
"""A sum of at least so many terms for at most so many results is cut for the threads."""


def rests_apart(func: PrimFunc) -> PrimFunc:
    """The function with such sums as one of most terms and one of the rest; ``func`` itself if it has none."""
    parts, blocks = nests_of(func), _blocks(func)
    chosen = {number: found for number, stmt in enumerate(parts) if (found := _awkward(func, stmt, blocks))}
    if not chosen or (len(chosen) == 1 and all(_is_parted(*found) for found in chosen.values())):
        return func
    nests: list[Any] = []
    added: list[Any] = []
    names = [str(buffer.name) for buffer in buffers_of(func)]
    for number, stmt in enumerate(parts):
        if number not in chosen:
            nests.append(stmt)
            continue
        nest, _, along = chosen[number]
        most = _buffers(nest, names)
        nests += _cut(nest, along, most)
        added += most.values()
        names += [str(buffer.name) for buffer in most.values()]
    return with_nests(func, nests, added)


def _is_parted(nest: PlainNest, block: Block, along: int) -> bool:
    """Whether the sum has few results and many terms: one such sum is cut for the threads as it is, with some turns
    conditional (``sketches/structured/parts.py``)."""
    results = prod(iter_.extent for iter_ in block.iters if not iter_.reduce)
    return results <= FEW and block.iters[along].extent >= LONG


def _blocks(func: PrimFunc) -> dict[str, Block]:
    """The blocks by name."""
    return {block.name: block for block in read_skeleton(module_of_function(func), (), ()).blocks}


def _buffers(nest: PlainNest, names: Sequence[str]) -> dict[Any, Any]:
    """What the sums of most terms are kept in, by the buffers of the results."""
    stores = _stores(nest.block)
    chosen = distinct_names([f"{store.buffer.name}_most" for store in stores], names)
    return {
        store.buffer: decl_buffer(store.buffer.ty.shape, str(store.buffer.ty.dtype), name)
        for store, name in zip(stores, chosen, strict=True)
    }


def _cut(nest: PlainNest, along: int, most: Mapping[Any, Any]) -> list[Any]:
    """The nests that the sum becomes, first the one of most terms."""
    axis = nest.block.iter_vars[along]
    whole = most_terms(int(axis.dom.extent))
    return [_most(nest, axis, whole, most), _rest(nest, axis, whole, most)]


def most_terms(terms: int) -> int:
    """How many of the terms are summed by themselves."""
    part = LEAST
    while 2 * part <= min(MOST, terms // SHARE):
        part *= 2
    return terms // part * part


def has_partial_results(func: PrimFunc, nest: PlainNest, along: int) -> bool:
    """Whether TVM can sum in the lanes of vectors: it has to know how partial results are put together."""
    module = module_of_function(func)  # held here: TVM changes in place what nobody else holds
    schedule = s_tir.Schedule(module, debug_mask=0, error_render_level="fast")
    loops = loops_by_iter(schedule, schedule.get_sblock(str(nest.block.name_hint)))
    try:
        schedule.rfactor(schedule.split((loops or [])[along], [None, LEAST])[1], factor_axis=0)
    except TVM_ERRORS:
        return False
    return True


def _awkward(func: PrimFunc, stmt: Any, blocks: Mapping[str, Block]) -> tuple[PlainNest, Block, int] | None:
    """The sum that the statement is, and its axis that vectors would run along if it had another length; ``None`` if it
    is no such sum."""
    nest = PlainNest.of(stmt)
    block = None if nest is None else blocks.get(str(nest.block.name_hint))
    along = None if nest is None or block is None else _axis(nest, block)
    if nest is None or block is None or along is None or not has_partial_results(func, nest, along):
        return None
    return nest, block, along


def _axis(nest: PlainNest, block: Block) -> int | None:
    if block.goes_on or not _is_plain_sum(nest.block):
        return None
    present = shape_of(block, BITS)
    if present.kind is BlockKind.ROWS or present.is_contraction:
        return None
    for along in reversed(reduced(block)):
        extents = list(extents_of(block))
        terms, extents[along] = extents[along], most_terms(extents[along])
        shape = shape_of(resized(block, extents), BITS)
        if SHORT <= terms != extents[along] and shape.kind is BlockKind.ROWS and shape.vector == along:
            return along
    return None


def _is_plain_sum(block: Any) -> bool:
    """Whether the block sets its results to what a sum begins with, and stores them once for each term."""
    if block.init is None or not all(isinstance(one, BufferStore | Bind) for one in statements(block.body)):
        return False
    initial, stores = statements(block.init), _stores(block)
    same = len(initial) == len(stores) == len({store.buffer for store in stores})
    return same and all(isinstance(one, BufferStore) for one in initial)


def _stores(block: Any) -> list[Any]:
    """What the block stores, one for each of its results."""
    return [one for one in statements(block.body) if isinstance(one, BufferStore)]


def _most(nest: PlainNest, axis: Any, whole: int, most: Mapping[Any, Any]) -> Any:
    """The sum of the first ``whole`` terms, in buffers of its own."""
    block = nest.block
    new = with_block(
        block,
        iter_vars=[_resized(one, whole) if one.same_as(axis) else one for one in block.iter_vars],
        name_hint=f"{block.name_hint}_most",
    )
    nested = _around(nest, new, axis, whole)
    axes = [one.var for one in block.iter_vars] + [loop.loop_var for loop in nest.loops]
    axes += [one.var for one in statements(block.body) if isinstance(one, Bind)]
    fresh = {var: tvm.ir.Var(str(var.name), var.ty) for var in axes}
    return substituted(nested, {**fresh, **most})


def _rest(nest: PlainNest, axis: Any, whole: int, most: Mapping[Any, Any]) -> Any:
    """The sum of the other terms, which begins with that of the first."""
    block, rest = nest.block, int(axis.dom.extent) - whole
    later = {axis.var: axis.var + IntImm(str(axis.var.ty), whole)}
    first = [
        BufferStore(store.buffer, tirx.BufferLoad(most[store.buffer], store.indices), store.indices)
        for store in _stores(block)
    ]
    new = with_block(
        block,
        iter_vars=[_resized(one, rest) if one.same_as(axis) else one for one in block.iter_vars],
        reads=[
            *(element(most[store.buffer], store.indices) for store in _stores(block)),
            *(substituted(region, later) for region in block.reads),
        ],
        body=substituted(block.body, later),
        init=sequence(first),
    )
    return _around(nest, new, axis, rest)


def _resized(axis: Any, extent: int) -> Any:
    return IterVar(tvm.ir.Range.from_min_extent(axis.dom.min, _like(axis.dom.extent, extent)), axis.var, axis.iter_type)


def _around(nest: PlainNest, block: Any, axis: Any, extent: int) -> Any:
    """The block in the loops of the nest, the one that drives ``axis`` with another extent."""
    pairs = zip(nest.block.iter_vars, nest.realize.iter_values, strict=True)
    driver = next(value for one, value in pairs if one.same_as(axis))
    nested: Any = SBlockRealize(list(nest.realize.iter_values), True, block)
    for loop in reversed(nest.loops):
        count = _like(loop.extent, extent) if loop.loop_var.same_as(driver) else loop.extent
        start = (loop.loop_var, loop.min, count, loop.kind)
        nested = For(*start, nested, loop.thread_binding, loop.annotations, loop.step)
    return nested


def _like(number: Any, value: int) -> Any:
    return IntImm(str(number.ty), value)
