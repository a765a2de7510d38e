"""What the benchmark adds to stock search: its leaders are verified and ranked as COLT's are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from colt.bench.records import TrialRecord
from colt.bench.stock import _fastest
from colt.errors import MeasureError
from colt.measure.base import Fate
from colt.plan import plan
from colt.tvm.programs import workloads

pytestmark = pytest.mark.real


def trial(latency_us: float | None) -> TrialRecord:
    return TrialRecord(fate=Fate.OK if latency_us else Fate.CRASH, latency_us=latency_us, seconds=1.0)


def test_a_candidate_that_computes_something_else_does_not_win() -> None:
    right = workloads.get("matmul").build("small")
    wrong = workloads.get("matmul-nt").build("small")  # takes the same arguments
    trials = [trial(None), trial(1.0), trial(300_000.0)]
    latency_us, winner = _fastest(plan("matmul"), [None, wrong, right], trials)
    assert winner is right
    assert latency_us == 300_000.0  # a single leader is not timed again
    assert trials[1] == TrialRecord(fate=Fate.WRONG, latency_us=None, seconds=1.0)
    assert trials[2].latency_us == 300_000.0


def test_candidates_are_compared_with_the_program_as_it_was_written() -> None:
    searched = workloads.get("matmul").build("small")
    written = workloads.get("matmul-nt").build("small")  # as if the normal form computed something else
    asked = plan("matmul")
    asked = replace(asked, programs=(replace(asked.program, given=written),))
    trials = [trial(1.0), trial(300_000.0)]
    _, winner = _fastest(asked, [searched, written], trials)
    assert winner is written
    assert trials[0].fate is Fate.WRONG


def test_without_a_correct_candidate_there_is_no_winner() -> None:
    with pytest.raises(MeasureError, match="no candidate of 2 ran and was correct"):
        _fastest(plan("gemv"), [None, None], [trial(None), trial(None)])
