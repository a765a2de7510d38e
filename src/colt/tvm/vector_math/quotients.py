"""Quotients of floats by what stays the same throughout a loop, as products with its reciprocal: a pass over scheduled
programs.

A processor takes about ten times as long for a quotient of vectors as for a product. LLVM hoists the reciprocal out of
the loop, but may not introduce it, since ``x * (1 / y)`` is rounded twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, PrimFunc

from colt.tvm.programs.program import with_changed_bodies
from colt.tvm.programs.walks import every, mutated, walk
from colt.tvm.space.variables import variables
from colt.tvm.vector_math.rewrite import is_for_cpu

QUOTIENT = "quotient"
"""The name of such quotients among replaced functions."""
QUOTIENT_ULP = 1.5
"""Bounds the error of a product, in units of the last place of the quotient."""
_TYPE = "float32"
_STORED = ("float32", "float16")
"""TVM writes out the rounding to narrower types, with the value in it twice."""
_TINY, _HUGE = 2.0**-126, 2.0**126
"""Below the one a float's reciprocal may overflow, above the other it is subnormal."""
_STEP = 2.0**24
"""Brings the smallest and the largest floats between the two."""
_MOST_NODES = 8
"""Divisors that are more than this many loads, numbers and operations stay: the divisor occurs three times."""


def with_reciprocals(mod: Any) -> Any:
    """The module with such products; ``mod`` itself if it has no such quotient.

    The result is within :data:`QUOTIENT_ULP`. Overflow, subnormal results, zeros, infinities and NaN are right for
    every dividend and divisor. Quotients of other types than float32 stay, as do those in a divisor.
    """
    return with_changed_bodies(mod, reciprocals)


def reciprocals(function: PrimFunc, body: Any) -> Any:
    """What :func:`with_reciprocals` changes."""
    return _Reciprocals().mutate(body) if is_for_cpu(function) else body


def count_quotients(mod: Any) -> int:
    """How many quotients :func:`with_reciprocals` replaces."""
    replacing = _Reciprocals()
    for function in mod.functions.values():
        if is_for_cpu(function):
            replacing.mutate(function.body)
    return replacing.count


class _Reciprocals:
    """Replaces the quotients of a statement. Knows which variables move from step to step at each place."""

    def __init__(self) -> None:
        self.count = 0
        self._loops: list[For] = []
        self._iters: list[tuple[Any, Any]] = []
        """Iters of blocks and what they are at each step of the loops."""

    def mutate(self, body: Any) -> Any:
        return mutated(body, (For, self._for), (SBlockRealize, self._realize), (BufferStore, self._store))

    def _for(self, loop: For, mutator: Any) -> Any:
        if not every(loop.body, tirx.Div):
            return loop
        with _pushed(self._loops, [loop]):
            return mutator.default_mutate(loop)

    def _realize(self, realize: SBlockRealize, mutator: Any) -> Any:
        pairs = zip(realize.block.iter_vars, realize.iter_values, strict=True)
        with _pushed(self._iters, [(axis.var, value) for axis, value in pairs]):
            return mutator.default_mutate(realize)

    def _store(self, store: BufferStore, mutator: Any) -> Any:
        if str(store.buffer.dtype) not in _STORED or self._innermost() is None:
            return store
        value = mutated(store.value, (tirx.Div, self._quotient))
        return store if value.same_as(store.value) else BufferStore(store.buffer, value, store.indices, store.span)

    def _quotient(self, quotient: tirx.Div, mutator: Any) -> Any:
        if str(quotient.ty) != _TYPE or not self._stays(quotient.b) or self._stays(quotient.a):
            return mutator.default_mutate(quotient)
        if isinstance(quotient.b, tirx.FloatImm) and not _has_reciprocal(float(quotient.b.value)):
            return mutator.default_mutate(quotient)
        self.count += 1
        return _product(mutator.mutate(quotient.a), quotient.b)

    def _stays(self, value: Any) -> bool:
        """Whether the value is a simple one that stays the same throughout the innermost loop."""
        return not self._moves(value) and _is_simple(value)

    def _moves(self, value: Any) -> bool:
        innermost = self._innermost()
        moving = [] if innermost is None else [innermost.loop_var]
        for axis, at in self._iters:
            if _mentions(at, moving):
                moving.append(axis)
        return _mentions(value, moving)

    def _innermost(self) -> For | None:
        """The loop that becomes vectors, or else the innermost that is more than one step."""
        vectors = [loop for loop in self._loops if loop.kind == ForKind.VECTORIZED]
        longer = [loop for loop in self._loops if not isinstance(loop.extent, tirx.IntImm) or int(loop.extent) > 1]
        return next(reversed([*longer, *vectors]), None)


def _mentions(value: Any, some: Sequence[Any]) -> bool:
    return any(found.same_as(one) for found in variables(value) for one in some)


def _is_simple(value: Any) -> bool:
    """Whether the value is made of few loads, numbers, arithmetic and square roots alone."""
    nodes: list[Any] = []
    odd: list[Any] = []

    def load(node: Any) -> Any:
        nodes.append(node)
        return tvm_ffi.WalkResult.SKIP

    def other(node: Any) -> None:
        name = str(getattr(getattr(node, "op", None), "name", ""))
        plain = isinstance(node, tirx.FloatImm | tirx.Add | tirx.Sub | tirx.Mul) or name.endswith("sqrt")
        (nodes if plain and str(node.ty) == _TYPE else odd).append(node)

    walk(value, (tvm.ir.TensorLoad, load), (tvm.ir.Expr, other), pre=True)
    return not odd and len(nodes) <= _MOST_NODES


def _has_reciprocal(number: float) -> bool:
    """Whether the number's reciprocal is as precise as the number. LLVM multiplies by powers of two by itself."""
    size = abs(number)
    return _TINY <= size <= _HUGE and math.frexp(size)[0] != 0.5


def _product(dividend: Any, divisor: Any) -> Any:
    """The quotient of the two as products. ``1 / divisor`` is taken of a divisor brought to the middle of the range."""
    one = tirx.const(1.0, _TYPE)
    if isinstance(divisor, tirx.FloatImm):
        return dividend * (one / divisor)
    size = tirx.Max(divisor, -divisor)
    factor = tirx.Select(
        size > tirx.const(_HUGE, _TYPE),
        tirx.const(1.0 / _STEP, _TYPE),
        tirx.Select(size < tirx.const(_TINY, _TYPE), tirx.const(_STEP, _TYPE), one),
    )
    return dividend * (one / (divisor * factor)) * factor


@contextmanager
def _pushed(stack: list[Any], items: list[Any]) -> Iterator[None]:
    stack.extend(items)
    try:
        yield
    finally:
        del stack[len(stack) - len(items) :]
