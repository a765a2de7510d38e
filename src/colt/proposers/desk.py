"""The desk, where every member of a pool is asked.

A built-in expert answers at once. A language model's answer arrives later, so that several are asked at a time and
everything else goes on. Whatever depends on the world outside comes in through :meth:`Calls.arrived` and nowhere else,
so that a recording of it replays a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.money import PICODOLLARS
from colt.proposers.language.node import InnerLoopMix, RunFacts
from colt.proposers.language.prompt import Profile
from colt.search.types import Observation, Proposal, ProposalError, Proposer, Ticket
from colt.util.clock import Stopwatch

BENCHED = "benched after failures"
"""How the reason begins why a model is benched whose circuit breaker is open. Recordings hold it."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Calls that have come back since the last time, and the models that are benched now, each with the reason."""

    calls: tuple[Call, ...] = ()
    benched: Mapping[str, str] = field(default_factory=dict)


class Calls(Protocol):
    """Calls of language models, several at a time."""

    @property
    def most(self) -> int:
        """How many may be under way at once."""
        ...

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """Make a call; return at once. It comes back in some :meth:`arrived`, whatever becomes of it."""
        ...

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """What has come back. If nothing has yet, wait this long for the first."""
        ...

    def close(self) -> Arrivals:
        """What has come back by now. The rest is given up."""
        ...


Observe = Callable[[Ticket], Observation]
"""Gathers what a ticket's member is shown."""
SaidBefore = Callable[[int, str], Proposal | ProposalError | None]
"""What a member is known to have answered to a ticket."""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A language model's answer to a ticket, and the call that brought it."""

    ticket: Ticket
    reply: Proposal | ProposalError
    call: Call


@dataclass(frozen=True, slots=True)
class _Question:
    ticket: Ticket
    observation: Observation


class Desk:
    """Asks the members of one task's pool. ``calls`` and ``slots`` (calls at once by model) are for language models."""

    def __init__(
        self,
        experts: Mapping[str, Proposer],
        models: Mapping[str, LanguageModel],
        calls: Calls | None,
        slots: Mapping[str, int],
        watch: Stopwatch,
        said_before: SaidBefore = lambda ticket, name: None,
    ) -> None:
        """``said_before`` is what an expert has answered to a ticket in the part of a run that is only repeated."""
        self._said_before = said_before
        self.experts = experts
        self.models = models
        self.calls: list[Call] = []
        """All calls that have come back, in that order."""
        self.benched: Mapping[str, str] = {}
        """Models that can't be asked at present, each with the reason."""
        self.times_benched: Counter[str] = Counter()
        """How often each model was benched after failures."""
        self.inner: InnerLoopMix | None = None
        """The inner loop of the schedule that was the fastest when somebody looked."""
        self.profile: Profile | None = None
        """Where the time of that schedule goes."""
        self.elsewhere: tuple[str, ...] = ()
        """What won on other programs, a line for each."""
        self._usd: dict[str, float] = {}
        """What the calls of each model have cost in dollars."""
        self.seconds: dict[str, float] = {}
        """Seconds that each member took to answer."""
        self._calls = calls
        self._slots = slots
        self._watch = watch
        self._under_way: dict[int, _Question] = {}
        self._late: list[Call] = []
        """Calls that came back when the desk was closed, and have not taken effect."""

    # ---- questions ----

    def ask(self, ticket: Ticket, observe: Observe, observe_in_full: Observe) -> Proposal | ProposalError | None:
        """An expert's answer, or ``None`` for a model's, which is told more and whose answer arrives later."""
        expert = self.experts.get(ticket.acting)
        if expert is not None:
            return self.ask_expert(expert, ticket, observe)
        assert self._calls is not None
        observation = observe_in_full(ticket)
        self._under_way[ticket.id] = _Question(ticket, observation)
        facts = RunFacts(dict(self._usd), self.inner, self.elsewhere, self.profile)
        request = self.models[ticket.acting].request(observation, facts)
        self._calls.send(ticket.id, ticket.acting, request)
        return None

    def ask_expert(self, expert: Proposer, ticket: Ticket, observe: Observe) -> Proposal | ProposalError:
        """What that expert answers, in the pool or not. Having no proposal is an answer too."""
        said = self._said_before(ticket.id, expert.spec.name)
        if said is not None:
            return said
        observation = observe(ticket)
        before = self._watch.total
        with self._watch("proposing"):
            reply = reply_of(partial(expert.propose, observation))
        self._count_seconds(expert.spec.name, self._watch.total - before)
        return reply

    @property
    def under_way(self) -> Mapping[int, str]:
        """The model of each ticket whose answer has not arrived."""
        return {number: question.ticket.acting for number, question in self._under_way.items()}

    @property
    def full(self) -> bool:
        """Whether no further call may be made now."""
        return self._calls is not None and len(self._under_way) >= self._calls.most

    @property
    def busy(self) -> list[str]:
        """Models that have as many calls under way as they take at once."""
        counts = Counter(self.under_way.values())
        return [name for name in self.models if counts[name] >= self._slots[name]]

    # ---- answers ----

    def arrived(self, wait_s: float = 0.0) -> Iterator[ModelAnswer]:
        """The answers that have arrived; each is read when it is asked for, after those before it took effect."""
        if self._calls is None:
            return
        with self._watch("idle") if wait_s else nullcontext():
            arrivals = self._calls.arrived(wait_s)
        self._bench(arrivals.benched)
        for call in arrivals.calls:
            self._keep(call)
            yield self._read(call)

    def _read(self, call: Call) -> ModelAnswer:
        question = self._under_way.pop(call.ticket)
        model = self.models[call.model]
        return ModelAnswer(question.ticket, reply_of(partial(model.read, call, question.observation)), call)

    def close(self) -> list[Call]:
        """Give up what is under way; the calls that still came back."""
        if self._calls is None:
            return []
        arrivals = self._calls.close()
        for call in arrivals.calls:
            self._keep(call)
        self._late += arrivals.calls
        return list(arrivals.calls)

    def reopen(self) -> Iterator[ModelAnswer]:
        """Go on after :meth:`close`: the answers that came back then, each read when it is asked for.

        Who cannot be asked is found out anew: it may be another process, with more money.
        """
        self.benched = {}
        late, self._late = self._late, []
        for call in late:
            yield self._read(call)

    def _bench(self, benched: Mapping[str, str]) -> None:
        for name, why in benched.items():
            was = self.benched.get(name, "").startswith(BENCHED)
            self.times_benched[name] += why.startswith(BENCHED) and not was
        self.benched = benched

    def _keep(self, call: Call) -> None:
        self.calls.append(call)
        self._usd[call.model] = self._usd.get(call.model, 0.0) + call.spent.picodollars / PICODOLLARS
        self._count_seconds(call.model, call.seconds)

    def _count_seconds(self, member: str, seconds: float) -> None:
        self.seconds[member] = self.seconds.get(member, 0.0) + seconds


def reply_of(propose: Callable[[], Proposal]) -> Proposal | ProposalError:
    """The proposal, or the error that says why there is none."""
    try:
        return propose()
    except ProposalError as error:
        return error
