"""The end of a run: nothing wrong is timed or called best, and nothing is called faster that is not.

Verdicts and timings are handed in; that real kernels get the right ones is tested with the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tvm_ffi

import colt.plan
from colt.run import compare
from colt.store.receipt import Verdict
from tests.helpers.simulated_runs import Watched, tune_simulated


def among(module: Any, modules: Sequence[Any]) -> bool:
    return any(tvm_ffi.structural_equal(module, other) for other in modules)


def test_all_leaders_are_verified_before_any_of_them_is_timed(own_program: str) -> None:
    watched = Watched(right=lambda index: index not in (0, 2))
    result = tune_simulated(own_program, watched, trials=9)
    receipt = result.receipt
    compared = watched.calls.index("interleave")
    assert watched.calls == ["verify"] * compared + ["interleave"] * 2
    assert compared >= 7  # two wrong ones left their place to the next; another may have led for a time
    assert (receipt.verified.leaders, receipt.verified.wrong, receipt.trials.fates["wrong"]) == (compared, 2, 2)
    assert len(watched.timed) == 5 + 3  # five leaders in turn; then the fastest, before and after the untuned one
    assert sum("computes something else: it differs" in message for message in receipt.messages) == 2
    assert receipt.verified.ok
    assert among(result.module, watched.right)
    assert not any(among(module, watched.wrong) for module in [result.module, *watched.timed])


def test_the_untuned_program_takes_part_in_the_turn(own_program: str) -> None:
    watched = Watched()
    result = tune_simulated(own_program, watched)
    untuned = colt.plan.plan(own_program).program.module
    assert tvm_ffi.structural_equal(watched.timed[-2], untuned)
    assert [among(module, [result.module]) for module in watched.timed[-3:]] == [True, False, True]
    assert (result.receipt.rounds or 0) >= 2


def test_when_no_leader_is_right_the_untuned_program_is_kept(own_program: str) -> None:
    watched = Watched(right=lambda index: False)
    result = tune_simulated(own_program, watched)
    receipt = result.receipt
    assert watched.calls == ["verify"] * 6  # each would have led, and is compared once
    assert (result.best, result.speedup, result.speedup_interval) == (None, 1.0, None)
    assert result.verdict is Verdict.NOT_COMPARED
    assert (receipt.verified.leaders, receipt.verified.wrong, receipt.trials.fates["wrong"]) == (6, 6, 6)
    assert any("all 6 schedules that were compared compute something else" in message for message in receipt.messages)
    assert not among(result.module, watched.wrong)


def test_a_winner_that_may_be_no_faster_is_kept_but_not_called_so(own_program: str) -> None:
    watched = Watched(in_turn=([100.0] * 8, [90.0, 95.0, 99.0, 101.0, 103.0, 104.0, 106.0, 110.0]))
    result = tune_simulated(own_program, watched, trials=3)
    assert result.best is not None
    assert result.speedup == pytest.approx(1.02)
    assert result.speedup_interval == pytest.approx((0.9, 1.1))
    assert result.verdict is Verdict.NO_DIFFERENCE
    assert any("not significantly faster" in message for message in result.receipt.messages)


def test_a_slower_winner_is_not_kept(own_program: str) -> None:
    watched = Watched(in_turn=([100.0] * 8, [80.0, 81.0] * 4))
    result = tune_simulated(own_program, watched, trials=3)
    assert (result.best, result.speedup, result.verdict) == (None, 1.0, Verdict.SLOWER)
    assert tvm_ffi.structural_equal(result.module, colt.plan.plan(own_program).program.module)
    assert result.receipt.baseline.interval_us == (80.0, 81.0)
    assert any("0.81x (0.80x to 0.81x with" in message for message in result.receipt.messages)


def test_a_program_that_takes_too_long_has_one_round_and_no_interval(own_program: str) -> None:
    watched = Watched(untuned_us=1e6 * (compare.ONCE_SECONDS + 1))
    result = tune_simulated(own_program, watched)
    receipt = result.receipt
    assert watched.calls[-1] == "interleave"
    assert (receipt.rounds, receipt.speedup_interval, receipt.baseline.interval_us) == (1, None, None)
    assert result.best is not None
    assert result.speedup > 1.0
    assert result.verdict is Verdict.UNDECIDED
    assert any("the speed-up has no interval" in message for message in receipt.messages)
