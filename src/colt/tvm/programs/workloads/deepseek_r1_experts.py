"""The expert layer of DeepSeek-R1, densely routed: Y = Σ_e p_e · SwiGLU_e(X) with p = softmax(X·Wr).

Every expert is computed for every token, since a schedule needs constant extents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads._activation import numpy_silu, silu
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class ExpertsShape:
    """X is tokens × hidden, Wr is hidden × experts; each expert has Wg, Wu (hidden × intermediate) and Wd."""

    tokens: int
    experts: int
    hidden: int
    intermediate: int


def make_module(shape: ExpertsShape) -> Any:
    """Blocks ``logits``, ``rowmax``, ``exp``, ``rowsum``, ``prob`` (the router), ``gate``, ``up``, ``act``, ``Y``.

    ``act`` carries the expert's weight, which commutes with the down-projection, so that ``Y`` sums over experts
    and intermediate units in one contraction.
    """
    x = te.placeholder((shape.tokens, shape.hidden), name="X")
    wr = te.placeholder((shape.hidden, shape.experts), name="Wr")
    wide = (shape.experts, shape.hidden, shape.intermediate)
    wg, wu = (te.placeholder(wide, name=name) for name in ("Wg", "Wu"))
    wd = te.placeholder((shape.experts, shape.intermediate, shape.hidden), name="Wd")
    prob = _router(shape, x, wr)

    kg, ku = (te.reduce_axis((0, shape.hidden), name=name) for name in ("kg", "ku"))
    inner = (shape.experts, shape.tokens, shape.intermediate)
    gate = te.compute(inner, lambda e, t, i: te.sum(x[t, kg] * wg[e, kg, i], axis=kg), name="gate")
    up = te.compute(inner, lambda e, t, i: te.sum(x[t, ku] * wu[e, ku, i], axis=ku), name="up")
    act = te.compute(inner, lambda e, t, i: prob[t, e] * silu(gate[e, t, i]) * up[e, t, i], name="act")
    expert = te.reduce_axis((0, shape.experts), name="expert")
    kd = te.reduce_axis((0, shape.intermediate), name="kd")
    y = te.compute(
        (shape.tokens, shape.hidden),
        lambda t, h: te.sum(act[expert, t, kd] * wd[expert, kd, h], axis=[expert, kd]),
        name="Y",
    )
    return module_of_tensors([x, wr, wg, wu, wd, y])


def _router(shape: ExpertsShape, x: Any, wr: Any) -> Any:
    """softmax(X·Wr) over the experts, tokens × experts."""
    table, rows = (shape.tokens, shape.experts), (shape.tokens,)
    kr = te.reduce_axis((0, shape.hidden), name="kr")
    emax, esum = (te.reduce_axis((0, shape.experts), name=name) for name in ("emax", "esum"))
    logits = te.compute(table, lambda t, e: te.sum(x[t, kr] * wr[kr, e], axis=kr), name="logits")
    rowmax = te.compute(rows, lambda t: te.max(logits[t, emax], axis=emax), name="rowmax")
    exp = te.compute(table, lambda t, e: te.exp(logits[t, e] - rowmax[t]), name="exp")
    rowsum = te.compute(rows, lambda t: te.sum(exp[t, esum], axis=esum), name="rowsum")
    return te.compute(table, lambda t, e: exp[t, e] / rowsum[t], name="prob")


def count_flops(shape: ExpertsShape) -> int:
    """The router's contraction, and gate, up and down of every expert; softmax and activations are not counted."""
    router = 2 * shape.tokens * shape.hidden * shape.experts
    return router + 6 * shape.tokens * shape.experts * shape.hidden * shape.intermediate


def compute(x: Array, wr: Array, wg: Array, wu: Array, wd: Array) -> Array:
    """numpy's version: one SwiGLU after the other, weighted and summed."""
    logits = x @ wr
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    prob = exp / exp.sum(axis=-1, keepdims=True)
    out = np.zeros_like(x)
    for expert in range(wr.shape[1]):
        act = numpy_silu(x @ wg[expert]) * (x @ wu[expert])
        out += prob[:, expert, None] * (act @ wd[expert])
    return out


WORKLOAD = Workload(
    name="deepseek-r1-experts",
    description="DeepSeek-R1 experts, dense-routed: softmax router and SwiGLU experts, Σ_e p_e · SwiGLU_e(X)",
    sizes={
        "small": ExpertsShape(tokens=32, experts=4, hidden=512, intermediate=512),
        "paper": ExpertsShape(tokens=8, experts=8, hidden=7168, intermediate=2048),
    },
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
