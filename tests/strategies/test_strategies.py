"""The strategies: what they measure, in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from colt import events
from colt.bench.ours import TrialLog
from colt.bench.records import TrialRecord
from colt.events import Event
from colt.knobs import Schedule
from colt.measure.base import Fate
from colt.options import SearchConfig
from colt.plan import plan
from colt.run.loop import run
from colt.search.toy import ToyScorer, ToySpace
from colt.strategies import architect
from colt.strategies.architect import ARCHITECT, construct
from colt.strategies.base import StrategyMaker
from colt.strategies.random import random_search
from colt.strategies.tree import TREE, warm_tree
from tests.helpers.simulated_runs import measured_by, simulated


def searched(
    program: str, strategy: StrategyMaker, trials: int = 5, **settings: Any
) -> tuple[list[Schedule], list[Schedule]]:
    """The openings of a run, and the schedules that were measured, in their order."""
    seen: list[Event] = []
    made = replace(plan(program, trials=trials), config=SearchConfig(batch_size=3, rollouts=0, **settings))
    with measured_by(simulated()):
        run(made, [seen.append], strategy=strategy)
    opened = {event.node: event.schedule for event in seen if isinstance(event, events.Opened)}
    applied = {event.node: event.schedule for event in seen if isinstance(event, events.Applied)}
    return list(opened.values()), [{**opened, **applied}[e.node] for e in seen if isinstance(e, events.Asked)]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Schedule]:
    """What the architect constructs, in its order."""
    found: list[Schedule] = []
    original = architect.construct

    def recorded(*rest: Any) -> list[Schedule]:
        constructed = original(*rest)
        found.extend(constructed)
        return constructed

    monkeypatch.setattr(architect, "construct", recorded)
    return found


def test_without_a_tree_a_list_is_measured_in_its_order(own_program: str, made: list[Schedule]) -> None:
    opened, measured = searched(own_program, ARCHITECT)
    assert opened == measured == made
    assert len(set(made)) == 5


def test_random_search_begins_with_the_first_constructed(own_program: str, made: list[Schedule]) -> None:
    opened, measured = searched(own_program, random_search(2))
    assert opened == measured
    assert measured[:2] == made[:2]
    assert len(set(measured)) == 5
    assert set(measured[2:]) - set(made)


def test_a_warm_tree_opens_with_the_first_constructed_alone(own_program: str, made: list[Schedule]) -> None:
    opened, _ = searched(own_program, warm_tree(2), root_width=2)
    assert sorted(opened, key=str) == sorted(made[:2], key=str)


def test_a_tree_that_is_not_warm_is_the_one_of_every_run() -> None:
    assert warm_tree(0) is TREE


def test_fewer_constructed_are_the_first_of_more() -> None:
    space = ToySpace()
    few, more = (construct(space, ToyScorer(space), count, seed=3) for count in (2, 6))
    assert few == more[:2]
    assert len(more) == 6


def test_trials_leave_out_what_was_skipped_and_fail_what_was_wrong() -> None:
    clock = iter([1.0, 2.0, 3.0])
    trials = TrialLog(lambda: next(clock))
    for number, (fate, us) in enumerate([(Fate.OK, 5.0), (Fate.SKIPPED, None), (Fate.OK, 3.0), (Fate.CRASH, None)]):
        trials(events.Timed(number, fate, us, 0.1, 0.1))
    trials(events.Measured(0, Fate.OK, 5.0, ""))
    trials(events.Measured(2, Fate.WRONG, None, "it computes something else"))
    assert trials.timed_by({0: 0.5}, 10.0) == (
        TrialRecord(fate="ok", latency_us=5.0, seconds=10.5),  # as the run itself says
        TrialRecord(fate="wrong", latency_us=None, seconds=2.0),
        TrialRecord(fate="crash", latency_us=None, seconds=3.0),
    )
