"""Races are read off a program."""

import pytest
import tvm_ffi
from tvm import s_tir, tirx

from colt.tvm.workers.races import race
from tests.helpers import measure_programs as programs
from tests.helpers.mutants import races
from tests.helpers.verified_programs import VERIFIED


@pytest.mark.parametrize("name", ["matmul-f32-prime", "sums-bf16", "total-f32", "softmax-f32", "conv"])
def test_terms_of_one_sum_are_not_added_up_in_parallel(name):
    program = VERIFIED[name]
    assert race(program.module["main"]) is None
    found = [race(mutant["main"]) for _, mutant in races(program.module, program.shift)]
    assert found
    assert all(one is not None and "write the same elements of" in one for one in found)


def test_a_loop_that_goes_over_terms_and_elements_is_a_race():
    sch = s_tir.Schedule(programs.matmul(32))
    block = sch.get_sblock("C")
    i, j, k = sch.get_loops(block)
    sch.reorder(k, i, j)
    sch.decompose_reduction(block, k)
    loop = sch.get(sch.fuse(k, i))
    function = sch.mod["main"]
    body = tvm_ffi.structural_mutate(
        function.body,
        (
            tirx.For,
            lambda node, mutator: (
                tirx.For(node.loop_var, node.min, node.extent, tirx.ForKind.PARALLEL, node.body)
                if node.loop_var.same_as(loop.loop_var)
                else mutator.default_mutate(node)
            ),
        ),
    )
    assert race(function.with_body(body)) is not None


def test_schedules_have_none():
    assert race(programs.scheduled_matmul(64)["main"]) is None
    for parts in (1, 4):
        sch = s_tir.Schedule(programs.matmul(64))
        k, _ = sch.split(sch.get_loops(sch.get_sblock("C"))[-1], [parts, None])
        rf = sch.rfactor(k, 0)
        sch.parallel(sch.get_loops(rf)[0])
        assert race(sch.mod["main"]) is None
