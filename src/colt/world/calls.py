"""Calls of language models that come back through the door of a run (:mod:`colt.world.world`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from colt.errors import ReplayError
from colt.proposers.desk import Arrivals, Calls
from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest, ErrorKind
from colt.world.answers import Returned
from colt.world.world import World

LOST = "the run broke off while this call was under way"


class NoCalls:
    """Asks nobody: every call comes back as one that was under way when the run broke off."""

    most = 1

    def __init__(self) -> None:
        self._sent: list[Call] = []

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._sent.append(_lost(ticket, model, request.user))

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Calls.arrived`."""
        back, self._sent = tuple(self._sent), []
        return Arrivals(back)

    def close(self) -> Arrivals:
        """See :meth:`Calls.close`."""
        return self.arrived()


def _lost(ticket: int, model: str, prompt: str) -> Call:
    return Call(ticket=ticket, model=model, prompt=prompt, error=ErrorKind.CLOSED, message=LOST)


class RecordableCalls:
    """Makes calls by means of what ``make`` makes; a replay makes none. Implements :class:`~colt.proposers.desk.Calls`.

    A replay ends where a call's prompt is another one than was recorded, unless ``compare`` is off: prompts of earlier
    versions were worded differently. In a resumed run, calls that were under way when it broke off come back as failed:
    they are spent.
    """

    def __init__(self, world: World, make: Callable[[], Calls], most: int, *, compare: bool = True) -> None:
        self.most = most
        self._world = world
        self._made = world.live(make)
        self._benched: Mapping[str, str] = {}
        self._prompts: dict[int, tuple[str, str]] = {}
        """Model and prompt of each call under way, by ticket."""
        self._lost: set[int] = set()
        """Tickets of recorded calls that nobody has seen an answer to."""
        self._compare = compare

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._prompts[ticket] = model, request.user
        if self._world.recorded:
            self._lost.add(ticket)
        elif self._made is not None:
            self._made.send(ticket, model, request)

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Calls.arrived`. A replay does not wait."""
        return self._taken("calls", lambda: self._live.arrived(0.0 if self._lost else wait_s))

    def close(self) -> Arrivals:
        """See :meth:`Calls.close`."""
        return self._taken("last calls", lambda: self._live.close())

    def _taken(self, asked: str, ask: Callable[[], Arrivals]) -> Arrivals:
        def answer() -> Returned:
            arrivals = ask()
            lost = [self._given_up(ticket) for ticket in sorted(self._lost)]
            benched = None if arrivals.benched == self._benched else dict(arrivals.benched)
            return Returned(calls=(*lost, *arrivals.calls), benched=benched)

        found = self._world.take(asked, Returned, answer, quiet=Returned())
        for call in found.calls:
            model, prompt = self._prompts.pop(call.ticket, ("", ""))
            self._lost.discard(call.ticket)
            if call.model != model or (self._compare and call.prompt != prompt):
                raise ReplayError(
                    f"{call.model} was not asked what it is recorded to have been, at ticket {call.ticket}"
                )
        if found.benched is not None:
            self._benched = found.benched
        return Arrivals(found.calls, self._benched)

    def _given_up(self, ticket: int) -> Call:
        model, prompt = self._prompts[ticket]
        return _lost(ticket, model, prompt)

    @property
    def _live(self) -> Calls:
        assert self._made is not None, "a replay asks nobody"
        return self._made
