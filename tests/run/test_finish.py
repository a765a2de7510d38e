"""The end of a run on real TVM: nothing wrong is timed or called best, and nothing is called faster that is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tvm_ffi

import colt
import colt.plan
import colt.run.context
from colt.measure.base import Verification
from colt.run import compare
from colt.run.finish import Result
from colt.store.receipt import Verdict
from colt.tvm.workers import LocalMeasurer

Judge = Callable[[int], bool]
"""Told how many candidates were judged before, says whether the next is right."""


def tune(program: str, **options: Any) -> Result:
    return colt.tune(program, **{"trials": 6, "config": colt.SearchConfig(batch_size=3), **options})


class Watched:
    """What was verified and timed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, judge: Judge = lambda index: True) -> None:
        self.calls: list[str] = []
        self.right: list[Any] = []
        self.wrong: list[Any] = []
        self.timed: list[Any] = []
        real_verify, real_interleave = LocalMeasurer.verify, LocalMeasurer.interleave

        def verify(measurer: LocalMeasurer, reference: Any, candidate: Any, *rest: Any) -> Verification:
            self.calls.append("verify")
            right = judge(len(self.right) + len(self.wrong))
            (self.right if right else self.wrong).append(candidate)
            verification = real_verify(measurer, reference, candidate, *rest)
            return verification if right else Verification(False, 1.0, 1.0, 1e-4, "it differs")

        def interleave(measurer: LocalMeasurer, modules: Sequence[Any], *rest: Any) -> list[list[float]]:
            self.calls.append("interleave")
            self.timed.extend(modules)
            return real_interleave(measurer, modules, *rest)

        monkeypatch.setattr(LocalMeasurer, "verify", verify)
        monkeypatch.setattr(LocalMeasurer, "interleave", interleave)


def among(module: Any, modules: Sequence[Any]) -> bool:
    return any(tvm_ffi.structural_equal(module, other) for other in modules)


def timings(monkeypatch: pytest.MonkeyPatch, tuned: Sequence[float], untuned: Sequence[float]) -> None:
    """Let the final comparison have given figures; the leaders are alike."""

    def interleave(measurer: LocalMeasurer, modules: Sequence[Any], *rest: Any) -> list[list[float]]:
        if len(modules) == 3 and tvm_ffi.structural_equal(modules[0], modules[2]):
            return [list(tuned), list(untuned), list(tuned)]
        return [[10.0, 10.0, 10.0] for _ in modules]

    monkeypatch.setattr(LocalMeasurer, "interleave", interleave)


def test_all_leaders_are_verified_before_any_of_them_is_timed(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch, judge=lambda index: index not in (0, 2))
    result = tune(own_program, trials=9)
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


def test_the_untuned_program_takes_part_in_the_turn(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    result = tune(own_program)
    untuned = colt.plan.plan(own_program).program.module
    assert tvm_ffi.structural_equal(watched.timed[-2], untuned)
    assert [among(module, [result.module]) for module in watched.timed[-3:]] == [True, False, True]
    assert (result.receipt.rounds or 0) >= 2


def test_when_no_leader_is_right_the_untuned_program_is_kept(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, judge=lambda index: False)
    result = tune(own_program)
    receipt = result.receipt
    assert watched.calls == ["verify"] * 6  # each would have led, and is compared once
    assert (result.best, result.speedup, result.speedup_interval) == (None, 1.0, None)
    assert result.verdict is Verdict.NOT_COMPARED
    assert (receipt.verified.leaders, receipt.verified.wrong, receipt.trials.fates["wrong"]) == (6, 6, 6)
    assert any("all 6 schedules that were compared compute something else" in message for message in receipt.messages)
    assert not among(result.module, watched.wrong)


def test_a_winner_that_may_be_no_faster_is_kept_but_not_called_so(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings(monkeypatch, tuned=[100.0] * 8, untuned=[90.0, 95.0, 99.0, 101.0, 103.0, 104.0, 106.0, 110.0])
    result = tune(own_program, trials=3)
    assert result.best is not None
    assert result.speedup == pytest.approx(1.02)
    assert result.speedup_interval == pytest.approx((0.9, 1.1))
    assert result.verdict is Verdict.NO_DIFFERENCE
    assert any("not significantly faster" in message for message in result.receipt.messages)


def test_a_slower_winner_is_not_kept(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    timings(monkeypatch, tuned=[100.0] * 8, untuned=[80.0, 81.0] * 4)
    result = tune(own_program, trials=3)
    assert (result.best, result.speedup, result.verdict) == (None, 1.0, Verdict.SLOWER)
    assert tvm_ffi.structural_equal(result.module, colt.plan.plan(own_program).program.module)
    assert result.receipt.baseline.interval_us == (80.0, 81.0)
    assert any("0.81x (0.80x to 0.81x with" in message for message in result.receipt.messages)


def test_a_program_that_takes_too_long_has_one_round_and_no_interval(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ONCE_SECONDS", "TURN_SECONDS", "SLOW_SECONDS"):
        monkeypatch.setattr(compare, name, 0.0)
    watched = Watched(monkeypatch)
    result = tune(own_program)
    receipt = result.receipt
    assert watched.calls[-1] == "interleave"
    assert (receipt.rounds, receipt.speedup_interval, receipt.baseline.interval_us) == (1, None, None)
    assert result.best is not None
    assert result.speedup > 1.0
    assert result.verdict is Verdict.UNDECIDED
    assert any("the speed-up has no interval" in message for message in receipt.messages)
