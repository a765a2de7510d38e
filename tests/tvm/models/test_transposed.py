"""Transposed convolutions of models have code in any layout, and come phase by phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.tirx import PrimFunc

from colt.tvm.devices.host import resolve_target
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.transposed import rules
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.program import module_of_function

torch = pytest.importorskip("torch")
TARGET = resolve_target(None, 2)


def lowered(operator: Any, x: Any, f: Any, **attributes: Any) -> PrimFunc:
    """The function that the operator becomes."""
    builder = relax.BlockBuilder()
    data, filters = (relax.Var(name, relax.TensorType(one.shape, "float32")) for name, one in (("x", x), ("f", f)))
    with builder.function("main", [data, filters]):
        builder.emit_func_output(builder.emit(operator(data, filters, **attributes)))
    module = relax.transform.LegalizeOps(rules())(builder.get())
    (function,) = (one for one in module.functions.values() if isinstance(one, PrimFunc))
    return function


def computed(function: PrimFunc, *inputs: Any) -> Any:
    shape = [int(extent) for extent in function.params[-1].ty.shape]
    output = tvm.runtime.tensor(np.full(shape, np.nan, np.float32))
    library = tvm.tirx.build(module_of_function(function), target=TARGET)
    library["main"](*map(tvm.runtime.tensor, inputs), output)
    return output.numpy()


def whole_numbers(*shape: int) -> Any:
    return np.random.default_rng(0).integers(-4, 5, shape).astype(np.float32)


CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1-D": ((2, 5, 7), (5, 4, 6), {"strides": 3, "padding": (2, 1), "output_padding": 1}),
    "2-D": ((1, 5, 4, 5), (5, 3, 3, 4), {"strides": (2, 3), "padding": (1, 0, 1, 0), "output_padding": (1, 2)}),
    "groups": ((1, 6, 4, 5), (6, 2, 4, 4), {"strides": (2, 2), "padding": (1, 1), "groups": 3}),
    "dilated": ((1, 3, 4, 5), (3, 2, 3, 3), {"strides": (2, 2), "dilation": (3, 2)}),
    "3-D": ((1, 3, 2, 3, 4), (3, 2, 4, 3, 2), {"strides": (2, 2, 2), "padding": (1, 0, 0)}),
}
OPERATORS = (None, relax.op.nn.conv1d_transpose, relax.op.nn.conv2d_transpose, relax.op.nn.conv3d_transpose)
TORCH = (None, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_pytorch_computes(name: str, last: bool) -> None:
    data, filters, attributes = CASES[name]
    x, f, dimensions = whole_numbers(*data), whole_numbers(*filters), len(data) - 2
    letters = "DHW"[-dimensions:]
    padding = attributes.get("padding", (0,) * dimensions)
    front, back = padding[:dimensions], padding[-dimensions:]
    common = {"groups": attributes.get("groups", 1), "dilation": attributes.get("dilation", 1)}
    more = attributes.get("output_padding", 0)
    whole = TORCH[dimensions](
        torch.from_numpy(x), torch.from_numpy(f), stride=attributes["strides"], output_padding=more, **common
    ).numpy()
    expected = whole[(..., *(slice(a, n - b) for a, b, n in zip(front, back, whole.shape[2:], strict=True)))]
    layouts = {"data_layout": f"N{letters}C" if last else f"NC{letters}", "kernel_layout": f"IO{letters}"}
    if last:
        x, expected = (np.ascontiguousarray(np.moveaxis(one, 1, -1)) for one in (x, expected))
    function = lowered(OPERATORS[dimensions], x, f, **attributes, **layouts)
    np.testing.assert_array_equal(computed(function, x, f), expected)
    normal = normal_form(function)
    np.testing.assert_array_equal(computed(normal, x, f), expected)
    assert "_close" in normal.script(), "no zeros between the pixels are left"


def test_between_convolutions_with_channels_last() -> None:
    """TVM turns the layout of transposed convolutions, too, but has no code for it."""
    builder = relax.BlockBuilder()
    shapes = {"x": (1, 8, 6, 6), "f": (16, 8, 3, 3), "g": (16, 4, 4, 4)}
    x, f, g = (relax.Var(name, relax.TensorType(shape, "float32")) for name, shape in shapes.items())
    with builder.function("main", [x, f, g]):
        with builder.dataflow():
            first = builder.emit(relax.op.nn.relu(relax.op.nn.conv2d(x, f, padding=(1, 1))))
            second = relax.op.nn.conv2d_transpose(first, g, strides=(2, 2), padding=(1, 1))
            result = builder.emit_output(relax.op.nn.relu(builder.emit(second)))
        builder.emit_func_output(result)
    functions = fused(builder.get(), TARGET, CHANNELS_LAST).functions
    names = [variable.name_hint for variable in functions]
    assert any("conv2d_transpose" in name and "relu" in name for name in names), "what follows is fused into it"
    (name,) = (name for name in names if "conv2d_transpose" in name)
    function = functions[next(variable for variable in functions if variable.name_hint == name)]
    assert [int(extent) for extent in function.params[-1].ty.shape] == [1, 12, 12, 4]
