"""C = A·B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class MatmulShape:
    """A is m × k, B is k × n."""

    m: int
    n: int
    k: int


def make_module(shape: MatmulShape) -> Any:
    """Block ``C``."""
    a = te.placeholder((shape.m, shape.k), name="A")
    b = te.placeholder((shape.k, shape.n), name="B")
    k = te.reduce_axis((0, shape.k), name="k")
    c = te.compute((shape.m, shape.n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return module_of_tensors([a, b, c])


def count_flops(shape: MatmulShape) -> int:
    """One contraction."""
    return 2 * shape.m * shape.n * shape.k


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = a @ b
    return product


WORKLOAD = Workload(
    name="matmul",
    description="matrix product C = A·B",
    sizes={"small": MatmulShape(512, 512, 512), "paper": MatmulShape(2048, 2048, 2048)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
