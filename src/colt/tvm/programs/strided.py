"""Sums over an operand with zeros between its elements, and which of their terms are other than zero.

``y[h] = sum(x[h + k] * f[k])``, where ``x`` is zero but at every s-th element: which taps ``k`` meet an element depends
on ``h % s`` alone, the *phase* of ``h``. Those of phase ``p`` are ``s * t + r(p)`` for all ``t``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import tvm
from tvm.tirx import BufferStore, Cast, FloatImm, IntImm, Mul, PrimFunc

from colt.tvm.programs.accumulation import SUM, combined_term
from colt.tvm.programs.gaps import (
    Gap,
    Spread,
    choice_of,
    is_zero,
    linear_terms,
    loads_of,
    opened,
    settled_nests,
    spreads_of,
    written,
)
from colt.tvm.programs.nests import PlainNest, covers, mentions, nests_of
from colt.tvm.space.variables import variables

_REDUCE = 2


@dataclass(frozen=True, slots=True)
class PhaseRun:
    """Phases ``first``, ``first + 1``, ..., ``count`` of them."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Taps:
    """A run of phases with equally many taps: phase ``run.first + n`` has ``step * t + first + move * n``, for
    ``count`` values of ``t``."""

    run: PhaseRun
    first: int
    move: int
    count: int


@dataclass(frozen=True, slots=True)
class Track:
    """Which of the operand's elements between gaps is read: ``turn * q + tap * t + phase * n + start`` for tap ``t`` of
    element ``q`` of the ``n``-th phase of a run."""

    turn: int
    tap: int
    phase: int
    start: int


@dataclass(frozen=True, slots=True)
class AxisPair:
    """An axis of the result and one of the sum, and the operand's dimension that both run along: the index there is
    ``along * axis + across * taps + offset``. ``place``: the result's dimension that the axis is the index of."""

    axis: Any
    taps: Any
    dimension: int
    place: int
    gap: Gap
    along: int
    across: int
    offset: int

    @property
    def turns(self) -> int:
        """The elements of a phase; some have one less if the step does not divide the axis."""
        return -(-int(self.axis.dom.extent) // self.gap.step)

    @property
    def is_even(self) -> bool:
        """Whether all phases have equally many elements."""
        return int(self.axis.dom.extent) % self.gap.step == 0

    def runs(self) -> list[Taps]:
        """All phases, in few runs."""
        runs: list[Taps] = []
        for phase in range(self.gap.step):
            first = self._first_tap(phase)
            count = len(range(first, int(self.taps.dom.extent), self.gap.step))
            last = runs[-1] if runs else None
            if last is not None and last.count == count:
                move = first - last.first if last.run.count == 1 else last.move
                if first == last.first + move * last.run.count:
                    runs[-1] = replace(last, run=PhaseRun(last.run.first, last.run.count + 1), move=move)
                    continue
            runs.append(Taps(PhaseRun(phase, 1), first, 0, count))
        return runs

    def _first_tap(self, phase: int) -> int:
        step, before = self.gap.step, self.along * phase + self.offset - self.gap.first
        return next(tap for tap in range(step) if (before + self.across * tap) % step == 0)

    def track(self, taps: Taps) -> Track:
        """What these taps read. They meet elements, so all distances are multiples of the step."""
        start = self.along * taps.run.first + self.across * taps.first + self.offset - self.gap.first
        moves = self.along + self.across * taps.move if taps.run.count > 1 else 0
        assert start % self.gap.step == moves % self.gap.step == 0, "taps of a phase meet elements"
        return Track(self.along, self.across, moves // self.gap.step, start // self.gap.step)

    def reach(self) -> tuple[int, int]:
        """The first and the last of the operand's elements that are read."""
        lows, highs = [], []
        for taps in self.runs():
            if taps.count:
                track = self.track(taps)
                counted = ((track.turn, self.turns), (track.tap, taps.count), (track.phase, taps.run.count))
                ends = [(0, by * (extent - 1)) for by, extent in counted]
                lows.append(track.start + sum(map(min, ends)))
                highs.append(track.start + sum(map(max, ends)))
        return min(lows), max(highs)


@dataclass(frozen=True, slots=True)
class Strided:
    """A sum over such an operand: its place among the nests, what it adds, and how its axes are split, in the order of
    the result's dimensions."""

    number: int
    nest: PlainNest
    term: Any
    load: Any
    spread: Spread
    splits: tuple[AxisPair, ...]


def strided_sum(func: PrimFunc) -> Strided | None:
    """The first such sum of the function; ``None`` if it has none."""
    stmts = nests_of(func)
    spreads = spreads_of(func) if stmts else {}
    moved = _moved_for_one(func) if spreads else {}
    for number, stmt in enumerate(stmts if spreads else []):
        nest = PlainNest.of(stmt)
        if nest is None or not _is_sum(nest) or _writers(stmts, nest.block.body.buffer) != [number]:
            continue
        term = opened(combined_term(nest.block.body, SUM), moved)
        for spread in spreads.values():
            loads = loads_of(term, spread.buffer)
            if len(loads) == 1 and _vanishes(term, loads[0]):
                splits = _splits(nest, term, loads[0], spread)
                if splits:
                    return Strided(number, nest, term, loads[0], spread, splits)
    return None


def _moved_for_one(func: PrimFunc) -> dict[Any, PlainNest]:
    """Buffers that hold another's elements in another order, such as filters turned round, for one nest only."""
    stmts = nests_of(func)
    found = {}
    for buffer, nest in settled_nests(func).items():
        readers = [stmt for stmt in stmts if mentions(stmt, buffer)]
        if isinstance(nest.block.body.value, tvm.ir.TensorLoad) and len(readers) == 2:  # it is set by the other one
            found[buffer] = nest
    return found


def _writers(stmts: Sequence[Any], buffer: Any) -> list[int]:
    return [number for number, stmt in enumerate(stmts) if any(buffer.same_as(one) for one in written(stmt))]


def _is_sum(nest: PlainNest) -> bool:
    """Whether the nest sets each element of a buffer to a number and adds terms to it."""
    init, store = nest.block.init, nest.block.body
    if not isinstance(init, BufferStore) or not isinstance(store, BufferStore) or not covers(store, nest):
        return False
    same = init.buffer.same_as(store.buffer) and isinstance(init.value, IntImm | FloatImm)
    there = all(a.same_as(b) for a, b in zip(init.indices, store.indices, strict=True)) if same else False
    return there and combined_term(store, SUM) is not None


def _vanishes(node: Any, load: Any) -> bool:
    """Whether the term is zero if that load is."""
    if isinstance(node, tvm.ir.TensorLoad):
        return bool(node.source.same_as(load.source))
    if isinstance(node, Cast):
        return _vanishes(node.value, load)
    if isinstance(node, Mul):
        return _vanishes(node.a, load) or _vanishes(node.b, load)
    choice = choice_of(node)
    return choice is not None and all(is_zero(arm) or _vanishes(arm, load) for arm in choice[1:])


def _splits(nest: PlainNest, term: Any, load: Any, spread: Spread) -> tuple[AxisPair, ...]:
    """How the sum's axes are split, for each dimension of the operand with gaps that allows it."""
    found: list[AxisPair] = []
    for dimension, gap in spread.gaps.items():
        split = _split(nest, load, dimension, gap)
        if split is None or any(split.axis.same_as(one.axis) or split.taps.same_as(one.taps) for one in found):
            continue
        if split.is_even or variables(term).count(split.axis.var) == 1:  # elements beyond the last have no such number
            found.append(split)
    return tuple(sorted(found, key=lambda split: split.place))


def _split(nest: PlainNest, load: Any, dimension: int, gap: Gap) -> AxisPair | None:
    axes, results = list(nest.block.iter_vars), list(nest.block.body.indices)
    terms = linear_terms(load.indices[dimension], [axis.var for axis in axes])
    if terms is None:
        return None
    moving = [(axis, by) for axis, by in zip(axes, terms[:-1], strict=True) if by]
    outer = [(axis, by) for axis, by in moving if int(axis.iter_type) != _REDUCE]
    inner = [(axis, by) for axis, by in moving if int(axis.iter_type) == _REDUCE]
    if len(outer) != 1 or len(inner) != 1 or any(gcd(by, gap.step) > 1 for _, by in moving):
        return None
    (axis, along), (taps, across) = outer[0], inner[0]
    return AxisPair(axis, taps, dimension, results.index(axis.var), gap, along, across, terms[-1])
