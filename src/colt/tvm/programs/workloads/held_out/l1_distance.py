"""D[i, j] = Σ_k |A[i, k] - B[j, k]|: reuse like that of a matrix product, without a multiplication."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape


def make_module(shape: MatmulShape) -> Any:
    """Block ``D``; A is m × k, B is n × k."""
    a = te.placeholder((shape.m, shape.k), name="A")
    b = te.placeholder((shape.n, shape.k), name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    d = te.compute((shape.m, shape.n), lambda i, j: te.sum(tirx.abs(a[i, k] - b[j, k]), axis=k), name="D")
    return module_of_tensors([a, b, d])


def count_flops(shape: MatmulShape) -> int:
    """Difference, magnitude and sum for each term."""
    return 3 * shape.m * shape.n * shape.k


def compute(a: Array, b: Array) -> Array:
    """numpy's version: row by row of A, so that the differences stay in the caches."""
    out = np.empty((a.shape[0], b.shape[0]), a.dtype)
    for row, values in zip(out, a, strict=True):
        difference = b - values
        np.abs(difference, out=difference).sum(axis=-1, out=row)
    return out


WORKLOAD = Workload(
    name="l1-distance",
    description="sums of absolute differences between all rows of two matrices",
    sizes={"small": MatmulShape(m=256, n=256, k=128)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
