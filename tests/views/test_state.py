"""One fold of the events says what the receipt says, whenever and in however many pieces they are taken in."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from colt import events
from colt.events import Event
from colt.knobs import Edit, Schedule
from colt.measure.base import Fate
from colt.store.happened import JournalReader
from colt.views.fold import fold, take
from colt.views.seen import ROOT
from colt.views.state import RunState
from tests.helpers.recorded import RUNS, unpacked


def happened(run: Path) -> list[tuple[float, Event]]:
    """All events of a run."""
    return list(JournalReader(run / "journal.jsonl").read())


@pytest.mark.parametrize("name", RUNS)
def test_the_state_of_a_finished_run_is_what_its_receipt_says(name: str, tmp_path: Path) -> None:
    run = unpacked(name, tmp_path)
    receipt: dict[str, Any] = json.loads((run / "receipt.json").read_text())
    state = fold(RunState(), happened(run))
    task = state.task
    assert state.stray == 0
    assert len(task.nodes) == receipt["space"]["nodes"]
    assert len(task.alterations) == receipt["course_alterations"]
    assert sum(trial.fate != "skipped" for trial in task.trials.values() if trial.fate) == receipt["trials"]["total"]
    for fate, count in receipt["trials"]["fates"].items():
        if fate != "wrong":  # the verification at the end finds more, of which no event tells
            assert (
                sum(trial.fate == fate for trial in task.trials.values()) >= count - receipt["trials"]["fates"]["wrong"]
            )
    models = {one["name"] for one in receipt["pool"] if one["model"] is not None}
    for name, said in receipt["proposers"].items():
        seen = state.member(name)
        assert (seen.alterations, seen.trials, seen.errors) == (said["alterations"], said["trials"], said["errors"])
        if name in models or not models or name not in {one["name"] for one in receipt["pool"]}:
            assert seen.calls == said["calls"], name
        else:  # whether it was its turn, or the time of a model, cannot be told from events for certain
            assert said["calls"] <= seen.calls <= said["calls"] + 5
    for model, part in (receipt["models"] or {}).items():
        seen = state.member(model)
        assert (seen.requests, seen.tokens) == (part["requests"], part["input"] + part["output"])
        assert seen.usd == pytest.approx(part["usd"])


@pytest.mark.parametrize("name", ["models-faults", "builtin"])
def test_events_may_come_one_by_one_or_all_at_once(name: str, tmp_path: Path) -> None:
    all_of_them = happened(unpacked(name, tmp_path))
    at_once, piecemeal = fold(RunState(), all_of_them), RunState()
    for at_s, event in all_of_them:
        take(piecemeal, event, at_s)
        _ = piecemeal.task.best_path, piecemeal.phase  # looking changes nothing
    assert piecemeal == at_once
    before = copy.deepcopy(at_once)
    assert fold(at_once, []) == before


SCHEDULE = Schedule("plain", "flat", (1,))


def test_the_best_path_leads_from_the_untuned_program_to_the_best_trial() -> None:
    step = (Edit("k", 2),)
    other = Schedule("plain", "flat", (2,))
    state = fold(
        RunState(),
        enumerate(
            [
                events.Baseline(100.0),
                events.Opened(1, SCHEDULE, "architect", "scout", 50.0),
                events.Selected(0, 1, "scout", True, 1),
                events.Proposed(0, "scout", (step,), "tuner", "", ""),
                events.Applied(0, 2, 1, "scout", "tuner", step, other, (), False),
                events.Scored(2, 40.0, "analytical", 0.5, "hit", False),
                events.Asked(0, 2, "scout", 40.0),
                events.Timed(0, "ok", 45.0, 0.2, 0.1),
                events.Measured(0, "ok", 45.0, ""),
            ]
        ),
    )
    task = state.task
    assert task.best_path == [ROOT, 1, 2]
    assert (task.best_us, task.latency_of(task.nodes[2]), task.latency_of(task.nodes[ROOT])) == (45.0, 45.0, 100.0)
    assert task.nodes[2].alteration
    assert (state.member("scout").hits, state.member("scout").alterations, state.member("scout").seconds) == (1, 1, 1.0)
    assert [(one.number, one.at_s) for one in task.improvements] == [(1, 7)]


def test_a_trial_found_wrong_is_not_the_best() -> None:
    state = fold(RunState(), enumerate([events.Asked(0, 1, "scout", 4.0), events.Timed(0, "ok", 4.0, 0.0, 0.0)]))
    assert [one.latency_us for one in state.task.improvements] == [4.0]
    take(state, events.Measured(0, "wrong", None, "it differs"), 3.0)
    trial = state.task.trials[0]
    assert state.task.improvements == []
    assert (state.task.best_us, trial.fate, trial.message, trial.latency_us) == (None, "wrong", "it differs", None)


def test_events_about_what_nobody_introduced_are_counted() -> None:
    strays: list[Event] = [
        events.Applied(7, 5, 99, "scout", "", (), SCHEDULE, (), False),  # its parent is unknown: it hangs at the root
        events.Opened(5, SCHEDULE, "scout", "", 1.0),  # there is such a node
        events.Scored(8, 1.0, "v", 0.0, "hit", False),
        events.Altered(9, 1, 2),
        events.Closed(9),
        events.Timed(4, "ok", 1.0, 0.0, 0.0),
        events.Measured(4, "ok", 1.0, ""),
        events.Proposed(9, "scout", (), "", "", ""),
    ]
    state = fold(RunState(), enumerate(strays))
    assert state.stray == len(strays)
    assert state.task.path_to(5) == [ROOT, 5]


def test_tasks_of_one_run_are_kept_apart() -> None:
    each: list[Event] = [
        events.Baseline(9.0),
        events.Opened(1, SCHEDULE, "scout", "", 3.0),
        events.Asked(0, 1, "scout", 3.0),
    ]
    done: list[Event] = [events.Timed(0, "ok", 2.0, 0.0, 0.0), events.Measured(0, "ok", 2.0, "")]
    state = fold(RunState(), enumerate([events.Turn("1-a"), *each, events.Turn("2-b"), *each, *done]))
    assert sorted(state.tasks) == ["1-a", "2-b"]
    assert [state.tasks[name].best_us for name in ("1-a", "2-b")] == [None, 2.0]
    assert (state.stray, state.told) == (0, 1)


def test_a_trial_that_leads_is_to_the_credit_of_who_proposed_it_and_of_who_brought_its_structure() -> None:
    first, other = Schedule("plain", "first", (1,)), Schedule("plain", "other", (1,))
    tuned = Schedule("plain", "other", (2,))
    state = fold(
        RunState(),
        [
            (0.0, events.Opened(1, first, "architect", "model", 10.0)),
            (0.0, events.Applied(0, 2, 1, "model", "model", (), other, (), False)),
            (0.0, events.Applied(1, 3, 2, "tuner", "model", (), tuned, (), False)),
            *(
                (0.0, events.Asked(number, number + 1, by, 1.0))
                for number, by in enumerate(("architect", "model", "tuner"))
            ),
            *((1.0, events.Measured(number, Fate.OK, us, "")) for number, us in enumerate((10.0, 12.0, 8.0))),
        ],
    )
    counted = {name: (one.structures, one.led, one.led_below) for name, one in state.members.items()}
    assert counted == {"architect": (1, 1, 0), "model": (1, 0, 1), "tuner": (0, 1, 0)}
