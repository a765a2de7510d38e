"""What may be said of a compiled model: whether it computes what the original computes, and whether it is faster than
the model as it was imported."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from colt.models.manifest import ComparedPart, WholePart
from colt.run.compare import Comparison
from colt.tvm.models.quantised import EIGHT_BITS
from colt.util.stats import estimate, paired_ratio
from colt.util.text import counted

TOLERANCES = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""How far outputs of each type may be off, relative to the largest value of the output: errors of single programs add
up over the depth of a model."""
QUANTISED = 5e-2
"""The same for models that compute in 8 bits: where a value lies between two, it depends on the order of a sum which of
both it becomes, and the next layers multiply that."""
_LEAST = float(np.finfo(np.float64).tiny)
"""The error of whole numbers that are almost the same."""
MARK = 1e6
"""A value so many times as large as the median, and as 1, is a mark rather than a result: beside -1e30 no other number
would be wrong."""
ROUNDS = 3, 25
"""Rounds of timing in turn, at least and at most."""
SECONDS = 5.0
"""Timing in turn takes about so long."""
SHORT_MS = 200.0
"""Caches that are cold at first lengthen a run of less by a share that counts."""
TOO_SLOW = 3.0
"""An untuned model that takes so many seconds is not run beside the tuned one."""


def verified(found: Sequence[Any], expected: Sequence[Any], against: str, products: str = "") -> ComparedPart:
    """Compare outputs, each by the tolerance of its type, or by that of ``products`` if products are of a narrower
    type. Shapes and types have to be the same. So have whole numbers, those of 8 bits in quantised models excepted."""
    errors = [_error(one, other) for one, other in zip(found, expected, strict=False)]
    allowed = [_tolerance(str(one.dtype), products) for one in expected]
    problem = _problem(found, expected)
    right = not problem and all(error <= most for error, most in zip(errors, allowed, strict=True))
    return ComparedPart(
        against=against,
        errors=tuple(error if math.isfinite(error) else None for error in errors),
        tolerance=max(allowed, default=0.0),
        ok=right,
        problem=problem,
    )


def _problem(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Which output is of another shape or type than it should be, or how many are missing; empty if all are right."""
    if len(found) != len(expected):
        return f"{counted(len(found), 'output')}, not {len(expected)}"
    for number, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return f"output {number} is {one.dtype}{list(one.shape)}, not {other.dtype}{list(other.shape)}"
    return ""


def _tolerance(dtype: str, products: str) -> float:
    least = TOLERANCES.get(dtype, 0.0)
    if not products or (dtype not in TOLERANCES and dtype not in EIGHT_BITS):
        return least
    return max(least, QUANTISED if products in EIGHT_BITS else TOLERANCES[products])


def _error(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest magnitude of what is expected; infinite where one is not finite
    and the other is. A value that is far larger than most, as those of masked scores are, counts by itself."""
    if found.shape != expected.shape:
        return float("inf")
    one, other = (array.astype(np.float64).reshape(-1) for array in (found, expected))
    finite = np.isfinite(other)
    if not np.array_equal(np.isfinite(one), finite) or not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    sizes, differences = np.abs(other[finite]), np.abs(one[finite] - other[finite])
    if not differences.any() and expected.dtype.kind in "iu" and not np.array_equal(found, expected):
        return _LEAST  # they differ by less than float64 can tell of such whole numbers
    marks = sizes > MARK * max(1.0, float(np.median(sizes)))
    each = differences[marks] / sizes[marks]
    scale, difference = (float(values[~marks].max(initial=0.0)) for values in (sizes, differences))
    return max(difference / scale if scale else difference, float(each.max(initial=0.0)))


def timed(tuned: Callable[[], object], untuned: Callable[[], object] | None) -> WholePart:
    """Time both in turn; only the tuned model where there is no other."""
    ours, *others = in_turn([tuned] if untuned is None else [tuned, untuned])
    if not others:
        return WholePart(tuned_ms=estimate(ours).median)
    found = Comparison(estimate(others[0]), estimate(ours), paired_ratio(others[0], ours))
    interval = found.speedup.interval
    return WholePart(
        tuned_ms=found.tuned.median,
        untuned_ms=found.untuned.median,
        speedup=found.speedup.median,
        interval=None if interval is None else (interval.low, interval.high),
        verdict=str(found.verdict),
    )


def in_turn(calls: Sequence[Callable[[], object]], seconds: float = SECONDS) -> list[list[float]]:
    """What the calls take in milliseconds, one after the other and again, for so many seconds.

    A short one is made twice, and the second counts: the first finds caches as the other call has left them.
    """
    took = [_milliseconds(call) for call in calls]
    fewest, most = ROUNDS
    rounds = max(fewest, min(most, int(seconds * 1e3 / sum(took))))
    series: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for number, call in enumerate(calls):
            if took[number] < SHORT_MS:
                call()
            series[number].append(_milliseconds(call))
    return series


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3
