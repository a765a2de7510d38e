"""Sums added to what their result held before: ``C[i, j] = C[i, j] + A[i, k] * B[k, j]`` for all k.

Schedule rules know a reduction by its initial value, which this has not. It is the same as a sum from zero, added to
the result once: the order of the terms changes, as in every tiled sum. If a block before it sets the result to one
value, the two are a plain reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import Add, BufferStore, FloatImm, IntImm, IterVar, Max, Min, PrimFunc, decl_buffer

from colt.tvm.programs.naming import buffers_of, substituted, with_block
from colt.tvm.programs.nests import PlainNest, covers, element, mentions, nests_of, with_nests
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2
Operations = Mapping[Any, Callable[[str], Any]]
"""What combines terms, each with the value that changes nothing, by data type."""
SUM: Operations = {Add: lambda dtype: tirx.const(0, dtype)}
ANY: Operations = {**SUM, Max: tirx.min_value, Min: tirx.max_value}


def sums_apart(func: PrimFunc) -> PrimFunc:
    """The function with such sums as a reduction and an addition; ``func`` itself if it has none."""
    return _apart(func, SUM)


def reductions_apart(func: PrimFunc) -> PrimFunc:
    """The same of sums, of largest and of smallest elements."""
    return _apart(func, ANY)


def is_reduction(nest: PlainNest) -> bool:
    """Whether :func:`reductions_apart` takes the nest apart."""
    return _term(nest, ANY) is not None


def _apart(func: PrimFunc, operations: Operations) -> PrimFunc:
    nests: list[Any] = []
    sums: list[Any] = []
    names = [str(buffer.name) for buffer in buffers_of(func)]
    changed = False
    for stmt in nests_of(func):
        nest = PlainNest.of(stmt)
        term = None if nest is None else _term(nest, operations)
        if nest is None or term is None:
            nests.append(stmt)
            continue
        changed = True
        target, combined = nest.block.body.buffer, nest.block.body.value
        nothing = operations[type(combined)](str(target.ty.dtype))
        before = _last_user(nests, target) if operations is ANY else len(nests) - 1
        initial = _initial_value(nests[before], nest) if before >= 0 else None
        if initial is not None and (isinstance(combined, Add) or tvm_ffi.structural_equal(initial, nothing)):
            nests[before:] = [*nests[before + 1 :], _reduction(nest, target, term, initial)]
            continue
        name = distinct_names([f"{target.name}_sum"], [*names, *(str(one.name) for one in sums)])[0]
        total = decl_buffer(target.ty.shape, str(target.ty.dtype), name)
        sums.append(total)
        nests += [_reduction(nest, total, term, nothing), _addition(nest, total)]
    return with_nests(func, nests, sums) if changed else func


def _term(nest: PlainNest, operations: Operations) -> Any:
    """What the block adds to its result; ``None`` if it does anything else."""
    block, store = nest.block, nest.block.body
    if block.init is not None or not isinstance(store, BufferStore):
        return None
    if not covers(store, nest) or len(store.indices) == len(block.iter_vars):
        return None
    return combined_term(store, operations)


def combined_term(store: Any, operations: Operations) -> Any:
    """What the store combines with the element that it stores; ``None`` if it does anything else."""
    if type(store.value) not in operations:
        return None
    for own, term in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer):
            same = all(a.same_as(b) for a, b in zip(own.indices, store.indices, strict=True))
            if same and not mentions(term, store.buffer):
                return term
    return None


def _last_user(nests: Sequence[Any], buffer: Any) -> int:
    """The number of the last nest that mentions the buffer; -1 if none does."""
    return max((number for number, stmt in enumerate(nests) if mentions(stmt, buffer)), default=-1)


def _initial_value(before: Any, nest: PlainNest) -> Any:
    """The one value that the statement before sets the whole result to; ``None`` if it does not."""
    setting = PlainNest.of(before)
    if setting is None or setting.block.init is not None or not isinstance(setting.block.body, BufferStore):
        return None
    store = setting.block.body
    constant = isinstance(store.value, FloatImm | IntImm)
    only = len(store.indices) == len(setting.block.iter_vars)
    same = store.buffer.same_as(nest.block.body.buffer)
    return store.value if constant and only and same and covers(store, setting) else None


def _reduction(nest: PlainNest, target: Any, term: Any, initial: Any) -> Any:
    block, store = nest.block, nest.block.body
    kinds = [_SPATIAL if any(var.var.same_as(index) for index in store.indices) else _REDUCE for var in block.iter_vars]
    axes = [IterVar(var.dom, var.var, kind) for var, kind in zip(block.iter_vars, kinds, strict=True)]
    load = tirx.BufferLoad(target, store.indices)
    new = with_block(
        block,
        iter_vars=axes,
        reads=[region for region in block.reads if not region.source.same_as(store.buffer)],
        writes=[element(target, store.indices)],
        name_hint=str(block.name_hint),
        body=BufferStore(target, type(store.value)(load, term), store.indices),
        init=BufferStore(target, initial, store.indices),
    )
    return nest.around(SBlockRealize(nest.realize.iter_values, True, new), list(nest.realize.iter_values))


def _addition(nest: PlainNest, total: Any) -> Any:
    """The block that adds the sum to the result. The result's old value is not among its reads: TVM would take the
    block for one that depends on itself."""
    block, store = nest.block, nest.block.body
    pairs = list(zip(block.iter_vars, nest.realize.iter_values, strict=True))
    kept = [(var, value) for var, value in pairs if any(var.var.same_as(index) for index in store.indices)]
    fresh = {var.var: tvm.ir.Var(str(var.var.name), var.var.ty) for var, _ in kept}
    loops = {value: tvm.ir.Var(str(value.name), value.ty) for _, value in kept}
    indices = [fresh[index] for index in store.indices]
    value = type(store.value)(tirx.BufferLoad(store.buffer, indices), tirx.BufferLoad(total, indices))
    new = with_block(
        block,
        iter_vars=[IterVar(var.dom, fresh[var.var], _SPATIAL) for var, _ in kept],
        reads=[element(total, indices)],
        writes=[element(store.buffer, indices)],
        name_hint=f"{block.name_hint}_add",
        body=BufferStore(store.buffer, value, indices),
        init=None,
    )
    nested = nest.around(SBlockRealize([value for _, value in kept], True, new), [value for _, value in kept])
    return substituted(nested, loops)
