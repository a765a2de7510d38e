"""Sums of 32 bits scaled by column and rounded to unsigned 8 bits with a zero point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

ZERO = 131


@dataclass(frozen=True, slots=True)
class RequantiseShape:
    """The sums P are rows × columns, with a scale for each column."""

    rows: int
    columns: int


def make_module(shape: RequantiseShape) -> Any:
    """Block ``Y``."""
    p = te.placeholder((shape.rows, shape.columns), dtype="int32", name="P")
    scales = te.placeholder((shape.columns,), name="S")

    def rounded(i: Any, j: Any) -> Any:
        value = te.nearbyint(p[i, j].astype("float32") * scales[j]) + float(ZERO)
        return te.max(te.min(value, 255.0), 0.0).astype("uint8")

    return module_of_tensors([p, scales, te.compute((shape.rows, shape.columns), rounded, name="Y")])


def count_flops(shape: RequantiseShape) -> int:
    """3 for each element: scaled, rounded, shifted."""
    return 3 * shape.rows * shape.columns


def compute(p: Array, scales: Array) -> Array:
    """numpy's version."""
    y: Array = np.clip(np.rint(p.astype(np.float32) * scales) + np.float32(ZERO), 0, 255).astype(np.uint8)
    return y


WORKLOAD = Workload(
    name="requantise",
    description="32-bit sums scaled by column and rounded to unsigned 8 bits",
    sizes={"small": RequantiseShape(rows=509, columns=1000)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
