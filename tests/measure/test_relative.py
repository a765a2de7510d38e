"""Latencies of several hosts of one kind are told for the first of them."""

from __future__ import annotations

import pytest

from colt.measure.base import Fate, Measurement, Noise
from colt.measure.relative import UNLIKE, Reference

FIRST = Reference("first", 400.0)


def test_a_host_that_is_slower_throughout_tells_the_same() -> None:
    assert FIRST.told(90.0, 400.0) == 90.0
    assert FIRST.told(99.0, 440.0) == pytest.approx(90.0)


def test_what_is_told_is_felt_again() -> None:
    assert FIRST.felt(FIRST.told(99.0, 440.0), 440.0) == pytest.approx(99.0)
    assert FIRST.felt(90.0, 440.0) == pytest.approx(99.0)


def test_a_measurement_is_told_with_its_runs_and_keeps_the_rest() -> None:
    there = Measurement(3, Fate.OK, 100.0, runs_us=(150.0, 75.0), slowdown=1.5, host="other", reference_us=500.0)
    told = FIRST.of(there)
    assert told == Measurement(3, Fate.OK, 80.0, runs_us=(120.0, 60.0), slowdown=1.5, host="other", reference_us=500.0)


@pytest.mark.parametrize(
    "nothing", [Measurement(3, Fate.CRASH, reference_us=500.0), Measurement(3, Fate.OK, 5.0, runs_us=(5.0,))]
)
def test_what_was_not_timed_beside_a_reference_stays_as_it_is(nothing: Measurement) -> None:
    assert FIRST.of(nothing) is nothing


def test_a_host_of_another_kind_is_named_with_the_figures() -> None:
    assert FIRST.why_unlike("like", 400.0 * UNLIKE) is None
    assert FIRST.why_unlike("like", 400.0 / UNLIKE) is None
    for beside_us in (400.0 * UNLIKE * 1.01, 400.0 / UNLIKE / 1.01):
        why = FIRST.why_unlike("odd", beside_us)
        assert why is not None
        assert all(said in why for said in ("odd is not used", f"{beside_us:.0f} µs", "first 400 µs", "1.5"))


def test_the_first_host_is_never_of_another_kind_than_itself() -> None:
    assert FIRST.why_unlike("first", 4000.0) is None


@pytest.mark.parametrize(
    ("latencies_us", "beside_us", "credible"),
    [
        ([90.0, 1e9], 400.0, True),
        ([90.0], None, True),
        ([90.0], 4000.0, True),
        ([90.0], 4001.0, False),
        ([90.0], 39.0, False),
        ([90.0, 1e15], 200.0, False),
        ([90.0, 1e-6], 800.0, False),
    ],
)
def test_figures_that_there_cannot_be_are_not_credible(
    latencies_us: list[float], beside_us: float | None, credible: bool
) -> None:
    assert FIRST.is_credible(latencies_us, beside_us) is credible


def test_accounts_of_several_measurers_add_up() -> None:
    parts = [Noise(3, 1, 1.4, 0.5), Noise(2, 2, 1.2, 0.25)]
    assert Noise.together(parts) == Noise(5, 3, 1.4, 0.75)
    assert Noise.together([]) == Noise()
