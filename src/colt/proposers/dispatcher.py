"""Nobody waits: language models are asked while the machine measures what is there.

    take      answers that have come back take effect; course alterations are asked at once
    send      free slots get tickets, so that as much comes back as is measured meanwhile
    pick      at least every other trial is the models'; the others are the built-in experts', who fill the time
    wait      only if the experts have had their half, and answers are under way

Deterministic, but for what the desk says (:mod:`colt.proposers.desk`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from colt.proposers.cooldown import IN_A_ROW, Rests
from colt.proposers.desk import BENCHED, Arrivals, Desk
from colt.proposers.language.calls import Call
from colt.proposers.language.model import LanguageModel
from colt.search.search import Search, answer
from colt.search.types import NotAsked, Observation, Proposal, ProposalError, Proposer, Ticket, Trial
from colt.util.clock import Stopwatch

POLL_S = 0.2
"""How long a wait for answers takes before somebody may interrupt it."""
PATIENCE_S = 30.0
"""So long in a row the machine may stand idle for the models' sake; or twice as long as their slowest answer took."""
EXPECTED, OUT_OF = 4, 6
"""Schedules worth measuring that so many alternatives bring, until a run knows better: some are unusable, or known."""
RESTS = f"its last {IN_A_ROW} answers were of no use"
"""Why a model is out that rests."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call under way, and the trials that had been measured when it was made."""

    ticket: Ticket
    observation: Observation
    told: int


class Asking:
    """Keeps models and machine busy. ``ask`` stands for :meth:`colt.search.search.Search.ask`."""

    def __init__(
        self,
        search: Search,
        desk: Desk,
        models: Mapping[str, LanguageModel],
        experts: Mapping[str, Proposer],
        feeders: Sequence[Proposer],
        *,
        slots: Mapping[str, int],
        trials_total: int,
        why_stop: Callable[[], str | None],
        strict: bool,
        stopped: Callable[[], bool],
        told: Callable[[Call], None],
        note: Callable[[str], None],
        watch: Stopwatch,
    ) -> None:
        """``experts`` are members of the pool that answer at once, ``feeders`` those who fill the time, the former
        perhaps among them. ``slots`` are the calls that each model takes at once.

        ``why_stop`` says why no more calls are worth their price, ``strict`` whether the run ends when no model can be
        asked, ``stopped`` whether it is to end. ``told`` gets every call that has come back, ``note`` what the user
        should know.
        """
        self.paying_ended: str | None = None
        """Why no more calls are made."""
        self._search = search
        self._desk = desk
        self.models = models
        self._unreachable: Mapping[str, str] = {}
        self._rests = {name: Rests() for name in models}
        self._benched = dict.fromkeys(models, 0)
        self._experts = experts
        self._feeders = cycle(feeders)
        self._slots = slots
        self._trials_total = trials_total
        self._why_stop = why_stop
        self._strict = strict
        self._stopped = stopped
        self._told = told
        self._note = note
        self._watch = watch
        self._under_way: dict[int, _Asked] = {}
        self._alternatives = 0
        """Asked for in all."""
        self._during_call = 0
        """Trials measured while the latest call was under way."""
        self._margin = search.config.batch_size
        """Schedules that there should be beside those that are measured while calls are under way."""
        self._picked = {True: 0, False: 0}
        """Trials by models, and by others."""
        self._slowest_s = 0.0
        self._waited_s = 0.0
        """Since a schedule of a model's was last there to be measured."""
        self._told_out = False

    @property
    def out(self) -> Mapping[str, str]:
        """Models that are not to be asked at present, and why."""
        asked = {call.ticket.acting for call in self._under_way.values()}
        charged = self._search.trials.charged
        resting = {
            name: RESTS
            for name, rests in self._rests.items()
            if rests.resting(charged) or (rests.on_trial and name in asked)
        }
        return {**resting, **self._unreachable}

    def benched(self, model: str) -> int:
        """How often that model has gone out after failures, or after answers that were of no use."""
        return self._benched[model] + self._rests[model].taken

    @property
    def all_out(self) -> bool:
        """Whether no model can be asked at present."""
        return set(self.models) <= set(self.out)

    @property
    def abandoned(self) -> bool:
        """Whether no model can be asked, and nothing that one has been asked is under way."""
        return self.all_out and not self._under_way

    def ask(self, count: int) -> list[Trial]:
        """Up to ``count`` distinct schedules to measure next, fewer while answers are under way: they are welcome
        sooner then. Waits only if there is nothing to measure but what is being thought of."""
        while True:
            self._take(self._desk.arrived())
            self._send(self._search.config.iterations_per_trial * count)
            if self._under_way:
                count = max(1, min(count, self._search.config.batch_size // 2))
            trials = self._pick(count, patient=self._waited_s < max(PATIENCE_S, 2 * self._slowest_s))
            if trials or not self._under_way or self._stopped():
                return trials
            if not self._waited_s:
                self._margin *= 2  # what was ahead has not been enough
            with self._watch("idle"):
                arrivals = self._desk.arrived(POLL_S)
            self._take(arrivals)
            self._waited_s += POLL_S

    # ---- answers ----

    def _take(self, arrivals: Arrivals) -> None:
        """Let what has come back take effect."""
        for name, why in arrivals.out.items():
            self._benched[name] += why.startswith(BENCHED) and not self._unreachable.get(name, "").startswith(BENCHED)
        self._unreachable = arrivals.out
        for call in arrivals.calls:
            self._told(call)
            self._slowest_s = max(self._slowest_s, call.seconds)
            asked = self._under_way.pop(call.ticket)
            reply = answer(partial(self.models[call.model].read, call), asked.observation)
            if isinstance(reply, NotAsked):
                self._alternatives -= asked.ticket.places
            else:
                self._during_call = self._search.trials.told - asked.told
            if call.error is None:
                self._judge(call.model, reply)
            self._commit(asked.ticket, reply)
        self._tell_of_absence()

    def _judge(self, model: str, reply: Proposal | ProposalError) -> None:
        """A model whose answers are of no use, several times in a row, is left alone for a while."""
        if not isinstance(reply, ProposalError):
            self._rests[model].useful()
        elif self._rests[model].useless(self._search.trials.charged):
            self._note(f"{model} is not asked for a while: {RESTS}, at last: {reply}")

    def _commit(self, ticket: Ticket, reply: Proposal | ProposalError) -> None:
        """Give an answer back; a course alteration that becomes due is asked for at once."""
        for due in self._search.commit(ticket, reply):
            out = self.out
            if due.acting in self.models and (self.paying_ended or due.acting in out):
                self._commit(due, NotAsked(out.get(due.acting, "no more calls are made")))
            else:
                self._put(due)

    def _tell_of_absence(self) -> None:
        if self.abandoned and not self._told_out:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.out.items())
            then = "the run stops" if self._strict else "the built-in experts go on alone"
            self._note(f"no language model can be asked, {then} ({reasons})")
        self._told_out = self.abandoned

    # ---- questions ----

    def _send(self, turns: int) -> None:
        """Give tickets out, as long as there is a free slot and what comes of them will be measured.

        In between experts of the pool have up to so many ``turns``: the tree may have nothing for models at present.
        """
        while turns and len(self._under_way) < self._desk.most and self._wanted():
            ticket = self._search.select(benched=self.out, busy=self._busy())
            if ticket is None:
                return
            turns -= ticket.acting in self._experts
            self._put(ticket)

    def _put(self, ticket: Ticket) -> None:
        observation = self._search.observe(ticket)
        expert = self._experts.get(ticket.acting)
        if expert is not None:
            with self._watch("proposing"):
                reply = answer(expert.propose, observation)
            self._commit(ticket, reply)
            return
        self._under_way[ticket.id] = _Asked(ticket, observation, self._search.trials.told)
        self._alternatives += ticket.places
        self._desk.send(ticket.id, ticket.acting, self.models[ticket.acting].request(observation))

    def _wanted(self) -> bool:
        """Whether another call is worth it: not if what is there and under way will do for the time being.

        There should be as much as is measured while a call is under way: with less the machine would wait, and what is
        more would be measured when it is out of date.
        """
        if self.all_out or not self._pays():
            return False
        told = self._search.trials.told
        longest = max((told - call.told for call in self._under_way.values()), default=0)
        enough = self._margin + max(longest, self._during_call)
        return self._expected() < min(enough, self._trials_total - self._search.trials.charged)

    def _expected(self) -> float:
        """Schedules of models that wait to be measured, and that calls under way will bring if they are as fruitful as
        those before."""
        waiting = self._search.trials.waiting(self.models)
        coming = self._search.coming()
        answered = self._alternatives - coming
        brought = waiting + self._picked[True]
        return waiting + coming * (brought + EXPECTED) / (answered + OUT_OF)

    def _busy(self) -> list[str]:
        """Models that have as many calls under way as they take at once."""
        counts = Counter(call.ticket.acting for call in self._under_way.values())
        return [name for name in self.models if counts[name] >= self._slots[name]]

    def _pays(self) -> bool:
        if self.paying_ended is None:
            self.paying_ended = self._why_stop()
            if self.paying_ended is not None:
                self._note(f"no more calls of language models are made: {self.paying_ended}")
        return self.paying_ended is None

    # ---- trials ----

    def _pick(self, count: int, patient: bool) -> list[Trial]:
        trials: list[Trial] = []
        while len(trials) < count and (trial := self._next(patient)) is not None:
            self._picked[trial.proposed_by in self.models] += 1
            trials.append(trial)
        return trials

    def _next(self, patient: bool) -> Trial | None:
        """Every other trial is the models', as long as they have one; they keep their half if they are slow."""
        trials = self._search.trials
        if self._picked[True] <= self._picked[False]:
            for trial in trials.pick(1, by=self.models):
                self._waited_s = 0.0
                return trial
        if self._under_way and patient and self._picked[False] >= self._trials_total // 2:
            return None
        for _ in range(self._search.config.iterations_per_trial):
            self._feed()
        return next(iter(trials.pick(1)), None)

    def _feed(self) -> None:
        """One proposal of a built-in expert, at no price."""
        feeder = next(self._feeders)
        ticket = self._search.select(feeder=feeder.spec.name)
        if ticket is not None:
            with self._watch("proposing"):
                reply = answer(feeder.propose, self._search.observe(ticket))
            self._search.commit(ticket, reply)
