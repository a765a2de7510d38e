"""From where random inputs must be drawn so that a program means something on them.

read     the program's stores, with what each asks for (:mod:`colt.tvm.programs.demands`)
violated which of these demands do not hold for inputs as they are drawn by default
float    arguments of violated demands are drawn from (0.1, 0.9) or from (1.1, 4), if that helps
integers that index are drawn from as many values as all demands allow; what bounds loops is drawn in ascending order
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from colt.tvm.programs.demands import Demand, Reader, Stored
from colt.tvm.programs.intervals import ANY, TINY, Expression, Interval, Known, interval, union

SMALL_INTEGERS = 4
"""By default integers are drawn below this: usable as indices into nearly any axis."""
POSITIVE: Interval = (0.1, 0.9)
"""Floats that need care: logarithms of them and of 1 minus them, roots and quotients are ordinary numbers."""
ABOVE_ONE: Interval = (1.1, 4.0)
"""For what is defined from 1 on only."""
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_MOST = 1 << 30
_FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class Domain:
    """Where the elements of an argument lie, ends included. Those in ``order`` ascend along the last axis, from end to
    end: a row of a sparse matrix ends where the next begins."""

    low: float
    high: float
    order: bool = False


Domains = tuple[Domain | None, ...]
"""By parameter; ``None`` for one that needs no care."""


def domains(function: tirx.PrimFunc) -> Domains:
    """Where each argument is to be drawn from."""
    program = _Program(function)
    numbers = range(len(function.params))
    chosen = program.choose()
    return tuple(chosen.get(number) for number in numbers)


@dataclass(frozen=True, slots=True)
class Outside:
    """A parameter whose contents lead outside of what they index, and from where to where they would not."""

    parameter: int
    accepted: Interval


def outside(function: tirx.PrimFunc, given: Mapping[int, Interval], ascending: Collection[int]) -> Outside | None:
    """The first parameter whose contents, given their least and their largest, are certain to lead outside.

    Conditions of the program may keep indices inside, so what they guard is left alone, as are indices that are made of
    several parameters. ``ascending`` are those that ascend along the last axis.
    """
    return _Program(function).outside(given, ascending)


class _Program:
    def __init__(self, function: Any) -> None:
        self._dtypes = [str(parameter.dtype) for parameter in function.params]
        reader = Reader({parameter: number for number, parameter in enumerate(function.params)})
        reader.read(function.body)
        self._stores, self._demands, self._loops = reader.stores, reader.demands, reader.loops
        self._sources: dict[Any, frozenset[int]] = {number: frozenset({number}) for number in range(len(self._dtypes))}
        for store in self._stores:
            before = self._sources.get(store.buffer, frozenset())
            self._sources[store.buffer] = before | self._sources_of(store.value)

    def choose(self) -> dict[int, Domain]:
        """Domains of those parameters that need one."""
        floats: dict[int, Interval] = {}
        known = self._known(floats)
        for demand in self._demands:
            if demand.index or demand.holds(known):
                continue
            floats |= self._suitable(demand, floats)
        known = self._known(floats)
        careful: set[int] = set()
        for demand in self._demands:
            numbers = {number for number in self._sources_of(demand.value) if self._is_integer(number)}
            if demand.index or not demand.holds(known):
                careful |= numbers
        whole = self._search(sorted(careful), floats) if careful else {}
        pointers = self._pointers() & careful
        chosen = {number: Domain(*ends) for number, ends in floats.items()}
        for number, (low, high) in whole.items():
            if (low, high) != (0, SMALL_INTEGERS - 1) or number in pointers:
                chosen[number] = Domain(low, high, number in pointers)
        return chosen

    def outside(self, given: Mapping[int, Interval], ascending: Collection[int]) -> Outside | None:
        """See :func:`outside`."""
        derived = {number: (domain.low, domain.high) for number, domain in self.choose().items()}
        known = self._known({**derived, **given})
        pointers = self._pointers() & set(ascending)
        for demand in self._demands:
            if not demand.index or demand.guarded or demand.holds(known):
                continue
            whole = {number for number in self._sources_of(demand.value) if self._is_integer(number)}
            if len(whole) != 1 or not whole <= given.keys():
                continue
            (number,) = whole
            if number in pointers or self._loads(demand.value) == 1:
                others = {other: ends for other, ends in {**derived, **given}.items() if other != number}
                accepted = self._search([number], others).get(number)
                if accepted is not None and not accepted[0] <= given[number][0] <= given[number][1] <= accepted[1]:
                    return Outside(number, accepted)
        return None

    def _loads(self, value: Expression) -> int:
        """How many loads a value is made of, as a loop's ends make its counter."""
        parts = (*value.parts, *self._loops.get(value.what, ())) if value.op == "loop" else value.parts
        return (value.op == "load") + (0 if value.op == "load" else sum(map(self._loads, parts)))

    def _suitable(self, demand: Demand, floats: Mapping[int, Interval]) -> dict[int, Interval]:
        """Where the floats of a violated demand are drawn from: where all else that is asked of them holds too, if COLT
        knows such a place, else where this demand holds; empty if it knows neither."""
        numbers = {number for number in self._sources_of(demand.value) if self._is_float(number)}
        others = [one for one in self._demands if not one.index and self._sources_of(one.value) & numbers]
        for demands in (others, [demand]):
            for ends in (POSITIVE, ABOVE_ONE):
                tried = dict.fromkeys(numbers, ends)
                known = self._known({**floats, **tried}, generous=True)
                if tried and all(one.holds(known) for one in demands):
                    return tried
        return {}

    # ---- what is known ----

    def _known(self, given: Mapping[int, Interval], generous: bool = False) -> Known:
        """Intervals of all buffers; ``generous`` has integers as anything that is positive."""
        buffers: dict[Any, Interval] = {}
        for number, dtype in enumerate(self._dtypes):
            if self._is_float(number):
                buffers[number] = ANY
            elif dtype == "bool":
                buffers[number] = (0.0, 1.0)
            else:
                buffers[number] = (1.0, math.inf) if generous else (0.0, SMALL_INTEGERS - 1.0)
        buffers |= given
        known = Known(buffers, self._loops)
        for store in self._stores:
            if not store.initial:
                found = _stored(store, known)
                joined = union(
                    found, buffers.get(store.buffer) if store.buffer not in range(len(self._dtypes)) else None
                )
                if joined is not None:
                    buffers[store.buffer] = joined
        return known

    def _sources_of(self, value: Expression) -> frozenset[int]:
        """The parameters that a value is made of; not those by which it is only found."""
        if value.op == "load":
            return self._sources.get(value.what, frozenset())
        found: frozenset[int] = frozenset()
        if value.op == "loop" and value.what in self._loops:
            for part in self._loops[value.what]:
                found |= self._sources_of(part)
        for part in value.parts:
            found |= self._sources_of(part)
        return found

    def _is_float(self, number: int) -> bool:
        return "float" in self._dtypes[number]

    def _is_integer(self, number: int) -> bool:
        return self._dtypes[number] in _INTEGERS

    def _pointers(self) -> set[int]:
        """Parameters of which two elements are where a loop begins and ends."""
        found: set[int] = set()
        for _, extent in self._loops.values():
            if extent.op == "sub":
                end, start = map(self._sources_of, extent.parts)
                found |= end & start
        return found

    # ---- integers ----

    def _search(self, numbers: list[int], floats: Mapping[int, Interval]) -> dict[int, tuple[int, int]]:
        """The widest ranges, found one after the other, for which all demands on these parameters hold."""
        wanted = set(numbers)
        demands = [demand for demand in self._demands if self._sources_of(demand.value) & wanted]

        def holds(ranges: Mapping[int, tuple[int, int]]) -> bool:
            known = self._known({**floats, **ranges})
            return all(demand.holds(known) for demand in demands)

        def at(lows: Mapping[int, int]) -> dict[int, tuple[int, int]]:
            return {number: (low, low) for number, low in lows.items()}

        lows = next(
            (lows for lows in self._starts(numbers, floats, demands) if holds(at(lows))),
            None,
        )
        if lows is None:
            return {}
        for number in numbers:
            for low in range(min(lows[number], SMALL_INTEGERS)):
                if holds(at({**lows, number: low})):
                    lows[number] = low
                    break
        ranges = at(lows)
        steps = {number: self._step(number, ranges, floats, demands) for number in numbers}
        for number in sorted(numbers, key=lambda number: -steps[number]):
            low = lows[number]
            high = _largest(low, _MOST, lambda high: holds({**ranges, number: (low, high)}))  # noqa: B023
            if high == _MOST:  # nothing limits it, such as where the program itself keeps indices within an axis
                high = low + SMALL_INTEGERS - 1
            ranges[number] = (low, min(high, int(np.iinfo(self._dtypes[number]).max)))
        return ranges

    def _starts(
        self, numbers: list[int], floats: Mapping[int, Interval], demands: Iterable[Demand]
    ) -> Iterable[dict[int, int]]:
        """Single values to begin from: small ones, and those from which an index is 0."""
        yield from (dict.fromkeys(numbers, low) for low in range(SMALL_INTEGERS + 1))
        zero, one = (self._known({**floats, **dict.fromkeys(numbers, (value, value))}) for value in (0.0, 1.0))
        for demand in demands:
            first, second = interval(demand.value, zero), interval(demand.value, one)
            if first is not None and second is not None and second[0] != first[0] and math.isfinite(first[0]):
                low = math.ceil((max(demand.low, -_FAR) - first[0]) / (second[0] - first[0]))
                if 0 <= low < _MOST:
                    yield dict.fromkeys(numbers, low)

    def _step(
        self, number: int, ranges: Mapping[int, tuple[int, int]], floats: Mapping[int, Interval], demands: list[Demand]
    ) -> float:
        """By how much an index moves with the parameter: in ``page * 16 + slot`` pages come first."""
        low = ranges[number][0]
        before, after = (self._known({**floats, **ranges, number: (low, low + more)}) for more in (0, 1))
        found = [(interval(demand.value, before), interval(demand.value, after)) for demand in demands]
        widths = [b[1] - b[0] - (a[1] - a[0]) for a, b in found if a is not None and b is not None]
        return max((width for width in widths if math.isfinite(width)), default=0.0)


def _largest(low: int, most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to ``most`` that holds; ``low`` does, and all up to the largest do."""
    step = 1
    while low + step <= most and holds(low + step):
        step *= 2
    good, bad = low + step // 2, min(low + step, most + 1)
    if bad == most + 1 and holds(most):
        return most
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


def _stored(store: Stored, known: Known) -> Interval | None:
    """Where a stored value lies; sums, products and the like of one element with itself are reductions."""
    value = store.value
    if len(value.parts) == 2 and store.own in value.parts:
        other = value.parts[1] if value.parts[0] == store.own else value.parts[0]
        found = interval(other, known)
        if found is None:
            return None
        if value.op in ("min", "max"):
            return found
        if value.op == "add":
            return (found[0] if found[0] >= 0 else -math.inf), (found[1] if found[1] <= 0 else math.inf)
        return (TINY, math.inf) if value.op == "mul" and found[0] > 0 else ANY
    return interval(value, known)
