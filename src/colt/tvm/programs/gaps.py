"""Buffers with zeros between their elements, such as an image that a transposed convolution spreads out.

Which elements may be other than zero follows from the conditions under which something is written to them: if the
element is zero unless ``(i - 2) % 2 == 0``, every second one has a value, beginning with number 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import And, BufferStore, Cast, FloatImm, FloorMod, IntImm, Mul, Not, Or, Select

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import PlainNest, covers, mentions, nests_of
from colt.tvm.programs.walks import every, mapped
from colt.tvm.space.variables import variables

_CHOICE = "if_then_else"


@dataclass(frozen=True, slots=True)
class Gap:
    """Along one dimension every ``step``-th element may be other than zero, beginning with number ``first``."""

    step: int
    first: int


@dataclass(frozen=True, slots=True)
class Spread:
    """A local buffer with zeros between its elements. ``value`` is that of the element at ``axes``, the variables of
    the nest that fills it; ``gaps`` are those along its dimensions."""

    nest: PlainNest
    axes: tuple[Any, ...]
    value: Any
    gaps: dict[int, Gap]

    @property
    def buffer(self) -> Any:
        """The buffer."""
        return self.nest.block.body.buffer


def spreads_of(func: Any) -> dict[Any, Spread]:
    """All such buffers of the function."""
    pointwise = settled_nests(func)
    moved = {buffer: nest for buffer, nest in pointwise.items() if _only_moves(nest.block.body.value)}
    found = {}
    for buffer, nest in pointwise.items():
        axes = tuple(nest.block.body.indices)
        value = opened(nest.block.body.value, moved)
        gaps = {axes.index(axis): gap for axis, gap in _gaps(zero_unless(value), axes)}
        if gaps:
            found[buffer] = Spread(nest, axes, value, gaps)
    return found


def choice_of(node: Any) -> tuple[Any, Any, Any] | None:
    """Condition, value if it holds, value otherwise; ``None`` if the node is no choice."""
    if isinstance(node, Select):
        return node.condition, node.true_value, node.false_value
    if isinstance(node, tvm.ir.Call) and str(getattr(node.op, "name", "")).endswith(_CHOICE):
        condition, then, otherwise = node.args
        return condition, then, otherwise
    return None


def is_zero(node: Any) -> bool:
    """Whether it is the number 0."""
    value = node.value if isinstance(node, Cast) else node
    return isinstance(value, IntImm | FloatImm) and value.value == 0


def zero_unless(value: Any) -> list[Any]:
    """Conditions all of which hold if the value is other than zero."""
    if isinstance(value, Cast):
        return zero_unless(value.value)
    if isinstance(value, Mul):
        return [*zero_unless(value.a), *zero_unless(value.b)]
    choice = choice_of(value)
    if choice is None:
        return []
    condition, then, otherwise = choice
    if is_zero(otherwise):
        return [*_all(condition), *zero_unless(then)]
    return [*_none(condition), *zero_unless(otherwise)] if is_zero(then) else []


def _all(condition: Any) -> list[Any]:
    """What holds if the condition does."""
    if isinstance(condition, And):
        return [*_all(condition.a), *_all(condition.b)]
    return _none(condition.a) if isinstance(condition, Not) else [condition]


def _none(condition: Any) -> list[Any]:
    """What holds if the condition does not."""
    if isinstance(condition, Or):
        return [*_none(condition.a), *_none(condition.b)]
    if isinstance(condition, tirx.NE):
        return [tirx.EQ(condition.a, condition.b)]
    return _all(condition.a) if isinstance(condition, Not) else []


def _gaps(conditions: Sequence[Any], axes: Sequence[Any]) -> list[tuple[Any, Gap]]:
    """The axes of which a condition lets only every so many-th value through."""
    found: dict[Any, Gap] = {}
    for condition in conditions:
        for axis in axes:
            gap = _gap(condition, axis)
            if gap is not None:
                found.setdefault(axis, gap)
    return list(found.items())


def _gap(condition: Any, axis: Any) -> Gap | None:
    """``(a * axis + b) % step == 0`` as a gap."""
    remainder = remainder_of(condition)
    if remainder is None or set(variables(remainder.a)) != {axis}:
        return None
    terms = linear_terms(remainder.a, [axis])
    step = int(remainder.b)
    if terms is None or step < 2 or gcd(terms[0], step) > 1:
        return None
    return Gap(step, next(number for number in range(step) if (terms[0] * number + terms[1]) % step == 0))


def remainder_of(condition: Any) -> Any:
    """The remainder of a division by a number that is 0 if the condition holds; ``None`` if it says something else."""
    sides = (condition.a, condition.b) if isinstance(condition, tirx.EQ) else ()
    found = next((side for side in sides if isinstance(side, FloorMod | tirx.Mod)), None)
    return found if found is not None and isinstance(found.b, IntImm) and any(map(is_zero, sides)) else None


def linear_terms(index: Any, axes: Sequence[Any]) -> list[int] | None:
    """The coefficients of the axes, and what is added to their sum; ``None`` if the index is anything else."""
    found = list(tvm.sym.detect_linear_equation(index, list(axes)))
    numbers = [tvm.sym.Analyzer().simplify(one) for one in found]
    return [int(one) for one in numbers] if found and all(isinstance(one, IntImm) for one in numbers) else None


def settled_nests(func: Any) -> dict[Any, PlainNest]:
    """The local buffers that one nest sets, element by element, from what has its final values by then."""
    stmts = nests_of(func)
    writers: dict[Any, set[int]] = {}
    for number, stmt in enumerate(stmts):
        for buffer in written(stmt):
            writers.setdefault(buffer, set()).add(number)
    found: dict[Any, PlainNest] = {}
    for number, stmt in enumerate(stmts):
        nest = PlainNest.of(stmt)
        if nest is None or not is_pointwise(nest):
            continue
        buffer = nest.block.body.buffer
        local = any(buffer.same_as(one) for one in func.body.block.alloc_buffers)
        settled = all(max(writers[one]) < number for one in writers if mentions(nest.block.body.value, one))
        if local and settled and writers[buffer] == {number}:
            found[buffer] = nest
    return found


def is_pointwise(nest: PlainNest) -> bool:
    """Whether the nest sets each element of a buffer once."""
    block, store = nest.block, nest.block.body
    if block.init is not None or not isinstance(store, BufferStore) or len(store.indices) != len(block.iter_vars):
        return False
    return covers(store, nest) and not mentions(store.value, store.buffer)


def written(stmt: Any) -> list[Any]:
    """The buffers that the statement writes, one for each place where it does."""
    return [store.buffer for store in every(stmt, BufferStore)]


def loads_of(value: Any, buffer: Any = None) -> list[Any]:
    """All loads, or those of one buffer."""
    found = every(value, tvm.ir.TensorLoad)
    return [load for load in found if buffer is None or load.source.same_as(buffer)]


def simplified(value: Any, analyzer: Any) -> Any:
    """The value with plain indices and conditions, and without choices whose outcome is known."""

    def load(node: Any) -> Any:
        return tirx.BufferLoad(node.source, [analyzer.simplify(index) for index in node.indices])

    def choice(node: Any) -> Any:
        found = choice_of(node)
        if found is None:
            return node
        condition, then, otherwise = found
        condition = analyzer.simplify(condition)
        if isinstance(condition, IntImm):
            return then if int(condition) else otherwise
        return (
            Select(condition, then, otherwise)
            if isinstance(node, Select)
            else tirx.if_then_else(condition, then, otherwise)
        )

    return mapped(value, (tvm.ir.TensorLoad, load), (tvm.ir.Call, choice), (Select, choice))


def _only_moves(value: Any) -> bool:
    """Whether the value is an element of another buffer, or under some conditions zero."""
    choice = choice_of(value)
    if choice is not None:
        _, then, otherwise = choice
        return (is_zero(otherwise) and _only_moves(then)) or (is_zero(then) and _only_moves(otherwise))
    return isinstance(value, tvm.ir.TensorLoad)


def opened(value: Any, moved: Mapping[Any, PlainNest]) -> Any:
    """The value in terms of what these nests move."""

    def load(node: Any) -> Any:
        nest = moved.get(node.source)
        if nest is None:
            return node
        store = nest.block.body
        inner = substituted(store.value, dict(zip(store.indices, node.indices, strict=True)))
        return opened(inner, moved)

    return mapped(value, (tvm.ir.TensorLoad, load))
