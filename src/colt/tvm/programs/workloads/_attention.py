"""Attention with grouped heads, shared by the attention workloads: softmax(Q·Kᵀ / sqrt(D))·V for each query head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Q is heads × sequence × dim, K and V are kv_heads × sequence × dim; kv_heads divides heads."""

    heads: int
    kv_heads: int
    sequence: int
    dim: int


def make_module(shape: AttentionShape) -> Any:
    """Blocks ``QK``, ``rowmax``, ``exp``, ``rowsum``, ``prob``, ``O``.

    The scale is applied in ``exp``: the largest score stays the largest, as the scale is positive.
    """
    heads, sequence, dim = shape.heads, shape.sequence, shape.dim
    group = heads // shape.kv_heads
    q = te.placeholder((heads, sequence, dim), name="Q")
    k = te.placeholder((shape.kv_heads, sequence, dim), name="K")
    v = te.placeholder((shape.kv_heads, sequence, dim), name="V")
    d = te.reduce_axis((0, dim), name="d")
    jmax, jsum, jout = (te.reduce_axis((0, sequence), name=name) for name in ("jmax", "jsum", "jout"))

    scores = (heads, sequence, sequence)
    rows = (heads, sequence)
    qk = te.compute(scores, lambda h, i, j: te.sum(q[h, i, d] * k[h // group, j, d], axis=d), name="QK")
    rowmax = te.compute(rows, lambda h, i: te.max(qk[h, i, jmax], axis=jmax), name="rowmax")
    exp = te.compute(scores, lambda h, i, j: te.exp((qk[h, i, j] - rowmax[h, i]) * dim**-0.5), name="exp")
    rowsum = te.compute(rows, lambda h, i: te.sum(exp[h, i, jsum], axis=jsum), name="rowsum")
    prob = te.compute(scores, lambda h, i, j: exp[h, i, j] / rowsum[h, i], name="prob")
    out = te.compute(
        (heads, sequence, dim),
        lambda h, i, x: te.sum(prob[h, i, jout] * v[h // group, jout, x], axis=jout),
        name="O",
    )
    return module_of_tensors([q, k, v, out])


def count_flops(shape: AttentionShape) -> int:
    """Two contractions, Q·Kᵀ and P·V; softmax is not counted."""
    return 4 * shape.heads * shape.sequence**2 * shape.dim


def compute(q: Array, k: Array, v: Array) -> Array:
    """numpy's version."""
    group = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, group, axis=0), np.repeat(v, group, axis=0)
    scores = (q @ k.transpose(0, 2, 1)) * q.dtype.type(q.shape[-1] ** -0.5)
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out: Array = (exp / exp.sum(axis=-1, keepdims=True)) @ v
    return out
