"""Moves of another program with their numbers as legal here, by the rules for knobs (:mod:`colt.records.adapt`).

A recipe was made for other extents: a factor of 32 divides 4096, but not 1000. Factors keep to what they were where
they divide what is left of the loop, from the inside out, else they become the nearest that do; lanes of vectors become
no wider than they were. What is left goes to the outermost part. Numbers of loops that knobs decide on stay.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import singledispatch

from colt.moves import Axis, Factor, LoopName, Move, SplitLoop, TransformLayout, VectorizeLoop, show_move
from colt.records.adapt import nearest_divisor
from colt.tvm.moves.make import Making
from colt.tvm.refusals import refused


def fitted(making: Making, moves: Sequence[Move]) -> tuple[Move, ...]:
    """The moves with numbers that fit; each is made on ``making`` before the next is looked at.

    Raises what :meth:`Making.told` raises.
    """
    lanes = {move.loop for move in moves if isinstance(move, VectorizeLoop)}
    found = []
    for move in moves:
        with refused(f"{show_move(move)} cannot be fitted"):
            fits = _fitted(move, making, lanes)
        making.told(fits)
        found.append(fits)
    return tuple(found)


@singledispatch
def _fitted(move: Move, making: Making, lanes: Collection[LoopName]) -> Move:
    return move


@_fitted.register
def _(move: SplitLoop, making: Making, lanes: Collection[LoopName]) -> Move:
    loop = making.names.loop(move.loop.block, move.loop.loop)
    if loop.extent < 1 or not making.is_settled(move.loop.block, loop):
        return move
    parts = [LoopName(move.loop.block, f"{loop.name}_{number}") for number in range(len(move.factors))]
    return replace(move, factors=fitted_factors(loop.extent, move.factors, [part in lanes for part in parts]))


@_fitted.register
def _(move: TransformLayout, making: Making, lanes: Collection[LoopName]) -> Move:
    stmt = making.names.stmt(move.block)
    regions = [one.source for one in (*stmt.reads, *stmt.writes) if str(one.source.name) == move.buffer]
    if not regions or len(regions[0].ty.shape) <= max(axis.of for axis in move.layout):
        return move
    shape = [int(extent) for extent in regions[0].ty.shape]
    return replace(move, layout=tuple(_axis(axis, shape[axis.of]) for axis in move.layout))


def _axis(axis: Axis, extent: int) -> Axis:
    return replace(axis, size=nearest_divisor(extent, axis.size, extent)) if axis.part else axis


def fitted_factors(extent: int, factors: Sequence[Factor], lanes: Sequence[bool]) -> tuple[Factor, ...]:
    """The factors of a split as they divide ``extent``. ``lanes`` says of each whether it becomes a vector."""
    left = extent
    found: list[Factor] = []
    for place in reversed(range(len(factors))):
        factor = factors[place]
        if not isinstance(factor, int):
            found.append(factor)
            continue
        common = math.gcd(left, factor)
        fits = common if lanes[place] and common > 1 else nearest_divisor(left, factor, left)
        left //= fits
        found.append(fits)
    found.reverse()
    if all(isinstance(factor, int) for factor in factors):  # nothing takes what is left but the outermost
        assert isinstance(found[0], int)
        found[0] *= left
    return tuple(found)
