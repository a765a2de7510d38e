"""Reductions of several results that TVM does not know are taken in the lanes of vectors."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tvm
from tvm import te, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.choices import choices_in_lanes
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers.odd_programs import awkward_pairs
from tests.helpers.operators.case import Case
from tests.helpers.operators.reported import largest_of, nothing_yet

TARGET = resolve_target(None, 2)


def largest(columns: int) -> Any:
    x, k = te.placeholder((40, columns), name="x"), te.reduce_axis((0, columns), name="k")
    reduce = te.comm_reducer(largest_of, nothing_yet, name="argmax")
    at, best = te.compute((40,), lambda i: reduce((tirx.Cast("int32", k.var), x[i, k]), axis=k), name="best")
    return te.create_prim_func([x, at, best])


def assert_right(module: Any) -> None:
    """With many equal elements, so that what breaks ties matters."""
    case = Case(None, lambda x, at, best: [x.argmax(1), x.max(1)])
    before = case.arguments([(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in module["main"].params])
    before[0] = before[0].round(0)
    tensors = [tvm.runtime.tensor(array) for array in before]
    tvm.tirx.build(module, target=TARGET)["main"](*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


@pytest.mark.parametrize("columns", [64, 100])
def test_choices_in_lanes_are_right_and_so_are_their_sketches(columns: int) -> None:
    """Whole vectors, and some terms left over."""
    function = largest(columns)
    assert normal_form(function, 5).script() != normal_form(function).script()
    module = load_program(function).module
    assert_right(module)
    space = TvmSpace.generated(module, TARGET)
    scheduled = [space.module(space.sample(random.Random(0), sketch)) for sketch in space.sketches[:2]]
    for one in scheduled:
        assert_right(one)
    assert "T.vectorized(" in scheduled[0].script()


def test_what_tvm_knows_is_left_to_it() -> None:
    function = awkward_pairs()
    assert choices_in_lanes(function).same_as(function)
