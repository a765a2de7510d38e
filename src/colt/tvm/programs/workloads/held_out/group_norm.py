"""Group normalisation of an image: mean and variance over several channels and all pixels at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class GroupNormShape:
    """X is groups × channels (of a group) × pixels; scale and shift are groups × channels."""

    groups: int
    channels: int
    pixels: int


def make_module(shape: GroupNormShape) -> Any:
    """Blocks ``total``, ``squares``, ``Y``; the variance is that of the squares less the mean's square."""
    groups, channels, pixels = shape.groups, shape.channels, shape.pixels
    count = channels * pixels
    x = te.placeholder((groups, channels, pixels), name="X")
    scale, shift = (te.placeholder((groups, channels), name=name) for name in ("scale", "shift"))
    c, p = te.reduce_axis((0, channels), name="c"), te.reduce_axis((0, pixels), name="p")
    cs, ps = te.reduce_axis((0, channels), name="cs"), te.reduce_axis((0, pixels), name="ps")
    total = te.compute((groups,), lambda g: te.sum(x[g, c, p], axis=[c, p]), name="total")
    squares = te.compute((groups,), lambda g: te.sum(x[g, cs, ps] * x[g, cs, ps], axis=[cs, ps]), name="squares")

    def normal(g: Any, i: Any, j: Any) -> Any:
        mean = total[g] / count
        return (x[g, i, j] - mean) / te.sqrt(squares[g] / count - mean * mean + EPSILON)

    y = te.compute((groups, channels, pixels), lambda g, i, j: normal(g, i, j) * scale[g, i] + shift[g, i], name="Y")
    return module_of_tensors([x, scale, shift, y])


def count_flops(shape: GroupNormShape) -> int:
    """7 for each element: 1 for the sum, 2 for the squares, 4 for the result; not what is done once for a group."""
    return 7 * shape.groups * shape.channels * shape.pixels


def compute(x: Array, scale: Array, shift: Array) -> Array:
    """numpy's version."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    variance = np.square(x).mean(axis=(1, 2), keepdims=True) - np.square(mean)
    factor = scale[:, :, None] / np.sqrt(variance + x.dtype.type(EPSILON))
    y: Array = (x - mean) * factor
    y += shift[:, :, None]
    return y


WORKLOAD = Workload(
    name="group-norm",
    description="group normalisation of an image: reductions over channels and pixels at once",
    sizes={"small": GroupNormShape(groups=32, channels=8, pixels=1024)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
