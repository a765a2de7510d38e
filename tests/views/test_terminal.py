"""What the terminal says of a run in progress."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from colt import events
from colt.events import Event
from colt.knobs import Schedule
from colt.views.terminal import ENDED_ALREADY, STOPPING, LiveProgress, PlainProgress, ProgressView, Silent


def happenings(trials: int) -> Iterator[Event]:
    """A run that measures so many trials in one batch."""
    for trial in range(trials):
        yield events.Opened(1 + trial, Schedule("plain", "ms0", (trial,)), "records", "scout", 10.0)
        yield events.Asked(trial, 1 + trial, "records", 10.0)
    for trial in range(trials):
        yield events.Timed(trial, "ok", 10.0, 0.1, 0.1)
        yield events.Measured(trial, "ok", 10.0, "")
    yield events.Revalued(10.0, 1 + trials, "analytical")


@pytest.mark.parametrize(("budget", "asked", "shown"), [(0, 4, "4/4"), (64, 4, "4/64"), (4, 6, "6/6")])
def test_trials_are_counted_towards_what_there_will_be(budget: int, asked: int, shown: str) -> None:
    """No trials are a budget, too: then records alone are measured. And trials that are skipped count for none."""
    stream = io.StringIO()
    progress = PlainProgress(budget, stream)
    for event in happenings(asked):
        progress(event)
    assert f"trial {shown} " in stream.getvalue()


@pytest.mark.parametrize(("phase", "said"), [("searching", STOPPING), (events.ENDING, ENDED_ALREADY)])
def test_a_request_to_stop_is_answered_whatever_the_run_is_at(phase: str, said: str) -> None:
    plain, live, beside_json = io.StringIO(), io.StringIO(), io.StringIO()
    shows: list[tuple[ProgressView, io.StringIO]] = [
        (PlainProgress(4, plain), plain),
        (LiveProgress(4, Console(file=live, width=200, force_terminal=True)), live),
        (Silent(beside_json), beside_json),
    ]
    for view, stream in shows:
        with view:
            view(events.Began(phase))
            view.stopping()
        assert said in stream.getvalue()


def test_a_replay_says_that_it_replays() -> None:
    stream = io.StringIO()
    PlainProgress(4, stream, doing="replaying: ")(events.Began("measuring the untuned program"))
    assert stream.getvalue() == "replaying: measuring the untuned program ...\n"


def test_nobody_is_next_before_anybody_is_asked_and_names_are_what_people_are_to_see() -> None:
    stream = io.StringIO()
    progress = PlainProgress(4, stream)
    for event in happenings(4):
        progress(event)
    progress(events.Noted("a\u202eb\x1b[31m"))
    assert "next" not in stream.getvalue()
    assert stream.getvalue().endswith("note: a\\u202eb\\x1b[31m\n")
