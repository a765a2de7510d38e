"""The probabilities of attention over queries and keys of 8 bits: softmax of Q·Kᵀ scaled back to float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

SCALE = 1 / 512
"""Scale of the products."""


@dataclass(frozen=True, slots=True)
class ScoresShape:
    """Q is heads × queries × dim, K is heads × keys × dim."""

    heads: int
    queries: int
    keys: int
    dim: int


def make_module(shape: ScoresShape) -> Any:
    """Blocks ``P`` (the products), ``top``, ``exp``, ``total``, ``Y``."""
    scores, rows = (shape.heads, shape.queries, shape.keys), (shape.heads, shape.queries)
    q = te.placeholder((*rows, shape.dim), dtype="int8", name="Q")
    k = te.placeholder((shape.heads, shape.keys, shape.dim), dtype="int8", name="K")
    d = te.reduce_axis((0, shape.dim), name="d")
    a, b = (te.reduce_axis((0, shape.keys), name=name) for name in ("a", "b"))

    def product(h: Any, i: Any, j: Any) -> Any:
        return te.sum(q[h, i, d].astype("int32") * k[h, j, d].astype("int32"), axis=d)

    def power(h: Any, i: Any, j: Any) -> Any:
        return te.exp((p[h, i, j] - top[h, i]).astype("float32") * SCALE)

    p = te.compute(scores, product, name="P")
    top = te.compute(rows, lambda h, i: te.max(p[h, i, a], axis=a), name="top")
    exp = te.compute(scores, power, name="exp")
    total = te.compute(rows, lambda h, i: te.sum(exp[h, i, b], axis=b), name="total")
    return module_of_tensors([q, k, te.compute(scores, lambda h, i, j: exp[h, i, j] / total[h, i], name="Y")])


def count_flops(shape: ScoresShape) -> int:
    """One contraction; softmax is not counted."""
    return 2 * shape.heads * shape.queries * shape.keys * shape.dim


def compute(q: Array, k: Array) -> Array:
    """numpy's version; float32 holds the sums exactly."""
    p = q.astype(np.float32) @ k.astype(np.float32).transpose(0, 2, 1)
    exp = np.exp((p - p.max(axis=-1, keepdims=True)) * np.float32(SCALE))
    y: Array = exp / exp.sum(axis=-1, keepdims=True)
    return y


WORKLOAD = Workload(
    name="int8-attention-scores",
    description="probabilities of attention over queries and keys of 8 bits",
    sizes={"small": ScoresShape(heads=6, queries=200, keys=248, dim=64)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
