"""Calls of language models that come back through the door of a run (:mod:`colt.world.world`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from colt.errors import ReplayError
from colt.proposers.desk import Arrivals, Calls
from colt.proposers.language.calls import Call, Charge
from colt.proposers.language.completion import ChatRequest, ErrorKind
from colt.proposers.language.money import Spending
from colt.world.answers import Returned
from colt.world.world import World

LOST = "the run broke off while this call was under way"
NOT_MADE = "the run broke off before this call was made"


class NoCalls:
    """Asks nobody: every call comes back as one that was not made."""

    most = 1

    def __init__(self) -> None:
        self._sent: list[Call] = []

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._sent.append(
            Call(ticket=ticket, model=model, prompt=request.user, error=ErrorKind.CLOSED, message=NOT_MADE)
        )

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Calls.arrived`."""
        back, self._sent = tuple(self._sent), []
        return Arrivals(back)

    def close(self) -> Arrivals:
        """See :meth:`Calls.close`."""
        return self.arrived()


class RecordableCalls:
    """Makes calls by means of what ``make`` makes; a replay makes none. Implements :class:`~colt.proposers.desk.Calls`.

    A replay ends where a call's prompt is another one than was recorded, unless ``compare`` is off: prompts of earlier
    versions were worded differently. In a resumed run, calls that had left when it broke off come back as lost, at
    their worst cost; those that had not are made. ``charge`` is told what calls cost that this process has not made.
    """

    def __init__(
        self,
        world: World,
        make: Callable[[], Calls],
        most: int,
        *,
        compare: bool = True,
        charge: Callable[[str, Spending], None] = lambda model, spending: None,
    ) -> None:
        self.most = most
        self._world = world
        self._make = make
        self._made = world.live(make)
        self._benched: Mapping[str, str] = {}
        self._prompts: dict[int, tuple[str, str]] = {}
        """Model and prompt of each call under way, by ticket."""
        self._recorded: dict[int, tuple[str, ChatRequest, Charge | None]] = {}
        """Calls of the recorded part that have not come back there, each with what was set aside if it had left."""
        self._lost: list[Call] = []
        """Calls that had left when the run broke off; they come back next."""
        self._compare = compare
        self._charge = charge

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Calls.send`."""
        self._prompts[ticket] = model, request.user
        recorded = self._world.recorded
        left = self._world.left(ticket)
        if recorded:
            self._recorded[ticket] = model, request, left
        elif self._made is not None:
            self._live.send(ticket, model, request)

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Calls.arrived`. A replay does not wait."""
        return self._taken("calls", lambda: self._live.arrived(0.0 if self._lost else wait_s))

    def close(self) -> Arrivals:
        """See :meth:`Calls.close`. Calls may be made again afterwards, as if these were new."""
        recorded = self._world.recorded
        last = self._taken("last calls", lambda: self._live.close())
        if not recorded:
            self._made = None
        return last

    def _taken(self, asked: str, ask: Callable[[], Arrivals]) -> Arrivals:
        def answer() -> Returned:
            arrivals = ask()
            lost, self._lost = self._lost, []
            benched = None if arrivals.benched == self._benched else dict(arrivals.benched)
            return Returned(calls=(*lost, *arrivals.calls), benched=benched)

        recorded = self._world.recorded
        found = self._world.take(asked, Returned, answer, quiet=Returned())
        for call in found.calls:
            model, prompt = self._prompts.pop(call.ticket, ("", ""))
            self._recorded.pop(call.ticket, None)
            if call.model != model or (self._compare and call.prompt != prompt):
                raise ReplayError(
                    f"{call.model} was not asked what it is recorded to have been, at ticket {call.ticket}"
                )
            if recorded:
                self._charge(model, call.spent.spending())
        if found.benched is not None:
            self._benched = found.benched
        return Arrivals(found.calls, self._benched)

    @property
    def _live(self) -> Calls:
        """What makes the calls. What was under way when the run broke off is lost if it had left, and made if not."""
        if self._made is None:
            self._made = self._world.live(self._make)
        assert self._made is not None, "a replay asks nobody"
        left, self._recorded = self._recorded, {}
        unsent = []
        for ticket, (model, request, charge) in left.items():
            if charge is None:
                unsent.append((ticket, model, request))
                continue
            self._charge(model, charge.spending())
            self._lost.append(_lost(ticket, model, request.user, charge))
        for one in unsent:
            self._made.send(*one)
        return self._made


def _lost(ticket: int, model: str, prompt: str, charge: Charge) -> Call:
    return Call(ticket=ticket, model=model, prompt=prompt, error=ErrorKind.LOST, message=LOST, spent=charge)
