"""C = A·B over 8-bit integers, summed in 32 bits, as quantised layers have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``; A is m × k, B is k × n."""
    a = te.placeholder((shape.m, shape.k), dtype="int8", name="A")
    b = te.placeholder((shape.k, shape.n), dtype="int8", name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    c = te.compute(
        (shape.m, shape.n),
        lambda i, j: te.sum(a[i, k].astype("int32") * b[k, j].astype("int32"), axis=k),
        name="C",
    )
    return module_of_tensors([a, b, c])


def compute(a: Array, b: Array) -> Array:
    """numpy's version; numpy has no fast product of integers."""
    product: Array = a.astype(np.int32) @ b.astype(np.int32)
    return product


WORKLOAD = Workload(
    name="matmul-int8",
    description="matrix product of 8-bit integers, summed in 32 bits",
    sizes={"small": MatmulShape(m=384, n=384, k=512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
