"""Whether two arrays agree within what their data type allows. Plain NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from colt.measure.base import Verification
from colt.tvm.workers.arguments import FLOAT_POISON, Array, is_float, raw_bytes

TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}
"""Error relative to the largest magnitude: schedules sum in other orders, and low-precision sums drift."""
_NARROW_FLOATS = 0.25  # float8 and smaller
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two arrays are apart; errors are ``inf`` where there is no figure."""

    max_abs: float
    max_rel: float
    tolerance: float
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem

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
    return Verification(not problems, worst.max_abs, worst.max_rel, worst.tolerance, "; ".join(problems))


def same_bytes(expected: Array, found: Array) -> Difference:
    """The difference of a parameter that the reference does not write: every byte must be the same."""
    changed = _count(raw_bytes(expected) != raw_bytes(found))
    if changed:
        return Difference(math.inf, math.inf, 0.0, f"{changed} bytes of an input were changed")
    return Difference(0.0, 0.0, 0.0)


def compare(expected: Array, found: Array) -> Difference:
    """Compare an output with the reference's. Both are contiguous, of one shape and data type.

    An element that only the candidate leaves poisoned counts as unwritten. NaN and infinity must be where the
    reference has them.
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
    finite = unwritten = displaced = 0
    for e, f in _chunks(expected, found):
        unwritten += _count(_poisoned(f) & ~_poisoned(e))
        wide, other = e.astype(np.float64), f.astype(np.float64)
        both = np.isfinite(wide) & np.isfinite(other)
        displaced += _count(~both & (wide != other) & ~(np.isnan(wide) & np.isnan(other)))
        finite += _count(both)
        largest = max(largest, float(abs(wide[np.isfinite(wide)]).max(initial=0.0)))
        max_abs = max(max_abs, float(abs(wide[both] - other[both]).max(initial=0.0)))
    if unwritten:
        return Difference(math.inf, math.inf, tolerance, f"{unwritten} of {expected.size} elements are not written")
    if displaced:
        problem = f"{displaced} of {expected.size} elements are NaN or infinite on one side only"
        return Difference(math.inf, math.inf, tolerance, problem)
    if not finite:
        return Difference(math.inf, math.inf, tolerance, "the reference has no finite element to compare with")
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
