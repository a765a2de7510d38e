"""The desk: questions go out in threads, answers come back when they are fetched, and who cannot be asked is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("openai")

from colt.proposers.desk import BENCHED, Arrivals
from colt.proposers.language.breaker import Breaker, BreakerPolicy
from colt.proposers.language.calls import Call
from colt.proposers.language.chat_calls import ChatCalls
from colt.proposers.language.client import ChatClient
from colt.proposers.language.completion import ChatError, ChatRequest, ErrorKind
from colt.proposers.language.money import Ceilings, Ledger
from colt.proposers.language.retry import RetryPolicy
from tests.helpers.chat_members import PRICES, member
from tests.helpers.chat_server import ANSWER, ChatServer, Part

ASK = ChatRequest("be brief", "Which colour has a ripe strawberry?")
LONG_S = 60.0


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(prices=PRICES) as server:
        yield server


def desk(server: ChatServer, ceilings: Ceilings | None = None, most: int = 8, **changes: Any) -> ChatCalls:
    """Of two models, ``small`` and ``large``, that share a ledger and are not asked twice."""
    ledger = Ledger(ceilings)
    changes = {"api_key_env": None, "timeout_s": 2 * LONG_S, **changes}
    clients = [
        ChatClient(
            member(server.url, name=name, **changes),
            ledger,
            retry=RetryPolicy(attempts=1),
            breaker=Breaker(BreakerPolicy(failures=2)),
        )
        for name in ("small", "large")
    ]
    return ChatCalls(clients, most)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S / 2
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fetched(it: ChatCalls, count: int) -> tuple[list[Call], Arrivals]:
    """So many calls, in the order in which they came back, and the latest arrivals."""
    calls: list[Call] = []
    while len(calls) < count:
        arrivals = it.arrived(LONG_S / 2)
        assert arrivals.calls
        calls += arrivals.calls
    return calls, arrivals


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("colt-ask")]


def test_answers_come_back_with_their_tickets(server: ChatServer) -> None:
    with desk(server) as it:
        for ticket, model in enumerate(["small", "large", "small"]):
            it.send(ticket, model, ASK)
        calls, arrivals = fetched(it, 3)
    assert {(call.ticket, call.model) for call in calls} == {(0, "small"), (1, "large"), (2, "small")}
    for call in calls:
        assert (call.text, call.error, call.prompt) == (ANSWER, None, ASK.user)
        assert call.spent.calls == 1
    assert arrivals.benched == {}


def test_who_waits_for_nothing_does_not_wait(server: ChatServer) -> None:
    with desk(server) as it:
        assert it.arrived(wait_s=1e6) == Arrivals()


def test_a_look_does_not_wait_for_calls_under_way(server: ChatServer) -> None:
    server.delay_s = LONG_S
    with desk(server) as it:
        it.send(0, "small", ASK)
        assert it.arrived() == Arrivals()
        assert it.arrived(0.05) == Arrivals()


def test_failures_bench_a_model(server: ChatServer) -> None:
    server.always = Part.EMPTY
    with desk(server) as it:
        it.send(0, "small", ASK)
        assert fetched(it, 1)[1].benched == {}
        it.send(1, "small", ASK)
        calls, arrivals = fetched(it, 1)
    assert calls[0].error is ErrorKind.EMPTY
    assert arrivals.benched == {"small": f"{BENCHED}, the last: empty"}


def test_a_model_is_held_while_its_next_call_hangs_on_one_under_way(server: ChatServer) -> None:
    """What is set aside for a call may come free again; only then is it known whether there is room for another."""
    with desk(server, Ceilings(tokens=1500)) as it:
        server.delay_s = 1.0
        it.send(0, "small", ASK)
        until(lambda: len(server.asked) == 1)
        it.send(1, "large", ASK)
        calls, arrivals = fetched(it, 1)
        assert (calls[0].ticket, calls[0].error) == (1, ErrorKind.BUDGET)
        assert arrivals.benched["large"].startswith("max-tokens is 1500: 0 spent")
        _, arrivals = fetched(it, 1)
        assert arrivals.benched == {}


def test_a_call_that_settles_frees_held_models_though_others_are_under_way(server: ChatServer) -> None:
    with desk(server, Ceilings(tokens=2200)) as it:
        server.delay_s = LONG_S
        it.send(0, "small", ASK)
        until(lambda: len(server.asked) == 1)
        server.delay_s = 0.5
        it.send(1, "small", ASK)
        until(lambda: len(server.asked) == 2)
        it.send(2, "large", ASK)
        calls, arrivals = fetched(it, 1)
        assert (calls[0].ticket, set(arrivals.benched)) == (2, {"large"})
        calls, arrivals = fetched(it, 1)
        assert (calls[0].ticket, arrivals.benched) == (1, {})


def test_nobody_is_held_while_nothing_is_under_way(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refusal hung on may have come back before it."""

    def refuse(*_: object) -> None:
        raise ChatError(ErrorKind.BUDGET, "small", "reserved for calls in flight")

    monkeypatch.setattr(ChatClient, "complete", refuse)
    with desk(server) as it:
        it.send(0, "small", ASK)
        assert fetched(it, 1)[1].benched == {}


def test_a_model_that_no_ceiling_leaves_a_call_for_is_out_for_good(server: ChatServer) -> None:
    with desk(server, Ceilings(calls=1)) as it:
        it.send(0, "small", ASK)
        fetched(it, 1)
        it.send(1, "large", ASK)
        _, arrivals = fetched(it, 1)
        assert set(arrivals.benched) == {"large"}
        assert it.arrived().benched == arrivals.benched
        it.send(2, "small", ASK)
        assert set(fetched(it, 1)[1].benched) == {"small", "large"}


def test_closing_gives_up_what_is_under_way(server: ChatServer) -> None:
    server.delay_s = LONG_S
    before = set(threads())
    it = desk(server, concurrency=2)
    for ticket in range(6):
        it.send(ticket, "small", ASK)
    until(lambda: len(server.asked) == 2)
    calls = it.close().calls
    assert {call.ticket for call in calls} == set(range(6))
    assert {call.error for call in calls} == {ErrorKind.CLOSED}
    assert sum(call.spent.calls for call in calls) == 2
    assert set(threads()) <= before
    assert it.close() == Arrivals()


def test_closing_may_wait_a_little_for_what_is_about_to_come(server: ChatServer) -> None:
    server.delay_s = 0.2
    it = desk(server)
    it.send(0, "small", ASK)
    (call,) = it.close(wait_s=LONG_S / 2).calls
    assert call.text == ANSWER


def test_a_mistake_of_ours_is_not_taken_for_a_failed_call(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(ChatClient, "complete", complete)
    with desk(server) as it:
        it.send(0, "small", ASK)
        with pytest.raises(KeyError, match="a mistake"):
            it.arrived(LONG_S)
