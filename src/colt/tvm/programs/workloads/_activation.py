"""The activation that the gated layers share."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.workloads.base import Array


def silu(x: Any) -> Any:
    """x · sigmoid(x) as a tensor expression."""
    return x / (1.0 + te.exp(-x))


def numpy_silu(x: Array) -> Array:
    """x · sigmoid(x) of an array."""
    y: Array = x / (x.dtype.type(1) + np.exp(-x))
    return y
