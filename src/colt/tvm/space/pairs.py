"""Sums of a few terms, added up in pairs: a pass over scheduled programs.

The 16 lanes of a vector, or the 15 terms that are left of a row where no vector divides it, are added one after the
other, each addition waiting for the one before: LLVM changes the order of no sum of floats. Here such terms are loaded
as vectors of 16, 8, 4, 2 and 1, as far as their number goes into these, and each vector's halves are added to one
another. Any operation that reductions are known by may take the place of the sum: only the order of the terms changes,
as in every tiled sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, IntImm

from colt.tvm.programs.accumulation import ANY, combined_term
from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import around, chain, is_constant, mentions
from colt.tvm.programs.program import Change, with_changed_bodies
from colt.tvm.programs.walks import every, mutated
from colt.tvm.space.variables import moves_by_one, variables
from colt.tvm.vector_math.vectors import NotSideBySide, SideBySide

FEWEST, MOST = 4, 64
"""Sums of so many terms are added up in pairs."""
_WORD = 32
_TYPE = "float32"
"""The order of whole numbers LLVM changes as it likes."""
_REDUCE = 2


def with_pairs(mod: Any, vector_bits: int) -> Any:
    """The module with such sums; ``mod`` itself if it has none."""
    return with_changed_bodies(mod, in_pairs(vector_bits))


def in_pairs(vector_bits: int) -> Change:
    """What :func:`with_pairs` changes."""
    lanes = vector_bits // _WORD

    def loop(node: For, mutator: Any) -> Any:
        loops = chain(node)
        realize = loops[-1].body
        if not isinstance(realize, SBlockRealize) or not isinstance(realize.block.body, BufferStore):
            return mutator.default_mutate(node)
        return _in_pairs(loops, realize, lanes) or node

    return lambda function, body: mutated(body, (For, loop))


def _in_pairs(loops: Sequence[For], realize: SBlockRealize, lanes: int) -> Any:
    """The nest with its innermost sum in pairs; ``None`` if it is no sum of a few terms."""
    if not _is_update(realize.block):
        return None
    values = list(realize.iter_values)
    axes = [number for number, axis in enumerate(realize.block.iter_vars) if int(axis.iter_type) == _REDUCE]
    if len(axes) != 1:
        return None
    value = values.pop(axes[0])
    driving = {*variables(value)}
    place = max((number for number, loop in enumerate(loops) if loop.loop_var in driving), default=None)
    if place is None or not _is_few(loops[place]) or _vectors_run_inside(loops[place:], realize):
        return None
    loop, others = loops[place], [*values, realize.predicate]
    if not moves_by_one(value, loop.loop_var) or any(mentions(one, loop.loop_var) for one in others):
        return None
    try:
        block = _summed(realize.block, realize.block.iter_vars[axes[0]].var, int(loop.extent), lanes)
    except NotSideBySide:
        return None
    start = {loop.loop_var: IntImm(str(loop.loop_var.ty), 0)}
    found: Any = SBlockRealize([substituted(one, start) for one in realize.iter_values], realize.predicate, block)
    for one in reversed([*loops[:place], *loops[place + 1 :]]):
        found = around(one, found)
    return found


def _is_update(block: Any) -> bool:
    """Whether the block combines one float with one term, and does nothing else."""
    plain = block.init is None and not block.alloc_buffers and not block.match_buffers and not block.annotations
    return plain and type(block.body.value) in ANY and str(block.body.buffer.dtype) == _TYPE


def _is_few(loop: For) -> bool:
    kinds = int(ForKind.SERIAL), int(ForKind.UNROLLED)
    return is_constant(loop) and int(loop.kind) in kinds and FEWEST <= int(loop.extent) <= MOST


def _vectors_run_inside(loops: Sequence[For], realize: Any) -> bool:
    """Whether vectors run along a loop inside of the first, or LLVM may find some along one."""
    inside = loops[1:]
    if any(int(one.kind) == int(ForKind.VECTORIZED) for one in inside):
        return True
    return any(_is_contiguous(realize, one.loop_var) for one in inside if int(one.extent) >= FEWEST)


def _is_contiguous(realize: Any, variable: Any) -> bool:
    """Whether all that is read moves by one element with the variable, or stays."""
    values = {axis.var: value for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)}
    for load in every(realize.block.body.value, tvm.ir.TensorLoad):
        *outer, last = (substituted(index, values) for index in load.indices)
        if any(mentions(index, variable) for index in outer):
            return False
        if mentions(last, variable) and not moves_by_one(last, variable):
            return False
    return True


def _summed(block: Any, axis: Any, terms: int, lanes: int) -> Any:
    """The block with all terms at once. Raises :class:`NotSideBySide`."""
    store = block.body
    term = combined_term(store, ANY)
    if term is None or not mentions(term, axis) or any(mentions(index, axis) for index in store.indices):
        raise NotSideBySide
    combine = type(store.value)
    own = store.value.a if store.value.b.same_as(term) else store.value.b
    steps, total = _total(combine, term, axis, terms, lanes)
    value = combine(own, total)
    for variable, step in reversed(steps):
        value = tirx.Let(variable, step, value)
    reads = [SideBySide(axis, terms).region(one) for one in block.reads]
    return with_block(block, reads=reads, body=BufferStore(store.buffer, value, store.indices))


def _total(combine: Any, term: Any, axis: Any, terms: int, lanes: int) -> tuple[list[tuple[Any, Any]], Any]:
    """All terms combined, and the steps to it: variables with their values."""
    steps: list[tuple[Any, Any]] = []
    begun, halves = 0, list[Any]()
    size = lanes
    while size > 1:
        parts = halves
        while terms - begun >= size:
            parts.append(_vector(term, axis, begun, size))
            begun += size
        halves = []
        if parts:
            whole = tvm.tirx.Var(f"of_{size}", str(parts[0].ty))
            steps.append((whole, _combined(combine, parts)))
            halves = [_part(whole, first, size // 2) for first in (0, size // 2)]
        size //= 2
    last = [substituted(term, {axis: _after(axis, number)}) for number in range(begun, terms)]
    return steps, _combined(combine, [*halves, *last])


def _vector(term: Any, axis: Any, first: int, size: int) -> Any:
    """So many terms from the one of that number on, as a vector."""
    return substituted(SideBySide(axis, size).value(term), {axis: _after(axis, first)})


def _after(axis: Any, number: int) -> Any:
    return axis + IntImm(str(axis.ty), number) if number else axis


def _part(vector: Any, first: int, size: int) -> Any:
    """So many elements of the vector."""
    return tirx.Shuffle([vector], [IntImm("int32", first + number) for number in range(size)])


def _combined(combine: Any, parts: Sequence[Any]) -> Any:
    """The parts combined, each with its neighbour."""
    while len(parts) > 1:
        pairs = [combine(*parts[n : n + 2]) for n in range(0, len(parts) - 1, 2)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return parts[0]
