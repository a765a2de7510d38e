"""The held-out programs compute what their numpy references say, and are listed apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm

from colt.bench.remeasure import _inputs
from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.arrays import numpy_dtype
from colt.tvm.programs.workloads import Role
from colt.tvm.programs.workloads.held_out import gru_cell, l1_distance, layer_norm, separable_conv
from colt.tvm.workers.compare import compare

NAMES = (*workloads.names("held-out"), *workloads.names("held-out-low"))
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
    "matmul-u8s8-prime": 2 * 251 * 337 * 509,
    "int8-dilated-conv": 2 * 9 * 23 * 23 * 96 * 80,
    "requantise": 3 * 509 * 1000,
    "bf16-gated-mlp": 6 * 48 * 448 * 1152,
    "bf16-layer-norm": 8 * 389 * 1000,
    "fp16-matmul": 2 * 200 * 600 * 440,
    "int4-gemv-by-columns": 2 * 1536 * 2304,
    "softmax-odd": 5 * 333 * 1023,
    "int8-attention-scores": 2 * 6 * 200 * 248 * 64,
    "transposed-conv": 2 * 16 * 64 * 48 * 17 * 19,
    "causal-conv1d": 2 * 4 * 1021 * 768,
    "fp16-row-norms": 2 * 1009 * 1021,
}


def inputs_of(name: str) -> list[Any]:
    return _inputs(workloads.get(name).arguments("small"))


def test_there_are_twelve_of_both_kinds_and_none_is_a_main_workload() -> None:
    assert len(workloads.names("held-out")) == len(workloads.names("held-out-low")) == 12
    assert not set(NAMES) & {*workloads.names(), *workloads.names("low-precision")}
    assert set(workloads.GROUPS) == {"main", "low-precision", "held-out", "held-out-low"}


@pytest.mark.parametrize("name", NAMES)
def test_the_program_agrees_with_its_reference(name: str) -> None:
    workload, inputs = workloads.get(name), inputs_of(name)
    *before, output = workload.arguments("small")
    assert all(argument.role is Role.INPUT for argument in before)
    assert output.role is Role.OUTPUT
    want = workload.reference([array.copy() for array in inputs])
    assert (want.shape, want.dtype) == (output.shape, numpy_dtype(output.dtype))
    library = tvm.tirx.build(workload.build("small"), target=resolve_target(None, 1))
    out = tvm.runtime.tensor(np.zeros(output.shape, numpy_dtype(output.dtype)))
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
