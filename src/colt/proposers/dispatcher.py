"""Who is asked when: language models are asked while the machine measures, and nobody waits without need.

    settle   answers that have arrived take effect; course alterations that become due are asked for at once
    send     free slots get questions, so that as much comes back as is measured meanwhile
    pick     at least every other trial is a model's; the others are the built-in experts', who fill the time
    wait     only if the experts have had their half, and answers are under way

With ``structure_after`` the two do different work (:func:`colt.search.policy.due_at`): models change structures whose
knobs experts have tuned, and experts tune what came of it.

In a pool of built-in experts alone all answers come at once: there is nothing to settle or to wait for, and the tree
alone decides whose trials are measured. Deterministic but for what arrives at the desk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from colt import events
from colt.events import Emit
from colt.proposers.cooldown import IN_A_ROW, Cooldown
from colt.proposers.desk import Desk, ModelAnswer
from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ErrorKind
from colt.proposers.language.money import PICODOLLARS, Spending
from colt.search.search import Search
from colt.search.types import NotAsked, Proposal, ProposalError, Proposer, Ticket, Trial
from colt.util.clock import Stopwatch

POLL_S = 0.2
"""How long a wait for answers takes before a stop is looked for."""
PATIENCE_S = 30.0
"""How long in a row the machine may stand idle for models; or twice as long as their slowest answer took."""
EXPECTED, OUT_OF = 4, 6
"""Schedules worth measuring that so many alternatives bring, until a run knows better."""
COOLING = f"its last {IN_A_ROW} answers were of no use"
"""Why a model is benched that cools down."""


class Dispatcher:
    """Keeps the members of one task's pool and the machine busy."""

    def __init__(
        self,
        search: Search,
        desk: Desk,
        feeders: Sequence[Proposer],
        *,
        trials_total: int,
        why_stop: Callable[[], str | None] = lambda: None,
        strict: bool = False,
        emit: Emit = lambda event: None,
        note: Callable[[str], None] = lambda message: None,
        watch: Stopwatch | None = None,
        explore: Callable[[], None] = lambda: None,
    ) -> None:
        """``feeders`` are the experts who fill the time, in the pool or not. ``why_stop`` says why no further call is
        worth its price, ``strict`` whether the run ends when no model can be asked, ``note`` tells the user.
        ``explore`` looks for structures, if it is time to.
        """
        self.calls_ended: str | None = None
        """Why no more calls are made."""
        self.desk = desk
        self._search = search
        self._feeders = cycle(feeders)
        self._cooldowns = {name: Cooldown() for name in desk.models}
        self._trials_total = trials_total
        self._why_stop = why_stop
        self._strict = strict
        self._emit = emit
        self._note = note
        self._watch = watch or Stopwatch()
        self._explore = explore
        self._sent_at: dict[int, int] = {}
        """Trials that had been measured when each ticket under way was sent."""
        self._alternatives = 0
        """Alternatives asked for in all."""
        self._during_call = 0
        """Trials measured while the latest call was under way."""
        self._margin = search.config.batch_size
        """Schedules that should wait, beside those measured while calls are under way."""
        self._picked = {True: 0, False: 0}
        """Trials of models, and of others."""
        self._slowest_s = 0.0
        self._waited_s = 0.0
        """Waited since a model's schedule was last there to be measured."""
        self._told_of_absence = False

    # ---- the state of the pool ----

    @property
    def under_way(self) -> bool:
        """Whether answers are under way."""
        return bool(self.desk.under_way)

    @property
    def benched(self) -> Mapping[str, str]:
        """Models that can't be asked at present, each with the reason."""
        asked = set(self.desk.under_way.values())
        charged = self._search.trials.charged
        cooling = {
            name: COOLING
            for name, cooldown in self._cooldowns.items()
            if cooldown.active(charged) or (cooldown.on_trial and name in asked)
        }
        return {**cooling, **self.desk.benched}

    def times_benched(self, model: str) -> int:
        """How often that model was benched, after failures or after useless answers."""
        return self.desk.times_benched[model] + self._cooldowns[model].taken

    @property
    def all_benched(self) -> bool:
        """Whether there are models, none of which can be asked, and no answer is under way."""
        return bool(self.desk.models) and not self.under_way and set(self.desk.models) <= set(self.benched)

    @property
    def lacks_models(self) -> bool:
        """Whether the run is to end since no model can be asked."""
        return self._strict and self.all_benched

    # ---- answers ----

    def settle(self, wait_s: float = 0.0) -> None:
        """Let what has arrived take effect; wait so long for the first answer."""
        calls = []
        for answer in self.desk.arrived(wait_s):
            calls.append(answer.call)
            self._tell_of_call(answer.call)
            self._account(answer)
            self._commit(answer.ticket, answer.reply)
        self._tell_if_lost(calls)
        self._tell_if_all_benched()

    def wait(self) -> None:
        """Wait a moment for answers, since there is nothing to measure."""
        if not self._waited_s:
            self._margin *= 2  # what was ahead has not been enough
        self.settle(POLL_S)
        self._waited_s += POLL_S

    def close(self) -> None:
        """Ask no more. What is under way is given up, and paid for."""
        last = self.desk.close()
        for call in last:
            self._tell_of_call(call)
        self._tell_if_lost(last)

    def reopen(self, trials_total: int) -> None:
        """Go on after :meth:`close` or at any time, towards that many trials."""
        self._trials_total = trials_total
        for answer in self.desk.reopen():
            self._account(answer)
            self._commit(answer.ticket, answer.reply)

    def _account(self, answer: ModelAnswer) -> None:
        """Learn from an answer how long answers take, how fruitful they are, and whether the model is to be benched."""
        ticket, reply, call = answer.ticket, answer.reply, answer.call
        self._slowest_s = max(self._slowest_s, call.seconds)
        told, sent_at = self._search.trials.told, self._sent_at.pop(ticket.id)
        if isinstance(reply, NotAsked):
            self._alternatives -= ticket.places
        else:
            self._during_call = told - sent_at
        if call.error is not None:
            return
        cooldown = self._cooldowns[call.model]
        if not isinstance(reply, ProposalError):
            cooldown.useful()
        elif cooldown.useless(self._search.trials.charged):
            self._note(f"{call.model} is not asked for a while: {COOLING}, the last: {reply}")

    def _commit(self, ticket: Ticket, reply: Proposal | ProposalError) -> None:
        """Give an answer to the tree. A course alteration that becomes due is asked for at once."""
        for due in self._search.commit(ticket, reply):
            benched = self.benched
            if due.acting in self.desk.models and (self.calls_ended or due.acting in benched):
                self._commit(due, NotAsked(benched.get(due.acting, "no more calls are made")))
            else:
                self._ask(due)

    def _tell_of_call(self, call: Call) -> None:
        spent = call.spent
        self._emit(
            events.Called(
                call.ticket,
                call.model,
                call.error or "",
                call.message,
                call.seconds,
                spent.calls,
                spent.input,
                spent.cached,
                spent.output,
                spent.picodollars / PICODOLLARS,
            )
        )

    def _tell_if_lost(self, calls: Sequence[Call]) -> None:
        lost = [call for call in calls if call.error is ErrorKind.LOST]
        if lost:
            spent = sum((call.spent.spending() for call in lost), Spending())
            what = "1 request to a language model was" if spent.calls == 1 else f"{spent.calls} requests to models were"
            self._note(
                f"{what} under way when the run broke off; counted as spent at the worst: ${spent.usd:.4f}, "
                f"{spent.tokens:,} tokens"
            )

    def _tell_if_all_benched(self) -> None:
        all_benched = self.all_benched
        if all_benched and not self._told_of_absence:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.benched.items())
            then = "the run stops" if self._strict else "the built-in experts go on alone"
            self._note(f"no language model can be asked, {then} ({reasons})")
        self._told_of_absence = all_benched

    # ---- questions ----

    def send(self, count: int) -> None:
        """Ask for the sake of ``count`` trials, as long as there is a free slot and what comes of it will be measured.

        Experts of the pool have so many turns of the tree at most: it may have nothing for models at present.
        """
        self._explore()
        turns = self._search.config.iterations_per_trial * count
        while turns and (not self.desk.models or (not self.desk.full and self._wanted())):
            ticket = self._search.select(benched=self.benched, busy=self.desk.busy)
            if ticket is None:
                return
            turns -= ticket.acting in self.desk.experts
            self._ask(ticket)

    def _ask(self, ticket: Ticket) -> None:
        reply = self.desk.ask(ticket, self._search.observe, self._search.observe_in_full)
        if reply is not None:
            self._commit(ticket, reply)
        else:
            self._sent_at[ticket.id] = self._search.trials.told
            self._alternatives += ticket.places

    def _wanted(self) -> bool:
        """Whether another call is worth making.

        As many schedules should wait or be coming as are measured while a call is under way. With fewer the machine
        would wait; more would be out of date when they are measured.
        """
        if set(self.desk.models) <= set(self.benched) or not self._pays():
            return False
        trials = self._search.trials
        longest = max((trials.told - sent_at for sent_at in self._sent_at.values()), default=0)
        enough = self._margin + max(longest, self._during_call)
        return self._expected() < min(enough, self._trials_total - trials.charged)

    def _expected(self) -> float:
        """Models' schedules that wait to be measured, and those to come if calls are as fruitful as before."""
        waiting = self._search.trials.waiting(self.desk.models)
        coming = self._search.coming()
        answered = self._alternatives - coming
        brought = waiting + self._picked[True]
        return waiting + coming * (brought + EXPECTED) / (answered + OUT_OF)

    def _pays(self) -> bool:
        if self.calls_ended is None:
            self.calls_ended = self._why_stop()
            if self.calls_ended is not None:
                self._note(f"no more calls of language models are made: {self.calls_ended}")
        return self.calls_ended is None

    # ---- trials ----

    def pick(self, count: int) -> list[Trial]:
        """Up to ``count`` distinct schedules to measure next."""
        if not self.desk.models:
            return self._search.trials.pick(count)
        trials: list[Trial] = []
        patient = self._waited_s < max(PATIENCE_S, 2 * self._slowest_s)
        while len(trials) < count and (trial := self._next(patient)) is not None:
            self._picked[trial.proposed_by in self.desk.models] += 1
            trials.append(trial)
        return trials

    def _next(self, patient: bool) -> Trial | None:
        """Every other trial is a model's while there is one; models keep their half if they are slow.

        Where models find structures and experts tune them, nobody waits for models, and every other trial of the
        experts is of a structure whose knobs are worth tuning, however the others are predicted.
        """
        trials = self._search.trials
        if self._picked[True] <= self._picked[False]:
            for trial in trials.pick(1, by=self.desk.models):
                self._waited_s = 0.0
                return trial
        config, free, tunes = self._search.config, self._picked[False], bool(self._search.setup.structure_after)
        if self.under_way and patient and not tunes and free >= self._trials_total // 2:
            return None
        for _ in range(config.iterations_per_trial):
            self._feed()
        new = trials.pick(1, tuning=True) if tunes and free % 2 else []
        return next(iter(new or trials.pick(1)), None)

    def _feed(self) -> None:
        """Give one turn of the tree to an expert who fills the time."""
        feeder = next(self._feeders)
        ticket = self._search.select(feeder=feeder.spec.name)
        if ticket is not None:
            self._search.commit(ticket, self.desk.ask_expert(feeder, ticket, self._search.observe))
