"""Which numbers a run can have found. Others are damage, or a stranger's: charts, sums and lists would break on them.

Bounds are wide: no kernel is faster than a picosecond, no run takes thirty years.
"""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from colt.measure.base import LEAST_US, MOST_US

MOST_S = 1e9
MOST_COUNT = (1 << 53) - 1
"""The largest whole number that pages read exactly."""
MOST = 1e18
"""The largest number of any kind in a receipt."""
DEEPEST = 32
"""Levels of a receipt; more would break what walks through it."""

_LATENCY = msgspec.Meta(ge=LEAST_US, le=MOST_US)
_SECONDS = msgspec.Meta(ge=0.0, le=MOST_S)
_COUNT = msgspec.Meta(ge=0, le=MOST_COUNT)
_FACTOR = msgspec.Meta(ge=-MOST_US, le=MOST_US)
_BOUNDS = {
    "t": _SECONDS,
    "seconds": _SECONDS,
    "seconds_building": _SECONDS,
    "seconds_timing": _SECONDS,
    "usd": _SECONDS,
    "latency_us": _LATENCY,
    "best_us": _LATENCY,
    "predicted_us": msgspec.Meta(ge=0.0, le=MOST_US),
    "pruned": msgspec.Meta(ge=-1, le=MOST_COUNT),
}
"""Those of fields of events; of others :data:`_COUNT` if they are whole, or else :data:`_FACTOR`."""


def bounded(name: str, hint: Any) -> Any:
    """The type of an event's field, with the bounds of the numbers in it."""
    if hint in (int, float):
        return Annotated[hint, _BOUNDS.get(name, _COUNT if hint is int else _FACTOR)]
    parts = [bounded(name, part) for part in typing.get_args(hint)]
    if typing.get_origin(hint) is tuple:
        return tuple[tuple(parts)]  # type: ignore[misc]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, parts)
    return hint


def excesses(name: str, value: Any, depth: int = 0) -> Iterator[str]:
    """What in a part of a receipt, as plain data, is out of bounds, in words. ``name`` is the part's."""
    if depth > DEEPEST:
        yield f"{name} has more than {DEEPEST} levels"
    elif isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from excesses(f"{name}.{key}", part, depth + 1)
    elif isinstance(value, int | float) and not -MOST <= value <= MOST:
        yield f"{name} is out of range"
