"""The strategies that are COLT's own: what they measure, in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from colt import events
from colt.bench.methods import constructed, sampled, warm_tree, without_tree
from colt.bench.ours import Trials
from colt.bench.records import TrialRecord
from colt.config import SearchConfig
from colt.events import Event
from colt.knobs import Schedule
from colt.search.types import Fate
from colt.session import Session, plan
from colt.tuning import TREE, Method, run


def searched(program: str, method: Method, trials: int = 5, **settings: Any) -> tuple[list[Schedule], list[Schedule]]:
    """The openings of a run, and the schedules that were measured, in their order."""
    seen: list[Event] = []
    made = replace(plan(program, trials=trials), config=SearchConfig(batch_size=3, rollouts=0, **settings))
    run(made, [seen.append], method)
    opened = {event.node: event.schedule for event in seen if isinstance(event, events.Opened)}
    applied = {event.node: event.schedule for event in seen if isinstance(event, events.Applied)}
    return list(opened.values()), [{**opened, **applied}[e.node] for e in seen if isinstance(e, events.Asked)]


def first_constructed(program: str, count: int, trials: int) -> list[Schedule]:
    with Session(plan(program, trials=trials)) as session:
        return [schedule for schedule, _ in constructed(session)][:count]


def test_without_a_tree_a_list_is_measured_in_its_order(own_program: str) -> None:
    opened, measured = searched(own_program, without_tree(constructed))
    assert opened == measured == first_constructed(own_program, 5, trials=5)


def test_random_search_begins_with_the_first_constructed_and_goes_on_by_chance(own_program: str) -> None:
    _, measured = searched(own_program, without_tree(sampled(2)))
    first = first_constructed(own_program, 5, trials=5)
    assert measured[:2] == first[:2]
    assert len(set(measured)) == 5
    assert measured[2:] != first[2:]


def test_a_warm_tree_opens_with_the_first_constructed_alone(own_program: str) -> None:
    opened, _ = searched(own_program, warm_tree(2), root_width=2)
    assert sorted(opened, key=str) == sorted(first_constructed(own_program, 2, trials=5), key=str)


def test_a_tree_that_is_not_warm_is_the_one_of_every_run() -> None:
    assert warm_tree(0) is TREE


def test_fewer_constructed_are_the_first_of_more(own_program: str) -> None:
    assert first_constructed(own_program, 2, trials=2) == first_constructed(own_program, 2, trials=6)


def test_trials_leave_out_what_was_skipped_and_fail_what_was_wrong() -> None:
    clock = iter([1.0, 2.0, 3.0])
    trials = Trials(lambda: next(clock))
    for number, (fate, us) in enumerate([(Fate.OK, 5.0), (Fate.SKIPPED, None), (Fate.OK, 3.0), (Fate.CRASH, None)]):
        trials(events.Timed(number, fate, us, 0.1, 0.1))
    trials(events.Measured(0, Fate.OK, 5.0, ""))
    trials(events.Measured(2, Fate.WRONG, None, "it computes something else"))
    assert trials.records == (
        TrialRecord(fate="ok", latency_us=5.0, seconds=1.0),
        TrialRecord(fate="wrong", latency_us=None, seconds=2.0),
        TrialRecord(fate="crash", latency_us=None, seconds=3.0),
    )
