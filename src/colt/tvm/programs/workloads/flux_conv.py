"""A 3×3 convolution of FLUX's decoder, stride 1, padded by 1, layout NCHW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

_KERNEL = 3


@dataclass(frozen=True, slots=True)
class ConvShape:
    """The image X is 1 × in_channels × side × side, the filters F are out_channels × in_channels × 3 × 3."""

    in_channels: int
    out_channels: int
    side: int


def make_module(shape: ConvShape) -> Any:
    """Blocks ``pad``, ``Y``."""
    channels, side = shape.in_channels, shape.side
    x = te.placeholder((1, channels, side, side), name="X")
    f = te.placeholder((shape.out_channels, channels, _KERNEL, _KERNEL), name="F")

    def padded(n: Any, c: Any, i: Any, j: Any) -> Any:
        inside = tirx.all(i >= 1, i < side + 1, j >= 1, j < side + 1)
        return tirx.if_then_else(inside, x[n, c, i - 1, j - 1], tirx.const(0.0, "float32"))

    pad = te.compute((1, channels, side + 2, side + 2), padded, name="pad")
    c = te.reduce_axis((0, channels), name="c")
    di, dj = (te.reduce_axis((0, _KERNEL), name=name) for name in ("di", "dj"))
    y = te.compute(
        (1, shape.out_channels, side, side),
        lambda n, o, i, j: te.sum(pad[n, c, i + di, j + dj] * f[o, c, di, dj], axis=[c, di, dj]),
        name="Y",
    )
    return module_of_tensors([x, f, y])


def count_flops(shape: ConvShape) -> int:
    """One contraction, the multiplications by the padding's zeros included."""
    return 2 * _KERNEL**2 * shape.out_channels * shape.in_channels * shape.side**2


def compute(x: Array, f: Array) -> Array:
    """numpy's version: windows of the padded image, contracted with the filters."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_KERNEL, _KERNEL), axis=(2, 3))
    return np.tensordot(windows, f, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


WORKLOAD = Workload(
    name="flux-conv",
    description="FLUX convolution: 3×3, stride 1, padding 1, NCHW",
    sizes={"small": ConvShape(128, 128, 32), "paper": ConvShape(512, 512, 32)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
