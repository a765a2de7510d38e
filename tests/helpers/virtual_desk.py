"""Asking in virtual time: a desk whose models take as long as is stated, a machine on the same clock, a toy to tune."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from colt import events
from colt.options import SearchConfig
from colt.proposers.desk import Arrivals, Desk
from colt.proposers.dispatcher import Dispatcher
from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest, ErrorKind
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.prompt import MemberInWords, stable_text
from colt.run.loop import next_batch
from colt.search.types import MemberSpec, Trial
from colt.util.clock import Stopwatch
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.toy_briefing import ToyBriefing
from tests.helpers.toyworld import LARGE, SMALL, BestOf, World, measure

SETTINGS: dict[str, Any] = {"proposals_per_call": 2, "model_openings": 3, "root_width": 4, "batch_size": 8}
TRIAL_S = 1.0
NEVER = 1e9
FEEDERS = (MemberSpec("feeder", 1.0), MemberSpec("other-feeder", 1.0))


class LegibleBriefing(ToyBriefing):
    """Names sketches as a prompt of TVM's does, so that the simulated model finds them."""

    sketches = "## plain/flat\n## plain/cached"


@dataclass
class VirtualDesk:
    """Answers come back after ``delays(model)`` seconds of its own clock; those that come together in any order."""

    most: int = 4
    slots: int = 256
    """Calls that each model takes at once."""
    delays: Callable[[str], float] = lambda model: 0.5
    answers: dict[str, str | ErrorKind] = field(default_factory=dict)
    """By model, what it says instead of something usable, or how its calls fail."""
    benched: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    now: float = 0.0
    waited_s: float = 0.0
    on_send: Callable[[int, str], None] = lambda ticket, model: None
    on_wait: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.sent: list[tuple[int, str]] = []
        self._flights: list[tuple[float, float, int, str, ChatRequest]] = []

    @property
    def under_way(self) -> int:
        return len(self._flights)

    @property
    def under_way_of(self) -> list[tuple[int, str]]:
        """Tickets and models of the calls under way."""
        return [(ticket, model) for _, _, ticket, model, _ in self._flights]

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        assert model not in self.benched
        self.on_send(ticket, model)
        self.sent.append((ticket, model))
        self._flights.append((self.now + self.delays(model), self.now, ticket, model, request))

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        due = min((flight[0] for flight in self._flights), default=NEVER)
        if wait_s and due > self.now:
            self.on_wait()
            until = min(due, self.now + wait_s)
            self.waited_s += until - self.now
            self.now = until
        back = [flight for flight in self._flights if flight[0] <= self.now]
        self._flights = [flight for flight in self._flights if flight[0] > self.now]
        self.rng.shuffle(back)
        return Arrivals(tuple(self._call(*flight[1:]) for flight in back), dict(self.benched))

    def close(self) -> Arrivals:
        return self.arrived()

    def _call(self, sent: float, ticket: int, model: str, request: ChatRequest) -> Call:
        said = self.answers.get(model)
        seconds = self.now - sent
        if isinstance(said, ErrorKind):
            return Call(ticket=ticket, model=model, prompt=request.user, error=said, message=said, seconds=seconds)
        body = {"messages": [{"content": request.system}, {"content": request.user}]}
        text = simulated_reply(body, random.Random(f"{self.seed}/{ticket}")) if said is None else said
        return Call(ticket=ticket, model=model, prompt=request.user, text=text, seconds=seconds)


class Run:
    """A search of the toy space that asks at a virtual desk."""

    def __init__(
        self,
        desk: VirtualDesk,
        *,
        trials: int = 32,
        models: Sequence[MemberSpec] = (SMALL, LARGE),
        experts: Sequence[MemberSpec] = (),
        strict: bool = False,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        config = SearchConfig.preset("models", **(SETTINGS | settings))
        self.desk = desk
        self.trials_total = trials
        self.world = World(config, [*models, *experts], seed=seed)
        self.search = self.world.search
        self.why_stop: Callable[[], str | None] = lambda: None
        self.stopped: Callable[[], bool] = lambda: False
        self.notes: list[str] = []
        space, scorer = self.world.space, self.world.scorer
        pool = [MemberInWords(spec, 1.0, 2.0) for spec in models]
        briefing = LegibleBriefing(space)  # type: ignore[arg-type]
        self.models = {
            spec.name: LanguageModel(spec, pool, stable_text(briefing, pool), briefing, space) for spec in models
        }
        watch = Stopwatch()
        self.dispatcher = Dispatcher(
            self.search,
            Desk(
                {spec.name: BestOf(spec, space, scorer, 2) for spec in experts},
                self.models,
                desk,
                {spec.name: desk.slots for spec in models},
                watch,
            ),
            [BestOf(spec, space, scorer, 2) for spec in (*FEEDERS, *experts)],
            trials_total=trials,
            why_stop=lambda: self.why_stop(),
            strict=strict,
            note=self.notes.append,
            watch=watch,
        )
        self._watch = watch

    @property
    def calls(self) -> list[Call]:
        """All that have come back."""
        return self.dispatcher.desk.calls

    def batch(self, count: int) -> list[Trial]:
        """What the main loop would measure next."""
        stop = SimpleNamespace(
            batch_size=count,
            whole_batch=self.search.config.batch_size,
            requested=lambda: "interrupted" if self.stopped() else None,
        )
        task: Any = SimpleNamespace(strategy=self.dispatcher, note_batch=lambda batch: None)
        run: Any = SimpleNamespace(stop=stop, watch=self._watch)
        return next_batch(run, task)

    def step(self) -> list[Trial]:
        """One batch, asked for and measured."""
        left = self.trials_total - self.search.trials.charged
        batch = self.batch(min(self.search.config.batch_size, left))
        for trial in batch:
            self.desk.now += TRIAL_S
            self.search.tell([measure(self.world.space, trial)])
        return batch

    def finish(self) -> Run:
        """All trials, or as many as there are to be had."""
        empty = 0
        while self.search.trials.charged < self.trials_total and empty < 20:
            empty = 0 if self.step() else empty + 1
        return self

    # ---- what came of it ----

    @property
    def made_by(self) -> list[str]:
        """Who proposed each trial, in their order."""
        return [event.proposed_by for event in self.world.of(events.Asked)]

    @property
    def by_models(self) -> int:
        """Trials of language models."""
        return sum(name in self.models for name in self.made_by)

    @property
    def coming(self) -> int:
        """Proposals that calls were asked for which have not taken effect."""
        settled = {event.ticket for event in self.world.of(events.Proposed)}
        return sum(event.places for event in self.world.of(events.Selected) if event.ticket in self.sent - settled)

    @property
    def waiting(self) -> int:
        """Schedules of language models that wait to be measured, each counted once."""
        asked = {self.world.nodes[event.node].facts.schedule for event in self.world.of(events.Asked)}
        first = {}
        for node in self.world.nodes:
            first.setdefault(node.facts.schedule, node.by)
        return sum(by in self.models and schedule not in asked for schedule, by in first.items())

    @property
    def sent(self) -> set[int]:
        """Tickets that models were asked for."""
        return {ticket for ticket, _ in self.desk.sent}
