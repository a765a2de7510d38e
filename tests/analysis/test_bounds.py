"""The estimate taken apart: the parts add up to it, and each block waits for what it should wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from colt.analysis.bounds import Bottleneck, block_times
from colt.analysis.estimate import estimate_us
from colt.analysis.skeleton import BlockWork
from colt.knobs import Schedule
from tests.analysis.test_estimate import GOOD, MACHINE, matmul
from tests.helpers.briefed import job


@pytest.mark.parametrize("workload", ["matmul", "llama3-attention", "flux-conv"])
def test_times_of_blocks_add_up_to_the_estimate(workload: str) -> None:
    space, _ = job(workload)
    for key in space.plans.keys[:4]:
        plan = space.plans.find(*key)
        skeleton = space.skeleton(Schedule(plan.variant, plan.name, plan.first))
        whole = estimate_us(skeleton, plan.first, MACHINE)
        assert sum(one.us for one in block_times(skeleton, plan.first, MACHINE)) == pytest.approx(whole)


def bound_of(values: tuple[object, ...] = GOOD, **machine: float) -> Bottleneck:
    first, *_ = block_times(matmul(), values, replace(MACHINE, **machine))  # type: ignore[arg-type]
    return first.bound


def test_a_good_register_tile_is_bound_by_multiply_adds() -> None:
    assert bound_of() is Bottleneck.FMA


def test_one_row_waits_for_its_own_sums() -> None:
    assert bound_of(((2, 128, 2, 1), (8, 4, 1, 16), (32, 16), 64), window=0.0) is Bottleneck.LATENCY


@pytest.mark.parametrize(("slow", "bound"), [("l2", Bottleneck.L2), ("l3", Bottleneck.L3), ("dram", Bottleneck.DRAM)])
def test_a_level_that_is_slow_enough_bounds_it(slow: str, bound: Bottleneck) -> None:
    caches = {"l3_bytes": 2**20, "l2_bytes": 2**16} if slow != "l2" else {}
    if slow == "l3":
        caches["l3_bytes"] = 2**30
    assert bound_of(**{slow: 0.05}, **caches) is bound


def test_calls_of_the_library_bound_what_calls_it_for_each_element() -> None:
    (block,) = matmul().blocks
    calling = replace(matmul(), blocks=(replace(block, work=BlockWork(simple=1.0, calls=2.0)),))
    first, *_ = block_times(calling, GOOD, MACHINE)
    assert first.bound is Bottleneck.CALLS


def test_the_start_of_parallel_loops_is_told_apart() -> None:
    *_, last = block_times(matmul(), GOOD, MACHINE)
    assert (last.block, last.bound, last.us) == ("", Bottleneck.LAUNCH, MACHINE.launch_us)
