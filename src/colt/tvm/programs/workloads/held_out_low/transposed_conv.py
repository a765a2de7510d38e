"""Transposed convolution: 4×4, stride 2, padded by 1; zeros between the pixels, then a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

KERNEL, STRIDE, PAD = 4, 2, 1
EDGE = KERNEL - 1 - PAD
"""Zeros around the image with zeros between its pixels."""


@dataclass(frozen=True, slots=True)
class TransposedConvShape:
    """The image X is channels × height × width, the filters F are channels × outputs × 4 × 4."""

    channels: int
    outputs: int
    height: int
    width: int


def make_module(shape: TransposedConvShape) -> Any:
    """Blocks ``spread`` (the image with zeros between and around its pixels) and ``Y``."""
    height, width = shape.height, shape.width
    x = te.placeholder((shape.channels, height, width), name="X")
    f = te.placeholder((shape.channels, shape.outputs, KERNEL, KERNEL), name="F")
    c = te.reduce_axis((0, shape.channels), name="c")
    di, dj = (te.reduce_axis((0, KERNEL), name=name) for name in ("di", "dj"))

    def pixel(c: Any, i: Any, j: Any) -> Any:
        a, b = i - EDGE, j - EDGE
        inside = tirx.all(a >= 0, a < STRIDE * height, b >= 0, b < STRIDE * width)
        there = tirx.all(inside, tirx.floormod(a, STRIDE) == 0, tirx.floormod(b, STRIDE) == 0)
        value = x[c, tirx.floordiv(a, STRIDE), tirx.floordiv(b, STRIDE)]
        return tirx.if_then_else(there, value, tirx.const(0.0, "float32"))

    around = KERNEL - 1
    spread = te.compute((shape.channels, STRIDE * height + around, STRIDE * width + around), pixel, name="spread")

    def sums(o: Any, i: Any, j: Any) -> Any:
        return te.sum(spread[c, i + di, j + dj] * f[c, o, KERNEL - 1 - di, KERNEL - 1 - dj], axis=[c, di, dj])

    return module_of_tensors([x, f, te.compute((shape.outputs, STRIDE * height, STRIDE * width), sums, name="Y")])


def count_flops(shape: TransposedConvShape) -> int:
    """What each pixel adds to; products with the zeros between pixels are not counted."""
    return 2 * KERNEL**2 * shape.channels * shape.outputs * shape.height * shape.width


def compute(x: Array, f: Array) -> Array:
    """numpy's version: every pixel adds a scaled filter to its place."""
    channels, height, width = x.shape
    parts = np.tensordot(f.reshape(channels, -1), x.reshape(channels, -1), axes=(0, 0))
    parts = parts.reshape(-1, KERNEL, KERNEL, height, width)
    whole = np.zeros((f.shape[1], STRIDE * height + KERNEL - STRIDE, STRIDE * width + KERNEL - STRIDE), x.dtype)
    for i in range(KERNEL):
        for j in range(KERNEL):
            whole[:, i : i + STRIDE * height : STRIDE, j : j + STRIDE * width : STRIDE] += parts[:, i, j]
    y: Array = np.ascontiguousarray(whole[:, PAD:-PAD, PAD:-PAD])
    return y


WORKLOAD = Workload(
    name="transposed-conv",
    description="transposed convolution, 4×4, stride 2",
    sizes={"small": TransposedConvShape(channels=64, outputs=48, height=17, width=19)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
