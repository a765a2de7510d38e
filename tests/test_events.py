"""The event stream: plain typed data, every event as one JSON object that says all that the event holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from colt import events
from colt.events import UNSAID, Event, to_record
from colt.knobs import Edit, Jump, Schedule
from colt.measure.base import Fate
from colt.store.journal import Journal, read_journal
from tests.helpers.operations import life

SCHEDULE = Schedule("plain", "flat", ((1, 4, 2, 8), 64, "inline"))
TRANSFORMATION = (Jump("plain", "flat"), Edit("C.i", (1, 4, 2, 8)), Edit("unroll", 64), Edit("pad.at", None))

ONE_OF_EACH: list[Event] = [
    events.Began("extracting"),
    events.Turn("2-gemv"),
    events.OfModel((("1-gemm", 12), ("2-gemv", 1))),
    events.Baseline(1000.0),
    events.Named("plain", "ms0", ("C.i", "unroll")),
    events.Opened(1, SCHEDULE, "sampled", "small", 150.0),
    events.Selected(0, 1, "small", False, 2),
    events.Proposed(0, "small", (TRANSFORMATION, ()), "large", "why not", ""),
    events.Called(0, "small", "server", "answers 500", 1.5, 2, 1400, 0, 200, 0.0008),
    events.Withdrawn(0, "small", "benched"),
    events.FellBack(0, "small", "next-model", "there is no model 'x' in the pool"),
    events.Applied(0, 2, 1, "small", "large", TRANSFORMATION, SCHEDULE, ("C.i became 8",), True),
    events.Scored(2, 140.0, "v1", 0.9, "hit", False),
    events.Altered(1, 3, -1),
    events.Failed(2, 1, "nothing new"),
    events.Closed(1),
    events.Asked(0, 2, "small", 140.0),
    events.Timed(0, Fate.OK, 139.5, 0.5, 0.1),
    events.Measured(0, Fate.CRASH, None, "boom"),
    events.WentOn(96),
    events.Revalued(None, 3, "v1"),
    events.Noted("worker restarted"),
]


OF_THE_MAIN_LOOP = {
    events.Began,
    events.Turn,
    events.OfModel,
    events.Baseline,
    events.Named,
    events.Called,
    events.Timed,
    events.Noted,
    events.WentOn,
}


def one(kind: type[Event]) -> Event:
    return next(event for event in ONE_OF_EACH if isinstance(event, kind))


def kinds() -> set[type[Event]]:
    return {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)} - {Event}


def test_every_kind_of_event_is_tried_here() -> None:
    assert {type(event) for event in ONE_OF_EACH} == kinds()


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_a_record_is_strict_json_with_the_events_name_and_all_its_fields(event: Event) -> None:
    record = to_record(event)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["event"] == type(event).__name__.lower()
    names = [field.name for field in dataclasses.fields(event)]
    said = [name for name in names if name not in UNSAID or getattr(event, name) != UNSAID[name]]
    assert list(record) == ["event", *said]


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_events_are_values(event: Event) -> None:
    assert dataclasses.replace(event) == event
    assert hash(dataclasses.replace(event)) == hash(event)
    name = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, name, None)


def test_schedules_and_transformations_are_spelled_out() -> None:
    record = to_record(one(events.Applied))
    assert record["schedule"] == {"variant": "plain", "sketch": "flat", "values": [[1, 4, 2, 8], 64, "inline"]}
    assert record["transformation"] == [
        {"jump": ["plain", "flat"]},
        {"knob": "C.i", "value": [1, 4, 2, 8]},
        {"knob": "unroll", "value": 64},
        {"knob": "pad.at", "value": None},
    ]


def test_a_fate_is_its_word() -> None:
    assert json.dumps(to_record(one(events.Measured))["fate"]) == '"crash"'


def test_names_of_kinds_differ_in_lower_case() -> None:
    assert len({kind.__name__.lower() for kind in kinds()}) == len(kinds())


def test_an_event_goes_to_all_subscribers_in_their_order() -> None:
    heard: list[tuple[str, Event]] = []
    emit = events.fan_out(iter([lambda event: heard.append(("a", event)), lambda event: heard.append(("b", event))]))
    for event in ONE_OF_EACH[:2]:
        emit(event)
    assert heard == [(who, event) for event in ONE_OF_EACH[:2] for who in "ab"]


def test_a_journal_of_an_earlier_version_is_read_by_the_present_names(tmp_path: Path) -> None:
    event = one(events.Proposed)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal(event)
    written = (tmp_path / "journal.jsonl").read_text()
    (tmp_path / "earlier.jsonl").write_text(written.replace('"next_member"', '"next_model"'))
    assert read_journal(tmp_path / "earlier.jsonl") == read_journal(tmp_path / "journal.jsonl") == [to_record(event)]


# ---- the stream of a run ----


@pytest.fixture(scope="module")
def run() -> Any:
    it = life(("narrow", "line"))
    it.live(
        [
            ("select", 0),
            ("select", 0),
            ("withdraw", 0),
            ("feed", 0),
            ("commit", 1),
            ("commit", 0),
            ("ask", 3),
            ("tell", 5),
            ("version", 0),
        ]
        * 12
    )
    it.finish()
    return it.live([("ask", 3), ("tell", 5)] * 20)


def test_a_run_emits_every_kind_that_the_search_knows(run: Any) -> None:
    assert {type(event) for event in run.world.events} == kinds() - OF_THE_MAIN_LOOP


def test_a_runs_whole_stream_is_strict_json(run: Any) -> None:
    for event in run.world.events:
        json.dumps(to_record(event), allow_nan=False)


def test_the_tree_can_be_told_from_the_stream(run: Any) -> None:
    """Who stands where, made by whom, pruned or closed, and every schedule's trial and latency."""
    parents, by, next_model = {0: None}, {0: "untuned"}, {0: "large"}
    schedules, pruned, closed, trials, latencies = {}, set(), set(), {}, {}
    for event in run.world.events:
        match event:
            case events.Opened(node=node):
                parents[node], by[node], next_model[node] = 0, event.by, event.next_member
                schedules[node] = event.schedule
            case events.Applied(node=node):
                parents[node], by[node], next_model[node] = event.parent, event.by, event.next_member
                schedules[node] = event.schedule
            case events.Altered():
                pruned |= {event.pruned} - {-1}
            case events.Closed():
                closed.add(event.node)
            case events.Asked():
                trials[event.trial] = event.node
            case events.Measured():
                latencies[event.trial] = event.latency_us
    nodes = run.world.nodes
    assert parents == {node.id: node.parent.id if node.parent else None for node in nodes}
    assert by == {node.id: node.by for node in nodes}
    assert next_model == {node.id: node.next_member for node in nodes}
    assert all(nodes[node].facts.schedule == schedule for node, schedule in schedules.items())
    assert pruned == {node.id for node in nodes if node.pruned}
    assert closed == {node.id for node in nodes if node.closed}
    assert trials == {trial.id: trial.node for trial in run.asked}
    assert latencies == {result.trial: result.latency_us for result in run.told}


def test_a_record_names_the_host_only_where_there_are_several() -> None:
    """Runs of one machine replay journals of earlier versions, which named none."""
    alone = to_record(events.Timed(3, "ok", 5.0, 0.1, 0.2))
    assert "host" not in alone
    assert to_record(events.Timed(3, "ok", 5.0, 0.1, 0.2, host="pi-2")) == {**alone, "host": "pi-2"}
