"""The expert GEMM of DeepSeek-R1 as the paper states it: few tokens against a large weight, so bound by memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class MoeShape:
    """A is 1 × tokens × hidden, B is hidden × intermediate."""

    tokens: int
    hidden: int
    intermediate: int


def make_module(shape: MoeShape) -> Any:
    """Block ``C``."""
    a = te.placeholder((1, shape.tokens, shape.hidden), name="A")
    b = te.placeholder((shape.hidden, shape.intermediate), name="B")
    k = te.reduce_axis((0, shape.hidden), name="k")
    c = te.compute(
        (1, shape.tokens, shape.intermediate),
        lambda n, i, j: te.sum(a[n, i, k] * b[k, j], axis=k),
        name="C",
    )
    return module_of_tensors([a, b, c])


def count_flops(shape: MoeShape) -> int:
    """One contraction."""
    return 2 * shape.tokens * shape.hidden * shape.intermediate


def compute(a: Array, b: Array) -> Array:
    """numpy's version."""
    product: Array = a @ b
    return product


WORKLOAD = Workload(
    name="deepseek-r1-moe",
    description="DeepSeek-R1 expert GEMM: a few tokens times a large weight, bound by memory",
    sizes={"small": MoeShape(16, 1792, 512), "paper": MoeShape(16, 7168, 2048)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
