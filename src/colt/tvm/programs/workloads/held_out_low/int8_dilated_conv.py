"""Convolution of 8 bits with holes: 3×3, dilated by 2, stride 2, NHWC, its results requantised to 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

KERNEL, DILATION, STRIDE, PAD = 3, 2, 2, 2
SCALE = 1 / 64
"""Scale of the activations by that of the results."""


@dataclass(frozen=True, slots=True)
class DilatedConvShape:
    """The image X is 1 × side × side × channels, the filters F are 3 × 3 × channels × outputs."""

    side: int
    channels: int
    outputs: int

    @property
    def result(self) -> int:
        """The side of the result."""
        return (self.side + 2 * PAD - DILATION * (KERNEL - 1) - 1) // STRIDE + 1


def make_module(shape: DilatedConvShape) -> Any:
    """Blocks ``pad``, ``P`` (the sums), ``Y`` (in 8 bits)."""
    side, result = shape.side, (1, shape.result, shape.result, shape.outputs)
    x = te.placeholder((1, side, side, shape.channels), dtype="uint8", name="X")
    f = te.placeholder((KERNEL, KERNEL, shape.channels, shape.outputs), dtype="int8", name="F")
    scales = te.placeholder((shape.outputs,), name="S")
    di, dj = (te.reduce_axis((0, KERNEL), name=name) for name in ("di", "dj"))
    c = te.reduce_axis((0, shape.channels), name="c")

    def padded(n: Any, i: Any, j: Any, c: Any) -> Any:
        there = tirx.all(i >= PAD, i < side + PAD, j >= PAD, j < side + PAD)
        return tirx.if_then_else(there, x[n, i - PAD, j - PAD, c], tirx.const(0, "uint8"))

    def sums(n: Any, i: Any, j: Any, o: Any) -> Any:
        value = pad[n, i * STRIDE + di * DILATION, j * STRIDE + dj * DILATION, c].astype("int32")
        return te.sum(value * f[di, dj, c, o].astype("int32"), axis=[di, dj, c])

    def requantised(n: Any, i: Any, j: Any, o: Any) -> Any:
        rounded = te.nearbyint(p[n, i, j, o].astype("float32") * (scales[o] * SCALE))
        return te.max(te.min(rounded, 127.0), -128.0).astype("int8")

    pad = te.compute((1, side + 2 * PAD, side + 2 * PAD, shape.channels), padded, name="pad")
    p = te.compute(result, sums, name="P")
    return module_of_tensors([x, f, scales, te.compute(result, requantised, name="Y")])


def count_flops(shape: DilatedConvShape) -> int:
    """One contraction, the multiplications of the padding included."""
    return 2 * KERNEL**2 * shape.result**2 * shape.channels * shape.outputs


def compute(x: Array, f: Array, scales: Array) -> Array:
    """numpy's version, in float64, which holds the sums exactly."""
    wide = np.pad(x.astype(np.float64), ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)))
    reach = DILATION * (KERNEL - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(wide, (reach, reach), axis=(1, 2))
    windows = windows[:, ::STRIDE, ::STRIDE, :, ::DILATION, ::DILATION]
    sums = np.tensordot(windows, f.astype(np.float64), axes=([4, 5, 3], [0, 1, 2])).astype(np.float32)
    y: Array = np.clip(np.rint(sums * (scales * np.float32(SCALE))), -128, 127).astype(np.int8)
    return y


WORKLOAD = Workload(
    name="int8-dilated-conv",
    description="convolution of 8 bits, 3×3, dilated, stride 2, NHWC, requantised to 8 bits",
    sizes={"small": DilatedConvShape(side=45, channels=96, outputs=80)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("F", "S"),
    peers_round=1e-2,  # a result half-way between two integers may become either
)
