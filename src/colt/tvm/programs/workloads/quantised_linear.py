"""A linear layer as quantised models have it: Y = (X - zero)·Wᵀ in integers, scaled back to float32.

Activations are asymmetric: unsigned, with a zero point. Weights are symmetric, with a scale for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

SCALE = 1 / 1024
"""Scale of the activations."""
ZERO = 117
"""Zero point of the activations."""


@dataclass(frozen=True, slots=True)
class QuantisedLinearShape:
    """X is tokens × inputs, W is outputs × inputs."""

    tokens: int
    inputs: int
    outputs: int


def make_module(shape: QuantisedLinearShape) -> Any:
    """Blocks ``P`` (the product) and ``Y`` (scaled back)."""
    x = te.placeholder((shape.tokens, shape.inputs), dtype="uint8", name="X")
    w = te.placeholder((shape.outputs, shape.inputs), dtype="int8", name="W")
    scales = te.placeholder((shape.outputs,), name="S")
    k = te.reduce_axis((0, shape.inputs), name="k")
    p = te.compute(
        (shape.tokens, shape.outputs),
        lambda t, o: te.sum((x[t, k].astype("int32") - ZERO) * w[o, k].astype("int32"), axis=k),
        name="P",
    )
    y = te.compute(
        (shape.tokens, shape.outputs), lambda t, o: p[t, o].astype("float32") * (scales[o] * SCALE), name="Y"
    )
    return module_of_tensors([x, w, scales, y])


def count_flops(shape: QuantisedLinearShape) -> int:
    """One contraction."""
    return 2 * shape.tokens * shape.inputs * shape.outputs


def compute(x: Array, w: Array, scales: Array) -> Array:
    """numpy's version; float64 holds the product's integers exactly and has a fast product."""
    product = (x.astype(np.float64) - ZERO) @ w.astype(np.float64).T
    y: Array = product.astype(np.float32) * (scales * np.float32(SCALE))
    return y


WORKLOAD = Workload(
    name="quantised-linear",
    description="linear layer of unsigned activations and signed weights of 8 bits, scaled back to float32",
    sizes={
        "small": QuantisedLinearShape(tokens=512, inputs=512, outputs=512),
        "paper": QuantisedLinearShape(tokens=2048, inputs=4096, outputs=4096),
    },
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("W", "S"),
)
