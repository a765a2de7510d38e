"""exp, exp2, sigmoid and tanh.

All split ``x = n * ln 2 + f`` with ``|f| <= ln 2 / 2``, approximate ``e^f`` by a polynomial of degree 6 and build
``2^n`` from its bits (J.-M. Muller, Elementary Functions, chapter 11). Adding 1.5 * 2^23 rounds to an integer on every
machine, even without an instruction for it, and leaves the integer in the lowest bits of the sum.
"""

from __future__ import annotations

from typing import Any

from colt.tvm.vector_math.straight_line import StraightLine

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = 0.693359375  # 10 bits, so that its products with n are exact
_LN2_LOW = _LN2 - _LN2_HIGH
_ROUND = 1.5 * 2.0**23
_ROUND_BITS = 0x4B400000
"""The bits of that float; adding an integer to the one adds it to the other."""
_BIAS = 127
_MANTISSA_BITS = 23
_EXP = (1.0, 1.0, 0.49999997, 0.16666546, 0.041667435, 0.008366262, 0.0013870657)
"""``e^f``: a minimax fit, relative to ``e^f - 1`` within 2^-26, each coefficient rounded to float32 before the next."""


def exp(code: StraightLine, x: Any) -> Any:
    """``e^x``; 0 below -104, infinite above 88.73."""
    below = code.let("below", code.at_most(89.0, x))
    return _exp(code, code.let("within", code.at_least(-104.0, below)))


def exp2(code: StraightLine, x: Any) -> Any:
    """``2^x``; 0 below -150, infinite from 128 on."""
    below = code.let("below", code.at_most(129.0, x))
    within = code.let("within", code.at_least(-151.0, below))
    shifted = code.let("shifted", within + (_ROUND + 2 * _BIAS))
    f = code.let("f", (within - (shifted - (_ROUND + 2 * _BIAS))) * _LN2)
    return _scaled(code, code.polynomial(f, _EXP), shifted)


def sigmoid(code: StraightLine, x: Any) -> Any:
    """``e / (1 + e)`` for negative ``x``, ``1 / (1 + e)`` for others, with ``e = exp(-|x|)``, which never overflows."""
    minus = code.let("minus", code.minus_magnitude(x))
    e = code.let("e", _exp(code, code.let("within", code.at_least(-104.0, minus))))
    return code.choose(code.negative(code.bits(x)), e, code.number(1.0)) / (e + 1.0)


def tanh(code: StraightLine, x: Any) -> Any:
    """``expm1(2|x|) / (expm1(2|x|) + 2)`` with the sign of ``x``; 1 above 9.02."""
    magnitude = code.let("magnitude", code.magnitude(x))
    limited = code.let("limited", code.at_most(10.0, magnitude))
    less_one = code.let("less_one", expm1(code, code.let("twice", limited * 2.0)))
    return code.with_sign(less_one / (less_one + 2.0), x)


def expm1(code: StraightLine, x: Any) -> Any:
    """``e^x - 1`` for a variable from -87 to 88; the error is within 2 units of the last place of the result."""
    shifted = code.let("shifted", x * _LOG2_E + (_ROUND + _BIAS))
    scale = code.let("scale", code.floats(code.bits(shifted) << _MANTISSA_BITS))
    f = _rest(code, x, shifted - (_ROUND + _BIAS))
    less_one = code.polynomial(f, _EXP[2:]) * (f * f) + f
    return less_one * scale + (scale - 1.0)


def _exp(code: StraightLine, x: Any) -> Any:
    """``e^x`` for a variable from -104 to 89."""
    shifted = code.let("shifted", x * _LOG2_E + (_ROUND + 2 * _BIAS))
    f = _rest(code, x, shifted - (_ROUND + 2 * _BIAS))
    return _scaled(code, code.polynomial(f, _EXP), shifted)


def _rest(code: StraightLine, x: Any, n: Any) -> Any:
    """``x - n ln 2`` for ``n`` of up to 13 bits."""
    n = code.let("n", n)
    return code.let("f", x - n * _LN2_HIGH - n * _LN2_LOW)


def _scaled(code: StraightLine, y: Any, shifted: Any) -> Any:
    """``y * 2^n`` for ``y`` near 1, where the lowest bits of ``shifted`` are ``n + 2 * 127``.

    Where that takes more than one instruction, it multiplies in two steps, since neither 2^128 nor 2^-150 is a float.
    Only the second step rounds, and only if the result is subnormal.
    """
    if code.by_floats:
        return code.scaled_by_float(y, shifted - (_ROUND + 2 * _BIAS))
    bits = code.let("bits", code.bits(shifted))
    if code.scales:
        return code.scaled(y, bits - (_ROUND_BITS + 2 * _BIAS))
    half = code.let("half", bits >> 1)
    first, second = half << _MANTISSA_BITS, (bits - half) << _MANTISSA_BITS
    return y * code.floats(first) * code.floats(second)
