"""erf, without a branch: ``1 - exp(-|x| (1 + h(|x|)))``, where ``h`` is smooth."""

from __future__ import annotations

from typing import Any

from colt.tvm.vector_math.exponential import expm1
from colt.tvm.vector_math.straight_line import StraightLine

_MINUS_H = (
    *(-0.12837917, -0.63661957, -0.102776304, 0.019147823, 0.0001695047),
    *(-0.0016756777, 0.00063736475, -0.00011886196, 9.38809e-06),
)
"""``1 + ln(erfc(x)) / x`` for ``x`` up to 3.95: a minimax fit, relative to ``erf`` within 2^-27, each coefficient
rounded to float32 before the next."""


def erf(code: StraightLine, x: Any) -> Any:
    """``erf(x)``; 1 above 3.92, -1 below -3.92."""
    magnitude = code.let("magnitude", code.magnitude(x))
    limited = code.let("limited", code.at_most(3.95, magnitude))
    exponent = code.let("exponent", code.polynomial(limited, _MINUS_H) * limited - limited)
    return code.with_sign(expm1(code, exponent), x)
