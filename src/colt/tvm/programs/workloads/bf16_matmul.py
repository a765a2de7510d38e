"""C = A·B over bfloat16, summed in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``; A is m × k, B is k × n."""
    a = te.placeholder((shape.m, shape.k), dtype="bfloat16", name="A")
    b = te.placeholder((shape.k, shape.n), dtype="bfloat16", name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    c = te.compute(
        (shape.m, shape.n),
        lambda i, j: te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k),
        name="C",
    )
    return module_of_tensors([a, b, c])


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = a.astype(np.float32) @ b.astype(np.float32)
    return product


WORKLOAD = Workload(
    name="bf16-matmul",
    description="matrix product of bfloat16, summed in float32",
    sizes={"small": MatmulShape(512, 512, 512), "paper": MatmulShape(2048, 2048, 2048)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    peers_round=1e-2,
)
