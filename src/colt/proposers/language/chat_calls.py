"""Calls of language models over the network, in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from colt.proposers.desk import BENCHED, Arrivals
from colt.proposers.language.calls import Call
from colt.proposers.language.client import ChatClient
from colt.proposers.language.completion import ChatError, ChatRequest, Completion, ErrorKind
from colt.proposers.language.money import Spending


@dataclass(slots=True)
class _Flight:
    """A question under way, or an answer that has not been fetched."""

    ticket: int
    model: str
    request: ChatRequest
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    answer: Future[Completion] = field(default_factory=Future)

    @property
    def outcome(self) -> Completion | ChatError:
        """The answer or the call's failure. Raises any other exception: it is a bug, not a failed call."""
        try:
            return self.answer.result()
        except ChatError as error:
            return error

    def call(self) -> Call:
        """The record of this call."""
        return Call.of(self.ticket, self.model, self.request.user, self.outcome, self.seconds)


class ChatCalls:
    """Asks over the network, in threads. A context manager; leaving it gives up all calls under way."""

    def __init__(
        self,
        clients: Sequence[ChatClient],
        most: int,
        set_aside: Callable[[int, Spending], None] = lambda ticket, spending: None,
    ) -> None:
        """``set_aside`` is told, before each request, what its ticket costs if nothing more is heard of it."""
        self.most = most
        self._set_aside = set_aside
        self._clients = {client.member.name: client for client in clients}
        self._threads = ThreadPoolExecutor(self.most, thread_name_prefix="colt-ask")
        self._back: SimpleQueue[_Flight] = SimpleQueue()
        self._under_way = 0
        self._held: dict[str, str] = {}
        """Models that can be asked again only after a call under way has ended, with the reason."""
        self._failures: dict[str, ErrorKind] = {}
        """The last failure of each model that is held against it."""
        self._for_good: dict[str, str] = {}
        """Models for which the ceilings leave no room for another call, with the reason."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._under_way += 1
        flight = _Flight(ticket, model, request)
        flight.answer = self._threads.submit(self._clients[model].complete, request, partial(self._set_aside, ticket))
        flight.answer.add_done_callback(lambda _: self._landed(flight))

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Calls.arrived`."""
        flights = self._fetch(wait_s)
        for flight in flights:
            self._note_refusal(flight)
        return Arrivals(tuple(flight.call() for flight in flights), self._benched())

    def close(self, wait_s: float = 0.0) -> Arrivals:
        """Wait up to ``wait_s`` for the calls under way, then give them up. Returns all that was not fetched."""
        flights = []
        deadline = time.monotonic() + wait_s
        while self._under_way and (left := deadline - time.monotonic()) > 0:
            flights += self._fetch(left)
        for client in self._clients.values():
            client.close()
        self._threads.shutdown(cancel_futures=False)
        flights += self._fetch(0.0)
        return Arrivals(tuple(flight.call() for flight in flights), self._benched())

    def _landed(self, flight: _Flight) -> None:
        flight.seconds = time.monotonic() - flight.started
        self._back.put(flight)

    def _fetch(self, wait_s: float) -> list[_Flight]:
        flights: list[_Flight] = []
        try:
            while True:
                wait = wait_s if self._under_way and not flights else 0.0
                flights.append(self._back.get(wait > 0, wait or None))
                self._under_way -= 1
        except Empty:
            return flights

    def _note_refusal(self, flight: _Flight) -> None:
        error = flight.outcome
        if isinstance(error, ChatError) and not error.kind.blameless:
            self._failures[flight.model] = error.kind
        if not isinstance(error, ChatError) or not error.kind.blameless:
            self._held.clear()
        elif error.kind is ErrorKind.BUDGET and error.final:
            self._for_good[flight.model] = error.reason
        else:
            self._held[flight.model] = error.reason

    def _benched(self) -> dict[str, str]:
        benched = dict(self._for_good)
        if self._under_way:
            benched = self._held | benched
        for name, client in self._clients.items():
            if name not in benched and client.breaker.wait_s() > 0:
                benched[name] = f"{BENCHED}, the last: {self._failures[name]}" if name in self._failures else BENCHED
        return benched
