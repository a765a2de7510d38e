"""Attention over bfloat16: products summed and softmax computed in float32, the probabilities rounded to bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads._attention import AttentionShape, count_flops
from colt.tvm.programs.workloads._attention import compute as in_float32
from colt.tvm.programs.workloads.base import Array, Workload


def make_module(shape: AttentionShape) -> Any:
    """Blocks ``QK``, ``rowmax``, ``exp``, ``rowsum``, ``prob``, ``O``; the output is float32."""
    heads, sequence, dim = shape.heads, shape.sequence, shape.dim
    group = heads // shape.kv_heads
    q = te.placeholder((heads, sequence, dim), dtype="bfloat16", name="Q")
    k, v = (te.placeholder((shape.kv_heads, sequence, dim), dtype="bfloat16", name=name) for name in "KV")
    d = te.reduce_axis((0, dim), name="d")
    jmax, jsum, jout = (te.reduce_axis((0, sequence), name=name) for name in ("jmax", "jsum", "jout"))

    def wide(one: Any) -> Any:
        return one.astype("float32")

    scores, rows = (heads, sequence, sequence), (heads, sequence)
    qk = te.compute(scores, lambda h, i, j: te.sum(wide(q[h, i, d]) * wide(k[h // group, j, d]), axis=d), name="QK")
    rowmax = te.compute(rows, lambda h, i: te.max(qk[h, i, jmax], axis=jmax), name="rowmax")
    exp = te.compute(scores, lambda h, i, j: te.exp((qk[h, i, j] - rowmax[h, i]) * dim**-0.5), name="exp")
    rowsum = te.compute(rows, lambda h, i: te.sum(exp[h, i, jsum], axis=jsum), name="rowsum")
    prob = te.compute(scores, lambda h, i, j: (exp[h, i, j] / rowsum[h, i]).astype("bfloat16"), name="prob")
    out = te.compute(
        (heads, sequence, dim),
        lambda h, i, x: te.sum(wide(prob[h, i, jout]) * wide(v[h // group, jout, x]), axis=jout),
        name="O",
    )
    return module_of_tensors([q, k, v, out])


def compute(q: Array, k: Array, v: Array) -> Array:
    """numpy's version, without rounding the probabilities."""
    return in_float32(*(array.astype(np.float32) for array in (q, k, v)))


WORKLOAD = Workload(
    name="bf16-attention",
    description="attention over bfloat16, summed in float32",
    sizes={"small": AttentionShape(8, 2, 256, 128), "paper": AttentionShape(32, 8, 512, 128)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    rounds=5e-3,
    peers_round=1e-2,
)
