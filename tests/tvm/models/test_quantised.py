"""Products of quantised tensors: over integers, and what the files mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tvm import relax

from colt.models.judge import verified
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.fused import fused
from colt.tvm.models.graph import Graph
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.quantised import with_integer_products
from colt.tvm.models.tasks import tasks_of
from tests.helpers.run_graph import untuned

TARGET = resolve_target(None, 2)
RNG = np.random.default_rng(0)
Emit = Callable[[Any], Any]


def graph_of(x: Any, build: Callable[[Emit, Any], Any]) -> Graph:
    """A graph with one input."""
    builder, given = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, str(x.dtype)))
    with builder.function("main", [given]):
        with builder.dataflow():
            output = builder.emit_output(build(builder.emit, given))
        builder.emit_func_output(output)
    return Graph("quantised", builder.get(), ("x",), (x,))


def integers(dtype: str, *shape: int) -> Any:
    bounds = np.iinfo(dtype)
    return RNG.integers(bounds.min, bounds.max + 1, shape).astype(dtype)


def floats_of(array: Any, scale: Any, zero: Any, axis: int) -> tuple[Any, Any]:
    """A dequantised tensor as an operator, over the constant or variable, and in NumPy."""
    spread = [-1 if at == axis and np.size(scale) > 1 else 1 for at in range(array.ndim)]
    value = (array.astype("float64") - np.reshape(zero, spread).astype("float64")) * np.reshape(scale, spread)

    def operator(tensor: Any) -> Any:
        return relax.op.dequantize(tensor, relax.const(np.float32(scale)), relax.const(zero), axis=axis)

    return operator, value


def checked(graph: Graph, expected: Any, products: bool = True) -> Graph:
    """The graph over integers, which computes what is expected."""
    narrow = with_integer_products(graph)
    (found,) = untuned(narrow)(*graph.example)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    read = [str(one.ty.dtype) for task in tasks_of(fused(narrow.module, TARGET, CHANNELS_LAST)) for one in params(task)]
    assert (narrow.narrow == "int8") == products
    assert ("float32" not in read[:2]) == products
    return narrow


def params(task: Any) -> Sequence[Any]:
    return list(task.module["main"].params)


@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales of channels"])
@pytest.mark.parametrize(("a_zero", "b_zero"), [(0, 0), (7, 0), (0, -3), (7, -3)])
@pytest.mark.parametrize("moved", [False, True], ids=["as it is", "transposed"])
def test_matrix_products(channels: bool, a_zero: int, b_zero: int, moved: bool) -> None:
    a, b = integers("uint8", 5, 24), integers("int8", *((6, 24) if moved else (24, 6)))
    scale = RNG.uniform(0.01, 0.02, 6) if channels else 0.02
    zero = np.full(6, b_zero, "int8") if channels else np.int8(b_zero)
    left, a_value = floats_of(a, 0.05, np.uint8(a_zero), 1)
    right, b_value = floats_of(b, scale, zero, 0 if moved else 1)

    def build(emit: Emit, x: Any) -> Any:
        weights = emit(right(relax.const(b)))
        return relax.op.matmul(emit(left(x)), emit(relax.op.permute_dims(weights)) if moved else weights)

    checked(graph_of(a, build), a_value @ (b_value.T if moved else b_value))


def test_products_of_two_inputs_and_of_batches() -> None:
    a, b = integers("int8", 3, 4, 16), integers("uint8", 3, 16, 5)
    left, a_value = floats_of(a, 0.1, np.int8(-5), 1)
    right, b_value = floats_of(b, 0.2, np.uint8(100), 1)
    graph = graph_of(a, lambda emit, x: relax.op.matmul(emit(left(x)), emit(right(relax.const(b)))))
    checked(graph, a_value @ b_value)


@pytest.mark.parametrize("zero", [0, 9])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (1, 1, 1, 1), (2, (1, 0, 2, 1), 1, 1), (1, 2, 2, 1), (2, 1, 1, 4)],
)
def test_convolutions(zero: int, stride: int, padding: Any, dilation: int, groups: int) -> None:
    """Where the data's zero point is not 0, taps outside of the data are no zeros to the integers."""
    x, w = integers("uint8", 1, 8, 7, 9), integers("int8", 12, 8 // groups, 3, 3)
    left, x_value = floats_of(x, 0.05, np.uint8(zero), 1)
    right, w_value = floats_of(w, RNG.uniform(0.01, 0.02, 12), np.zeros(12, "int8"), 0)
    own = {"strides": stride, "padding": padding, "dilation": dilation, "groups": groups}
    graph = graph_of(x, lambda emit, given: relax.op.nn.conv2d(emit(left(given)), emit(right(relax.const(w))), **own))
    checked(graph, convolved(x_value, w_value, stride, padding, dilation, groups))


def convolved(x: Any, w: Any, stride: int, padding: Any, dilation: int, groups: int) -> Any:
    top, left, bottom, right = (padding,) * 4 if isinstance(padding, int) else padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = 2 * dilation + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, (reach, reach), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    parts = zip(np.split(windows, groups, 1), np.split(w, groups), strict=True)
    return np.concatenate([np.einsum("nchwij,kcij->nkhw", part, own) for part, own in parts], 1)


def test_what_integers_cannot_do_stays_and_is_counted() -> None:
    """Several scales of data, and zero points of a convolution's weights."""
    x, w = integers("uint8", 1, 4, 5, 5), integers("uint8", 4, 4, 3, 3)
    weights, w_value = floats_of(w, 0.1, np.uint8(3), 0)
    for scale in (0.02, RNG.uniform(0.01, 0.02, 4)):
        data, x_value = floats_of(x, scale, np.zeros(np.shape(scale), "uint8"), 1)

        def build(emit: Emit, given: Any, data: Any = data) -> Any:
            return relax.op.nn.conv2d(emit(data(given)), emit(weights(relax.const(w))))

        narrow = checked(graph_of(x, build), convolved(x_value, w_value, 1, 0, 1, 1), products=False)
        assert any("1 product of quantised tensors computed over floats" in note for note in narrow.notes)


def test_quantising_rounds_to_even_and_ends_at_the_ends_of_the_type() -> None:
    x = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, 126.6]], "float32")
    graph = graph_of(
        x, lambda emit, y: relax.op.quantize(y, relax.const(np.float32(1)), relax.const(np.int8(1)), axis=0)
    )
    (found,) = untuned(with_integer_products(graph))(x)
    np.testing.assert_array_equal(found.numpy(), [[1, 3, 3, 1, -1, 127, -128, 127]])
    (found,) = untuned(graph_of(x, lambda emit, y: relax.op.round(y)))(x)
    np.testing.assert_array_equal(found.numpy(), np.round(x))


def test_outputs_of_eight_bits_may_be_the_next_number() -> None:
    """Only where the model computes in 8 bits."""
    found, expected = [np.array([100, 51], "uint8")], [np.array([100, 50], "uint8")]
    assert verified(found, expected, "ONNX Runtime", "int8").ok
    assert not verified(found, expected, "ONNX Runtime").ok
    assert not verified([np.array([100, 80], "uint8")], expected, "ONNX Runtime", "int8").ok
    numbers = [np.array([3])], [np.array([4])]
    assert not verified(*numbers, "ONNX Runtime", "int8").ok


def test_the_type_of_an_output_is_part_of_what_is_computed() -> None:
    ones = np.ones(3, "float32")
    assert verified([ones], [ones], "NumPy").ok
    assert not verified([ones], [ones.astype("float64")], "NumPy").ok
