"""The exponential linear unit, of which ELU, SELU and CELU are made."""

from __future__ import annotations

from typing import Any

from tvm import relax


def exponential_unit(tensor: Any, alpha: float = 1.0, width: float = 1.0) -> Any:
    """``x`` above 0, and ``alpha`` (exp(``x`` / ``width``) - 1) below.

    A NaN stays one: TVM's maximum is its second operand unless the first is larger. Layouts pass through all of it.
    """
    dtype = str(tensor.ty.dtype)

    def number(value: float) -> Any:
        return relax.const(value, dtype)

    power = relax.op.exp(tensor if width == 1 else relax.op.divide(tensor, number(width)))
    below = relax.op.nn.relu(relax.op.subtract(number(1), power))
    return relax.op.add(relax.op.multiply(number(-alpha), below), relax.op.maximum(number(0), tensor))
