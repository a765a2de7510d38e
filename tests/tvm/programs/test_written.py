"""Loops written by hand: schedules decide about them as if they had been written as blocks."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tvm

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.nests import PlainNest, nests_of
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers.operators import written
from tests.helpers.operators.case import Case

TARGET = resolve_target(None, 2)
CASES = written.CASES
TOGETHER = {
    "what_the_turn_before_wrote",
    "what_the_next_turn_overwrites",
    "a_scratch_value_that_is_carried_on",
}
"""A statement needs what others have done in other turns."""


def assert_right(case: Case, module: Any) -> None:
    before = case.arguments([(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in module["main"].params])
    tensors = [tvm.runtime.tensor(array) for array in before]
    tvm.tirx.build(module, target=TARGET)["main"](*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


@pytest.mark.parametrize("name", CASES)
def test_the_normal_form_and_its_sketches_compute_what_numpy_does(name: str) -> None:
    module = load_program(CASES[name].program).module
    assert_right(CASES[name], module)
    space = TvmSpace.generated(module, TARGET)
    for sketch in (space.sketches[0], space.sketches[-1]):
        assert_right(CASES[name], space.module(space.sample(random.Random(0), sketch)))


@pytest.mark.parametrize("name", sorted(set(CASES) - TOGETHER))
def test_each_statement_is_a_block_in_plain_loops(name: str) -> None:
    nests = [PlainNest.of(stmt) for stmt in nests_of(load_program(CASES[name].program).module["main"])]
    assert nests
    assert all(nest is not None and nest.block.body.__class__.__name__ == "BufferStore" for nest in nests)


@pytest.mark.parametrize("name", ["product_in_one_block", "blocks_under_shared_loops", "product_tiled_by_hand"])
def test_a_product_gets_register_tiles_however_its_loops_are_written(name: str) -> None:
    space = TvmSpace.generated(load_program(CASES[name].program).module, TARGET)
    assert " x vectors of " in space.sketches[0].summary


@pytest.mark.parametrize("name", sorted(set(CASES) - TOGETHER))
def test_recorded_programs_keep_their_form(name: str) -> None:
    function = CASES[name].program
    assert normal_form(function, 5).script() != normal_form(function).script()
