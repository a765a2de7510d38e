"""y[j] = log Σ_i exp(X[i, j]), taken down the columns: two reductions along the slow axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class LogsumexpShape:
    """X is rows × columns."""

    rows: int
    columns: int


def make_module(shape: LogsumexpShape) -> Any:
    """Blocks ``largest``, ``total``, ``y``; the largest element is taken out, so that nothing overflows."""
    x = te.placeholder((shape.rows, shape.columns), name="X")
    m, s = (te.reduce_axis((0, shape.rows), name=name) for name in ("m", "s"))
    columns = (shape.columns,)
    largest = te.compute(columns, lambda j: te.max(x[m, j], axis=m), name="largest")
    total = te.compute(columns, lambda j: te.sum(te.exp(x[s, j] - largest[j]), axis=s), name="total")
    y = te.compute(columns, lambda j: te.log(total[j]) + largest[j], name="y")
    return module_of_tensors([x, y])


def count_flops(shape: LogsumexpShape) -> int:
    """3 for each element: comparison, difference, sum; the exponential is not counted."""
    return 3 * shape.rows * shape.columns


def compute(x: Array) -> Array:
    """numpy's version."""
    largest = x.max(axis=0)
    shifted = x - largest
    y: Array = np.log(np.exp(shifted, out=shifted).sum(axis=0)) + largest
    return y


WORKLOAD = Workload(
    name="column-logsumexp",
    description="log of the sum of exponentials down the columns of a matrix",
    sizes={"small": LogsumexpShape(rows=1024, columns=512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
