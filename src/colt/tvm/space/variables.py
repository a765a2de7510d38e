"""The variables of an expression."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import tirx


def variables(expression: Any) -> list[Any]:
    """All occurrences of variables, in the order of a walk."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, found.append))
    return found
