"""Convolutions in Winograd's form: they compute what they computed, and their products are tiled as any others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, topi

from colt.tvm.devices.host import resolve_target
from colt.tvm.forms import winograd_forms
from colt.tvm.forms.transforms import data_transform, filter_transform, result_transform
from colt.tvm.programs.constants import PACK, PACKED, split, with_constants
from colt.tvm.programs.program import fingerprint, module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.source import Program, load_program
from colt.tvm.sketches.structured import derive

TARGET = resolve_target(None, 2)
OFF = {2: 1e-6, 4: 1e-5}
"""The share of the largest result by which sums of each tile may be off here."""


@dataclass(frozen=True)
class Case:
    """A convolution with channels last, and what is done to its sums."""

    height: int = 8
    width: int = 8
    depth: int = 16
    channels: int = 16
    images: int = 1
    padding: int | tuple[int, ...] = 1
    stride: int = 1
    dilation: int = 1
    taps: int = 3
    dtype: str = "float32"
    finish: str = ""
    constant: bool = True

    def program(self) -> Program:
        data = te.placeholder((self.images, self.height, self.width, self.depth), self.dtype, name="x")
        filters = te.placeholder((self.taps, self.taps, self.depth, self.channels), self.dtype, name="w")
        bias = te.placeholder((self.channels,), self.dtype, name="b")
        sums = topi.nn.conv2d_nhwc(data, filters, self.stride, self.padding, self.dilation, out_dtype=self.dtype)
        inputs = [data, filters]
        if self.finish:
            inputs.append(bias)
            sums = topi.add(sums, bias)
        if self.finish == "residual":
            other = te.placeholder(sums.shape, self.dtype, name="r")
            inputs.append(other)
            sums = topi.add(sums, other)
        if self.finish:
            sums = topi.nn.relu(sums) if self.finish != "gelu" else sums * topi.sigmoid(sums)
        module = module_of_tensors([*inputs, sums])
        module = tvm.IRModule({"main": module["main"].without_attr("layout_free_buffers")})
        names = [tensor.op.name for tensor in (filters, bias) if tensor in inputs] if self.constant else []
        return load_program(with_constants(module, names, arguments_of(module["main"])))


def arrays(program: Program) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(argument.shape).astype(argument.dtype) for argument in program.arguments]


def left_by(module: tvm.IRModule, given: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """What the module writes to its last argument."""
    tensors = [tvm.runtime.tensor(array) for array in given]
    tvm.tirx.build(module, target=TARGET)["main"](*tensors)
    return np.asarray(tensors[-1].numpy())


def off(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("tile", [2, 4])
def test_its_transforms_compute_neighbouring_results_of_a_filter(tile: int) -> None:
    rng = np.random.default_rng(tile)
    data, taps = rng.standard_normal(tile + 2), rng.standard_normal(3)
    factors = zip(data_transform(tile)(data), filter_transform(tile)(taps), strict=True)
    found = result_transform(tile)([a * b for a, b in factors])
    np.testing.assert_allclose(found, [data[i : i + 3] @ taps for i in range(tile)], rtol=1e-12)


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(height=7, width=9, depth=8, channels=24, finish="bias"),
        Case(height=5, width=6, padding=0, images=2, depth=32, finish="residual"),
        Case(height=6, width=5, padding=(0, 1, 2, 0), channels=4, depth=20, finish="gelu"),
        Case(height=3, width=3, padding=0, depth=4),
    ],
    ids=str,
)
def test_it_computes_what_the_convolution_computes(case: Case) -> None:
    program = case.program()
    given = arrays(program)
    expected = left_by(program.module, given)
    forms = winograd_forms(program)
    assert [form.form for form in forms] == ["F(2x2, 3x3)", "F(4x4, 3x3)"]
    for form, tile in zip(forms, OFF, strict=True):
        assert off(left_by(form.module, given), expected) < OFF[tile]
        assert form.arguments == program.arguments
        assert fingerprint(form.given) == fingerprint(program.given or program.module)
        assert form.flops is not None
        assert program.flops is not None
        assert form.module["main"].attrs["colt.constants"] == program.module["main"].attrs["colt.constants"]


def test_it_takes_fewer_products() -> None:
    """2.25 and 4 times fewer where tiles fill the results."""
    program = Case(height=8, width=8, depth=16, channels=32).program()
    direct = 2 * 8 * 8 * 9 * 16 * 32
    assert [direct / form.flops for form in winograd_forms(program) if form.flops] == [2.25, 4.0]


@pytest.mark.parametrize(
    "case",
    [
        Case(stride=2),
        Case(dilation=2),
        Case(taps=1, padding=0),
        Case(taps=5),
        Case(dtype="float16"),
        Case(constant=False),
        Case(depth=3),
        Case(channels=18),
    ],
    ids=str,
)
def test_other_convolutions_have_no_such_form(case: Case) -> None:
    assert winograd_forms(case.program()) == []


def test_other_programs_have_none() -> None:
    for name in ("matmul", "gemv", "softmax-odd"):
        assert winograd_forms(load_program(name)) == []


def depthwise() -> tvm.IRModule:
    data, filters = te.placeholder((1, 8, 8, 16), name="x"), te.placeholder((3, 3, 16, 1), name="w")
    return module_of_tensors([data, filters, topi.nn.depthwise_conv2d_nhwc(data, filters, 1, 1, 1)])


def pooled() -> tvm.IRModule:
    """A convolution whose sums are summed again."""
    data, filters = te.placeholder((1, 8, 8, 16), name="x"), te.placeholder((3, 3, 16, 16), name="w")
    return module_of_tensors([data, filters, topi.sum(topi.nn.conv2d_nhwc(data, filters, 1, 1, 1), axis=(1, 2))])


@pytest.mark.parametrize("make", [depthwise, pooled])
def test_what_only_looks_like_a_convolution_has_none(make: Callable[[], tvm.IRModule]) -> None:
    module = make()
    program = load_program(with_constants(module, ["w"], arguments_of(module["main"])))
    assert winograd_forms(program) == []


@pytest.mark.parametrize(("channels", "variants"), [(16, {"plain"}), (128, {"plain", "panels"})])
def test_products_are_tiled_and_filters_transformed_ahead(channels: int, variants: set[str]) -> None:
    program = Case(height=6, width=6, channels=channels, finish="bias").program()
    given = arrays(program)
    expected = left_by(program.module, given)
    form = winograd_forms(program)[1]
    designs, messages = derive(form.module, TARGET)
    assert not messages
    assert {design.variant for design in designs} >= variants
    for design in designs:
        schedule = tvm.s_tir.Schedule(form.module)
        design.trace.apply_to_schedule(schedule, remove_postproc=False)
        parts = split(schedule.mod)
        assert parts is not None
        assert [str(form.module["main"].params[number].name) for number in parts.constants] == ["w"]
        assert "w" not in {str(form.module["main"].params[number].name) for number in parts.rest}
        library = tvm.tirx.build(parts.module(PACK, PACKED), target=TARGET)
        tensors = [tvm.runtime.tensor(array) for array in given]
        between = [tvm.runtime.empty(shape, dtype) for shape, dtype in parts.between]
        library[PACK](*(tensors[number] for number in parts.constants), *between)
        library[PACKED](*(tensors[number] for number in parts.rest), *between)
        assert off(tensors[-1].numpy(), expected) < OFF[4]
