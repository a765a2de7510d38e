"""The estimate taken apart: the parts add up to it, and each block waits for what it should wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from colt.analysis.bounds import BlockTime, Bottleneck, PartTime, block_times, corrected
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


# ---- corrected by what was measured of the parts of a schedule ----

PREDICTED = [
    BlockTime("QK", 60.0, Bottleneck.LOADS),
    BlockTime("exp", 10.0, Bottleneck.CALLS),
    BlockTime("rowsum", 5.0, Bottleneck.LATENCY),
    BlockTime("O", 20.0, Bottleneck.FMA),
    BlockTime("", 5.0, Bottleneck.LAUNCH),
]
MEASURED = (PartTime(("QK", "QK_init"), 0.4), PartTime(("exp", "rowsum"), 0.3), PartTime(("O",), 0.3))


def times(found: list[BlockTime]) -> dict[str, float]:
    return {one.block: round(one.us, 6) for one in found}


def test_a_schedule_has_the_shares_that_were_measured_of_it() -> None:
    """Its estimate stays, and blocks that were timed together keep their shares of that."""
    found = times(corrected(PREDICTED, MEASURED, PREDICTED))
    assert found == {"QK": 38.0, "exp": 19.0, "rowsum": 9.5, "O": 28.5, "": 5.0}


def test_another_of_its_structure_is_off_by_as_much() -> None:
    other = [replace(one, us=one.us / 2) if one.block == "QK" else one for one in PREDICTED]
    assert times(corrected(other, MEASURED, PREDICTED))["QK"] == 19.0
    assert corrected(other, (), PREDICTED) == other
