"""What became of trials: one store of measurements and verdicts, whatever the order in which they come."""

from __future__ import annotations

import itertools
import math

import pytest

from colt import events
from colt.measure.base import Fate, Measurement, Verification
from tests.helpers.operations import Life, life, tree

RIGHT = Verification(True, 0.0, 0.0, 1e-4)
WRONG = Verification(False, 1.0, 1.0, 1e-4, "off by one")
LATENCIES = (300.0, 200.0, 400.0)


def asked() -> Life:
    it = life()
    it.world.search.ask(3, it.propose)
    return it


def measured(trial: int) -> Measurement:
    return Measurement(trial, Fate.OK, LATENCIES[trial], 0.1, seconds_building=2.0)


def test_a_wrong_trial_has_no_latency_and_keeps_what_else_was_measured() -> None:
    it = asked()
    trials = it.world.search.trials
    it.world.search.tell(measured(trial) for trial in range(3))
    assert trials.best_us == 200.0
    trials.judge(1, WRONG)
    wrong = trials.results[1]
    assert (wrong.fate, wrong.latency_us, wrong.message) == (Fate.WRONG, None, "off by one")
    assert (wrong.seconds_building, wrong.seconds_timing) == (2.0, 0.1)
    assert [trial.id for _, trial in trials.ranked()] == [0, 2]
    assert (trials.best_us, trials.told) == (300.0, 3)
    assert next(facts for facts in it.world.search.tree.known if facts.trial == 1).measured_us == math.inf


def test_judging_tells_of_a_wrong_trial_once_and_revalues() -> None:
    it = asked()
    it.world.search.tell([measured(1)])
    it.world.events.clear()
    it.world.search.trials.judge(1, RIGHT)
    assert it.world.events == []
    it.world.search.trials.judge(1, WRONG)
    said, revalued = it.world.events
    assert said == events.Measured(1, Fate.WRONG, None, "off by one")
    assert isinstance(revalued, events.Revalued)


def test_a_trial_may_be_judged_before_it_is_told() -> None:
    it = asked()
    trials = it.world.search.trials
    trials.judge(1, WRONG)
    trials.judge(0, RIGHT)
    assert [(result.trial, result.fate) for result in trials.results] == [(1, Fate.WRONG)]
    it.world.events.clear()
    it.world.search.tell([measured(0), measured(1)])
    assert [event.trial for event in it.world.of(events.Measured)] == [0]
    assert [(result.trial, result.latency_us) for result in trials.results] == [(0, 300.0), (1, None)]
    assert trials.results[1].seconds_building == 2.0


def test_the_order_of_telling_and_judging_does_not_matter() -> None:
    found = []
    for order in itertools.permutations(("tell 0", "tell 1", "tell 2", "judge 1", "judge 0")):
        it = asked()
        for step in order:
            what, trial = step.split()
            if what == "tell":
                it.world.search.tell([measured(int(trial))])
            else:
                it.world.search.trials.judge(int(trial), WRONG if trial == "1" else RIGHT)
        found.append((tree(it.world), it.world.search.trials.results))
    assert all(one == found[0] for one in found)


def test_latencies_come_in_the_order_of_telling_and_verdicts_in_that_of_judging() -> None:
    it = asked()
    trials = it.world.search.trials
    trials.judge(2, RIGHT)
    for trial in (2, 0, 1):
        it.world.search.tell([measured(trial)])
    trials.judge(0, WRONG)
    assert list(trials.latencies) == [trials.trial(trial).schedule for trial in (2, 1)]
    assert list(trials.latencies.values()) == [400.0, 200.0]
    assert list(trials.verifications.items()) == [(2, RIGHT), (0, WRONG)]
    assert (trials.verification(0), trials.verification(1)) == (WRONG, None)


def test_nothing_is_known_at_the_beginning() -> None:
    trials = life().world.search.trials
    assert (trials.results, trials.latencies, trials.best_us, trials.told) == ([], {}, math.inf, 0)


@pytest.mark.parametrize("trial", [-1, 3])
def test_only_trials_that_were_asked_are_judged(trial: int) -> None:
    with pytest.raises(ValueError, match=f"there is no trial {trial}"):
        asked().world.search.trials.judge(trial, RIGHT)
