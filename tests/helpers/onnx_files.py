"""Small files of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
node, value, FLOAT, INT = onnx.helper.make_node, onnx.helper.make_tensor_value_info, 1, 7


def weight(name: str, *shape: int) -> Any:
    rng = np.random.default_rng(len(name))
    return onnx.numpy_helper.from_array(rng.random(shape).astype("float32") + 0.1, name)


def whole(name: str, *numbers: int) -> Any:
    return onnx.numpy_helper.from_array(np.array(numbers), name)


def written(path: Path, nodes: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any], rank: int = 2) -> Path:
    """A file with one output, ``y``."""
    output = value("y", FLOAT, [f"y{axis}" for axis in range(rank)])
    graph = onnx.helper.make_graph(nodes, "g", inputs, [output], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def network(path: Path) -> Path:
    """A convolution, a batch norm, a clip, and a product."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
        node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"]),
        node("Clip", ["b", "low", "high"], ["c"]),
        node("GlobalAveragePool", ["c"], ["d"]),
        node("Flatten", ["d"], ["e"]),
        node("Gemm", ["e", "w2", "b2"], ["y"], transB=1),
    ]
    norm = [weight(name, 8) for name in ("scale", "shift", "mean", "variance")]
    bounds = [onnx.numpy_helper.from_array(np.float32(number), name) for name, number in (("low", 0), ("high", 6))]
    inputs = [value("x", FLOAT, ["batch", 4, "side", "side"])]
    return written(path, nodes, inputs, [weight("w", 8, 4, 3, 3), *norm, *bounds, weight("w2", 3, 8), weight("b2", 3)])
