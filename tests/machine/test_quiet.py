"""What counts as another load follows from how steady the machine is."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from colt.machine import Quiet
from colt.run.holding import TRIAL_LIMITS, limits_on


def test_the_quietest_spell_counts() -> None:
    busy, quiet = [(1.0, 0.0), (2.4, 0.3)], [(1.02, 0.0), (1.08, 0.001), (1.01, 0.002)]
    assert Quiet.of([busy, quiet, busy]) == Quiet(1.08, 0.002)
    assert Quiet.of([busy]) == Quiet(2.4, 0.3)


def test_one_look_in_twenty_may_have_met_something() -> None:
    looks = [(1.0 + 0.01 * number, 0.0) for number in range(19)]
    assert Quiet.of([[*looks, (9.0, 0.9)]]) == Quiet(1.18, 0.0)


@pytest.mark.parametrize(
    ("quiet", "slowdown", "queued"),
    [
        (Quiet(1.0, 0.0), 1.1, 0.05),  # no machine is that steady for long
        (Quiet(1.2, 0.02), 1.32, 0.05),
        (Quiet(1.3, 0.1), 1.43, 0.11),  # a virtual machine whose clock goes up and down
    ],
)
def test_thresholds_are_a_tenth_above(quiet: Quiet, slowdown: float, queued: float) -> None:
    assert quiet.slowdown_threshold == pytest.approx(slowdown)
    assert quiet.queued_threshold == pytest.approx(queued)
    limits = limits_on(quiet)
    assert (limits.noise_threshold, limits.noise_queued) == (quiet.slowdown_threshold, quiet.queued_threshold)


@pytest.mark.parametrize("busy", [Quiet(1.6, 0.0), Quiet(1.0, 0.3)])
def test_a_busy_machine_is_not_taken_for_a_quiet_one(busy: Quiet) -> None:
    assert not busy.credible
    assert Quiet(1.5, 0.2).credible


def test_a_machine_of_which_nothing_is_known_has_the_usual_limits() -> None:
    assert limits_on(None) == TRIAL_LIMITS


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "not an object with the fields slowdown, queued"),
        ({"slowdown": 1.1}, "not an object with the fields slowdown, queued"),
        ({"slowdown": 0.9, "queued": 0.0}, "slowdown of the quiet machine is 0.9, not a number from 1"),
        ({"slowdown": 1.1, "queued": 1}, "queued of the quiet machine is 1, not a number from 0 to 0.2"),
        ({"slowdown": True, "queued": 0.0}, "slowdown of the quiet machine is True"),
        ({"slowdown": float("nan"), "queued": 0.0}, "slowdown of the quiet machine is nan"),
    ],
)
def test_records_that_make_no_sense_are_refused(record: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quiet.from_record(record)


def test_records_come_back() -> None:
    assert Quiet.from_record(asdict(Quiet(1.25, 0.01))) == Quiet(1.25, 0.01)
