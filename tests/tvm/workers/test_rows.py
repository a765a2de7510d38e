"""Sums whose loops are exchanged for the comparison with float64: bit for bit the same, and not believed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te, topi

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.workers import verify
from colt.tvm.workers.arguments import Drawing
from colt.tvm.workers.kernel import entry_function
from colt.tvm.workers.place import ThisProcess
from colt.tvm.workers.rows import in_rows
from colt.tvm.workers.verify import Verifier
from colt.tvm.workers.wide import wide_module
from tests.helpers import measure_programs as programs


def convolution() -> tvm.IRModule:
    data, filters = te.placeholder((1, 6, 6, 5), name="x"), te.placeholder((3, 3, 5, 7), name="w")
    return module_of_tensors([data, filters, topi.nn.conv2d_nhwc(data, filters, 1, 1, 1)])


def row_sums() -> tvm.IRModule:
    data, along = te.placeholder((6, 40), name="x"), te.reduce_axis((0, 40), name="k")
    return module_of_tensors([data, te.compute((6,), lambda i: te.sum(data[i, along], axis=along), name="sums")])


def computed(module: tvm.IRModule, target: Any) -> np.ndarray:
    rng, parameters = np.random.default_rng(0), entry_function(module).params
    arrays = [rng.standard_normal([int(n) for n in one.shape]).astype(str(one.dtype)) for one in parameters]
    tensors = list(map(tvm.runtime.tensor, arrays))
    tvm.tirx.build(module, target=target)["main"](*tensors)
    return tensors[-1].numpy()


@pytest.mark.parametrize("wide", [False, True])
def test_each_sum_adds_in_the_order_in_which_it_was_written(target: Any, wide: bool) -> None:
    module = wide_module(entry_function(convolution())) if wide else convolution()
    quick = in_rows(module)
    schedule = s_tir.Schedule(quick)
    block = schedule.get_sblock("conv2d_nhwc")
    innermost = schedule.get(schedule.get_loops(block)[-1])
    assert int(innermost.extent) == 7, "that along a row of the result"
    np.testing.assert_array_equal(computed(quick, target), computed(module, target))


def test_sums_along_rows_stay_as_they_are(target: Any) -> None:
    module = row_sums()
    np.testing.assert_array_equal(computed(in_rows(module), target), computed(module, target))


def test_what_disagrees_with_the_untuned_program_is_computed_as_it_was_written(
    target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TVM could exchange loops wrongly, in the candidate as well."""
    verifier, lost = Verifier(ThisProcess(target, 2, 8, 1 << 30)), programs.matmul_missing_a_term(64)
    monkeypatch.setattr(verify, "in_rows", lambda module: wide_module(entry_function(lost)))
    assert not verifier.verify(programs.matmul(64), lost, Drawing(), lambda *_: None).ok
    assert verifier.verify(programs.matmul(64), programs.scheduled_matmul(64), Drawing(), lambda *_: None).ok
