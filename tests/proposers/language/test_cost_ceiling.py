"""The ceiling of dollars holds under random faults with calls in flight. ``benchmarks/cost_ceiling.py`` has 200."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")

from tests.helpers.cost_schedules import CALLS, run


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_of_faults_gets_past_the_ceiling(seed: int) -> None:
    outcome = run(seed)
    assert outcome.holds, outcome
    assert outcome.answers + outcome.refused > 0
    assert outcome.requests <= 3 * CALLS


def test_the_schedules_reach_their_ceilings_and_get_answers() -> None:
    """Else the test above would show nothing. How near one comes also depends on which answers are fast."""
    outcomes = [run(seed) for seed in range(100, 104)]
    while max(outcome.charged / outcome.ceiling for outcome in outcomes) <= 0.8 and len(outcomes) < 20:
        outcomes.append(run(100 + len(outcomes)))
    assert any(outcome.refused for outcome in outcomes)
    assert any(outcome.answers for outcome in outcomes)
    assert max(outcome.charged / outcome.ceiling for outcome in outcomes) > 0.8
