"""Products of integers less their zero points: ``C[i, j] += (A[i, k] - za) * (B[k, j] - zb)`` for all k.

Instructions multiply the bytes as they are stored, so the product is multiplied out: the sum of ``A * B``, less ``zb``
times the sum of A, less ``za`` times the sum of B, plus ``za * zb`` for each term. Sums of A and of B take one operand
each. All is the same to the last bit: integers are added modulo 2**32 either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import Add, BufferStore, Cast, For, ForKind, IntImm, IterVar, Mul, PrimFunc, Sub, decl_buffer

from colt.tvm.programs.naming import buffers_of, substituted, with_block
from colt.tvm.programs.nests import PlainNest, covers, element, nests_of, with_nests
from colt.tvm.programs.walks import every
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2
_BYTES = ("int8", "uint8")


def zero_points_apart(func: PrimFunc) -> PrimFunc:
    """The function with such products multiplied out; ``func`` itself if it has none."""
    nests: list[Any] = []
    added: list[Any] = []
    names = [str(buffer.name) for buffer in buffers_of(func)]
    for stmt in nests_of(func):
        nest = PlainNest.of(stmt)
        shifted = None if nest is None else _Shifted.of(nest)
        if shifted is None:
            nests.append(stmt)
            continue
        parts = _Parts(shifted, [*names, *(str(one.name) for one in added)])
        nests += parts.nests()
        added += parts.buffers
    return with_nests(func, nests, added) if added else func


@dataclass(frozen=True, slots=True)
class _Factor:
    """A load cast to the result's type, and what is subtracted from it (``None``: nothing)."""

    load: Any
    zero: Any


@dataclass(frozen=True, slots=True)
class _Shifted:
    """A sum from zero of products of such factors."""

    nest: PlainNest
    left: _Factor
    right: _Factor

    @classmethod
    def of(cls, nest: PlainNest) -> _Shifted | None:
        """The sum, if the nest is one and a factor has a zero point."""
        block, store = nest.block, nest.block.body
        init = block.init
        if not isinstance(store, BufferStore) or not isinstance(init, BufferStore) or not covers(store, nest):
            return None
        if not isinstance(init.value, IntImm) or int(init.value) != 0 or str(store.buffer.ty.dtype) != "int32":
            return None
        product = _summand(store)
        if not isinstance(product, Mul):
            return None
        reduced = [var.var for var in block.iter_vars if int(var.iter_type) == _REDUCE]
        left, right = (_factor(one, reduced) for one in (product.a, product.b))
        if left is None or right is None or (left.zero is None and right.zero is None):
            return None
        return cls(nest, left, right)


def _summand(store: Any) -> Any:
    """What is added to the result; ``None`` if something else happens to it."""
    if not isinstance(store.value, Add):
        return None
    for own, term in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer):
            return term
    return None


def _factor(node: Any, reduced: Sequence[Any]) -> _Factor | None:
    """A byte cast to 32 bits, less something that is the same for all terms of the sum."""
    zero: Any = None
    if isinstance(node, (Sub, Add)):
        value, zero = node.a, node.b
        if isinstance(node, Add):
            if not isinstance(zero, IntImm):
                return None
            zero = tirx.const(-int(zero), "int32")
        if _uses(zero, reduced) or str(zero.ty) != "int32":
            return None
        node = value
    load = node.value if isinstance(node, Cast) else None
    if not isinstance(load, tvm.ir.TensorLoad) or str(node.ty) != "int32" or str(load.ty) not in _BYTES:
        return None
    return _Factor(load, zero)


def _uses(node: Any, wanted: Sequence[Any]) -> bool:
    return any(var.same_as(one) for var in every(node, tvm.ir.Var) for one in wanted)


class _Parts:
    """The blocks of one sum multiplied out, and the buffers that they need."""

    def __init__(self, sum_: _Shifted, names: Sequence[str]) -> None:
        self._sum = sum_
        self._names = list(names)
        self._axes = {axis.var: axis for axis in sum_.nest.block.iter_vars}
        self.buffers: list[Any] = []

    def nests(self) -> list[Any]:
        """The sums of the factors, their product's, and the block that puts them together, in this order: sketches move
        the last to where the product is made, and what else it reads has to be there."""
        block, store = self._sum.nest.block, self._sum.nest.block.body
        left, right = self._sum.left, self._sum.right
        every = list(self._axes)
        one, other = Cast("int32", left.load), Cast("int32", right.load)
        product = self._reduction(str(block.name_hint), every, one * other, "product")
        total = self._result(0, store.indices)
        made: list[Any] = []
        for factor, zero in ((left, right.zero), (right, left.zero)):
            if zero is not None:
                axes, repeats = self._own_axes(factor.load)
                name = f"{block.name_hint}_{factor.load.source.name}_sum"
                made.append(self._reduction(name, axes, Cast("int32", factor.load), f"{factor.load.source.name}_sum"))
                kept = [index for index in store.indices if any(index.same_as(axis) for axis in axes)]
                total -= _unsigned(zero) * self._result(-1, kept) * tirx.const(repeats, "uint32")
        if left.zero is not None and right.zero is not None:
            terms = prod(int(axis.dom.extent) for axis in self._axes.values() if int(axis.iter_type) == _REDUCE)
            total += _unsigned(left.zero) * _unsigned(right.zero) * tirx.const(terms, "uint32")
        return [*made, product, self._correction(Cast("int32", total))]

    def _own_axes(self, load: Any) -> tuple[list[Any], int]:
        """The axes that the load moves along, and how many terms of the sum each of its elements belongs to."""
        moving = [var for var in self._axes if _uses(load, [var])]
        fixed = [axis for var, axis in self._axes.items() if not any(var.same_as(one) for one in moving)]
        return moving, prod(int(axis.dom.extent) for axis in fixed if int(axis.iter_type) == _REDUCE)

    def _result(self, number: int, indices: Sequence[Any]) -> Any:
        buffer = self.buffers[number]
        return _unsigned(tirx.BufferLoad(buffer, list(indices) or [0]))

    def _reduction(self, name: str, axes: Sequence[Any], term: Any, suffix: str) -> Any:
        """A block that sums the term over the reduced ones of these axes, into a buffer of its own."""
        target = self._sum.nest.block.body
        kept = [index for index in target.indices if any(index.same_as(axis) for axis in axes)]
        shape = [int(self._axes[index].dom.extent) for index in kept]
        title = distinct_names([f"{target.buffer.name}_{suffix}"], self._names)[0]
        self._names.append(title)
        buffer = decl_buffer(shape or [1], "int32", title)
        self.buffers.append(buffer)
        place = kept or [IntImm("int32", 0)]
        body = BufferStore(buffer, tirx.BufferLoad(buffer, place) + term, place)
        return self._block(name, axes, body, BufferStore(buffer, tirx.const(0, "int32"), place))

    def _correction(self, value: Any) -> Any:
        block, store = self._sum.nest.block, self._sum.nest.block.body
        body = BufferStore(store.buffer, value, store.indices)
        return self._block(f"{block.name_hint}_zero_points", list(store.indices), body, None)

    def _block(self, name: str, axes: Sequence[Any], body: Any, init: Any) -> Any:
        """A block over copies of the axes, in loops of its own."""
        found = [axis for var, axis in self._axes.items() if any(var.same_as(one) for one in axes)]
        loops = [tvm.ir.Var(str(axis.var.name).removeprefix("v_"), axis.var.ty) for axis in found]
        fresh = {axis.var: tvm.ir.Var(str(axis.var.name), axis.var.ty) for axis in found}
        loads = every(body.value, tvm.ir.TensorLoad)
        reads = [element(load.source, load.indices) for load in loads if not load.source.same_as(body.buffer)]
        new = with_block(
            self._sum.nest.block,
            iter_vars=[IterVar(axis.dom, fresh[axis.var], int(axis.iter_type)) for axis in found],
            reads=[substituted(read, fresh) for read in {str(read): read for read in reads}.values()],
            writes=[substituted(element(body.buffer, body.indices), fresh)],
            name_hint=name,
            body=substituted(body, fresh),
            init=None if init is None else substituted(init, fresh),
        )
        stmt: Any = SBlockRealize(loops, True, new)
        for loop, axis in reversed(list(zip(loops, found, strict=True))):
            stmt = For(loop, axis.dom.min, axis.dom.extent, ForKind.SERIAL, stmt)
        return stmt


def _unsigned(value: Any) -> Any:
    """Modulo 2**32, which no compiler may take for an overflow."""
    if isinstance(value, IntImm):
        return tirx.const(int(value) % 2**32, "uint32")
    return Cast("uint32", value)
