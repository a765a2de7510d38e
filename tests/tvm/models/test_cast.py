"""Products of narrower numbers: what is rounded, what is not, and what comes out."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import tvm
from tvm import relax

from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.tasks import tasks_of

TARGET = resolve_target(None, 2)
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 8, 6, 6)).astype("float32")
WEIGHTS = [RNG.standard_normal(shape).astype("float32") / 4 for shape in ((8, 8, 1, 1), (8, 1, 3, 3), (8, 8, 1, 1))]


def block() -> tvm.IRModule:
    """A convolution, a depthwise one, and another one that the first one's result is added to."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType(IMAGE.shape, "float32"))
    first, depthwise, last = map(relax.const, WEIGHTS)
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(x, first)))
            z = builder.emit(relax.op.nn.conv2d(y, depthwise, padding=1, groups=8))
            z = builder.emit(relax.op.nn.conv2d(relax.op.nn.relu(z), last))
            output = builder.emit_output(relax.op.concat([relax.op.add(z, y), y], axis=1))
        builder.emit_func_output(output)
    return builder.get()


def narrow(array: Any) -> Any:
    return array.astype(ml_dtypes.bfloat16).astype("float32")


def computed(products: str | None) -> Any:
    module = fused(block(), TARGET, CHANNELS_LAST, products)
    assembled = assemble(module, tasks_of(module), {}, TARGET)
    (found,) = ModelLibrary(write_library(assembled.executable), assembled.weights, 2, assembled.outputs)(IMAGE)
    return found.numpy()


def expected(rounded: Any) -> Any:
    """The block in float64, with operands of products, and what else reads them, rounded so."""
    first, depthwise, last = WEIGHTS
    y = np.maximum(np.einsum("nchw,kc->nkhw", rounded(IMAGE), rounded(first)[:, :, 0, 0], dtype="float64"), 0)
    padded = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    z = np.maximum(np.einsum("nchwij,cij->nchw", windows, depthwise[:, 0]), 0)
    z = np.einsum("nchw,kc->nkhw", rounded(z.astype("float32")), rounded(last)[:, :, 0, 0])
    return np.concatenate([z + y, y], axis=1)


def test_operands_are_rounded_and_nothing_else() -> None:
    """Were sums or what is added in bfloat16, too, the error would be a hundred times as large."""
    np.testing.assert_allclose(computed("bfloat16"), expected(narrow), rtol=1e-3, atol=1e-3)
    assert np.abs(computed("bfloat16") - expected(lambda array: array)).max() > 2e-3
    np.testing.assert_allclose(computed(None), expected(lambda array: array), rtol=1e-5, atol=1e-5)


def test_constants_are_rounded_ahead_and_a_tensor_is_moved_narrow() -> None:
    module = fused(block(), TARGET, CHANNELS_LAST, "bfloat16")
    moved = [task.module["main"] for task in tasks_of(module) if "conv2d" in task.name]
    types = [[str(param.ty.dtype) for param in function.params] for function in moved]
    assert types[0] == ["bfloat16", "bfloat16", "float32"], "image, weights, result, which the depthwise one reads"
    assert types[1] == ["float32", "float32", "bfloat16"], "the depthwise one, and the cast to what is next"
    assert types[2][:2] == ["bfloat16", "bfloat16"]


def test_what_several_read_is_written_once_and_narrow() -> None:
    """A product and a sum read the same tensor: it is of bfloat16, and both functions read that."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((16, 16), "float32"))
    weight = relax.const(RNG.standard_normal((16, 16)).astype("float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.nn.relu(relax.op.matmul(x, weight)))
            output = builder.emit_output(relax.op.add(relax.op.matmul(y, weight), y))
        builder.emit_func_output(output)
    module = fused(builder.get(), TARGET, None, "bfloat16")
    types = [[str(one.ty.dtype) for one in task.module["main"].params] for task in tasks_of(module)]
    assert types == [["float32", "bfloat16"], [*["bfloat16"] * 3], ["bfloat16", "bfloat16", "float32"]]


def test_whole_numbers_and_other_types_stay() -> None:
    for dtype in ("int32", "float64", "float16"):
        builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((4, 4), dtype))
        with builder.function("main", [x]):
            with builder.dataflow():
                output = builder.emit_output(relax.op.matmul(x, x))
            builder.emit_func_output(output)
        (task,) = tasks_of(fused(builder.get(), TARGET, None, "bfloat16"))
        assert {str(param.ty.dtype) for param in task.module["main"].params} == {dtype}
