"""The value of a relative's knob, as legal here.

A tile keeps its inner parts, which registers and caches decide on, where they divide the extent; where they do not, the
nearest that do. What is left of the extent goes to the outermost part.
"""

from __future__ import annotations

import math

from colt.knobs import CategoryKnob, Knob, LocationKnob, TileKnob, Value


def adapted(knob: Knob, value: object) -> Value | None:
    """The legal value of ``knob`` that is nearest to one from elsewhere; ``None`` if that says nothing here.

    Whether a location is legal depends on the other knobs: any name of one passes.
    """
    if isinstance(knob, TileKnob):
        return _tile(knob, value)
    if isinstance(knob, CategoryKnob):
        return _category(knob, value)
    return value if isinstance(knob, LocationKnob) and isinstance(value, str) else None


def _tile(knob: TileKnob, value: object) -> tuple[int, ...] | None:
    if not isinstance(value, (list, tuple)) or len(value) != knob.parts:
        return None
    if not all(type(part) is int and part >= 1 for part in value):
        return None
    left, parts = knob.extent, []
    for place, part in enumerate(reversed(value[1:])):
        most = knob.max_innermost if place == 0 else left
        parts.append(nearest_divisor(left, part, most))
        left //= parts[-1]
    found = (left, *reversed(parts))
    return found if knob.parts > 1 or left <= knob.max_innermost else None


def nearest_divisor(number: int, wanted: int, most: int) -> int:
    """The divisor of ``number`` up to ``most`` whose ratio to ``wanted`` is nearest to 1; the smaller of two."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    divisors = {each for divisor in small for each in (divisor, number // divisor) if each <= most}
    return min(sorted(divisors), key=lambda divisor: abs(math.log(divisor / wanted)))


def _category(knob: CategoryKnob, value: object) -> int | None:
    if type(value) is not int or value < 0:
        return None
    return min(knob.candidates, key=lambda candidate: (abs(math.log((candidate + 1) / (value + 1))), candidate))
