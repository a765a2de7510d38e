"""Softmax of rows whose number and length no vector divides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class SoftmaxShape:
    """X is rows × columns."""

    rows: int
    columns: int


def make_module(shape: SoftmaxShape) -> Any:
    """Blocks ``top``, ``exp``, ``total``, ``Y``."""
    rows, columns = shape.rows, shape.columns
    x = te.placeholder((rows, columns), name="X")
    k, q = (te.reduce_axis((0, columns), name=name) for name in ("k", "q"))
    top = te.compute((rows,), lambda i: te.max(x[i, k], axis=k), name="top")
    exp = te.compute((rows, columns), lambda i, j: te.exp(x[i, j] - top[i]), name="exp")
    total = te.compute((rows,), lambda i: te.sum(exp[i, q], axis=q), name="total")
    return module_of_tensors([x, te.compute((rows, columns), lambda i, j: exp[i, j] / total[i], name="Y")])


def count_flops(shape: SoftmaxShape) -> int:
    """5 for each element: 1 each for the largest, the difference, the exponential, the sum and the quotient."""
    return 5 * shape.rows * shape.columns


def compute(x: Array) -> Array:
    """numpy's version."""
    exp = np.exp(x - x.max(axis=1, keepdims=True))
    y: Array = exp / exp.sum(axis=1, keepdims=True)
    return y


WORKLOAD = Workload(
    name="softmax-odd",
    description="softmax of an odd number of rows of odd length",
    sizes={"small": SoftmaxShape(rows=333, columns=1023)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
