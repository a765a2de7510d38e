"""When a request is made again, and when a model is left alone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from colt.proposers.language.breaker import Breaker, BreakerPolicy
from colt.proposers.language.retry import RetryPolicy, retry_after_s

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
POLICY = RetryPolicy(attempts=5, base_s=1.0, cap_s=4.0, total_s=100.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(days=3), usegmt=True)}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:01:00 -0000"}, 60.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Sun, 99 Nov 2026 12:01:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW.timestamp()) == seconds


def test_backoff_is_drawn_between_nothing_and_a_bound_that_doubles() -> None:
    for attempt, bound in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0)):
        waits = [POLICY.wait_s(attempt, 0.0, None, random.Random(seed)) for seed in range(300)]
        known = [wait for wait in waits if wait is not None]
        assert len(known) == 300
        assert 0 <= min(known) < 0.1 * bound
        assert 0.9 * bound < max(known) <= bound


def test_the_endpoint_is_given_all_the_time_that_it_asks_for() -> None:
    waits = [POLICY.wait_s(1, 0.0, 20.0, random.Random(seed)) for seed in range(100)]
    assert all(wait is not None and 20.0 <= wait <= 21.0 for wait in waits)
    assert len(set(waits)) > 50, "calls that were turned away together do not come back together"


def test_retries_are_bounded_in_number_and_in_time() -> None:
    rng = random.Random(0)
    assert POLICY.wait_s(4, 0.0, None, rng) is not None
    assert POLICY.wait_s(5, 0.0, None, rng) is None
    assert POLICY.wait_s(1, 95.0, 4.0, random.Random(1)) is not None
    assert POLICY.wait_s(1, 95.0, 6.0, rng) is None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BreakerPolicy(failures=3, first_s=10, most_s=25), clock)


def fail(breaker: Breaker, **details: float) -> None:
    trial = breaker.enter()
    assert trial is not None
    breaker.failed(trial, **details)  # type: ignore[arg-type]


def test_failures_in_a_row_bench_a_model(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    fail(breaker)
    assert breaker.enter() is False
    breaker.succeeded()
    fail(breaker)
    fail(breaker)
    assert breaker.benched == 0
    fail(breaker)
    assert breaker.enter() is None
    assert breaker.wait_s() == 10
    assert breaker.benched == 1
    clock.now = 9.9
    assert breaker.enter() is None


def test_one_trial_call_decides(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now = 10
    assert breaker.enter() is True
    assert breaker.enter() is None, "one at a time"
    breaker.succeeded()
    assert breaker.enter() is False
    assert breaker.wait_s() == 0


def test_the_bench_gets_longer_up_to_a_bound_and_short_again(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    for bench in (20, 25, 25):
        clock.now += breaker.wait_s()
        fail(breaker)
        assert breaker.wait_s() == bench
    assert breaker.benched == 4
    clock.now += 25
    assert breaker.enter() is True
    breaker.succeeded()
    for _ in range(3):
        fail(breaker)
    assert breaker.wait_s() == 10


def test_what_is_hopeless_benches_at_once_and_what_the_endpoint_asks_for_counts(breaker: Breaker) -> None:
    fail(breaker, at_once=True, at_least_s=50.0)
    assert breaker.wait_s() == 50


def test_calls_that_were_under_way_do_not_prolong_the_bench(breaker: Breaker, clock: Clock) -> None:
    under_way = [breaker.enter() for _ in range(5)]
    for trial in under_way:
        assert trial is False
        clock.now += 1
        breaker.failed(trial)
    assert breaker.wait_s() == 8, "benched at the third failure, two seconds ago"
    clock.now = 13
    assert breaker.enter() is True
    breaker.failed(False)
    assert breaker.enter() is None, "the trial call is still under way"


def test_a_trial_call_that_is_not_made_leaves_room_for_another(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now = 10
    trial = breaker.enter()
    assert trial
    breaker.abandoned(trial)
    assert breaker.enter() is True
