"""C = A·B over unsigned activations and signed weights of 8 bits, summed in 32 bits, with extents that are prime."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``; A is m × k, B is k × n."""
    a = te.placeholder((shape.m, shape.k), dtype="uint8", name="A")
    b = te.placeholder((shape.k, shape.n), dtype="int8", name="B")
    k = te.reduce_axis((0, shape.k), name="k")

    def product(i: Any, j: Any) -> Any:
        return te.sum(a[i, k].astype("int32") * b[k, j].astype("int32"), axis=k)

    return module_of_tensors([a, b, te.compute((shape.m, shape.n), product, name="C")])


def compute(a: Array, b: Array) -> Array:
    """numpy's version, in float64, which holds the sums exactly."""
    product: Array = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)
    return product


WORKLOAD = Workload(
    name="matmul-u8s8-prime",
    description="matrix product of unsigned and signed 8-bit integers, prime extents, summed in 32 bits",
    sizes={"small": MatmulShape(m=251, n=337, k=509)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("B",),
)
