"""rsqrt, which TVM leaves in a scalar loop, though it has vector code for ``1 / sqrt(x)``, the same thing."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from colt.tvm.vector_math.straight_line import StraightLine


def rsqrt(code: StraightLine, x: Any) -> Any:
    """Infinite for zeros, with their sign; NaN below."""
    return code.number(1.0) / tirx.sqrt(x)
