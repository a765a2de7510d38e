"""The held-out programs compute what their numpy references say, and are listed apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.arrays import numpy_dtype
from colt.tvm.programs.workloads import Role
from colt.tvm.programs.workloads.held_out import gru_cell, l1_distance, layer_norm, separable_conv
from colt.tvm.workers.arguments import Parameter, random_array
from colt.tvm.workers.compare import compare

NAMES = workloads.names("held-out")
OPERATIONS = {  # worked out by hand
    "matmul-nt": 2 * 512 * 512 * 512,
    "matmul-tn": 2 * 384 * 640 * 512,
    "matmul-prime": 2 * 331 * 251 * 509,
    "gemv": 2 * 2048 * 2048,
    "batch-matmul-epilogue": 2 * 8 * 192 * 192 * 192,
    "separable-conv": 2 * 128 * 28 * 28 * 9 + 2 * 128 * 128 * 28 * 28,
    "layer-norm": 8 * 512 * 768,
    "group-norm": 7 * 256 * 1024,
    "gru-cell": 2 * 32 * 512 * 1536 + 2 * 32 * 512 * 1536,
    "l1-distance": 3 * 256 * 256 * 128,
    "column-logsumexp": 3 * 1024 * 512,
    "matmul-int8": 2 * 384 * 384 * 512,
}


def inputs_of(name: str) -> list[Any]:
    arguments = [a for a in workloads.get(name).arguments("small") if a.role is Role.INPUT]
    return [random_array(Parameter(a.shape, a.dtype), number, 7) for number, a in enumerate(arguments)]


def test_there_are_twelve_and_none_is_a_main_workload() -> None:
    assert len(NAMES) == 12
    assert not set(NAMES) & set(workloads.names())
    assert set(workloads.GROUPS) == {"main", "low-precision", "held-out"}


@pytest.mark.parametrize("name", NAMES)
def test_the_program_agrees_with_its_reference(name: str) -> None:
    workload, inputs = workloads.get(name), inputs_of(name)
    *before, output = workload.arguments("small")
    assert [argument.role for argument in before] == [Role.INPUT] * len(before)
    assert output.role is Role.OUTPUT
    want = workload.reference([array.copy() for array in inputs])
    assert (want.shape, want.dtype) == (output.shape, numpy_dtype(output.dtype))
    library = tvm.tirx.build(workload.build("small"), target=resolve_target(None, 1))
    out = tvm.runtime.tensor(np.zeros(output.shape, output.dtype))
    library["main"](*map(tvm.runtime.tensor, inputs), out)
    assert compare(np.ascontiguousarray(want), out.numpy()).problem == ""
    assert np.abs(want).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_references_leave_their_inputs_alone(name: str) -> None:
    inputs = inputs_of(name)
    copies = [array.copy() for array in inputs]
    workloads.get(name).reference(inputs)
    for array, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_one_size_and_counts_its_operations(name: str) -> None:
    workload = workloads.get(name)
    assert (workload.name, tuple(workload.sizes)) == (name, ("small",))
    assert workload.flops("small") == OPERATIONS[name]


def test_a_layer_norm_has_rows_of_mean_0_and_deviation_1() -> None:
    workload = workloads.get("layer-norm")
    shape = layer_norm.LayerNormShape(rows=3, columns=50)
    x, scale, shift = (np.random.default_rng(0).standard_normal((3, 50)), np.ones(50), np.zeros(50))
    y = workload.reference([x * 5 + 2, scale, shift])
    assert y.shape == (shape.rows, shape.columns)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=1), 1, atol=1e-4)


def test_a_gru_keeps_its_state_where_the_update_gate_is_open() -> None:
    batch, hidden = 2, 3
    shape = gru_cell.GruCellShape(batch=batch, inputs=4, hidden=hidden)
    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((batch, shape.inputs)), rng.standard_normal((batch, hidden))
    w, u = rng.standard_normal((3 * hidden, shape.inputs)), rng.standard_normal((3 * hidden, hidden))
    open_gate = np.repeat([0.0, 100.0, 0.0], hidden)
    np.testing.assert_allclose(gru_cell.compute(x, h, w, u, open_gate, 0 * open_gate), h, atol=1e-9)


def test_an_l1_distance_is_that_of_rows() -> None:
    a, b = np.array([[1.0, 2.0]]), np.array([[0.0, 4.0], [1.0, 2.0]])
    np.testing.assert_array_equal(l1_distance.compute(a, b), [[3.0, 0.0]])


def test_a_separable_conv_pads_with_zeros() -> None:
    x, d, p = np.ones((1, 3, 3)), np.ones((1, 3, 3)), np.full((2, 1), 2.0)
    y = separable_conv.compute(x, d, p)
    np.testing.assert_array_equal(y[0], [[8, 12, 8], [12, 18, 12], [8, 12, 8]])


def test_they_have_no_paper_size() -> None:
    with pytest.raises(InputError, match="gemv has no size 'paper'; it has small"):
        workloads.get("gemv").build("paper")
