"""C = A·B over float16, summed in float32; float16 in, float16 out."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Blocks ``P`` (the sums) and ``C``; A is m × k, B is k × n."""
    a = te.placeholder((shape.m, shape.k), dtype="float16", name="A")
    b = te.placeholder((shape.k, shape.n), dtype="float16", name="B")
    k = te.reduce_axis((0, shape.k), name="k")

    def product(i: Any, j: Any) -> Any:
        return te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k)

    p = te.compute((shape.m, shape.n), product, name="P")
    return module_of_tensors([a, b, te.compute(p.shape, lambda i, j: p[i, j].astype("float16"), name="C")])


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)
    return product


WORKLOAD = Workload(
    name="fp16-matmul",
    description="matrix product of float16, summed in float32",
    sizes={"small": MatmulShape(m=200, n=600, k=440)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
