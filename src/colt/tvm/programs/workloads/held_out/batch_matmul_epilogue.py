"""Y = max(A·B + bias, 0) for a batch of matrices: a contraction whose result is worked on at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class BatchMatmulShape:
    """A is batch × m × k, B is batch × k × n, the bias has n elements."""

    batch: int
    m: int
    n: int
    k: int


def make_module(shape: BatchMatmulShape) -> Any:
    """Blocks ``C``, ``Y``."""
    a = te.placeholder((shape.batch, shape.m, shape.k), name="A")
    b = te.placeholder((shape.batch, shape.k, shape.n), name="B")
    bias = te.placeholder((shape.n,), name="bias")
    k = te.reduce_axis((0, shape.k), name="k")
    out = (shape.batch, shape.m, shape.n)
    c = te.compute(out, lambda s, i, j: te.sum(a[s, i, k] * b[s, k, j], axis=k), name="C")
    zero = tirx.const(0.0, "float32")
    y = te.compute(out, lambda s, i, j: te.max(c[s, i, j] + bias[j], zero), name="Y")
    return module_of_tensors([a, b, bias, y])


def count_flops(shape: BatchMatmulShape) -> int:
    """One contraction; the epilogue is not counted."""
    return 2 * shape.batch * shape.m * shape.n * shape.k


def compute(a: Array, b: Array, bias: Array) -> Array:
    """numpy's version."""
    product: Array = a @ b
    product += bias
    return np.maximum(product, 0, out=product)


WORKLOAD = Workload(
    name="batch-matmul-epilogue",
    description="batched matrix product with bias and ReLU",
    sizes={"small": BatchMatmulShape(batch=8, m=192, n=192, k=192)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
