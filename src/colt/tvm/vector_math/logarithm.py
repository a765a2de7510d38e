"""log: ``x = 2^n (1 + f)`` with ``1 + f`` from ``sqrt(1/2)`` to ``sqrt(2)``, and a polynomial for ``log(1 + f)``."""

from __future__ import annotations

import math
from typing import Any

from colt.tvm.vector_math.straight_line import MAGNITUDE, StraightLine

_MANTISSA_BITS = 23
_MANTISSA = 2**_MANTISSA_BITS - 1
_SMALLEST_NORMAL, _SQRT_HALF, _LARGEST = 0x00800000, 0x3F3504F3, 0x7F7FFFFF
"""The bits of these floats."""
_LN2_HIGH = 0.693359375
_LN2_LOW = 0.6931471805599453 - _LN2_HIGH
_LOG1P = (
    *(-0.49999988, 0.33333325, -0.2500161, 0.20002013, -0.16608453),
    *(0.14180598, -0.13247083, 0.12914623, -0.07624717),
)
"""``(log(1 + f) - f) / f^2``: a minimax fit, relative to ``log(1 + f)`` within 2^-27, each coefficient rounded to
float32 before the next."""


def log(code: StraightLine, x: Any) -> Any:
    """``ln x``; ``-inf`` for zeros of either sign, NaN below."""
    bits = code.let("bits", code.bits(x))
    size = code.let("size", bits & MAGNITUDE)
    subnormal = code.let("subnormal", code.negative(size - _SMALLEST_NORMAL))
    normal = code.choose(subnormal, code.floats(size) * 2.0**_MANTISSA_BITS, code.floats(size))
    moved = code.let("moved", code.bits(normal) - _SQRT_HALF)
    exponent = (moved >> _MANTISSA_BITS) - (subnormal & _MANTISSA_BITS)
    n = code.let("n", exponent.astype(code.float_type))
    f = code.let("f", code.floats((moved & _MANTISSA) + _SQRT_HALF) - 1.0)
    finite = n * _LN2_HIGH + (code.polynomial(f, _LOG1P) * f * f + (n * _LN2_LOW + f))
    positive = code.choose(code.negative(_LARGEST - size), x, finite)
    others = code.choose(code.negative(size - 1), code.number(-math.inf), code.number(math.nan))
    return code.choose(code.negative(bits | (size - 1)), others, positive)
