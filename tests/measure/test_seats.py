"""Seats do work side by side; what a lost one was at is done by another, and nothing waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep

import pytest

from colt.errors import MeasureError
from colt.measure.seats import SeatLost, SeatRefused, Seats, WorkBroke

SOON_S = 10.0
"""Nothing here takes so long."""


@dataclass(eq=False)
class Chair:
    """A seat that does as it is told."""

    name: str
    joins: Callable[[], None] = lambda: None
    joined: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def join(self) -> None:
        self.joined += 1
        self.joins()

    def interrupt(self) -> None:
        self.stopped.set()

    def leave(self) -> None:
        self.stopped.set()


@contextmanager
def seated(*chairs: Chair, again_s: float = SOON_S) -> Iterator[tuple[Seats[Chair], list[tuple[str, str, bool]]]]:
    """Seats, and what is told of losses."""
    told: list[tuple[str, str, bool]] = []
    seats = Seats(chairs, lambda chair, error, joined: told.append((chair.name, str(error), joined)), again_s)
    try:
        yield seats, told
    finally:
        seats.close()


def gone(text: str = "it is gone") -> Callable[[], None]:
    def join() -> None:
        raise SeatLost(text)

    return join


def test_as_much_is_done_at_a_time_as_there_are_seats() -> None:
    together = threading.Barrier(3)
    with seated(Chair("a"), Chair("b"), Chair("c")) as (seats, _):
        done = [seats.ask(lambda chair: (together.wait(SOON_S), chair.name)[1]) for _ in range(6)]
        assert {one.result(SOON_S) for one in done} == {"a", "b", "c"}


def test_what_waits_is_done_in_its_order() -> None:
    order: list[int] = []
    with seated(Chair("a")) as (seats, _):
        for one in [seats.ask(lambda chair, number=number: order.append(number)) for number in range(20)]:
            one.result(SOON_S)
    assert order == list(range(20))


def test_what_is_to_be_done_first_goes_before_all_that_waits() -> None:
    """A leader that is verified, say, before the next batch that waits already."""
    order: list[str] = []
    begun, enough = threading.Event(), threading.Event()

    def noted(name: str) -> Callable[[Chair], None]:
        return lambda chair: order.append(name)

    with seated(Chair("a")) as (seats, _):
        seats.ask(lambda chair: (begun.set(), enough.wait(SOON_S)))
        assert begun.wait(SOON_S)
        last = [seats.ask(noted(name)) for name in ("one", "two")]
        seats.ask(noted("first"), first=True)
        enough.set()
        for one in last:
            one.result(SOON_S)
    assert order == ["first", "one", "two"]


def test_what_goes_wrong_is_raised_where_it_was_asked_for_and_costs_no_seat() -> None:
    with seated(Chair("a")) as (seats, told):
        with pytest.raises(ZeroDivisionError):
            seats.ask(lambda chair: 1 // 0).result(SOON_S)
        assert seats.ask(lambda chair: chair.name).result(SOON_S) == "a"
    assert told == []


def test_what_a_lost_seat_was_at_is_done_by_another_once() -> None:
    lost, done = threading.Event(), []

    def work(chair: Chair) -> str:
        if chair is first:
            chair.joins = gone()
            lost.set()
            raise SeatLost("its cable was pulled", begun=True)
        lost.wait(SOON_S)
        done.append(chair.name)
        return chair.name

    first, second = Chair("first"), Chair("second")
    with seated(first, second) as (seats, told):
        results = [seats.ask(work) for _ in range(2)]
        assert [one.result(SOON_S) for one in results] == ["second", "second"]
    assert done == ["second", "second"]
    assert told[0] == ("first", "its cable was pulled", True)


def test_a_seat_that_is_lost_joins_anew_and_goes_on() -> None:
    chair, times = Chair("a"), []

    def work(seat: Chair) -> int:
        times.append(1)
        if len(times) == 1:
            raise SeatLost("for a moment")
        return seat.joined

    with seated(chair) as (seats, told):
        assert seats.ask(work).result(SOON_S) == 2
    assert told == [("a", "for a moment", True)]


def test_what_a_lost_seat_was_at_comes_before_what_waits() -> None:
    order: list[str] = []

    def first(chair: Chair) -> None:
        order.append("first")
        if len(order) == 1:
            waiting.append(seats.ask(lambda chair: order.append("second")))
            raise SeatLost("for a moment")

    waiting: list[Future[None]] = []
    with seated(Chair("a")) as (seats, _):
        seats.ask(first).result(SOON_S)
        waiting[0].result(SOON_S)
    assert order == ["first", "first", "second"]


def test_work_that_seats_are_lost_over_is_given_up() -> None:
    def work(chair: Chair) -> None:
        raise SeatLost("it went dark", begun=True)

    chairs = [Chair(name) for name in "abc"]
    with seated(*chairs) as (seats, told):
        with pytest.raises(WorkBroke, match="2 were lost over it, at last: it went dark"):
            seats.ask(work).result(SOON_S)
        assert seats.ask(lambda chair: 7).result(SOON_S) == 7
        deadline = monotonic() + SOON_S
        while len(told) < 2 and monotonic() < deadline:  # a seat tells of it once the work has been given up
            sleep(0.01)
    assert len(told) == 2


def test_a_seat_that_is_always_lost_at_once_does_not_keep_work_for_ever() -> None:
    def work(chair: Chair) -> None:
        raise SeatLost("no connection")

    with seated(Chair("a")) as (seats, told), pytest.raises(SeatLost, match="no connection"):
        seats.ask(work).result(SOON_S)
    assert 2 <= len(told) <= 10


def test_no_seat_at_all_is_an_error_and_work_that_comes_later_has_them_try_again() -> None:
    chairs = [Chair(name, gone("nobody answers")) for name in "ab"]
    with seated(*chairs) as (seats, told):
        with pytest.raises(SeatLost, match="nobody answers"):
            seats.ask(lambda chair: 1).result(SOON_S)
        for chair in chairs:
            chair.joins = lambda: None
        assert seats.ask(lambda chair: 1).result(SOON_S) == 1
    assert not any(joined for _, _, joined in told)


def test_a_seat_that_comes_late_joins_the_others() -> None:
    absent, together = Chair("late", gone()), threading.Barrier(2)
    with seated(Chair("a"), absent, again_s=0.05) as (seats, _):
        assert seats.ask(lambda chair: chair.name).result(SOON_S) == "a"
        absent.joins = lambda: None
        both = [seats.ask(lambda chair: (together.wait(SOON_S), chair.name)[1]) for _ in range(2)]
        assert {one.result(SOON_S) for one in both} == {"a", "late"}


def test_a_seat_of_no_use_is_never_asked_again() -> None:
    def refused() -> None:
        raise SeatRefused("it is of another kind")

    odd = Chair("odd", refused)
    with seated(odd, again_s=0.01) as (seats, told):
        for _ in range(3):
            with pytest.raises(MeasureError, match="another kind"):
                seats.ask(lambda chair: 1).result(SOON_S)
    assert odd.joined == 1
    assert told == [("odd", "it is of another kind", False)]


def test_a_fault_of_our_own_while_joining_is_told_and_keeps_nobody_waiting() -> None:
    def broken() -> None:
        raise KeyError("surprise")

    with seated(Chair("a", broken)) as (seats, _), pytest.raises(SeatRefused, match="KeyError: 'surprise'"):
        seats.ask(lambda chair: 1).result(SOON_S)


@pytest.mark.parametrize("interrupt", [False, True])
def test_what_is_forgotten_is_not_done_and_nobody_is_at_work_afterwards(interrupt: bool) -> None:
    begun, done = threading.Event(), []

    def work(chair: Chair) -> None:
        begun.set()
        chair.stopped.wait(SOON_S if interrupt else 0.05)
        done.append(1)

    with seated(Chair("a")) as (seats, _):
        first, *others = [seats.ask(work) for _ in range(4)]
        begun.wait(SOON_S)
        seats.forget(interrupt)
        assert done == [1]
        assert first.result(0) is None
        for one in others:
            with pytest.raises(CancelledError):
                one.result(0)


def test_closing_ends_what_is_done_and_what_waits_and_may_be_repeated() -> None:
    chair = Chair("a")
    with seated(chair) as (seats, _):
        waiting = [seats.ask(lambda seat: seat.stopped.wait(SOON_S)) for _ in range(3)]
        seats.close()
        seats.close()
    assert not any(one.running() for one in waiting)
