"""C = A·Bᵀ, as a linear layer has it whose weights are stored by output: the second operand is gathered."""

from __future__ import annotations

from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, count_flops


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``; A is m × k, B is n × k."""
    a = te.placeholder((shape.m, shape.k), name="A")
    b = te.placeholder((shape.n, shape.k), name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    c = te.compute((shape.m, shape.n), lambda i, j: te.sum(a[i, k] * b[j, k], axis=k), name="C")
    return module_of_tensors([a, b, c])


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = a @ b.T
    return product


WORKLOAD = Workload(
    name="matmul-nt",
    description="matrix product with the second operand transposed, C = A·Bᵀ",
    sizes={"small": MatmulShape(512, 512, 512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
