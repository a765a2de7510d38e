"""Results in phases, put together: phase ``p`` of step ``s`` holds the elements ``p``, ``s + p``, ``2 * s + p``, ...

A buffer in phases has an index for each phase in front, then those of the elements of one phase. Nests that go on with
the results element by element, such as a bias or an activation, go on in phases; the last of them puts each element in
its place. So a sketch may take them along with the sums, as it does after any contraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock
from tvm.tirx import BufferStore, IntImm, IterVar, Select, decl_buffer

from colt.tvm.programs.gaps import is_pointwise, loads_of, written
from colt.tvm.programs.naming import replaced, substituted, with_block
from colt.tvm.programs.nests import PlainNest, axis_over, element, in_own_loops, mentions, region
from colt.tvm.programs.strided import PhaseRun
from colt.util.text import distinct_names

_SPATIAL = 0
Steps = Mapping[int, int]
"""How many phases there are along some of a buffer's dimensions."""


@dataclass(frozen=True, slots=True)
class PhaseSums:
    """The results of some phases, a run of them along each dimension that has any.

    ``buffer`` has an index for each run of several phases in front. ``None``: all results are the number ``constant``.
    """

    runs: tuple[PhaseRun, ...]
    buffer: Any
    constant: Any

    def at(self, phases: Sequence[Any], indices: Sequence[Any], clamped: bool) -> Any:
        """The element of these phases. ``clamped``: phases of other pieces may be asked for, with any answer."""
        if self.buffer is None:
            return self.constant
        own = []
        for run, phase in zip(self.runs, phases, strict=True):
            if run.count > 1:
                number = phase - run.first if run.first else phase
                own.append(tirx.max(tirx.min(number, run.count - 1), 0) if clamped else number)
        return tirx.BufferLoad(self.buffer, [*own, *indices])


@dataclass(frozen=True, slots=True)
class Woven:
    """The nests that take the place of those after the sums, and the buffers that they need."""

    nests: list[Any]
    buffers: list[Any]


class _TwoSteps(Exception):
    """An axis would have to be split by two different steps."""


def woven(store: Any, local: Sequence[Any], steps: Steps, pieces: Sequence[PhaseSums], later: Sequence[Any]) -> Woven:
    """``later`` with the pieces in place of what ``store`` writes, which is put together first if anything needs it
    whole. ``local``: the buffers that are no arguments."""
    try:
        return _Weaving(local, list(later), []).in_phases(store, steps, pieces)
    except _TwoSteps:
        return Woven([_whole(store, steps, pieces), *later], [])


@dataclass(slots=True)
class _Weaving:
    local: Sequence[Any]
    nests: list[Any]
    buffers: list[Any]

    def in_phases(self, store: Any, steps: Steps, pieces: Sequence[PhaseSums]) -> Woven:
        target = store.buffer
        if not self._goes_on(target, steps):
            return Woven([_whole(store, steps, pieces), *self.nests], [])
        joined = pieces[0].buffer if len(pieces) == 1 else self._buffer(target, steps)
        first = [] if len(pieces) == 1 else [_joined(joined, store, steps, pieces)]
        phased: dict[Any, tuple[Any, Steps]] = {target: (joined, steps)}
        for number, stmt in enumerate(self.nests):
            if any(mentions(stmt, one) for one in phased):
                self.nests[number] = self._split(stmt, phased)
        return Woven([*first, *self.nests], self.buffers)

    def _goes_on(self, buffer: Any, steps: Steps, own: Any = None) -> bool:
        """Whether nothing needs the buffer whole: all that use it only read it, in phases. ``own`` is the nest among
        the later ones that sets it."""
        shape = [int(extent) for extent in buffer.ty.shape]
        if any(shape[d] % step for d, step in steps.items()) or not any(buffer.same_as(one) for one in self.local):
            return False
        readers = [stmt for stmt in self.nests if stmt is not own and mentions(stmt, buffer)]
        if not readers or any(buffer.same_as(one) for stmt in readers for one in written(stmt)):
            return False
        return all(_axes_read(stmt, buffer, steps) is not None for stmt in readers)

    def _split(self, stmt: Any, phased: dict[Any, tuple[Any, Steps]]) -> Any:
        """The nest with its axes split by phases; its result is in phases, too, if nothing needs it whole."""
        nest = PlainNest.of(stmt)
        assert nest is not None, "all that read phases are plain"
        store = nest.block.body
        found: dict[Any, int] = {}
        for buffer, (_, steps) in phased.items():
            for axis, step in (_axes_read(stmt, buffer, steps) or {}).items():
                if found.setdefault(axis, step) != step:
                    raise _TwoSteps
        axes: list[Any] = []
        phases: dict[Any, Any] = {}
        turns: dict[Any, Any] = {}
        for axis in nest.block.iter_vars:
            step = found.get(axis.var, 1)
            turns[axis.var] = tvm.ir.Var(str(axis.var.name), axis.var.ty)
            axes.append(axis_over(turns[axis.var], int(axis.dom.extent) // step, _SPATIAL))
            if step > 1:
                phases[axis.var] = phase_of(axis.var)
                axes.append(axis_over(phases[axis.var], step, _SPATIAL))

        def place(buffer: Any, steps: Steps, indices: Sequence[Any]) -> tuple[Any, list[Any]]:
            return buffer, [*(phases[indices[d]] for d in steps), *(turns.get(one, one) for one in indices)]

        places = {
            old: lambda indices, new=new, steps=steps: place(new, steps, indices)
            for old, (new, steps) in phased.items()
        }
        own = {number: found[index] for number, index in enumerate(store.indices) if index in found}
        value = replaced(store, places).value
        if self._goes_on(store.buffer, own, stmt):
            buffer = self._buffer(store.buffer, own)
            phased[store.buffer] = buffer, own
            stored = BufferStore(buffer, value, place(buffer, own, store.indices)[1])
        else:
            stored = BufferStore(store.buffer, value, store.indices)
        there = {var: turns[var] * step + phases[var] for var, step in found.items()}
        return nest_of_store(axes, substituted(stored, {**turns, **there}), nest.block)

    def _buffer(self, buffer: Any, steps: Steps) -> Any:
        names = [str(one.name) for one in (*self.local, *self.buffers)]
        shape = [int(extent) for extent in buffer.ty.shape]
        wide = [*steps.values(), *(extent // steps.get(d, 1) for d, extent in enumerate(shape))]
        sizes = [IntImm(str(buffer.ty.shape[0].ty), size) for size in wide]
        self.buffers.append(
            decl_buffer(sizes, str(buffer.ty.dtype), distinct_names([f"{buffer.name}_phases"], names)[0])
        )
        return self.buffers[-1]


def phase_of(var: Any) -> Any:
    """A variable for the phase of this one."""
    return tvm.ir.Var(f"{var.name}_phase", var.ty)


def _axes_read(stmt: Any, buffer: Any, steps: Steps) -> dict[Any, int] | None:
    """The steps by which axes of the nest have to be split for it to read the buffer in phases; ``None`` if it does
    more than to set each element of another buffer once, or reads anything but a phase at a time."""
    nest = PlainNest.of(stmt)
    if nest is None or not is_pointwise(nest):
        return None
    found: dict[Any, int] = {}
    extents = {axis.var: int(axis.dom.extent) for axis in nest.block.iter_vars}
    for load in loads_of(nest.block.body.value, buffer):
        others = [index for d, index in enumerate(load.indices) if d not in steps]
        for dimension, step in steps.items():
            index = load.indices[dimension]
            whole = isinstance(index, tvm.ir.Var) and extents.get(index) == int(buffer.ty.shape[dimension])
            if not whole or found.setdefault(index, step) != step or any(mentions(one, index) for one in others):
                return None
    return found


def nest_of_store(axes: Sequence[IterVar], store: Any, like: Any = None, name: str = "") -> Any:
    """A block over these axes that only stores, in loops of its own; ``like``: the block that it takes the place of."""
    reads = [region(load.source, list(load.indices)) for load in loads_of(store.value)]
    writes = [element(store.buffer, list(store.indices))]
    if like is None:
        return in_own_loops(SBlock(list(axes), reads, writes, name, store))
    return in_own_loops(with_block(like, iter_vars=list(axes), reads=reads, writes=writes, body=store))


# ---- the pieces together ----


def _value(pieces: Sequence[PhaseSums], phases: Sequence[Any], indices: Sequence[Any]) -> Any:
    """The element of these phases, of whichever piece has it."""
    return _chosen(pieces, 0, phases, indices, clamped=len(pieces) > 1)


def _chosen(
    pieces: Sequence[PhaseSums], level: int, phases: Sequence[Any], indices: Sequence[Any], clamped: bool
) -> Any:
    if level == len(phases):
        (piece,) = pieces
        return piece.at(phases, indices, clamped)
    runs = sorted({piece.runs[level] for piece in pieces}, key=lambda run: run.first, reverse=True)
    found: Any = None
    for run in runs:
        own = [piece for piece in pieces if piece.runs[level] == run]
        value = _chosen(own, level + 1, phases, indices, clamped)
        found = value if found is None else Select(phases[level] < run.first + run.count, value, found)
    return found


def _joined(joined: Any, store: Any, steps: Steps, pieces: Sequence[PhaseSums]) -> Any:
    """A nest that puts the pieces into one buffer in phases."""
    phases = [phase_of(store.indices[d]) for d in steps]
    indices = [tvm.ir.Var(str(index.name), index.ty) for index in store.indices]
    places = [*phases, *indices]
    axes = [axis_over(var, int(extent), _SPATIAL) for var, extent in zip(places, joined.ty.shape, strict=True)]
    value = _value(pieces, phases, indices)
    return nest_of_store(axes, BufferStore(joined, value, places), name=str(joined.name))


def _whole(store: Any, steps: Steps, pieces: Sequence[PhaseSums]) -> Any:
    """A nest that sets each element of what ``store`` writes."""
    axes: list[Any] = []
    phases: list[Any] = []
    indices: list[Any] = []
    places: list[Any] = []
    for dimension, (index, size) in enumerate(zip(store.indices, store.buffer.ty.shape, strict=True)):
        var, step, extent = tvm.ir.Var(str(index.name), index.ty), steps.get(dimension, 1), int(size)
        even = extent % step == 0
        axes.append(axis_over(var, extent // step if even else extent, _SPATIAL))
        indices.append(var if even else tirx.floordiv(var, step))
        places.append(var)
        if step > 1:
            phases.append(phase_of(var) if even else tirx.floormod(var, step))
        if step > 1 and even:
            axes.append(axis_over(phases[-1], step, _SPATIAL))
            places[-1] = var * step + phases[-1]
    stored = BufferStore(store.buffer, _value(pieces, phases, indices), places)
    return nest_of_store(axes, stored, name=f"{store.buffer.name}_whole")
