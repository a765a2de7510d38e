"""Calls of language models, shared by the desks of several tasks."""

from __future__ import annotations

from colt.proposers.desk import Arrivals, Calls
from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest


class SharedCalls:
    """Sorts what comes back by the task that asked. Ticket numbers are unique among the tasks."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lines: list[_Line] = []

    def line(self) -> Calls:
        """The calls of one more task."""
        self._lines.append(_Line(self))
        return self._lines[-1]

    def most(self, line: _Line) -> int:
        """How many calls that task may have under way: what the others leave."""
        return self._calls.most - sum(len(other.tickets) for other in self._lines if other is not line)

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._calls.send(ticket, model, request)

    def fetch(self, wait_s: float) -> Arrivals:
        """Take what has come back and hand it to the tasks' lines."""
        return self._sort(self._calls.arrived(wait_s))

    def close(self) -> Arrivals:
        """See :meth:`Calls.close`."""
        return self._sort(self._calls.close())

    def _sort(self, arrivals: Arrivals) -> Arrivals:
        for call in arrivals.calls:
            line = next(line for line in self._lines if call.ticket in line.tickets)
            line.tickets.remove(call.ticket)
            line.inbox.append(call)
        return arrivals


class _Line:
    """One task's part. Implements :class:`~colt.proposers.desk.Calls`."""

    def __init__(self, shared: SharedCalls) -> None:
        self.tickets: set[int] = set()
        """The tickets of calls under way."""
        self.inbox: list[Call] = []
        self._shared = shared

    @property
    def most(self) -> int:
        return self._shared.most(self)

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        self.tickets.add(ticket)
        self._shared.send(ticket, model, request)

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        return self._own(self._shared.fetch(0.0 if self.inbox else wait_s))

    def close(self) -> Arrivals:
        return self._own(self._shared.close())

    def _own(self, arrivals: Arrivals) -> Arrivals:
        calls, self.inbox = tuple(self.inbox), []
        return Arrivals(calls, arrivals.benched)
