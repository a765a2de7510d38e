"""What the terminal says of a run in progress."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from colt import events
from colt.events import Event
from colt.knobs import Schedule
from colt.views.terminal import PlainProgress


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
