"""C = Aᵀ·B, as gradients of weights have it: the first operand is read across its rows."""

from __future__ import annotations

from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``; A is k × m, B is k × n."""
    a = te.placeholder((shape.k, shape.m), name="A")
    b = te.placeholder((shape.k, shape.n), name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    c = te.compute((shape.m, shape.n), lambda i, j: te.sum(a[k, i] * b[k, j], axis=k), name="C")
    return module_of_tensors([a, b, c])


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = a.T @ b
    return product


WORKLOAD = Workload(
    name="matmul-tn",
    description="matrix product with the first operand transposed, C = Aᵀ·B",
    sizes={"small": MatmulShape(m=384, n=640, k=512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
