"""Loops written by hand: schedules decide about them as if they had been written as blocks."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tvm

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.nests import PlainNest, nests_of
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.source import Program, load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers.operators import written
from tests.helpers.operators.case import Case

TARGET = resolve_target(None, 2)
CASES = written.CASES
APART = (
    "product_in_one_block",
    "softmax_in_one_block",
    "blocks_under_shared_loops",
    "row_norms",
    "product_tiled_by_hand",
    "loops_fused_by_hand",
    "last_piece_cut_off",
)
"""Each statement is a block of its own."""
SERIAL = {
    "what_the_turn_before_wrote",
    "what_the_next_turn_overwrites",
    "a_scratch_value_that_is_carried_on",
    "overlapping_rows",
    "three_turns_before",
}
"""Turns need what others have done; all other programs run in parallel."""


def program(name: str) -> Program:
    return load_program(CASES[name].program)


def assert_right(case: Case, module: Any) -> None:
    before = case.arguments([(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in module["main"].params])
    tensors = [tvm.runtime.tensor(array) for array in before]
    tvm.tirx.build(module, target=TARGET)["main"](*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


@pytest.mark.parametrize("name", CASES)
def test_the_normal_form_and_its_sketches_compute_what_numpy_does(name: str) -> None:
    module = program(name).module
    assert_right(CASES[name], module)
    space = TvmSpace.generated(module, TARGET)
    for sketch in (space.sketches[0], space.sketches[-1]):
        scheduled = space.module(space.sample(random.Random(0), sketch))
        assert_right(CASES[name], scheduled)
        assert ("T.parallel(" in scheduled.script()) == (name not in SERIAL)


@pytest.mark.parametrize("name", APART)
def test_each_statement_is_a_block_in_plain_loops(name: str) -> None:
    nests = [PlainNest.of(stmt) for stmt in nests_of(program(name).module["main"])]
    assert nests
    assert all(nest is not None and nest.block.body.__class__.__name__ == "BufferStore" for nest in nests)


@pytest.mark.parametrize("name", ["product_in_one_block", "blocks_under_shared_loops", "product_tiled_by_hand"])
def test_a_product_gets_register_tiles_however_its_loops_are_written(name: str) -> None:
    space = TvmSpace.generated(program(name).module, TARGET)
    assert " x vectors of " in space.sketches[0].summary


@pytest.mark.parametrize("name", APART)
def test_recorded_programs_keep_their_form(name: str) -> None:
    function = written.CASES[name].program
    assert normal_form(function, 5).script() != normal_form(function).script()


@pytest.mark.parametrize("name", ["triangle_by_vector", "largest_so_far", "lower_triangle_of_a_product"])
def test_sums_of_rows_of_unequal_length_are_in_lanes(name: str) -> None:
    assert "for lane in T.vectorized(16)" in program(name).module.script()


@pytest.mark.parametrize("name", ["recurrence_of_rows", "running_sums_in_a_scratch_value", "running_sums_of_flat_rows"])
def test_rows_of_steps_are_side_by_side_and_those_left_over_apart(name: str) -> None:
    text = program(name).module.script()
    assert "in T.unroll(4)" in text
    assert text.count("_rest") > 1
    assert "== 0" not in text


def test_one_long_running_sum_is_cut_into_pieces() -> None:
    text = program("one_long_running_sum").module.script()
    assert "for piece in range(64)" in text
    assert "for piece_strips in range(8)" in text


@pytest.mark.parametrize("name", ["running_sums_down", "forward_substitution"])
def test_rows_next_to_each_other_are_in_vectors(name: str) -> None:
    assert "T.vectorized(16)" in program(name).module.script()


@pytest.mark.parametrize("name", ["rotated_in_place", "triangle_by_vector"])
def test_no_vectors_run_across_rows_that_have_values_of_their_own(name: str) -> None:
    space = TvmSpace.generated(program(name).module, TARGET)
    for sketch in space.sketches:
        outside = space.module(space.sample(random.Random(0), sketch)).script().split("T.sblock(")[1]
        assert "T.vectorized" not in outside
