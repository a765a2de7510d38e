"""Small graphs of operators with weights, and what they compute by NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tvm import relax

from colt.tvm.models.graph import Graph

Array = np.ndarray[Any, Any]


@dataclass
class Mlp:
    """``layers`` times relu(x W1) W2 + b, with the same weights each time, over ``rows`` rows."""

    rows: int = 8
    width: int = 16
    inner: int = 32
    layers: int = 2
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        self.w1 = self._weights(self.width, self.inner)
        self.w2 = self._weights(self.inner, self.width)
        self.bias = self._weights(self.width)
        self.x = self._weights(self.rows, self.width)

    def _weights(self, *shape: int) -> Array:
        return (self.rng.standard_normal(shape) / 4).astype("float32")

    def compute(self, x: Array) -> Array:
        """The output in float64."""
        h = x.astype(np.float64)
        for _ in range(self.layers):
            h = np.maximum(h @ self.w1, 0) @ self.w2 + self.bias
        return h

    def graph(self) -> Graph:
        """The same as operators of Relax."""
        builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType(self.x.shape, "float32"))
        w1, w2, bias = map(relax.const, (self.w1, self.w2, self.bias))
        with builder.function("main", [x]):
            with builder.dataflow():
                h = x
                for _ in range(self.layers):
                    h = builder.emit(relax.op.nn.relu(relax.op.matmul(h, w1)))
                    h = builder.emit(relax.op.add(relax.op.matmul(h, w2), bias))
                output = builder.emit_output(h)
            builder.emit_func_output(output)

        def reference(inputs: Any) -> list[Array]:
            return [self.compute(inputs[0]).astype("float32")]

        return Graph("mlp", builder.get(), ("x",), (self.x,), reference, "NumPy")


def convolution(channels: int = 4, size: int = 6, filters: int = 8) -> tuple[Graph, Array]:
    """A convolution of 3 x 3 with bias, as NCHW, and its output."""
    rng = np.random.default_rng(1)
    x, w = (
        rng.standard_normal(shape).astype("float32") for shape in ((1, channels, size, size), (filters, channels, 3, 3))
    )
    bias = rng.standard_normal((1, filters, 1, 1)).astype("float32")
    builder, var = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, "float32"))
    with builder.function("main", [var]):
        with builder.dataflow():
            found = builder.emit(relax.op.nn.conv2d(var, relax.const(w), padding=(1, 1)))
            output = builder.emit_output(relax.op.add(found, relax.const(bias)))
        builder.emit_func_output(output)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("nchwij,ocij->nohw", windows, w) + bias
    return Graph("convolution", builder.get(), ("x",), (x,), None), expected
