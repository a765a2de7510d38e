"""A row times weights of 4 bits that lie by input: two inputs of an output in a byte, a scale for 64 of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

GROUP = 64
"""Weights of an output that share a scale."""
ZERO = 8
"""What 4 bits stand for is their value less this."""


@dataclass(frozen=True, slots=True)
class Int4GemvShape:
    """The row X has ``inputs``; the weights Q are inputs / 2 × outputs bytes, the even inputs in the lower bits."""

    inputs: int
    outputs: int


def make_module(shape: Int4GemvShape) -> Any:
    """Blocks ``W`` (the weights in float32) and ``Y``."""
    pairs = shape.inputs // 2
    x = te.placeholder((shape.inputs,), name="X")
    q = te.placeholder((pairs, shape.outputs), dtype="uint8", name="Q")
    scales = te.placeholder((shape.inputs // GROUP, shape.outputs), name="S")
    p, half = te.reduce_axis((0, pairs), name="p"), te.reduce_axis((0, 2), name="half")

    def weight(p: Any, half: Any, o: Any) -> Any:
        bits = tirx.bitwise_and(tirx.shift_right(q[p, o].astype("int32"), 4 * half), tirx.const(15, "int32"))
        return (bits - ZERO).astype("float32") * scales[p // (GROUP // 2), o]

    w = te.compute((pairs, 2, shape.outputs), weight, name="W")
    y = te.compute((shape.outputs,), lambda o: te.sum(x[p * 2 + half] * w[p, half, o], axis=[p, half]), name="Y")
    return module_of_tensors([x, q, scales, y])


def count_flops(shape: Int4GemvShape) -> int:
    """One contraction."""
    return 2 * shape.inputs * shape.outputs


def compute(x: Array, q: Array, scales: Array) -> Array:
    """numpy's version, summed in float64."""
    bits = np.stack([q & 15, q >> 4], axis=1).reshape(len(x), -1).astype(np.float64) - ZERO
    y: Array = (x.astype(np.float64) @ (bits * np.repeat(scales, GROUP, axis=0))).astype(np.float32)
    return y


WORKLOAD = Workload(
    name="int4-gemv-by-columns",
    description="row times weights of 4 bits that lie by input, with a scale for each group of 64",
    sizes={"small": Int4GemvShape(inputs=1536, outputs=2304)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("Q", "S"),
)
