"""The state of a run as its events tell it: one fold, which the terminal, the report and the dashboard share.

The state depends on nothing but the events that were taken in and the seconds given with them: no clock, no file, no
object of the run. :func:`fold` may be called with more events at any time. Events from a damaged journal may speak of
nodes and trials that nobody has introduced; they are taken as far as they make sense, and counted in ``stray``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from colt import events
from colt.events import Event
from colt.knobs import Schedule, Transformation

ROOT = 0
"""The node of the untuned program."""


@dataclass(slots=True)
class SeenNode:
    """A node of the shared tree. ``by`` is empty for the root."""

    id: int
    parent: int
    by: str
    next_member: str = ""
    transformation: Transformation = ()
    schedule: Schedule | None = None
    predicted_us: float | None = None
    value: float | None = None
    outcome: str = ""
    alias: bool = False
    opening: bool = False
    alteration: bool = False
    """Whether it was made by a course alteration."""
    pruned: bool = False
    closed: bool = False


@dataclass(slots=True)
class SeenTrial:
    """A schedule that went to the hardware. ``fate`` is empty until it is back."""

    id: int
    node: int
    by: str
    predicted_us: float
    asked_s: float
    timed_s: float | None = None
    fate: str = ""
    latency_us: float | None = None
    seconds_building: float = 0.0
    seconds_timing: float = 0.0
    slowdown: float = 1.0
    message: str = ""
    told: bool = False
    """Whether the tree has taken the result in; it may have become ``wrong`` by then."""


@dataclass(slots=True)
class SeenCall:
    """A question to a member, from ``start_s`` to ``end_s``; ``usd`` is 0 for a built-in expert."""

    ticket: int
    by: str
    start_s: float
    end_s: float
    paid: bool
    error: str = ""
    usd: float = 0.0


@dataclass(slots=True)
class SeenAlteration:
    """A step that the largest member took over at ``node``; ``pruned`` is -1 if it had nothing better to offer."""

    node: int
    by: str
    kept: int
    pruned: int
    at_s: float


@dataclass(slots=True)
class SeenMember:
    """What one member of the pool did, and what its calls cost."""

    calls: int = 0
    errors: int = 0
    """Transformations, and names of who is to be asked next, that are not usable."""
    fallbacks: int = 0
    nodes: int = 0
    trials: int = 0
    hits: int = 0
    regressions: int = 0
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """Spent answering; several calls of a language model may be under way at a time."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """A new best: at which trial (how many were back), after how many seconds and dollars."""

    trial: int
    told: int
    at_s: float
    usd: float
    latency_us: float


@dataclass(slots=True)
class Asking:
    """A ticket that was handed out."""

    node: int
    acting: str
    alteration: bool
    at_s: float
    withdrawn: bool = False


@dataclass(slots=True)
class TaskState:
    """What belongs to one program of the run."""

    baseline_us: float | None = None
    nodes: dict[int, SeenNode] = field(default_factory=lambda: {ROOT: SeenNode(ROOT, -1, "")})
    trials: dict[int, SeenTrial] = field(default_factory=dict)
    best_trial: int | None = None
    improvements: list[Improvement] = field(default_factory=list)
    alterations: list[SeenAlteration] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Expansions that gave no child, by reason."""
    scorer: str = ""
    told: int = 0
    """Trials that are back from the hardware, those without a latency included."""
    tickets: dict[int, Asking] = field(default_factory=dict)
    """Those that were handed out."""
    made_by_alteration: set[int] = field(default_factory=set)
    """Tickets of course alterations."""
    measured_as: dict[Schedule, int] = field(default_factory=dict)
    """The trial of each schedule that went to the hardware."""

    @property
    def best_us(self) -> float | None:
        """The least latency that the tree was told."""
        return self.improvements[-1].latency_us if self.improvements else None

    def trial_of(self, node: SeenNode) -> SeenTrial | None:
        """The trial of the node's schedule, which another node may have asked for."""
        number = None if node.schedule is None else self.measured_as.get(node.schedule)
        return None if number is None else self.trials[number]

    def latency_of(self, node: SeenNode) -> float | None:
        """The measured latency of the node's schedule."""
        if node.id == ROOT:
            return self.baseline_us
        trial = self.trial_of(node)
        return None if trial is None else trial.latency_us

    def path_to(self, node: int) -> list[int]:
        """The nodes from the root to this one."""
        path = []
        while node in self.nodes:
            path.append(node)
            node = self.nodes[node].parent
        return path[::-1]

    @property
    def best_path(self) -> list[int]:
        """The nodes from the root to that of the best trial; empty if there is none."""
        return [] if self.best_trial is None else self.path_to(self.trials[self.best_trial].node)


@dataclass(slots=True)
class RunState:
    """A run, as far as its events have come in."""

    tasks: dict[str, TaskState] = field(default_factory=lambda: {"": TaskState()})
    """By name; a run of one program has one without a name."""
    turn: str = ""
    """The task that events are about."""
    phases: list[tuple[float, str]] = field(default_factory=list)
    members: dict[str, SeenMember] = field(default_factory=dict)
    calls: list[SeenCall] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    went_on: list[tuple[float, int]] = field(default_factory=list)
    """When the run went on after it had broken off or ended, and its trials from there on."""
    fallbacks: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """What was replaced or withdrawn: the member, the kind, the reason."""
    acting: str = ""
    told: int = 0
    """Trials of all tasks that are back from the hardware."""
    failed: int = 0
    """Those of them without a latency."""
    first_told_s: float | None = None
    last: SeenTrial | None = None
    usd: float = 0.0
    events: int = 0
    stray: int = 0
    """Events about nodes, trials or tickets that were never introduced."""
    seconds: float = 0.0
    """When the last event happened."""

    @property
    def task(self) -> TaskState:
        """The task whose turn it is."""
        return self.tasks[self.turn]

    @property
    def phase(self) -> str:
        """What the run is at, in words."""
        return self.phases[-1][1] if self.phases else "starting"

    def member(self, name: str) -> SeenMember:
        """The member of that name, from now on in ``members``."""
        return self.members.setdefault(name, SeenMember())


def fold(state: RunState, happened: Iterable[tuple[float, Event]]) -> RunState:
    """Take events in, each with the seconds since the start of the run, and return the same state."""
    for at_s, event in happened:
        take(state, event, at_s)
    return state


def take(state: RunState, event: Event, at_s: float) -> None:
    """Take one event in."""
    state.events += 1
    state.seconds = max(state.seconds, at_s)
    if (taker := _TAKERS.get(type(event))) is not None:
        taker(state, event, at_s)


# ---- the run ----


def _began(state: RunState, event: events.Began, at_s: float) -> None:
    state.phases.append((at_s, event.phase))


def _turn(state: RunState, event: events.Turn, at_s: float) -> None:
    if set(state.tasks) == {""} and not state.tasks[""].trials:
        state.tasks = {}
    state.tasks.setdefault(event.task, TaskState())
    state.turn = event.task


def _baseline(state: RunState, event: events.Baseline, at_s: float) -> None:
    state.task.baseline_us = event.latency_us


def _went_on(state: RunState, event: events.WentOn, at_s: float) -> None:
    state.went_on.append((at_s, event.trials))


def _noted(state: RunState, event: events.Noted, at_s: float) -> None:
    state.notes.append((at_s, event.message))


# ---- who is asked ----


def _selected(state: RunState, event: events.Selected, at_s: float) -> None:
    state.acting = event.acting
    state.task.tickets[event.ticket] = Asking(event.node, event.acting, event.alteration, at_s)
    if event.alteration:
        state.task.made_by_alteration.add(event.ticket)


def _called(state: RunState, event: events.Called, at_s: float) -> None:
    member = state.member(event.model)
    member.requests += event.requests
    member.tokens += event.input + event.output
    member.usd += event.usd
    member.seconds += event.seconds
    state.usd += event.usd
    start_s = max(0.0, at_s - event.seconds)
    state.calls.append(SeenCall(event.ticket, event.model, start_s, at_s, True, event.error, event.usd))


def _proposed(state: RunState, event: events.Proposed, at_s: float) -> None:
    member = state.member(event.by)
    member.calls += 1
    asking = state.task.tickets.get(event.ticket)
    if asking is None:
        state.stray += 1
    elif not (state.calls and state.calls[-1].paid and state.calls[-1].ticket == event.ticket):
        member.seconds += at_s - asking.at_s
        state.calls.append(SeenCall(event.ticket, event.by, asking.at_s, at_s, False, event.error))


def _fell_back(state: RunState, event: events.FellBack, at_s: float) -> None:
    member = state.member(event.by)
    member.fallbacks += 1
    member.errors += event.what != "model"
    state.fallbacks[event.by, event.what, event.reason] += 1


def _withdrawn(state: RunState, event: events.Withdrawn, at_s: float) -> None:
    state.fallbacks[event.by, "ticket withdrawn", event.reason] += 1
    if (asking := state.task.tickets.get(event.ticket)) is not None:
        asking.withdrawn = True


# ---- the tree ----


def _opened(state: RunState, event: events.Opened, at_s: float) -> None:
    node = SeenNode(event.node, ROOT, event.by, event.next_member, (), event.schedule, event.predicted_us, opening=True)
    _add(state, node)


def _applied(state: RunState, event: events.Applied, at_s: float) -> None:
    task = state.task
    node = SeenNode(event.node, event.parent, event.by, event.next_member, event.transformation, event.schedule)
    node.alias = event.alias
    node.alteration = event.ticket in task.made_by_alteration
    _add(state, node)


def _add(state: RunState, node: SeenNode) -> None:
    nodes = state.task.nodes
    if node.id in nodes:
        state.stray += 1
        return
    if node.parent not in nodes:
        state.stray += 1
        node.parent = ROOT
    nodes[node.id] = node
    state.member(node.by).nodes += 1


def _scored(state: RunState, event: events.Scored, at_s: float) -> None:
    node = state.task.nodes.get(event.node)
    if node is None:
        state.stray += 1
        return
    node.predicted_us, node.value, node.outcome = event.predicted_us, event.value, event.outcome
    member = state.member(node.by)
    member.hits += event.outcome == "hit"
    member.regressions += event.outcome == "regression"


def _altered(state: RunState, event: events.Altered, at_s: float) -> None:
    task = state.task
    asking = task.tickets.get(event.ticket)
    if asking is None:
        state.stray += 1
        return
    if asking.withdrawn:
        return  # nobody took the step over
    task.alterations.append(SeenAlteration(asking.node, asking.acting, event.kept, event.pruned, at_s))
    if event.pruned in task.nodes:
        task.nodes[event.pruned].pruned = True


def _failed(state: RunState, event: events.Failed, at_s: float) -> None:
    state.task.failures[event.reason] += 1


def _closed(state: RunState, event: events.Closed, at_s: float) -> None:
    if (node := state.task.nodes.get(event.node)) is not None:
        node.closed = True
    else:
        state.stray += 1


# ---- trials ----


def _asked(state: RunState, event: events.Asked, at_s: float) -> None:
    task = state.task
    if event.trial in task.trials:
        state.stray += 1
        return
    task.trials[event.trial] = SeenTrial(event.trial, event.node, event.proposed_by, event.predicted_us, at_s)
    state.member(event.proposed_by).trials += 1
    node = task.nodes.get(event.node)
    if node is None:
        state.stray += 1
    elif node.schedule is not None:
        task.measured_as.setdefault(node.schedule, event.trial)


def _timed(state: RunState, event: events.Timed, at_s: float) -> None:
    state.told += 1
    state.task.told += 1
    state.failed += event.latency_us is None
    if state.first_told_s is None:
        state.first_told_s = at_s
    trial = state.task.trials.get(event.trial)
    if trial is None:
        state.stray += 1
        return
    trial.timed_s, trial.fate, trial.latency_us = at_s, event.fate, event.latency_us
    trial.seconds_building, trial.seconds_timing = event.seconds_building, event.seconds_timing
    trial.slowdown = event.slowdown
    state.last = trial


def _measured(state: RunState, event: events.Measured, at_s: float) -> None:
    """Only a result that the search was told can be the best: it was compared with the untuned program."""
    task = state.task
    trial = task.trials.get(event.trial)
    if trial is None:
        state.stray += 1
        return
    trial.fate, trial.latency_us, trial.message, trial.told = event.fate, event.latency_us, event.message, True
    if event.latency_us is not None and (task.best_us is None or event.latency_us < task.best_us):
        task.improvements.append(Improvement(event.trial, task.told, at_s, state.usd, event.latency_us))
        task.best_trial = event.trial


def _revalued(state: RunState, event: events.Revalued, at_s: float) -> None:
    state.task.scorer = event.scorer


_TAKERS: dict[type[Event], Callable[[RunState, Any, float], None]] = {
    events.Began: _began,
    events.Turn: _turn,
    events.Baseline: _baseline,
    events.WentOn: _went_on,
    events.Noted: _noted,
    events.Selected: _selected,
    events.Called: _called,
    events.Proposed: _proposed,
    events.FellBack: _fell_back,
    events.Withdrawn: _withdrawn,
    events.Opened: _opened,
    events.Applied: _applied,
    events.Scored: _scored,
    events.Altered: _altered,
    events.Failed: _failed,
    events.Closed: _closed,
    events.Asked: _asked,
    events.Timed: _timed,
    events.Measured: _measured,
    events.Revalued: _revalued,
}
"""What takes each event in; those of other kinds change nothing but the count."""
