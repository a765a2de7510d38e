"""Events taken into the state of a run: one fold, which the terminal, the report and the dashboard share.

The state depends on nothing but the events that were taken in and the seconds given with them: no clock, no file, no
object of the run. :func:`fold` may be called with more events at any time. Events from a damaged journal may speak of
nodes and trials that nobody has introduced; they are taken as far as they make sense, and counted in ``stray``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from colt import events
from colt.events import Event
from colt.search.structures import structure_of
from colt.views.seen import ROOT, Asking, SeenAlteration, SeenCall, SeenNode, SeenTrial
from colt.views.state import MOST_TASKS, RunState, TaskState


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


def _of_model(state: RunState, event: events.OfModel, at_s: float) -> None:
    state.of_model = dict(event.calls)
    state.form_of = dict(event.form_of)


def _turn(state: RunState, event: events.Turn, at_s: float) -> None:
    if state.tasks.keys() == {""} and not state.tasks[""].trials:
        state.tasks = {}
    if event.task not in state.tasks:
        if len(state.tasks) < MOST_TASKS:
            state.tasks[event.task] = TaskState()
        else:
            state.beyond = TaskState()
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
    task, due = state.task, event.acting
    if event.node in task.nodes:
        node = task.nodes[event.node]
        node.next_member = due = node.next_member or event.acting  # that of the root, which is asked first
    free = not event.alteration and event.acting != due  # unless somebody stands in: see _fell_back
    task.tickets[event.ticket] = Asking(event.node, event.acting, event.alteration, at_s, free)
    if event.alteration:
        task.made_by_alteration.add(event.ticket)


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
    asking = state.task.tickets.get(event.ticket)
    if asking is None:
        member.calls += 1
        state.stray += 1
        return
    member.alterations += asking.alteration
    member.free += asking.free
    member.calls += not (asking.alteration or asking.free)
    if not (state.calls and state.calls[-1].paid and state.calls[-1].ticket == event.ticket):
        member.seconds += 0.0 if asking.free else at_s - asking.at_s
        state.calls.append(SeenCall(event.ticket, event.by, asking.at_s, at_s, False, event.error))


def _fell_back(state: RunState, event: events.FellBack, at_s: float) -> None:
    member, asking = state.member(event.by), state.task.tickets.get(event.ticket)
    member.fallbacks += 1
    if event.what == "model" and asking is not None:
        asking.free = False  # it is the turn of a benched model
        if asking.node == ROOT and ROOT in state.task.nodes:
            state.task.nodes[ROOT].next_member = event.by
    member.errors += event.what != "model" and not (asking is not None and asking.free)
    state.fallbacks[event.by, event.what, event.reason] += 1


def _withdrawn(state: RunState, event: events.Withdrawn, at_s: float) -> None:
    state.fallbacks[event.by, "ticket withdrawn", event.reason] += 1
    if (asking := state.task.tickets.get(event.ticket)) is not None:
        asking.withdrawn = True


# ---- the tree ----


def _named(state: RunState, event: events.Named, at_s: float) -> None:
    state.task.knobs[event.variant, event.sketch] = event.knobs


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
    member = state.member(node.by)
    member.nodes += 1
    if node.schedule is not None and (structure := structure_of(node.schedule)) not in state.task.brought:
        state.task.brought[structure] = node.by
        member.structures += 1


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
    state.member(trial.by).trials += 1
    trial.timed_s, trial.fate, trial.latency_us = at_s, event.fate, event.latency_us
    trial.seconds_building, trial.seconds_timing = event.seconds_building, event.seconds_timing
    trial.slowdown, trial.number, trial.usd = event.slowdown, state.task.told, state.usd
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
        task.best_us, task.best_trial = event.latency_us, event.trial
        _credit(state, trial)


def _credit(state: RunState, trial: SeenTrial) -> None:
    """A trial that leads is to the credit of whoever proposed it, and of whoever brought its structure."""
    state.member(trial.by).led += 1
    node = state.task.nodes.get(trial.node)
    schedule = None if node is None else node.schedule
    bringer = None if schedule is None else state.task.brought.get(structure_of(schedule))
    if bringer is not None and bringer != trial.by:
        state.member(bringer).led_below += 1


def _revalued(state: RunState, event: events.Revalued, at_s: float) -> None:
    state.task.scorer = event.scorer


_TAKERS: dict[type[Event], Callable[[RunState, Any, float], None]] = {
    events.Began: _began,
    events.Turn: _turn,
    events.OfModel: _of_model,
    events.Baseline: _baseline,
    events.WentOn: _went_on,
    events.Noted: _noted,
    events.Selected: _selected,
    events.Called: _called,
    events.Proposed: _proposed,
    events.FellBack: _fell_back,
    events.Withdrawn: _withdrawn,
    events.Named: _named,
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
