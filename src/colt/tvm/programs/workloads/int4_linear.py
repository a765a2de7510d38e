"""A linear layer with weights of 4 bits, two in a byte, and a scale for each group of 32 along the sum: Y = X·Wᵀ.

A model that writes one token after the other reads all weights for each: then memory is what limits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

GROUP = 32
"""Weights that share a scale."""
ZERO = 8
"""What 4 bits stand for is their value less this."""


@dataclass(frozen=True, slots=True)
class Int4LinearShape:
    """X is tokens × inputs; the weights are outputs × inputs / 32 × 16 bytes, the even inputs in the lower bits."""

    tokens: int
    inputs: int
    outputs: int


def make_module(shape: Int4LinearShape) -> Any:
    """Blocks ``W`` (the weights in float32) and ``Y``."""
    groups, pairs = shape.inputs // GROUP, GROUP // 2
    x = te.placeholder((shape.tokens, shape.inputs), name="X")
    q = te.placeholder((shape.outputs, groups, pairs), dtype="uint8", name="Q")
    scales = te.placeholder((shape.outputs, groups), name="S")

    def weight(o: Any, g: Any, p: Any, half: Any) -> Any:
        bits = tirx.bitwise_and(tirx.shift_right(q[o, g, p].astype("int32"), 4 * half), tirx.const(15, "int32"))
        return (bits - ZERO).astype("float32") * scales[o, g]

    w = te.compute((shape.outputs, groups, pairs, 2), weight, name="W")
    g, p, half = (te.reduce_axis((0, extent), name=name) for extent, name in ((groups, "g"), (pairs, "p"), (2, "half")))
    y = te.compute(
        (shape.tokens, shape.outputs),
        lambda t, o: te.sum(x[t, g * GROUP + p * 2 + half] * w[o, g, p, half], axis=[g, p, half]),
        name="Y",
    )
    return module_of_tensors([x, q, scales, y])


def count_flops(shape: Int4LinearShape) -> int:
    """One contraction."""
    return 2 * shape.tokens * shape.inputs * shape.outputs


def compute(x: Array, q: Array, scales: Array) -> Array:
    """numpy's version."""
    bits = np.stack([q & 15, q >> 4], axis=-1).astype(np.float32) - ZERO
    weights = bits.reshape(*scales.shape, GROUP) * scales[:, :, None]
    y: Array = x @ weights.reshape(len(scales), -1).T
    return y


WORKLOAD = Workload(
    name="int4-linear",
    description="linear layer of one token, weights of 4 bits with a scale for each group of 32",
    sizes={"small": Int4LinearShape(1, 2048, 2048), "paper": Int4LinearShape(1, 4096, 14336)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("Q", "S"),
)
