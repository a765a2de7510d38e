"""Whether two arrays agree within what their data type allows. Plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from colt.measure.base import Verification
from colt.tvm.programs.arrays import Array, is_float
from colt.tvm.workers.arguments import FLOAT_POISON, raw_bytes
from colt.tvm.workers.wide import NARROW, Sums, rounding

TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}
"""Error relative to the largest magnitude: schedules sum in other orders, and low-precision sums drift."""
_NARROW_FLOATS = 0.25  # float8 and smaller
_CHUNK = 1 << 20
_ROUNDINGS = 8
"""An output of few bits may be off by so many roundings: every step of the program rounds."""
_SLACK = 1.5
"""Two schedules that sum in as few bits, in other orders, differ so much in the largest error of many elements ..."""
_EXACT = 0.25
"""A quarter of one rounding of the largest element: nothing but 0, and far less than a term of a sum."""
_FEW = 64
"""... but not of so few."""
_WIDENED = ("float16", "bfloat16", "float32")
_DOUBT = 32
"""Roundings of float32 that schedules of one program may be apart. What is further apart, though within the tolerance,
must be about as close to float64 as the untuned program is ..."""
_SIMILAR = 16
"""... within this factor: vector math is off by 3 units of the last place, the C library by half of one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two arrays are apart; errors are ``inf`` where there is no figure."""

    max_abs: float
    max_rel: float
    tolerance: float
    problem: str = ""
    untuned: float | None = None
    """The untuned program's relative error, if the errors are those from the computation in float64."""
    unwritten: bool = False

    @property
    def ok(self) -> bool:
        return not self.problem

    @property
    def doubtful(self) -> bool:
        """Whether only float64 can tell who is right."""
        return not self.ok or (self.tolerance == TOLERANCES["float32"] and self.max_rel > _DOUBT * rounding("float32"))

    @property
    def severity(self) -> float:
        """Orders differences: above 1 is wrong."""
        if not self.ok:
            return math.inf
        return self.max_rel / self.tolerance if self.tolerance else 0.0


def tolerance_of(dtype: np.dtype[Any]) -> float:
    """The largest relative error that passes; 0 for integers and booleans."""
    return TOLERANCES.get(dtype.name, _NARROW_FLOATS) if is_float(dtype) else 0.0


def verdict(differences: Iterable[tuple[str, Difference]]) -> Verification:
    """Sum up named differences: the worst one's figures, everyone's problems."""
    named = list(differences)
    worst = max((difference for _, difference in named), key=lambda d: (d.severity, d.max_rel, d.tolerance))
    problems = [f"{name}: {difference.problem}" for name, difference in named if not difference.ok]
    untuned = max((each.untuned for _, each in named if each.untuned is not None), default=None)
    if worst.untuned is not None:
        untuned = worst.untuned
    return Verification(not problems, worst.max_abs, worst.max_rel, worst.tolerance, "; ".join(problems), untuned)


def compare_with_wide(
    wide: Array,
    untuned: Array,
    found: Array,
    plain: Difference,
    sums: Sums | None,
    whole: bool = False,
    scale: float = 0.0,
    rounded: Array | None = None,
) -> Difference:
    """Compare an output with the same computation in float64; ``plain`` is the difference from the untuned program.

    The candidate may be as far off as rounding explains, or as the untuned program is, within the bound for so many
    terms. If the untuned program itself is beyond that bound, to be no further off or to agree with it is enough. If
    the inputs are ``whole`` numbers and the untuned program is exact, nothing has rounded, so the candidate must be
    exact as well.

    ``rounded``: what the untuned program leaves if its intermediates have the types that it states, see
    :mod:`~colt.tvm.workers.rounded`. To be about as far off as that is right, too.

    Errors are relative to the largest element, or to ``scale`` if that is larger.
    """
    dtype = found.dtype.name
    if dtype not in _WIDENED or plain.unwritten or (dtype not in NARROW and not (whole or plain.doubtful)):
        return plain
    by_untuned, by_found = _error(wide, untuned, scale), _error(wide, found, scale)
    as_stated = 0.0 if rounded is None else _error(wide, rounded, scale)[1]
    limit = max(_limit(dtype, by_untuned[1], found.size, plain, sums, scale), _as_stated(as_stated))
    off = max(by_untuned[1], as_stated)
    if whole and off == 0:
        limit = _EXACT * rounding(dtype)
    max_abs, max_rel = by_found
    if max_rel <= limit:
        return Difference(max_abs, max_rel, limit, "", off)
    if plain.ok and dtype in NARROW and sums is not None and by_untuned[1] > sums.bound and not whole:
        return plain
    problem = f"relative error {max_rel:.2g}, the untuned program's is {off:.2g}, {limit:.2g} is allowed"
    return Difference(max_abs, max_rel, limit, problem, off)


def _limit(dtype: str, untuned: float, size: int, plain: Difference, sums: Sums | None, scale: float) -> float:
    """How far from float64 the candidate may be, given how far the untuned program is."""
    explained = 0.0 if sums is None else _explained(untuned, size, sums)
    if dtype in NARROW:
        return max(_ROUNDINGS * rounding(dtype), explained)
    tolerance = TOLERANCES[dtype]
    if not plain.ok or (few(size) and not scale):
        return max(tolerance, explained)
    random_walk = 0.0 if sums is None else sums.bound
    return min(tolerance, max(_DOUBT * rounding(dtype), _SIMILAR * untuned, random_walk))


def _as_stated(error: float) -> float:
    """How far from float64 the candidate may be, given how far off the untuned program is with the types it states."""
    return min(_SLACK * error, max(TOLERANCES[dtype] for dtype in NARROW)) if math.isfinite(error) else 0.0


def _explained(untuned: float, size: int, sums: Sums) -> float:
    """The relative error that the untuned program's error and the number of terms explain."""
    if few(size):  # a single sum may be near 0, and any error large beside it
        return max(sums.bound, _SLACK * untuned) if math.isfinite(untuned) else sums.bound
    return min(untuned, sums.worst) if untuned > sums.bound else min(_SLACK * untuned, sums.bound)


def close(wide: Array, untuned: Array) -> bool:
    """Whether the untuned program is so close to float64 that a candidate that is not is wrong."""
    dtype = untuned.dtype.name
    return dtype not in NARROW or _error(wide, untuned)[1] <= _ROUNDINGS * rounding(dtype)


def agree(wide: Array, untuned: Array) -> bool:
    """Whether the untuned program is within the tolerance of its type from float64."""
    return _error(wide, untuned)[1] <= tolerance_of(untuned.dtype)


def few(size: int) -> bool:
    """Whether an output has so few elements that all may be near 0 by chance."""
    return size < _FEW


def _error(wide: Array, array: Array, scale: float = 0.0) -> tuple[float, float]:
    """The largest error, absolute and relative; infinite if NaN and infinity are elsewhere."""
    largest, max_abs = scale, 0.0
    for right, f in _chunks(wide, array):
        with np.errstate(over="ignore"):  # what is too large for the type is infinite in it
            fits = right.astype(array.dtype).astype(np.float64)
        other = f.astype(np.float64)
        finite = np.isfinite(fits)
        if _count(~np.where(finite, np.isfinite(other), (fits == other) | (np.isnan(fits) & np.isnan(other)))):
            return math.inf, math.inf
        largest = max(largest, float(abs(right[finite]).max(initial=0.0)))
        max_abs = max(max_abs, float(abs(right[finite] - other[finite]).max(initial=0.0)))
    return max_abs, max_abs / largest if largest else (math.inf if max_abs else 0.0)


def same_bytes(expected: Array, found: Array) -> Difference:
    """The difference of a parameter that the reference does not write: every byte must be the same."""
    changed = _count(raw_bytes(expected) != raw_bytes(found))
    if changed:
        return Difference(math.inf, math.inf, 0.0, f"{changed} bytes of an input were changed")
    return Difference(0.0, 0.0, 0.0)


def compare(expected: Array, found: Array) -> Difference:
    """Compare an output with the reference's. Both are contiguous, of one shape and data type.

    An element that only the candidate leaves poisoned counts as unwritten. NaN and infinity must be where the
    reference has them; that there are finite elements is for the caller to see.
    """
    tolerance = tolerance_of(expected.dtype)
    if not expected.size:
        return Difference(0.0, 0.0, tolerance)
    return (
        _compare_floats(expected, found, tolerance) if is_float(expected.dtype) else _compare_exactly(expected, found)
    )


def _compare_exactly(expected: Array, found: Array) -> Difference:
    if expected.dtype.kind == "b":  # only 0 and 1 are the same in both types
        expected, found = expected.view(np.uint8), found.view(np.uint8)
    wrong = _count(expected != found)
    if not wrong:
        return Difference(0.0, 0.0, 0.0)
    largest = max_abs = 0.0
    for e, f in _chunks(expected, found):
        wide, other = e.astype(np.float64), f.astype(np.float64)
        largest, max_abs = max(largest, float(abs(wide).max())), max(max_abs, float(abs(wide - other).max()))
    problem = f"{wrong} of {expected.size} elements differ"
    return Difference(max_abs, max_abs / largest if largest else math.inf, 0.0, problem)


def _compare_floats(expected: Array, found: Array, tolerance: float) -> Difference:
    largest = max_abs = 0.0
    unwritten = displaced = 0
    for e, f in _chunks(expected, found):
        unwritten += _count(_poisoned(f) & ~_poisoned(e))
        wide, other = e.astype(np.float64), f.astype(np.float64)
        both = np.isfinite(wide) & np.isfinite(other)
        displaced += _count(~both & (wide != other) & ~(np.isnan(wide) & np.isnan(other)))
        largest = max(largest, float(abs(wide[np.isfinite(wide)]).max(initial=0.0)))
        max_abs = max(max_abs, float(abs(wide[both] - other[both]).max(initial=0.0)))
    if unwritten:
        problem = f"{unwritten} of {expected.size} elements are not written"
        return Difference(math.inf, math.inf, tolerance, problem, unwritten=True)
    if displaced:
        problem = f"{displaced} of {expected.size} elements are NaN or infinite on one side only"
        return Difference(math.inf, math.inf, tolerance, problem)
    max_rel = max_abs / largest if largest else (math.inf if max_abs else 0.0)
    problem = "" if max_rel <= tolerance else f"relative error {max_rel:.2g}, tolerance {tolerance:.2g}"
    return Difference(max_abs, max_rel, tolerance, problem)


def _count(mask: Any) -> int:
    return int(np.count_nonzero(mask))


def _poisoned(array: Array) -> Any:
    return (raw_bytes(array).reshape(array.size, -1) == FLOAT_POISON).all(axis=1)


def _chunks(expected: Array, found: Array) -> Iterable[tuple[Array, Array]]:
    """Flat pieces of both, so that the float64 copies stay small."""
    e, f = expected.reshape(-1), found.reshape(-1)
    return ((e[i : i + _CHUNK], f[i : i + _CHUNK]) for i in range(0, e.size, _CHUNK))
