"""Sketches that read constants in panels, which are made ahead of all calls."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, topi

from colt.knobs import EDITION
from colt.tvm.devices.host import resolve_target, vector_bits
from colt.tvm.programs.constants import PACK, PACKED, split, with_constants
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.sketches.structured import derive
from colt.tvm.sketches.structured.designs import PADDED_PANELS, PANELS
from colt.tvm.sketches.structured.tiles import MAX_VECTORS
from colt.tvm.space.space import TvmSpace

TARGET = resolve_target(None, 2)
WIDTH = MAX_VECTORS * vector_bits(TARGET) // 32
COLUMNS = 2 * WIDTH
DEPTH, SIZE = 8, 6


def convolution(window: int = 3, constant: bool = True, columns: int = COLUMNS, size: int = SIZE) -> tvm.IRModule:
    """With channels last, a bias and a relu; weights and bias are constant."""
    x = te.placeholder((1, size, size, DEPTH), name="x")
    w = te.placeholder((window, window, DEPTH, columns), name="w")
    bias = te.placeholder((columns,), name="bias")
    y = topi.nn.relu(topi.add(topi.nn.conv2d_nhwc(x, w, 1, window // 2, 1), bias))
    module = module_of_tensors([x, w, bias, y])
    module = tvm.IRModule({"main": module["main"].without_attr("layout_free_buffers")})
    return with_constants(module, ["w", "bias"], arguments_of(module["main"])) if constant else module


def in_panels(module: tvm.IRModule, edition: int = EDITION) -> list[str]:
    return [str(design.summary) for design in derive(module, TARGET, edition=edition)[0] if design.variant == PANELS]


def test_the_epilogue_stays_with_the_sum() -> None:
    """Its columns are in panels too."""
    (found,) = in_panels(convolution())
    assert "compute in parallel tiles of v0·v2·v3·v4 with conv2d_nhwc inside" in found
    assert in_panels(convolution(), edition=9) == []


def test_the_larger_operand_is_read_once() -> None:
    """Each panel for all points if the weights are larger, each point for all panels if there are more of these."""
    for size, order in ((8, "v0·v2·v3·v4"), (32, "v1·v2·v3·v4")):
        (found,) = in_panels(convolution(window=1, size=size))
        assert f"compute in parallel tiles of {order} with" in found


@pytest.mark.parametrize(
    "module", [convolution(constant=False), convolution(columns=WIDTH), convolution(columns=WIDTH + 16)]
)
def test_other_programs_have_none(module: tvm.IRModule) -> None:
    """Nothing is constant, or it makes one panel, or panels and a rest."""
    assert in_panels(module) == []


def test_what_tvm_lays_out_itself_has_none() -> None:
    """It gets operands wrong that are copied already."""
    module = convolution()
    assert in_panels(tvm.IRModule({"main": module["main"].with_attr("layout_free_buffers", [1])})) == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("window", [1, 3])
def test_panels_are_made_ahead_and_read(seed: int, window: int) -> None:
    rng = np.random.default_rng(0)
    shapes = (1, SIZE, SIZE, DEPTH), (window, window, DEPTH, COLUMNS), (COLUMNS,)
    x, w, bias = (rng.standard_normal(shape).astype("float32") for shape in shapes)
    space = TvmSpace.generated(convolution(window), TARGET)
    (sketch,) = [one for one in space.sketches if one.variant == PANELS]
    parts = split(space.module(space.sample(random.Random(seed), sketch)))
    assert parts is not None
    assert parts.between == (((2, window, window, DEPTH, WIDTH), "float32"),)
    library = tvm.tirx.build(parts.module(PACK, PACKED), target=TARGET)
    panels = tvm.runtime.empty(parts.between[0][0], "float32")
    library[PACK](tvm.runtime.tensor(w), panels)
    expected = w.reshape(window, window, DEPTH, 2, WIDTH).transpose(3, 0, 1, 2, 4)
    np.testing.assert_array_equal(panels.numpy(), expected)
    found = tvm.runtime.empty((1, SIZE, SIZE, COLUMNS), "float32")
    library[PACKED](*map(tvm.runtime.tensor, (x, bias)), found, panels)
    np.testing.assert_allclose(found.numpy(), computed(x, w, bias), rtol=1e-4, atol=1e-4)


def computed(x: Any, w: Any, bias: Any) -> Any:
    around = len(w) // 2
    padded = np.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[:2], (1, 2))
    return np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, w) + bias, 0)


def test_an_operand_that_is_not_padded_is_read_where_it_is() -> None:
    """TVM writes a copy of it in front of every convolution, padded or not."""
    for window, edition, copied in ((3, EDITION, True), (1, EDITION, False), (1, 9, True)):
        design, *_ = derive(convolution(window), TARGET, edition=edition)[0]
        assert design.summary is not None
        assert ("pad_temp" in design.summary) is copied


@pytest.mark.parametrize(("rows", "edition", "padded"), [(37, EDITION, True), (37, 15, False), (32, EDITION, False)])
def test_rows_are_padded_beside_panels_where_they_divide_badly(rows: int, edition: int, padded: bool) -> None:
    x, w = te.placeholder((rows, 128), name="x"), te.placeholder((128, COLUMNS), name="w")
    module = module_of_tensors([x, w, topi.nn.relu(topi.nn.matmul(x, w))])
    module = tvm.IRModule({"main": module["main"].without_attr("layout_free_buffers")})
    module = with_constants(module, ["w"], arguments_of(module["main"]))
    designs, messages = derive(module, TARGET, edition=edition)
    assert messages == []
    assert any(one.variant == PADDED_PANELS for one in designs) is padded
