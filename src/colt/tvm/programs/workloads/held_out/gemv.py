"""y = A·x: each element of the matrix is used once, so that memory bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class GemvShape:
    """A is rows × columns."""

    rows: int
    columns: int


def make_module(shape: GemvShape) -> Any:
    """Block ``y``."""
    a = te.placeholder((shape.rows, shape.columns), name="A")
    x = te.placeholder((shape.columns,), name="x")
    k = te.reduce_axis((0, shape.columns), name="k")
    y = te.compute((shape.rows,), lambda i: te.sum(a[i, k] * x[k], axis=k), name="y")
    return module_of_tensors([a, x, y])


def count_flops(shape: GemvShape) -> int:
    """One contraction."""
    return 2 * shape.rows * shape.columns


def compute(a: Array, x: Array) -> Array:
    """numpy's version."""
    product: Array = a @ x
    return product


WORKLOAD = Workload(
    name="gemv",
    description="matrix times vector, y = A·x, bound by memory",
    sizes={"small": GemvShape(rows=2048, columns=2048)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
