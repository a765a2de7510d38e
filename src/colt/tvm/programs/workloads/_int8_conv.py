"""Convolutions as quantised models have them: unsigned activations with a zero point, signed filters with a scale for
each channel, NHWC, 3×3, stride 1, padded by 1, scaled back to float32. Channels may be in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array

KERNEL = 3
SCALE, ZERO = 1 / 1024, 117
"""The activations' scale and zero point."""


@dataclass(frozen=True, slots=True)
class Int8ConvShape:
    """The image X is 1 × side × side × channels, the filters F are 3 × 3 × channels of a group × outputs. Where groups
    have several channels, their number is a dimension of its own before the channels of each: the same memory."""

    channels: int
    outputs: int
    side: int
    groups: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether each channel is a group, with one output."""
        return self.groups == self.channels == self.outputs

    def channels_of(self, count: int) -> tuple[int, ...]:
        """The dimensions of ``count`` channels of all groups."""
        return (count,) if self.groups == 1 or self.depthwise else (self.groups, count // self.groups)


def make_module(shape: Int8ConvShape) -> Any:
    """Blocks ``pad``, ``P`` (the sums) and ``Y`` (scaled back)."""
    side, inside = shape.side, shape.channels // shape.groups
    channels, outputs = shape.channels_of(shape.channels), shape.channels_of(shape.outputs)
    x = te.placeholder((1, side, side, *channels), dtype="uint8", name="X")
    f = te.placeholder((KERNEL, KERNEL, inside, *outputs), dtype="int8", name="F")
    scales = te.placeholder(outputs, name="S")

    def padded(n: Any, i: Any, j: Any, *c: Any) -> Any:
        there = tirx.all(i >= 1, i < side + 1, j >= 1, j < side + 1)
        return tirx.if_then_else(there, x[n, i - 1, j - 1, *c], tirx.const(ZERO, "uint8"))

    pad = te.compute((1, side + 2, side + 2, *channels), padded, name="pad")
    di, dj = (te.reduce_axis((0, KERNEL), name=name) for name in ("di", "dj"))
    c = te.reduce_axis((0, inside), name="c")

    def sums(n: Any, i: Any, j: Any, *o: Any) -> Any:
        place, channel = (0, o) if shape.depthwise else (c, (*o[:-1], c))
        value = pad[n, i + di, j + dj, *channel].astype("int32") - ZERO
        terms = [di, dj] if shape.depthwise else [di, dj, c]
        return te.sum(value * f[di, dj, place, *o].astype("int32"), axis=terms)

    def scaled(n: Any, i: Any, j: Any, *o: Any) -> Any:
        return p[n, i, j, *o].astype("float32") * (scales[*o] * SCALE)

    p = te.compute((1, side, side, *outputs), sums, name="P")
    return module_of_tensors([x, f, scales, te.compute((1, side, side, *outputs), scaled, name="Y")])


def count_flops(shape: Int8ConvShape) -> int:
    """One contraction, the multiplications of the padding included."""
    return 2 * KERNEL**2 * shape.side**2 * shape.outputs * shape.channels // shape.groups


def compute(x: Array, f: Array, scales: Array) -> Array:
    """numpy's version, in float64, which holds the sums exactly."""
    side, inside = x.shape[1], f.shape[2]
    image, filters = x.reshape(1, side, side, -1), f.reshape(KERNEL, KERNEL, inside, -1)
    groups = image.shape[-1] // inside
    wide = np.pad(image.astype(np.float64) - ZERO, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (KERNEL, KERNEL), axis=(1, 2))
    parts = zip(np.split(windows, groups, axis=3), np.split(filters.astype(np.float64), groups, axis=3), strict=True)
    sums = [np.tensordot(window, part, axes=([4, 5, 3], [0, 1, 2])) for window, part in parts]
    total = np.concatenate(sums, axis=-1).reshape(1, side, side, *scales.shape)
    y: Array = total.astype(np.float32) * (scales * np.float32(SCALE))
    return y
