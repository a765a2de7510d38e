"""Transposed convolutions, phase by phase, without products with the zeros between the pixels.

Such a convolution reads an image that is spread out: ``y[h] = sum(x[h + k] * f[k])``, where ``x`` is zero but at every
s-th element. So ``h`` becomes ``s * q + p``; for the phase ``p`` the sum runs over those taps alone that meet an
element, and reads elements next to each other of an image that is not spread out. Only products with zeros are left
out; the others are added in the same order. Some phases have a tap more than others if the stride does not divide
their number: runs of phases with equally many have a sum of their own (:mod:`~colt.tvm.programs.strided`). In the end
the phases are put together (:mod:`~colt.tvm.programs.weaving`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, IntImm, PrimFunc, decl_buffer

from colt.tvm.programs.gaps import loads_of, simplified
from colt.tvm.programs.naming import Place, buffers_of, replaced, substituted, with_block
from colt.tvm.programs.nests import (
    PlainNest,
    axis_over,
    element,
    in_own_loops,
    mentions,
    nests_of,
    region,
    sequence,
    with_nests,
)
from colt.tvm.programs.spreading import images_spread
from colt.tvm.programs.strided import Strided, Taps, strided_sum
from colt.tvm.programs.weaving import PhaseSums, nest_of_store, phase_of, woven
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2


def phases_apart(func: PrimFunc) -> PrimFunc:
    """The function with such sums phase by phase; ``func`` itself if it has none."""
    seen = func
    while True:
        found = strided_sum(seen)
        if found is not None:
            func = seen = _apart(seen, found)
            continue
        spread = images_spread(seen)
        if spread is seen:
            return func
        seen = spread


def _apart(func: PrimFunc, found: Strided) -> PrimFunc:
    stmts, block = nests_of(func), found.nest.block
    target, names = block.body.buffer, [str(buffer.name) for buffer in buffers_of(func)]
    close, filling = _closed(found, distinct_names([f"{found.spread.buffer.name}_close"], names)[0])
    choices = list(product(*(split.runs() for split in found.splits)))
    filters = _filters(found) if len(choices) > 1 else []
    dealt: list[Any] = []
    sums: list[Any] = []
    pieces: list[PhaseSums] = []
    for name, taps in zip(distinct_names([f"{target.name}_phases"] * len(choices), names), choices, strict=True):
        buffer = None
        if all(one.count for one in taps):  # else nothing is added to what the sum begins with
            buffer = decl_buffer(_shape(found, taps), str(target.ty.dtype), name)
            parts = _sum(found, taps, buffer, close, filters)
            dealt += [nest.block.body.buffer for nest in map(PlainNest.of, parts[:-1]) if nest is not None]
            sums += parts
        pieces.append(PhaseSums(tuple(one.run for one in taps), buffer, block.init.value))
    added = [close, *dealt, *(piece.buffer for piece in pieces if piece.buffer is not None)]
    local = [*func.body.block.alloc_buffers, *added]
    steps = {split.place: split.gap.step for split in found.splits}
    after = woven(block.body, local, steps, pieces, stmts[found.number + 1 :])
    nests = [*stmts[: found.number], filling, *sums, *after.nests]
    return _without_unread(with_nests(func, nests, [*added, *after.buffers]))


def _closed(found: Strided, name: str) -> tuple[Any, Any]:
    """The operand without its gaps, as far as it is read, and the nest that fills it."""
    spread = found.spread
    shape = list(spread.buffer.ty.shape)
    dtype = str(spread.buffer.ty.dtype)
    axes = [tvm.ir.Var(str(axis.name), axis.ty) for axis in spread.axes]
    numbers: dict[Any, Any] = dict(zip(spread.axes, axes, strict=True))
    inside: list[Any] = []
    for split in found.splits:
        (low, high), step = split.reach(), split.gap.step
        number = axes[split.dimension] * step + (low * step + split.gap.first)
        inside += [number >= 0, number < shape[split.dimension]]
        shape[split.dimension] = IntImm(str(shape[split.dimension].ty), high - low + 1)
        numbers[spread.axes[split.dimension]] = number
    ranges = [axis_over(axis, int(extent), _SPATIAL) for axis, extent in zip(axes, shape, strict=True)]
    value = tirx.if_then_else(tirx.all(*inside), substituted(spread.value, numbers), tirx.const(0, dtype))
    close = decl_buffer(shape, dtype, name)
    store = BufferStore(close, simplified(value, _knowing(ranges)), axes)
    return close, nest_of_store(ranges, store, spread.nest.block)


def _shape(found: Strided, taps: Sequence[Taps]) -> list[Any]:
    """The shape of a buffer for the sums of these phases: the runs of several phases in front."""
    target = found.nest.block.body.buffer
    shape = list(target.ty.shape)
    for split in found.splits:
        shape[split.place] = IntImm(str(split.axis.var.ty), split.turns)
    return [*(IntImm(str(shape[0].ty), one.run.count) for one in taps if one.run.count > 1), *shape]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What takes the place of a sum's axes for some phases: ``axes``, those of phases among them, the ``values`` of the
    old ones, and ``indices`` of the operand without gaps."""

    axes: list[Any]
    phases: list[Any]
    turns: dict[Any, Any]
    values: dict[Any, Any]
    indices: list[Any]

    @classmethod
    def of(cls, found: Strided, taps: Sequence[Taps]) -> _Terms:
        axes = {axis.var: [_fresh(axis, int(axis.iter_type))] for axis in found.nest.block.iter_vars}
        turns = {old: new.var for old, [new] in axes.items()}
        values, indices = dict(turns), list(found.load.indices)
        phases: list[Any] = []
        for split, one in zip(found.splits, taps, strict=True):
            track, step, low = split.track(one), split.gap.step, split.reach()[0]
            turn, term = turns[split.axis.var], turns[split.taps.var]
            axes[split.axis.var] = [axis_over(turn, split.turns, _SPATIAL)]
            axes[split.taps.var] = [axis_over(term, one.count, _REDUCE)]
            phase: Any = IntImm(str(turn.ty), 0)
            if one.run.count > 1:
                phase = phase_of(turn)
                phases.append(phase)
                axes[split.axis.var].append(axis_over(phase, one.run.count, _SPATIAL))
            indices[split.dimension] = turn * track.turn + term * track.tap + phase * track.phase + (track.start - low)
            values[split.axis.var] = turn * step + (phase + one.run.first)
            values[split.taps.var] = term * step + (phase * one.move + one.first)
        return cls([axis for parts in axes.values() for axis in parts], phases, turns, values, indices)


def _filters(found: Strided) -> list[Any]:
    """What else the sum reads by the number of the tap, whatever the place."""
    taps, places = ([getattr(split, name).var for split in found.splits] for name in ("taps", "axis"))
    loads = [load for load in loads_of(found.term) if not load.source.same_as(found.spread.buffer)]
    sources = [load.source for load in loads]
    return [
        load.source
        for load in loads
        if sources.count(load.source) == 1
        and any(mentions(load, var) for var in taps)
        and not any(mentions(load, var) for var in places)
    ]


def _dealt(term: Any, axes: Sequence[Any], filters: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The term with filters of its own, of its taps alone and in the order in which it sums, and the nests that make
    them: all sums together take each filter once."""
    nests: list[Any] = []
    for source in filters:
        (load,) = loads_of(term, source)
        own = [axis for axis in axes if mentions(load, axis.var)]
        own.sort(key=lambda axis: int(axis.iter_type) != _REDUCE)
        fresh = [_fresh(axis, _SPATIAL) for axis in own]
        buffer = decl_buffer([axis.dom.extent for axis in own], str(source.ty.dtype), f"{source.name}_dealt")
        moved = substituted(load, {axis.var: new.var for axis, new in zip(own, fresh, strict=True)})
        store = BufferStore(buffer, moved, [new.var for new in fresh])
        nests.append(nest_of_store(fresh, store, name=str(buffer.name)))
        term = replaced(term, {source: _always(buffer, [axis.var for axis in own])})
    return term, nests


def _always(buffer: Any, indices: list[Any]) -> Place:
    """This element, whatever the indices of the one that it takes the place of."""
    return lambda _: (buffer, indices)


def _sum(found: Strided, taps: Sequence[Taps], buffer: Any, close: Any, filters: Sequence[Any]) -> list[Any]:
    """The sum over the taps of some phases, in loops of its own, after the nests that deal it its ``filters``."""
    block, store, new = found.nest.block, found.nest.block.body, _Terms.of(found, taps)
    single = _single_taps(new.axes, [new.turns[split.taps.var] for split in found.splits])
    axes = [axis for axis in new.axes if axis.var not in single]
    read = substituted(replaced(found.term, {found.spread.buffer: _always(close, new.indices)}), new.values)
    term, nests = _dealt(simplified(substituted(read, single), _knowing(axes)), axes, filters)
    place = [*new.phases, *(new.turns[index] for index in store.indices)]
    changed = with_block(
        block,
        iter_vars=axes,
        reads=[region(load.source, list(load.indices)) for load in loads_of(term)],
        writes=[element(buffer, place)],
        body=BufferStore(buffer, type(store.value)(tirx.BufferLoad(buffer, place), term), place),
        init=BufferStore(buffer, block.init.value, place),
    )
    return [*nests, in_own_loops(changed)]


def _single_taps(axes: Sequence[Any], taps: Sequence[Any]) -> dict[Any, Any]:
    """The axes of only one tap, with its number. If nothing else is summed over, one stays: a sum has an axis."""
    summed = [axis for axis in axes if int(axis.iter_type) == _REDUCE]
    single = [axis for axis in summed if axis.var in taps and int(axis.dom.extent) == 1]
    return {axis.var: axis.dom.min for axis in single[len(single) == len(summed) :]}


def _knowing(axes: Sequence[Any]) -> Any:
    """An analyzer that knows how far the axes run. It has those of one element for variables all the same: a sketch
    tells dimensions apart by them."""
    analyzer = tvm.sym.Analyzer()
    for axis in axes:
        if int(axis.dom.extent) > 1:
            analyzer.bind(axis.var, axis.dom)
    return analyzer


def _fresh(axis: Any, kind: int) -> Any:
    """An axis as long as this one, with a variable of its own."""
    return axis_over(tvm.ir.Var(str(axis.var.name), axis.var.ty), int(axis.dom.extent), kind)


def _without_unread(func: PrimFunc) -> PrimFunc:
    """The function without the nests whose results nothing reads any more, and without their buffers."""
    while True:
        stmts, outer = nests_of(func), func.body.block
        unread = [one for one in outer.alloc_buffers if sum(mentions(stmt, one) for stmt in stmts) <= 1]
        kept = [stmt for stmt in stmts if not any(mentions(stmt, one) for one in unread)]
        if not unread:
            return func
        left = [one for one in outer.alloc_buffers if not any(one.same_as(other) for other in unread)]
        block = with_block(outer, body=sequence(kept), alloc_buffers=left)
        func = func.with_body(SBlockRealize(func.body.iter_values, func.body.predicate, block))
