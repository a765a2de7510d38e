"""Vectors written out: a store in a vectorised loop becomes one store of a vector, a pass over scheduled programs.

TVM makes vectors of such a loop itself, but only of operations that take any number of elements. An instruction that
takes a whole register and nothing else can only stand in a statement that is about vectors already.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Range
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferRegion, BufferStore, For, ForKind, IntImm

from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import mentions
from colt.tvm.programs.walks import every, mapped
from colt.tvm.space.variables import moves_by_one
from colt.tvm.vector_math.functions import replaced_by

_ELEMENTWISE = (
    *(tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Min, tirx.Max),
    *(tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE),
)
_STORED = ("float32", "float16")
_CALLS = frozenset(("sqrt", "fabs", "floor", "ceil", "trunc", "round", "nearbyint"))
"""Calls that mean the same for each element of a vector, beside those that are replaced."""


def written_out(body: Any, lengths: Collection[int]) -> Any:
    """The statement with the vectorised loops of these ``lengths`` written out whose code will multiply by powers of
    two; ``body`` itself if it has none."""

    def loop(node: For) -> Any:
        vectors = int(node.kind) == int(ForKind.VECTORIZED) and isinstance(node.extent, IntImm)
        return (vectors and int(node.extent) in lengths and _written_out(node)) or node

    return mapped(body, (For, loop))


def become_vectors(value: Any, others: Collection[str] = _CALLS) -> bool:
    """Whether all functions that the value calls are replaced by code for vectors, or have one of the other names."""
    return all(replaced_by(call) or _name(call) in others for call in calls(value))


def have_names(value: Any, others: Collection[str]) -> bool:
    """Whether all functions that the value calls have one of these names."""
    return all(_name(call) in others for call in calls(value))


def calls(value: Any) -> list[Any]:
    """The calls in the value."""
    return every(value, tvm.ir.Call)


def _name(call: Any) -> str:
    return str(getattr(call.op, "name", "")).rpartition(".")[2]


def _written_out(loop: For) -> Any:
    """The block for all of the loop's turns at once; ``None`` if it is not of one store along the loop."""
    realize = loop.body
    if not isinstance(realize, SBlockRealize) or not isinstance(realize.block.body, BufferStore):
        return None
    block, store = realize.block, realize.block.body
    if not any((found := replaced_by(call)) and found.scales for call in calls(store.value)):
        return None
    plain = block.init is None and not block.alloc_buffers and not block.match_buffers
    plain = plain and str(store.buffer.dtype) in _STORED
    if not plain or not become_vectors(store.value) or mentions(realize.predicate, loop.loop_var):
        return None
    pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
    moved = [(axis.var, value) for axis, value in pairs if mentions(value, loop.loop_var)]
    if len(moved) != 1 or not moves_by_one(moved[0][1], loop.loop_var):
        return None
    lanes = SideBySide(moved[0][0], int(loop.extent))
    try:
        indices, value = lanes.indices(store.indices), lanes.value(store.value)
        regions = {field: [lanes.region(one) for one in getattr(block, field)] for field in ("reads", "writes")}
    except NotSideBySide:
        return None
    new = with_block(block, body=BufferStore(store.buffer, value, indices), **regions)
    start = {loop.loop_var: IntImm(str(loop.loop_var.ty), 0)}
    return SBlockRealize([substituted(value, start) for value in realize.iter_values], realize.predicate, new)


class NotSideBySide(Exception):
    """Something is no operation on elements side by side."""


class SideBySide:
    """Values for ``count`` elements at a time: those at ``axis`` and after it."""

    def __init__(self, axis: Any, count: int) -> None:
        self._axis = axis
        self._count = count

    def indices(self, indices: Any) -> list[Any]:
        *outer, last = indices
        if any(mentions(index, self._axis) for index in outer) or not moves_by_one(last, self._axis):
            raise NotSideBySide
        return [*outer, tirx.Ramp(last, IntImm(str(last.ty), 1), self._count)]

    def region(self, region: BufferRegion) -> BufferRegion:
        """What is read or written of a buffer, from what it is for one element."""
        return BufferRegion(region.source, [self._range(one) for one in region.region])

    def _range(self, one: Range) -> Range:
        if not mentions(one.min, self._axis) and not mentions(one.extent, self._axis):
            return one
        if not isinstance(one.extent, IntImm):
            raise NotSideBySide
        return Range.from_min_extent(one.min, IntImm(str(one.extent.ty), int(one.extent) + self._count - 1))

    def value(self, value: Any) -> Any:
        if not mentions(value, self._axis):
            return tirx.Broadcast(value, self._count)
        if isinstance(value, tvm.ir.TensorLoad):
            return tirx.BufferLoad(value.source, self.indices(value.indices))
        if isinstance(value, _ELEMENTWISE):
            return type(value)(self.value(value.a), self.value(value.b))
        if isinstance(value, tirx.Select):
            return tirx.Select(*map(self.value, (value.condition, value.true_value, value.false_value)))
        if isinstance(value, tirx.Cast):
            return tirx.Cast(f"{value.ty}x{self._count}", self.value(value.value))
        if isinstance(value, tvm.ir.Call):
            arguments = [self.value(one) for one in value.args]
            return tvm.ir.Call(value.op, arguments, value.attrs, ret_ty=arguments[0].ty, span=value.span)
        raise NotSideBySide
