"""A separable convolution as MobileNet has it: 3×3 depthwise, padded by 1, ReLU, then 1×1 over all channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

_KERNEL = 3


@dataclass(frozen=True, slots=True)
class SeparableConvShape:
    """The image X is in_channels × side × side, D is in_channels × 3 × 3, P is out_channels × in_channels."""

    in_channels: int
    out_channels: int
    side: int


def make_module(shape: SeparableConvShape) -> Any:
    """Blocks ``pad``, ``depth``, ``relu``, ``Y``."""
    channels, side = shape.in_channels, shape.side
    x = te.placeholder((channels, side, side), name="X")
    d = te.placeholder((channels, _KERNEL, _KERNEL), name="D")
    p = te.placeholder((shape.out_channels, channels), name="P")
    zero = tirx.const(0.0, "float32")

    def padded(c: Any, i: Any, j: Any) -> Any:
        inside = tirx.all(i >= 1, i < side + 1, j >= 1, j < side + 1)
        return tirx.if_then_else(inside, x[c, i - 1, j - 1], zero)

    pad = te.compute((channels, side + 2, side + 2), padded, name="pad")
    di, dj = (te.reduce_axis((0, _KERNEL), name=name) for name in ("di", "dj"))
    image = (channels, side, side)
    depth = te.compute(
        image, lambda c, i, j: te.sum(pad[c, i + di, j + dj] * d[c, di, dj], axis=[di, dj]), name="depth"
    )
    relu = te.compute(image, lambda c, i, j: te.max(depth[c, i, j], zero), name="relu")
    c = te.reduce_axis((0, channels), name="c")
    y = te.compute((shape.out_channels, side, side), lambda o, i, j: te.sum(relu[c, i, j] * p[o, c], axis=c), name="Y")
    return module_of_tensors([x, d, p, y])


def count_flops(shape: SeparableConvShape) -> int:
    """Both contractions, the multiplications by the padding's zeros included."""
    return 2 * (_KERNEL**2 + shape.out_channels) * shape.in_channels * shape.side**2


def compute(x: Array, d: Array, p: Array) -> Array:
    """numpy's version: shifted images times a filter's element, summed; then one matrix product."""
    channels, side, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    depth = np.zeros_like(x)
    for i in range(_KERNEL):
        for j in range(_KERNEL):
            depth += padded[:, i : i + side, j : j + side] * d[:, i, j, None, None]
    y: Array = p @ np.maximum(depth, 0, out=depth).reshape(channels, -1)
    return y.reshape(-1, side, side)


WORKLOAD = Workload(
    name="separable-conv",
    description="separable convolution: 3×3 depthwise, ReLU, 1×1 pointwise",
    sizes={"small": SeparableConvShape(in_channels=128, out_channels=128, side=28)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
