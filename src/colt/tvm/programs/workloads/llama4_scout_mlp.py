"""The feed-forward layer of Llama 4 Scout, a SwiGLU: Y = (silu(X·Wg) * (X·Wu))·Wd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads._activation import numpy_silu, silu
from colt.tvm.programs.workloads.base import Array, Workload


@dataclass(frozen=True, slots=True)
class SwigluShape:
    """X is tokens × hidden, Wg and Wu are hidden × intermediate, Wd is intermediate × hidden."""

    tokens: int
    hidden: int
    intermediate: int


def make_module(shape: SwigluShape) -> Any:
    """Blocks ``gate``, ``up``, ``act``, ``Y``."""
    tokens, hidden, intermediate = shape.tokens, shape.hidden, shape.intermediate
    x = te.placeholder((tokens, hidden), name="X")
    wg, wu = (te.placeholder((hidden, intermediate), name=name) for name in ("Wg", "Wu"))
    wd = te.placeholder((intermediate, hidden), name="Wd")
    kg, ku = (te.reduce_axis((0, hidden), name=name) for name in ("kg", "ku"))
    kd = te.reduce_axis((0, intermediate), name="kd")

    inner = (tokens, intermediate)
    gate = te.compute(inner, lambda t, i: te.sum(x[t, kg] * wg[kg, i], axis=kg), name="gate")
    up = te.compute(inner, lambda t, i: te.sum(x[t, ku] * wu[ku, i], axis=ku), name="up")
    act = te.compute(inner, lambda t, i: silu(gate[t, i]) * up[t, i], name="act")
    y = te.compute((tokens, hidden), lambda t, h: te.sum(act[t, kd] * wd[kd, h], axis=kd), name="Y")
    return module_of_tensors([x, wg, wu, wd, y])


def count_flops(shape: SwigluShape) -> int:
    """Three contractions: gate, up and down; the activation is not counted."""
    return 6 * shape.tokens * shape.hidden * shape.intermediate


def compute(x: Array, wg: Array, wu: Array, wd: Array) -> Array:
    """numpy's version."""
    y: Array = (numpy_silu(x @ wg) * (x @ wu)) @ wd
    return y


WORKLOAD = Workload(
    name="llama4-scout-mlp",
    description="Llama 4 Scout feed-forward layer: SwiGLU, (silu(X·Wg) * (X·Wu))·Wd",
    sizes={
        "small": SwigluShape(tokens=64, hidden=512, intermediate=1024),
        "paper": SwigluShape(tokens=16, hidden=5120, intermediate=8192),
    },
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
