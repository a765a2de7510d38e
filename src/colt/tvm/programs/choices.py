"""Reductions of several results that TVM does not know, in the lanes of vectors: the largest element, and where it is.

TVM puts partial results together only for reductions of a form that it knows. A program that breaks ties otherwise, or
begins with another index, is taken one term after the other. But a reduction says how two candidates become one, and
that is all it takes: candidates of the terms in each lane first, then those of the lanes, then the terms left over.
Lanes take turns with the terms, so the first of equals is not that of the first lane: where it matters which came
first, the candidates of lanes are put together in the order of the places that they hold. TVM does not do that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.tirx import Bind, BufferStore, IntImm, PrimFunc, Select, decl_buffer

from colt.tvm.programs.lanes import is_contiguous
from colt.tvm.programs.naming import Place, buffers_of, elsewhere, replaced, substituted, with_block
from colt.tvm.programs.nests import (
    PlainNest,
    axis_over,
    element,
    in_own_loops,
    mentions,
    nests_of,
    sequence,
    statements,
    with_nests,
)
from colt.tvm.programs.rests import has_partial_results
from colt.tvm.programs.ties import Kept, kept, with_elements
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2
WIDTH, SHORT = 16, 48
"""The lanes, and how many terms are too few for them."""


def choices_in_lanes(func: PrimFunc) -> PrimFunc:
    """The function with such reductions in lanes; ``func`` itself if it has none."""
    return _in_lanes(func, _Choice.in_order_of)


def choices_in_any_order(func: PrimFunc) -> PrimFunc:
    """The same, with the candidates of all lanes put together in the order of the lanes, as up to the tenth edition of
    the design space. Where it matters which came first, other candidates are kept than the program keeps."""
    return _in_lanes(func, _Choice.of)


def _in_lanes(func: PrimFunc, look: Callable[[PrimFunc, Any], _Choice | None]) -> PrimFunc:
    nests: list[Any] = []
    added: list[Any] = []
    for stmt in nests_of(func):
        found = look(func, stmt)
        if found is None:
            nests.append(stmt)
            continue
        names = [str(buffer.name) for buffer in (*buffers_of(func), *added)]
        parts, buffers = found.in_lanes(names)
        nests += parts
        added += buffers
    return with_nests(func, nests, added) if added else func


@dataclass(frozen=True, slots=True)
class _Choice:
    """A reduction along the last of its axes. ``terms``: the candidate that each turn brings, one for each result."""

    nest: PlainNest
    stores: list[Any]
    values: list[Any]
    """What is stored, made of the present candidate and the terms."""
    terms: list[Any]
    place: int | None = None
    """The result whose order decides in which order candidates are put together; ``None`` if any order will do."""

    @classmethod
    def of(cls, func: PrimFunc, stmt: Any) -> _Choice | None:
        """The reduction that the statement is, if TVM does not know it."""
        found = cls._read(stmt)
        return found if found is not None and not found._is_known(func) else None

    @classmethod
    def in_order_of(cls, func: PrimFunc, stmt: Any) -> _Choice | None:
        """The reduction that the statement is, if TVM does not know it, or may put its candidates in another order."""
        found = cls._read(stmt)
        order = None if found is None else kept(found.values, list(map(element_of, found.stores)), found.terms)
        if found is None or order is None:
            return None
        if order is Kept.EITHER:
            return None if found._is_known(func) else found
        place = found._where(order)
        return None if place is None else replace(found, place=place)

    @classmethod
    def _read(cls, stmt: Any) -> _Choice | None:
        nest = PlainNest.of(stmt)
        if nest is None or nest.block.init is None:
            return None
        stores = [one for one in statements(nest.block.body) if isinstance(one, BufferStore)]
        axes, kinds = list(nest.block.iter_vars), [int(axis.iter_type) for axis in nest.block.iter_vars]
        last = bool(axes) and kinds == [_SPATIAL] * (len(axes) - 1) + [_REDUCE] and len(axes) > 1
        if len(stores) < 2 or not last or int(axes[-1].dom.extent) < SHORT:
            return None
        values = _values(nest.block)
        terms = _terms(values, stores)
        if terms is None or not any(is_contiguous(term, axes[-1].var) for term in terms):
            return None
        found = cls(nest, stores, values, terms)
        complete = not mentions(found._combined([element_of(store) for store in stores]), axes[-1].var)
        return found if complete else None

    def _is_known(self, func: PrimFunc) -> bool:
        return has_partial_results(func, self.nest, len(self.nest.block.iter_vars) - 1)

    def _where(self, order: Kept) -> int | None:
        """The result that holds where a candidate is, by a number that grows from turn to turn; ``None`` if none does.

        The initial candidate has to come before all if it can be equal to a later one, as it can if the last is kept.
        """
        initial = {one.buffer: one.value for one in statements(self.nest.block.init) if isinstance(one, BufferStore)}
        for number, (store, term) in enumerate(zip(self.stores, self.terms, strict=True)):
            begin = initial.get(store.buffer)
            first = order is Kept.FIRST or (isinstance(begin, IntImm) and int(begin) < 0)
            if first and _is_counter(term, self._axis.var):
                return number
        return None

    def in_lanes(self, names: Sequence[str]) -> tuple[list[Any], list[Any]]:
        """The nests that the reduction becomes, and the buffers for the lanes and for what they come to."""
        whole = int(self._axis.dom.extent) // WIDTH * WIDTH
        left = int(self._axis.dom.extent) - whole
        lanes = self._buffers("lanes", [WIDTH], names)
        most = self._buffers("most", [], names) if left else [store.buffer for store in self.stores]
        parts = [self._in_each_lane(lanes, whole), self._over_lanes(lanes, most)]
        if not left:
            return parts, lanes
        return [*parts, self._left(most, whole, left)], [*lanes, *most]

    @property
    def _axis(self) -> Any:
        return self.nest.block.iter_vars[-1]

    def _buffers(self, word: str, inner: list[int], names: Sequence[str]) -> list[Any]:
        chosen = distinct_names([f"{store.buffer.name}_{word}" for store in self.stores], names)
        shapes = [[*store.buffer.ty.shape, *inner] for store in self.stores]
        types = [str(store.buffer.ty.dtype) for store in self.stores]
        return [decl_buffer(*one) for one in zip(shapes, types, chosen, strict=True)]

    def _combined(self, candidates: Sequence[Any]) -> Any:
        """The body with other candidates than the terms."""
        return with_elements(self.nest.block.body, self.terms, candidates)

    def _in_order(self, others: Sequence[Any]) -> Any:
        """The body with these candidates, which may belong before the present one."""
        assert self.place is not None
        present = [element_of(store) for store in self.stores]
        before = present[self.place] < others[self.place]
        merged: list[Any] = []
        for store, value in zip(self.stores, self.values, strict=True):
            later = with_elements(value, self.terms, others)
            earlier = with_elements(value, [*present, *self.terms], [*others, *present])
            variable = tvm.ir.Var(f"v_{store.buffer.name}", value.ty)
            merged.append(
                (Bind(variable, Select(before, later, earlier)), BufferStore(store.buffer, variable, store.indices))
            )
        return sequence([*(bind for bind, _ in merged), *(store for _, store in merged)])

    def _instead(self, buffers: Sequence[Any], more: list[Any]) -> dict[Any, Place]:
        """Elements of these buffers, with some more indices, in place of the results."""
        pairs = zip(self.stores, buffers, strict=True)
        return {store.buffer: elsewhere(other, after=more) for store, other in pairs}

    def _in_each_lane(self, lanes: list[Any], whole: int) -> Any:
        """Candidates of every sixteenth term."""
        lane = tvm.ir.Var("v_lane", self._axis.var.ty)
        turn = self._axis.var * IntImm(str(lane.ty), WIDTH) + lane
        to = self._instead(lanes, [lane])
        body, init = (replaced(stmt, to) for stmt in (self.nest.block.body, self.nest.block.init))
        extra = [(lane, WIDTH, _SPATIAL), (self._axis.var, whole // WIDTH, _REDUCE)]
        writes = [element(buffer, [*store.indices, lane]) for store, buffer in zip(self.stores, lanes, strict=True)]
        reads = [substituted(one, {self._axis.var: turn}) for one in self.nest.block.reads]
        return self._nest("lanes", extra, substituted(body, {self._axis.var: turn}), init, reads, writes)

    def _over_lanes(self, lanes: list[Any], results: list[Any]) -> Any:
        """The candidates of the lanes become one, beginning with the first lane's."""
        first, turn = (IntImm(str(self._axis.var.ty), number) for number in (0, 1))
        to = self._instead(results, [])
        pairs = list(zip(self.stores, lanes, strict=True))
        others = [tirx.BufferLoad(buffer, [*store.indices, self._axis.var + turn]) for store, buffer in pairs]
        body = replaced(self._combined(others) if self.place is None else self._in_order(others), to)
        begin = [
            BufferStore(result, tirx.BufferLoad(buffer, [*store.indices, first]), store.indices)
            for (store, buffer), result in zip(pairs, results, strict=True)
        ]
        row = [list(element(store.buffer, store.indices).region) for store in self.stores]
        every = axis_over(self._axis.var, WIDTH, _REDUCE).dom
        reads = [tirx.BufferRegion(buffer, [*one, every]) for buffer, one in zip(lanes, row, strict=True)]
        writes = [element(result, store.indices) for store, result in zip(self.stores, results, strict=True)]
        name = "most" if results[0] is not self.stores[0].buffer else ""
        return self._nest(name, [(self._axis.var, WIDTH - 1, _REDUCE)], body, sequence(begin), reads, writes)

    def _left(self, most: list[Any], whole: int, left: int) -> Any:
        """The terms left over, beginning with what the others have come to."""
        block, later = self.nest.block, {self._axis.var: self._axis.var + IntImm(str(self._axis.var.ty), whole)}
        begin = [
            BufferStore(store.buffer, tirx.BufferLoad(one, store.indices), store.indices)
            for store, one in zip(self.stores, most, strict=True)
        ]
        reads = [element(one, store.indices) for store, one in zip(self.stores, most, strict=True)]
        reads += [substituted(one, later) for one in block.reads]
        extra = [(self._axis.var, left, _REDUCE)]
        return self._nest("", extra, substituted(block.body, later), sequence(begin), reads, list(block.writes))

    def _nest(
        self, word: str, extra: Sequence[tuple[Any, int, int]], body: Any, init: Any, reads: Any, writes: Any
    ) -> Any:
        """A block over the spatial axes and these, in loops of its own."""
        block, outer = self.nest.block, list(self.nest.block.iter_vars)[:-1]
        axes = [*outer, *(axis_over(*one) for one in extra)]
        name = f"{block.name_hint}_{word}" if word else str(block.name_hint)
        new = with_block(block, iter_vars=axes, reads=reads, writes=writes, name_hint=name, body=body, init=init)
        bound = [axis.var for axis in axes] + [one.var for one in statements(body) if isinstance(one, Bind)]
        return substituted(in_own_loops(new), {var: tvm.ir.Var(str(var.name), var.ty) for var in bound})


def element_of(store: Any) -> Any:
    """What the store writes, as a load."""
    return tirx.BufferLoad(store.buffer, store.indices)


def _values(block: Any) -> list[Any]:
    """What each store of the block stores, made of what the results held before the first one."""
    names: dict[Any, Any] = {}
    stored: list[Any] = []
    values: list[Any] = []
    for one in statements(block.body):
        if isinstance(one, Bind | BufferStore):
            value = substituted(with_elements(one.value, stored, values), names)
            if isinstance(one, Bind):
                names[one.var] = value
            else:
                stored.append(element_of(one))
                values.append(value)
    return values


def _terms(values: Sequence[Any], stores: Sequence[Any]) -> list[Any] | None:
    """The candidate of each turn, one for each result: what is chosen if the present one is not; ``None`` if results
    are not chosen so."""
    found = []
    for store, value in zip(stores, values, strict=True):
        others = [one for one in _leaves(value) if not tvm_ffi.structural_equal(one, element_of(store))]
        if not isinstance(value, Select) or not others:
            return None
        if not all(tvm_ffi.structural_equal(one, others[0]) for one in others):
            return None
        found.append(others[0])
    return found


def _is_counter(term: Any, variable: Any) -> bool:
    """Whether it is the variable, which counts from 0, in a type that holds it."""
    value = term.value if isinstance(term, tirx.Cast) else term
    return bool(value.same_as(variable)) and str(term.ty) in ("int32", "int64")


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Select):
        return [*_leaves(value.true_value), *_leaves(value.false_value)]
    return [value]
