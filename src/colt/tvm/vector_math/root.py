"""rsqrt as ``1 / sqrt(x)``: TVM has vector code for that, but leaves rsqrt itself in a scalar loop."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from colt.tvm.vector_math.straight_line import StraightLine


def rsqrt(code: StraightLine, x: Any) -> Any:
    """``1 / sqrt(x)``; infinite with the zero's sign for zeros, NaN below."""
    return code.number(1.0) / tirx.sqrt(x)
