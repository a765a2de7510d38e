"""A gated feed-forward layer over bfloat16: Y = (silu(X·Wg) * (X·Wu))·Wd, summed in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads._activation import numpy_silu, silu
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.llama4_scout_mlp import SwigluShape, count_flops


def make_module(shape: SwigluShape) -> Any:
    """Blocks ``gate``, ``up``, ``act`` (rounded to bfloat16) and ``Y``."""
    sizes = {"X": (shape.tokens, shape.hidden), "Wg": (shape.hidden, shape.intermediate)}
    sizes |= {"Wu": sizes["Wg"], "Wd": (shape.intermediate, shape.hidden)}
    x, wg, wu, wd = (te.placeholder(size, dtype="bfloat16", name=name) for name, size in sizes.items())

    def product(a: Any, b: Any, terms: int, name: str) -> Any:
        k = te.reduce_axis((0, terms), name=f"k_{name}")

        def element(i: Any, j: Any) -> Any:
            return te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k)

        return te.compute((shape.tokens, b.shape[1]), element, name=name)

    gate, up = product(x, wg, shape.hidden, "gate"), product(x, wu, shape.hidden, "up")
    act = te.compute(gate.shape, lambda i, j: (silu(gate[i, j]) * up[i, j]).astype("bfloat16"), name="act")
    return module_of_tensors([x, wg, wu, wd, product(act, wd, shape.intermediate, "Y")])


def compute(x: Array, wg: Array, wu: Array, wd: Array) -> Array:
    """numpy's version, without rounding the hidden layer."""
    x, wg, wu, wd = (array.astype(np.float32) for array in (x, wg, wu, wd))
    y: Array = (numpy_silu(x @ wg) * (x @ wu)) @ wd
    return y


WORKLOAD = Workload(
    name="bf16-gated-mlp",
    description="gated feed-forward layer over bfloat16, summed in float32",
    sizes={"small": SwigluShape(tokens=48, hidden=448, intermediate=1152)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("Wg", "Wu", "Wd"),
    rounds=5e-3,
    peers_round=1e-2,
)
