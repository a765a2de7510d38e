"""Between which values an expression of a program lies, given that for its arguments. Free of TVM."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Interval = tuple[float, float]
ANY: Interval = (-math.inf, math.inf)
TINY = 5e-324
"""Stands for positive, however small: exponentials, and squares of random floats, are never quite 0."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An operation ``op`` on ``parts``; constants, variables and loads (whose parts are indices) have a ``what``."""

    op: str
    parts: tuple[Expression, ...] = ()
    what: Any = None
    floats: bool = False


@dataclass(slots=True)
class Known:
    """What is known while an expression is looked at."""

    buffers: dict[Any, Interval]
    loops: Mapping[Any, tuple[Expression, Expression]] = field(default_factory=dict)
    """Least value and extent of the loop that a variable belongs to."""


def interval(value: Expression, known: Known) -> Interval | None:
    """Where the value lies; ``None`` if it is made of a buffer that nothing was stored in yet."""
    if value.op == "constant":
        return value.what, value.what
    if value.op == "load":
        return known.buffers.get(value.what)
    if value.op == "loop":
        return _loop(value, known)
    if value.op == "either":
        return _union([interval(part, known) for part in value.parts[1:]])
    if value.op == "add" and (found := _within_range(value, known)) is not None:
        return found
    parts = [interval(part, known) for part in value.parts]
    if any(part is None for part in parts):
        return None
    same = len(value.parts) == 2 and value.parts[0] == value.parts[1]
    return _applied(value, [part for part in parts if part is not None], same)


def _applied(value: Expression, parts: list[Interval], same: bool) -> Interval:
    if value.op in ("sub", "add", "mul") and same:
        low, high = parts[0]
        if value.op == "sub":
            return 0.0, 0.0
        if value.op == "mul":
            least = 0.0 if low <= 0 <= high else min(low * low, high * high)
            return max(least, TINY) if value.floats else least, max(low * low, high * high)
    rule = _RULES.get(value.op)
    return ANY if rule is None else rule(*parts)


def union(one: Interval | None, other: Interval | None) -> Interval | None:
    """The smallest interval that holds both."""
    return _union([one, other])


def _union(parts: list[Interval | None]) -> Interval | None:
    found = [part for part in parts if part is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _loop(value: Expression, known: Known) -> Interval:
    if value.what not in known.loops:
        return ANY
    least, extent = known.loops[value.what]
    start = interval(least, known) or ANY
    if extent.op == "sub" and extent.parts[1] == least:  # for j in range(start, end)
        end = interval(extent.parts[0], known) or ANY
        return start[0], max(start[0], end[1] - 1)
    length = interval(extent, known) or ANY
    return start[0], max(start[0], start[1] + length[1] - 1)


def _within_range(value: Expression, known: Known) -> Interval | None:
    """The interval of ``start + j``, where ``j`` counts from 0 to ``end - start``."""
    for start, counter in (value.parts, value.parts[::-1]):
        if counter.op == "loop" and counter.what in known.loops:
            least, extent = known.loops[counter.what]
            if least.what == 0 and extent.op == "sub" and extent.parts[1] == start:
                first, end = interval(start, known), interval(extent.parts[0], known)
                if first is not None and end is not None:
                    return first[0], max(first[0], end[1] - 1)
    return None


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _over(a: float, b: float) -> float:
    return 0.0 if math.isinf(b) else a / b


def _corners(operation: Callable[[float, float], float], a: Interval, b: Interval) -> Interval:
    found = [operation(x, y) for x in a for y in b]
    return min(found), max(found)


def _mul(a: Interval, b: Interval) -> Interval:
    low, high = _corners(_times, a, b)
    return (max(low, TINY), high) if a[0] > 0 and b[0] > 0 else (low, high)


def _div(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1]:
        return ANY
    low, high = _corners(_over, a, b)
    if any(map(math.isnan, (low, high))):
        return ANY
    return (max(low, TINY), high) if a[0] > 0 and b[0] > 0 else (low, high)


def _floored(rounded: Callable[[float], float]) -> Callable[[Interval, Interval], Interval]:
    def divide(a: Interval, b: Interval) -> Interval:
        if b[0] <= 0 <= b[1]:
            return ANY
        low, high = _corners(_over, a, b)
        return rounded(low), rounded(high)

    return divide


def _floor(value: float) -> float:
    return value if math.isinf(value) else float(math.floor(value))


def _trunc(value: float) -> float:
    return value if math.isinf(value) else float(math.trunc(value))


def _floormod(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0:
        return ANY
    return a if a[0] >= 0 and a[1] < b[0] else (0.0, b[1] - 1)


def _truncmod(a: Interval, b: Interval) -> Interval:
    return _floormod(a, b) if a[0] >= 0 else ANY


def _increasing(function: Callable[[float], float], least: float, most: float) -> Callable[[Interval], Interval]:
    def apply(a: Interval) -> Interval:
        found = []
        for value, limit in ((a[0], least), (a[1], most)):
            try:
                found.append(min(max(function(value), least), most))
            except (OverflowError, ValueError):
                found.append(limit)
        return found[0], found[1]

    return apply


def _abs(a: Interval) -> Interval:
    least = TINY if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return least, max(abs(a[0]), abs(a[1]))


def _pow(a: Interval, b: Interval) -> Interval:
    if a[0] > 0:
        return TINY, math.inf
    return (TINY, math.inf) if b[0] == b[1] and b[0] % 2 == 0 else ANY


def _truth(*parts: Interval) -> Interval:
    return 0.0, 1.0


_RULES: Mapping[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _mul,
    "div": _div,
    "floordiv": _floored(_floor),
    "truncdiv": _floored(_trunc),
    "floormod": _floormod,
    "truncmod": _truncmod,
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "same": lambda a: a,
    "whole": lambda a: (_floor(a[0]), -_floor(-a[1])),
    "truth": _truth,
    "exp": _increasing(math.exp, TINY, math.inf),
    "sqrt": _increasing(math.sqrt, 0.0, math.inf),
    "rsqrt": lambda a: (TINY, math.inf),
    "log": _increasing(math.log, -math.inf, math.inf),
    "sigmoid": _increasing(lambda x: 1 / (1 + math.exp(-x)), TINY, 1.0),
    "tanh": _increasing(math.tanh, -1.0, 1.0),
    "erf": _increasing(math.erf, -1.0, 1.0),
    "fabs": _abs,
    "abs": _abs,
    "pow": _pow,
}
