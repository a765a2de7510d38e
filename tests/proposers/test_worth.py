"""When calls are no longer worth their price."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from colt.measure.base import Fate, Measurement
from colt.proposers.worth import NEAR_ROOFLINE, WINDOW, why_stop_paying

MODELS = ("small", "large")


def measured(*trials: tuple[str, float | None]) -> Any:
    """Trials in their order: who proposed each, and its latency, ``None`` for one that failed."""
    results = [
        Measurement(number, Fate.OK if us is not None else Fate.CRASH, us) for number, (_, us) in enumerate(trials)
    ]
    return SimpleNamespace(results=results, credited=lambda number: {trials[number][0]})


def sides(paid: list[float | None], free: list[float | None]) -> Any:
    """First a free trial that leads, then both sides in turn."""
    turns = [turn for pair in zip(paid, free, strict=True) for turn in (("small", pair[0]), ("scout", pair[1]))]
    return measured(("scout", 50.0), *turns)


FULL: list[float | None] = [100.0] * WINDOW


def test_it_ends_when_the_free_proposals_best_is_as_fast() -> None:
    said = why_stop_paying(sides(FULL, FULL), MODELS, None)
    assert said is not None
    assert "free proposals' best takes 100.0 µs, the models' best 100.0 µs" in said


def test_it_goes_on_while_the_models_best_is_faster() -> None:
    assert why_stop_paying(sides([99.0, *FULL[1:]], FULL), MODELS, None) is None


def test_it_goes_on_while_one_of_the_models_led() -> None:
    """Although what came later from others is faster still."""
    led = measured(("small", 80.0), *[("large", 100.0), ("tuner", 70.0)] * WINDOW)
    assert why_stop_paying(led, MODELS, None) is not None, "it led before the window"
    recent = measured(*[("large", 100.0), ("tuner", 90.0)] * (WINDOW - 1), ("small", 80.0), ("tuner", 70.0))
    assert why_stop_paying(recent, MODELS, None) is None


@pytest.mark.parametrize(("paid", "free"), [(WINDOW - 1, WINDOW + 8), (WINDOW + 8, WINDOW - 1)])
def test_it_takes_a_window_of_each_side(paid: int, free: int) -> None:
    trials = measured(("scout", 50.0), *[("small", 100.0)] * paid, *[("scout", 60.0)] * (free - 1))
    assert why_stop_paying(trials, MODELS, None) is None


def test_only_the_latest_count() -> None:
    trials = sides([10.0, *FULL], [200.0, *FULL])
    assert why_stop_paying(trials, MODELS, None) is not None


def test_trials_that_failed_have_no_latency() -> None:
    assert why_stop_paying(sides([None] * WINDOW, FULL), MODELS, None) is not None
    assert why_stop_paying(sides(FULL, [None] * WINDOW), MODELS, None) is None


def test_models_that_cost_nothing_are_free_proposals() -> None:
    trials = measured(("free-model", 50.0), *[("small", 100.0), ("free-model", 100.0)] * WINDOW)
    assert why_stop_paying(trials, ["small"], None) is not None


@pytest.mark.parametrize(
    ("share", "ends"), [(None, False), (0.94, False), (NEAR_ROOFLINE, True), (1.0, True), (1.2, False)]
)
def test_it_ends_near_the_roofline(share: float | None, ends: bool) -> None:
    said = why_stop_paying(measured(("small", 10.0)), MODELS, share)
    assert (said is not None) == ends
    if said is not None and share is not None:
        assert f"{share:.0%} of the roofline" in said
