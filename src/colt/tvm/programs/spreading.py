"""Sums that ask of each term whether it meets a pixel: ``y[h] += x[(h - k) // 2] * f[k] if (h - k) % 2 == 0 else 0``.

A transposed convolution may be written so. What it multiplies by ``f[k]`` depends on ``h - k`` alone: it is an element
of the image with zeros between its pixels. Here that image gets a buffer of its own, as it has where the convolution is
written in two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, Cast, IfThenElse, Mul, PrimFunc, decl_buffer

from colt.tvm.programs.accumulation import SUM, combined_term
from colt.tvm.programs.gaps import choice_of, is_zero, linear_terms, loads_of, remainder_of, simplified, zero_unless
from colt.tvm.programs.naming import buffers_of, substituted, with_block
from colt.tvm.programs.nests import PlainNest, axis_over, mentions, nests_of, region, with_nests
from colt.tvm.programs.weaving import nest_of_store
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2
Rebuild = Callable[[Any], Any]
"""From another factor in place of one to the whole term."""


def images_spread(func: PrimFunc) -> PrimFunc:
    """The function with a buffer for the image of the first such sum; ``func`` itself if it has none."""
    stmts = nests_of(func)
    for number, stmt in enumerate(stmts):
        nest = PlainNest.of(stmt)
        store = None if nest is None else _store(nest)
        term = None if store is None else combined_term(store, SUM)
        if nest is None or store is None or term is None:
            continue
        for factor, rebuild in _factors(_asked(nest, term), _in_range(nest)):
            image = _Image.of(nest, factor)
            if image is not None:
                name = distinct_names(["spread"], [str(buffer.name) for buffer in buffers_of(func)])[0]
                buffer, filling = image.filled(name)
                changed = _with_term(nest, store, rebuild(tirx.BufferLoad(buffer, image.indices)))
                return with_nests(func, [*stmts[:number], filling, changed, *stmts[number + 1 :]], [buffer])
    return func


def _store(nest: PlainNest) -> Any:
    """What the block stores, always or under a condition."""
    body = nest.block.body
    if isinstance(body, IfThenElse) and body.else_case is None:
        body = body.then_case
    return body if nest.block.init is not None and isinstance(body, BufferStore) else None


def _asked(nest: PlainNest, term: Any) -> Any:
    """The term, under the condition of the statement if it has one."""
    body = nest.block.body
    if not isinstance(body, IfThenElse):
        return term
    return tirx.if_then_else(body.condition, term, tirx.const(0, str(term.ty)))


def _in_range(nest: PlainNest) -> Callable[[Any], bool]:
    """Whether all that a value reads is there, whatever the nest's axes are."""
    analyzer = tvm.sym.Analyzer()
    for axis in nest.block.iter_vars:
        analyzer.bind(axis.var, axis.dom)

    def holds(value: Any) -> bool:
        return all(
            analyzer.can_prove(tirx.all(index >= 0, index < extent))
            for load in loads_of(value)
            for index, extent in zip(load.indices, load.source.ty.shape, strict=True)
        )

    return holds


def _factors(term: Any, in_range: Callable[[Any], bool]) -> Iterator[tuple[Any, Rebuild]]:
    """The term's factors that are zero under some condition, each with what the term is with another in its place."""
    choice = choice_of(term)
    if isinstance(term, Cast):
        for factor, rebuild in _factors(term.value, in_range):
            yield factor, _then(rebuild, partial(Cast, str(term.ty)))
    elif isinstance(term, Mul):
        for own, other in ((term.a, term.b), (term.b, term.a)):
            for factor, rebuild in _factors(own, in_range):
                yield factor, _then(rebuild, partial(Mul, other))
    elif choice is not None and is_zero(choice[2]):
        condition, then, _ = choice
        yield term, _itself
        for own, other in ((then.a, then.b), (then.b, then.a)) if isinstance(then, Mul) else ():
            if in_range(other):
                yield tirx.if_then_else(condition, own, tirx.const(0, str(own.ty))), partial(Mul, other)


def _itself(value: Any) -> Any:
    return value


def _then(first: Rebuild, second: Rebuild) -> Rebuild:
    return lambda value: second(first(value))


@dataclass(frozen=True, slots=True)
class _Image:
    """A factor as an element of a buffer with these ``axes``, at these ``indices``."""

    axes: list[Any]
    value: Any
    indices: list[Any]

    @classmethod
    def of(cls, nest: PlainNest, factor: Any) -> _Image | None:
        """The image; ``None`` if the factor depends on more than the numbers of its elements."""
        axes = {axis.var: axis for axis in nest.block.iter_vars}
        analyzer = tvm.sym.Analyzer()
        numbers: dict[Any, tuple[Any, Any]] = {}  # by axis of the result: the number's axis, and what it is in the sum
        values: dict[Any, Any] = {}
        gone: set[Any] = set()
        for condition in zero_unless(factor):
            found = _number(condition, list(axes.values()))
            if found is None or {found.axis, found.taps} & gone:
                continue
            low, high = found.reach(axes)
            var = tvm.ir.Var(str(found.axis.name), found.axis.ty)
            numbers[found.axis] = axis_over(var, high - low + 1, _SPATIAL), found.index - low
            values[found.axis] = (var + (low - found.offset) - found.taps * found.across) * found.along
            gone |= {found.axis, found.taps}
            analyzer.bind(var, tvm.ir.Range(0, high - low + 1))
        value = simplified(substituted(factor, values), analyzer)
        if not gone or any(mentions(value, var) for var in gone):
            return None
        kept = {var: axis for var, axis in axes.items() if var in numbers or mentions(value, var)}
        fresh = {var: tvm.ir.Var(str(var.name), var.ty) for var in kept if var not in numbers}
        own = [
            numbers[var][0] if var in numbers else axis_over(fresh[var], int(axis.dom.extent), _SPATIAL)
            for var, axis in kept.items()
        ]
        return cls(own, substituted(value, fresh), [numbers[var][1] if var in numbers else var for var in kept])

    def filled(self, name: str) -> tuple[Any, Any]:
        """The buffer, and the nest that fills it."""
        buffer = decl_buffer([axis.dom.extent for axis in self.axes], str(self.value.ty), name)
        store = BufferStore(buffer, self.value, [axis.var for axis in self.axes])
        return buffer, nest_of_store(self.axes, store, name=name)


@dataclass(frozen=True, slots=True)
class _Number:
    """``along * axis + across * taps + offset``, of which only every so many-th meets a pixel. ``along`` is 1 or -1."""

    index: Any
    axis: Any
    along: int
    taps: Any
    across: int
    offset: int

    def reach(self, axes: dict[Any, Any]) -> tuple[int, int]:
        """The least and the greatest."""
        ends = [
            (0, by * (int(axes[var].dom.extent) - 1)) for var, by in ((self.axis, self.along), (self.taps, self.across))
        ]
        return self.offset + sum(map(min, ends)), self.offset + sum(map(max, ends))


def _number(condition: Any, axes: list[Any]) -> _Number | None:
    """The number that the condition is about."""
    remainder = remainder_of(condition)
    terms = None if remainder is None else linear_terms(remainder.a, [axis.var for axis in axes])
    if remainder is None or terms is None or int(remainder.b) < 2:
        return None
    moving = [(axis, by) for axis, by in zip(axes, terms[:-1], strict=True) if by]
    moving.sort(key=lambda one: int(one[0].iter_type))
    if [int(axis.iter_type) for axis, _ in moving] != [_SPATIAL, _REDUCE]:
        return None
    (axis, along), (taps, across) = moving
    if abs(along) != 1 or gcd(across, int(remainder.b)) > 1:
        return None
    return _Number(remainder.a, axis.var, along, taps.var, across, terms[-1])


def _with_term(nest: PlainNest, store: Any, term: Any) -> Any:
    """The nest with another term in its sum."""
    own = tirx.BufferLoad(store.buffer, store.indices)
    new = with_block(
        nest.block,
        reads=[region(load.source, list(load.indices)) for load in loads_of(term)],
        body=BufferStore(store.buffer, type(store.value)(own, term), store.indices),
    )
    values = list(nest.realize.iter_values)
    return nest.around(SBlockRealize(values, True, new), values)
