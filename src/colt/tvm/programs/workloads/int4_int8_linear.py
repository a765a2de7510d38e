"""The layer of :mod:`~colt.tvm.programs.workloads.int4_linear` with activations of 8 bits: each group of 32 along the
sum is quantised in the call, with a scale of its own. A group's products are integers, which instructions add up by
fours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads import int4_linear
from colt.tvm.programs.workloads.base import Array
from colt.tvm.programs.workloads.int4_linear import GROUP, ZERO, Int4LinearShape

LARGEST = 127
"""The largest activation of a group becomes this."""
TINY = 1e-30
"""A group's scale is not zero, whatever is in it."""


def make_module(shape: Int4LinearShape) -> Any:
    """Blocks ``top`` (a group's largest activation), ``XQ`` (activations in 8 bits), ``T`` (sums of a group's), ``P``
    (sums of its products) and ``Y``."""
    groups, pairs = shape.inputs // GROUP, GROUP // 2
    by_group = shape.tokens, groups
    x = te.placeholder((shape.tokens, shape.inputs), name="X")
    q = te.placeholder((shape.outputs, groups, pairs), dtype="uint8", name="Q")
    scales = te.placeholder((shape.outputs, groups), name="S")
    extents = {"a": GROUP, "b": pairs, "both": 2, "p": pairs, "half": 2, "g": groups}
    a, b, both, p, half, g = (te.reduce_axis((0, extent), name=name) for name, extent in extents.items())
    tiny, largest = tirx.const(TINY, "float32"), tirx.const(LARGEST, "float32")

    def quantised(t: Any, g: Any, p: Any, half: Any) -> Any:
        return te.nearbyint(x[t, g * GROUP + p * 2 + half] * (largest / top[t, g])).astype("int8")

    def weight(o: Any, g: Any, p: Any, half: Any) -> Any:
        return tirx.bitwise_and(tirx.shift_right(q[o, g, p].astype("int32"), half * 4), tirx.const(15, "int32"))

    def product(t: Any, g: Any, o: Any) -> Any:
        return te.sum(xq[t, g, p, half].astype("int32") * weight(o, g, p, half), axis=[p, half])

    def scaled(t: Any, o: Any) -> Any:
        whole = products[t, g, o] - ZERO * totals[t, g]
        return te.sum(whole.astype("float32") * (top[t, g] * scales[o, g] * (1 / LARGEST)), axis=g)

    top = te.compute(by_group, lambda t, g: te.max(tirx.max(te.abs(x[t, g * GROUP + a]), tiny), axis=a), name="top")
    xq = te.compute((*by_group, pairs, 2), quantised, name="XQ")
    totals = te.compute(by_group, lambda t, g: te.sum(xq[t, g, b, both].astype("int32"), axis=[b, both]), name="T")
    products = te.compute((*by_group, shape.outputs), product, name="P")
    return module_of_tensors([x, q, scales, te.compute((shape.tokens, shape.outputs), scaled, name="Y")])


def compute(x: Array, q: Array, scales: Array) -> Array:
    """numpy's version: activations are quantised in float32, and the rest is float64, which holds the sums exactly."""
    grouped = x.reshape(len(x), -1, GROUP)
    top = np.maximum(np.abs(grouped).max(-1, keepdims=True), np.float32(TINY))
    activations = np.rint(grouped * (np.float32(LARGEST) / top)).astype(np.float64) * top / LARGEST
    weights = np.stack([q & 15, q >> 4], axis=-1).reshape(*scales.shape, GROUP).astype(np.float64) - ZERO
    weights *= scales[..., None]
    y: Array = (activations.reshape(len(x), -1) @ weights.reshape(len(scales), -1).T).astype(np.float32)
    return y


WORKLOAD = replace(
    int4_linear.WORKLOAD,
    name="int4-int8-linear",
    description="linear layer of one token, weights of 4 bits, activations quantised to 8, scales for groups of 32",
    make_module=make_module,
    compute=compute,
    peers_round=1e-2,  # an activation half-way between two integers may become either
)
