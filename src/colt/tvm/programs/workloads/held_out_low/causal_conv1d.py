"""A depthwise convolution along time that sees no future, with bias and SiLU, as state-space models have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads._activation import numpy_silu, silu
from colt.tvm.programs.workloads.base import Array, Workload

KERNEL = 4


@dataclass(frozen=True, slots=True)
class CausalConvShape:
    """X is tokens × channels, the filters F are channels × 4; the bias has one element for each channel."""

    tokens: int
    channels: int


def make_module(shape: CausalConvShape) -> Any:
    """Blocks ``pad``, ``P`` (the sums) and ``Y``."""
    tokens, channels = shape.tokens, shape.channels
    x = te.placeholder((tokens, channels), name="X")
    f, bias = te.placeholder((channels, KERNEL), name="F"), te.placeholder((channels,), name="B")
    k, past = te.reduce_axis((0, KERNEL), name="k"), KERNEL - 1

    def padded(t: Any, c: Any) -> Any:
        return tirx.if_then_else(t >= past, x[t - past, c], tirx.const(0.0, "float32"))

    pad = te.compute((tokens + past, channels), padded, name="pad")
    p = te.compute((tokens, channels), lambda t, c: te.sum(pad[t + k, c] * f[c, k], axis=k), name="P")
    y = te.compute((tokens, channels), lambda t, c: silu(p[t, c] + bias[c]), name="Y")
    return module_of_tensors([x, f, bias, y])


def count_flops(shape: CausalConvShape) -> int:
    """The sums; bias and activation are not counted."""
    return 2 * KERNEL * shape.tokens * shape.channels


def compute(x: Array, f: Array, bias: Array) -> Array:
    """numpy's version."""
    tokens, wide = len(x), np.pad(x, ((KERNEL - 1, 0), (0, 0)))
    return numpy_silu(sum(wide[k : k + tokens] * f[:, k] for k in range(KERNEL)) + bias)


WORKLOAD = Workload(
    name="causal-conv1d",
    description="depthwise convolution along time, with bias and SiLU",
    sizes={"small": CausalConvShape(tokens=1021, channels=768)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("F", "B"),
)
