"""Transposed convolutions come phase by phase, without the zeros between the pixels, and compute the same."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx, topi
from tvm.script import tirx as T
from tvm.tirx import PrimFunc

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.nests import PlainNest, nests_of
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.phases import phases_apart
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.source import load_program
from colt.tvm.sketches import derive
from tests.helpers.transposed_programs import Transposed, asking, guarded

TARGET = resolve_target(None, 2)
PLAIN = Transposed((5, 4), (4, 4), (2, 2), (1, 1), (0, 0))
CASES = {
    "4×4, stride 2": PLAIN,
    "taps left over": Transposed((5, 4), (3, 5), (2, 2), (1, 2), (1, 1)),
    "sides left over": Transposed((5, 4), (3, 3), (2, 2), (0, 1), (0, 0)),
    "stride 3": Transposed((4, 5), (5, 3), (3, 3), (1, 0), (2, 0)),
    "phases that begin elsewhere": Transposed((4, 5), (6, 7), (3, 4), (1, 3), (0, 1)),
    "phases without taps": Transposed((4, 4), (1, 2), (3, 3), (0, 0), (2, 1)),
    "one stride": Transposed((4, 5), (3, 4), (1, 2), (1, 1), (0, 0)),
    "1-D, stride 8": Transposed((7,), (16,), (8,), (4,), (0,)),
    "3-D": Transposed((3, 2, 4), (4, 2, 3), (2, 2, 2), (1, 0, 1), (0, 0, 1), channels=3, outputs=2),
    "integers": Transposed((5, 4), (3, 4), (2, 2), (1, 1), (0, 0), dtype="int32"),
}


def function(*tensors: Any) -> PrimFunc:
    return te.create_prim_func(list(tensors))


def computed(func: PrimFunc, *inputs: Any) -> Any:
    """The last argument, whatever it held before."""
    library = tvm.tirx.build(module_of_function(func), target=TARGET)
    result = func.params[-1].ty
    output = tvm.runtime.tensor(np.full([int(n) for n in result.shape], 77, str(result.dtype)))
    library["main"](*map(tvm.runtime.tensor, inputs), output)
    return output.numpy()


def sums_of(func: PrimFunc) -> list[PlainNest]:
    nests = [PlainNest.of(stmt) for stmt in nests_of(func)]
    return [nest for nest in nests if nest is not None and nest.block.init is not None]


def products(func: PrimFunc) -> int:
    """How many terms are summed up, in all sums."""
    return sum(prod(int(loop.extent) for loop in nest.loops) for nest in sums_of(func))


def channels_last(array: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("name", CASES)
def test_phases_compute_the_same_without_the_zeros(name: str, last: bool) -> None:
    case = CASES[name]
    before = function(*guarded(case, last))
    normal = normal_form(before)
    x, f = case.arguments()
    expected = case.computed(x, f)
    found = computed(normal, channels_last(x) if last else x, f)
    np.testing.assert_array_equal(found, channels_last(expected) if last else expected)
    assert products(normal) * prod(case.stride) <= products(before) * 1.6  # sides that are left over are rounded up


@pytest.mark.parametrize("whole", [False, True], ids=["the pixel", "the product"])
@pytest.mark.parametrize("name", ["4×4, stride 2", "taps left over", "sides left over", "stride 3", "1-D, stride 8"])
def test_sums_that_ask_whether_they_meet_a_pixel(name: str, whole: bool) -> None:
    case = CASES[name]
    normal = normal_form(function(*asking(case, whole)))
    np.testing.assert_array_equal(computed(normal, *case.arguments()), case.computed(*case.arguments()))
    assert products(normal) == products(normal_form(function(*guarded(case))))


def test_a_statement_that_asks_is_a_sum_as_well() -> None:
    """As people write it in TVMScript."""

    @T.prim_func(s_tir=True)
    def written(x: T.Buffer((5, 9), "float32"), f: T.Buffer((5, 6, 4), "float32"), y: T.Buffer((6, 18), "float32")):  # type: ignore[no-untyped-def]
        for o, i, c, k in T.grid(6, 18, 5, 4):
            with T.sblock("Y"):
                vo, vi, vc, vk = T.axis.remap("SSRR", [o, i, c, k])
                with T.init():
                    y[vo, vi] = T.float32(0)
                if vi + 1 - vk >= 0 and vi + 1 - vk < 18 and (vi + 1 - vk) % 2 == 0:
                    y[vo, vi] = y[vo, vi] + x[vc, (vi + 1 - vk) // 2] * f[vc, vo, vk]

    case = Transposed((9,), (4,), (2,), (1,), (0,))
    normal = normal_form(written)
    np.testing.assert_array_equal(computed(normal, *case.arguments()), case.computed(*case.arguments()))
    assert products(normal) == 6 * 5 * 9 * 4


def test_each_pixel_meets_each_tap_once() -> None:
    normal = normal_form(function(*guarded(PLAIN)))
    assert products(normal) == prod(PLAIN.sides) * prod(PLAIN.kernel) * PLAIN.channels * PLAIN.outputs
    assert len(sums_of(normal)) == 1, "the stride divides the taps"
    uneven = CASES["taps left over"]
    assert products(normal_form(function(*guarded(uneven)))) == prod(uneven.sides) * prod(uneven.kernel) * 5 * 6


def test_sums_of_unlike_phases_take_each_filter_once() -> None:
    """Each has filters of its own, in the order in which it sums: together they are as many as there were."""
    uneven = CASES["taps left over"]
    normal = normal_form(function(*guarded(uneven)))
    dealt = [buffer for buffer in normal.body.block.alloc_buffers if "F_dealt" in str(buffer.name)]
    assert len(dealt) == len(sums_of(normal)) == 4
    assert sum(prod(map(int, buffer.ty.shape)) for buffer in dealt) == 5 * 6 * prod(uneven.kernel)


def test_earlier_editions_leave_the_zeros() -> None:
    func = function(*guarded(PLAIN))
    assert normal_form(func, 11) is func


def by_topi(kernel: int, more: int, *, bias: bool = False) -> tuple[PrimFunc, Transposed]:
    one = Transposed((5, 4), (kernel,) * 2, (2, 2), (1, 1), (more,) * 2)
    x = te.placeholder((1, 5, 5, 4), name="X")
    f = te.placeholder((5, 6, kernel, kernel), name="F")
    y = topi.nn.conv2d_transpose_nchw(x, f, (2, 2), (1, 1), "float32", (more, more))
    if not bias:
        return function(x, f, y), one
    b = te.placeholder((1, 6, 1, 1), name="B")
    return function(x, f, b, topi.nn.relu(topi.add(y, b))), one


@pytest.mark.parametrize(("kernel", "more"), [(4, 0), (3, 1), (3, 0)])
def test_dilated_then_padded(kernel: int, more: int) -> None:
    func, case = by_topi(kernel, more)
    x, f = case.arguments()
    normal = normal_form(func)
    np.testing.assert_array_equal(computed(normal, x[None], f), case.computed(x, f)[None])
    text = normal.script()
    assert "data_dilate" not in text, "the image is never spread out"
    assert "kernel_transform" not in text, "filters are turned where they are read"


@pytest.mark.parametrize(("kernel", "more"), [(4, 0), (3, 1), (3, 0)])
def test_what_follows_goes_on_in_phases(kernel: int, more: int) -> None:
    func, case = by_topi(kernel, more, bias=True)
    x, f = case.arguments()
    bias = np.arange(-3, 3, dtype=np.float32).reshape(1, 6, 1, 1)
    normal = normal_form(func)
    expected = np.maximum(case.computed(x, f)[None] + bias, 0)
    np.testing.assert_array_equal(computed(normal, x[None], f, bias), expected)
    even = not any(n % 2 for n in case.result)
    assert ("T_add_phases" in normal.script()) == even


def test_what_needs_the_result_whole_gets_it_whole() -> None:
    x, f, y = guarded(PLAIN)
    turned = te.compute(y.shape, lambda o, i, j: y[o, y.shape[1] - 1 - i, j] + 1.0, name="turned")
    normal = normal_form(function(x, f, turned))
    expected = PLAIN.computed(*PLAIN.arguments())[:, ::-1] + 1
    np.testing.assert_array_equal(computed(normal, *PLAIN.arguments()), expected)
    assert "Y_whole" in normal.script()


def test_axes_that_change_places_are_split_by_one_step_each() -> None:
    square = Transposed((6, 4), (4, 6), (2, 3), (1, 2), (0, 1))
    assert square.result == (12, 12)
    x, f, y = guarded(square)
    both = te.compute(y.shape, lambda o, i, j: y[o, i, j] + y[o, j, i], name="both")
    expected = square.computed(*square.arguments())
    found = computed(normal_form(function(x, f, both)), *square.arguments())
    np.testing.assert_array_equal(found, expected + expected.swapaxes(1, 2))


def with_sum(combine: Any) -> PrimFunc:
    """Another reduction over the same image."""
    spread = guarded(PLAIN)[2].op.input_tensors[0]
    x, f = spread.op.input_tensors[0], te.placeholder((5, 6, 4, 4), name="F")
    c, di, dj = (te.reduce_axis((0, n), name=name) for n, name in ((5, "c"), (4, "di"), (4, "dj")))
    shape = (6, *PLAIN.result)
    body = lambda o, i, j: combine(spread[c, i + di, j + dj], f[c, o, di, dj], [c, di, dj])  # noqa: E731
    return function(x, f, te.compute(shape, body, name="Y"))


def bordered() -> PrimFunc:
    """Zeros between the pixels, ones around them."""
    x = te.placeholder((9,), name="X")
    k = te.reduce_axis((0, 4), name="k")
    f = te.placeholder((4,), name="F")

    def pixel(i: Any) -> Any:
        zero, one = (tirx.const(value, "float32") for value in (0.0, 1.0))
        inner = tirx.if_then_else(tirx.floormod(i - 2, 2) == 0, x[tirx.floordiv(i - 2, 2)], zero)
        return tirx.if_then_else(tirx.all(i >= 2, i < 20), inner, one)

    spread = te.compute((22,), pixel, name="spread")
    return function(x, f, te.compute((19,), lambda i: te.sum(spread[i + k] * f[k], axis=k), name="Y"))


def placed() -> PrimFunc:
    """Each term asks whether it meets a pixel, of an image that is another one for each tap."""
    x, f = te.placeholder((9, 4), name="X"), te.placeholder((4,), name="F")
    k, zero = te.reduce_axis((0, 4), name="k"), tirx.const(0.0, "float32")

    def sums(i: Any) -> Any:
        number = i + 1 - k
        there = tirx.all(number >= 0, number < 18, tirx.floormod(number, 2) == 0)
        return te.sum(tirx.if_then_else(there, x[tirx.floordiv(number, 2), k], zero) * f[k], axis=k)

    return function(x, f, te.compute((18,), sums, name="Y"))


LOOK_ALIKES = {
    "ones between the pixels": lambda: function(*guarded(PLAIN, fill=1.0)),
    "pairs of pixels": lambda: function(*guarded(PLAIN, every=lambda a, s: tirx.floormod(a, 2 * s) < s)),
    "all but every second": lambda: function(*guarded(PLAIN, every=lambda a, s: tirx.floormod(a, s) != 5)),
    "a maximum": lambda: with_sum(lambda x, f, axes: te.max(x * f, axis=axes)),
    "sums of sums": lambda: with_sum(lambda x, f, axes: te.sum(x + f, axis=axes)),
    "exponentials": lambda: with_sum(lambda x, f, axes: te.sum(te.exp(x) * f, axis=axes)),
    "ones around the image": bordered,
    "filters of the place": placed,
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_stay(name: str) -> None:
    func = LOOK_ALIKES[name]()
    assert phases_apart(func) is func


def test_a_stride_of_the_sum_that_the_gaps_divide_stays() -> None:
    """Every second element of an image with every second element zero: all taps of a row meet pixels, or none does."""
    spread = guarded(PLAIN)[2].op.input_tensors[0]
    x, f = spread.op.input_tensors[0], te.placeholder((5, 4), name="F")
    c, k = te.reduce_axis((0, 5), name="c"), te.reduce_axis((0, 4), name="k")
    y = te.compute((4, 4), lambda i, j: te.sum(spread[c, 2 * i + k, 2 * j] * f[c, k], axis=[c, k]), name="Y")
    func = function(x, f, y)
    assert phases_apart(func) is func


def test_a_convolution_with_holes_meets_pixels_too() -> None:
    """Taps three apart meet every second element as taps next to each other do."""
    x, f = te.placeholder((9,), name="X"), te.placeholder((4,), name="F")
    zero = tirx.const(0.0, "float32")
    spread = te.compute(
        (18,), lambda i: tirx.if_then_else(tirx.floormod(i, 2) == 0, x[tirx.floordiv(i, 2)], zero), name="spread"
    )
    k = te.reduce_axis((0, 4), name="k")
    func = function(x, f, te.compute((9,), lambda i: te.sum(spread[i + 3 * k] * f[k], axis=k), name="Y"))
    normal = normal_form(func)
    image, filters = np.arange(9, dtype=np.float32), np.array([1, -2, 3, 5], np.float32)
    assert products(normal) == 5 * 2 * 2, "two taps for each element, sides rounded up"
    np.testing.assert_array_equal(computed(normal, image, filters), computed(func, image, filters))


def test_the_sum_is_a_contraction_for_sketches() -> None:
    program = load_program(function(*guarded(Transposed((6, 16), (4, 4), (2, 2), (1, 1), (0, 0), 16, 32))))
    assert program.given is not None
    designs, messages = derive(program.module, TARGET)
    assert messages == []
    assert any("Y in rows of" in design.summary for design in designs)
