"""What holds of every tree, whatever happened to it: checked on random lives of a search."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given

from colt import events
from colt.search.tree import Node
from tests.helpers.operations import Life, Operation, few, life, operations, worlds
from tests.helpers.toyworld import World


@few
@given(operations, worlds)
def test_every_rule_holds_at_every_moment(steps: list[Operation], world: tuple[str, str]) -> None:
    it = life(world)
    for step in steps:
        it.step(*step)
        for rule in RULES:
            rule(it)
    it.finish()
    for rule in (*RULES, nothing_is_left_of_tickets_when_none_is_out):
        rule(it)


# ---- the rules ----


def n_is_one_plus_failed_visits_plus_the_childrens(it: Life) -> None:
    for node in it.world.nodes:
        if not (node.pruned or node.held):
            assert node.n == 1 + node.failed_visits + sum(child.n for child in node.children)


def a_contested_child_is_unvisited(it: Life) -> None:
    for node in it.world.nodes:
        if node.held:
            assert (node.n, node.w, node.tried) == (0, 0.0, [])


def a_pruned_node_has_no_slot_and_no_visits_but_stays_known_and_tried(it: Life) -> None:
    for node in it.world.nodes:
        assert node.parent is None or node in node.parent.tried
        assert node.parent is None or (node in node.parent.children) == (not node.pruned)
        if node.pruned:
            assert (node.n, node.w, node.tried, node.held) == (0, 0.0, [], False)
        assert it.world.search.tree.facts[node.facts.schedule] is node.facts


def no_node_equals_its_parent_a_sibling_or_an_ancestor(it: Life) -> None:
    for node in it.world.nodes:
        schedules = [child.facts.schedule for child in node.tried] + [step.facts.schedule for step in node.path()]
        assert len(set(schedules)) == len(schedules)


def aliases_share_facts_and_nothing_else(it: Life) -> None:
    first: dict[object, Node] = {}
    for node in it.world.nodes:
        twin = first.setdefault(node.facts.schedule, node)
        assert node.facts is twin.facts
        assert node.facts.node is twin
        assert all(child.parent is node for child in node.tried)


def there_are_no_more_children_than_slots(it: Life) -> None:
    config = it.world.config
    if config.widening_coefficient == 0.0:
        for node in it.world.nodes:
            limit = config.root_width + config.model_openings if node.parent is None else config.branching
            assert len(node.children) + node.pending <= limit


def closed_nodes_have_nothing_open_below_them(it: Life) -> None:
    for node in it.world.nodes:
        if node.closed:
            assert node.pending == 0
            assert all(child.closed for child in node.children)


def virtual_loss_and_pending_count_the_tickets_that_are_out(it: Life) -> None:
    selected = {event.ticket: event for event in it.world.of(events.Selected)}
    for event in (*it.world.of(events.Proposed), *it.world.of(events.Withdrawn)):
        del selected[event.ticket]
    pending: Counter[int] = Counter()
    virtual: Counter[int] = Counter()
    for event in selected.values():
        pending[event.node] += event.places
        virtual.update(step.id for step in it.world.nodes[event.node].path())
    assert [node.pending for node in it.world.nodes] == [pending[node.id] for node in it.world.nodes]
    assert [node.virtual for node in it.world.nodes] == [virtual[node.id] for node in it.world.nodes]
    assert it.world.search.in_flight() == len(selected)


def no_schedule_is_asked_twice_and_the_untuned_never(it: Life) -> None:
    asked = [trial.schedule for trial in it.asked]
    assert len(set(asked)) == len(asked)
    assert it.world.space.untuned not in asked
    assert [trial.id for trial in it.asked] == list(range(len(asked)))


def values_lie_between_zero_and_one(it: Life) -> None:
    for node in it.world.nodes:
        assert 0.0 <= it.world.search.tree.values.own(node) <= 1.0
        assert -1e-9 <= node.w <= node.n + 1e-9


def only_open_nodes_were_selected(it: Life) -> None:
    closed: set[int] = set()
    for event in it.world.events:
        if isinstance(event, events.Closed):
            assert event.node not in closed
            closed.add(event.node)
        elif isinstance(event, events.Selected):
            assert event.node not in closed
    assert closed == {node.id for node in it.world.nodes if node.closed}


def nothing_is_left_of_tickets_when_none_is_out(it: Life) -> None:
    assert it.world.search.in_flight() == 0
    assert not any(node.pending or node.virtual or node.held for node in it.world.nodes)


RULES = (
    n_is_one_plus_failed_visits_plus_the_childrens,
    a_contested_child_is_unvisited,
    a_pruned_node_has_no_slot_and_no_visits_but_stays_known_and_tried,
    no_node_equals_its_parent_a_sibling_or_an_ancestor,
    aliases_share_facts_and_nothing_else,
    there_are_no_more_children_than_slots,
    closed_nodes_have_nothing_open_below_them,
    virtual_loss_and_pending_count_the_tickets_that_are_out,
    no_schedule_is_asked_twice_and_the_untuned_never,
    values_lie_between_zero_and_one,
    only_open_nodes_were_selected,
)


# ---- values, by the formulas of the design written once more ----


@few
@given(operations, worlds)
def test_after_tell_w_is_own_value_plus_the_childrens(steps: list[Operation], world: tuple[str, str]) -> None:
    it = life(world).live(steps)
    it.world.search.tell([])
    expected = total_values(it.world)
    for node in it.world.nodes:
        assert node.w == pytest.approx(expected.get(node.id, 0.0), rel=1e-9, abs=1e-12)


@few
@given(operations, worlds)
def test_backup_amounts_to_revaluation_while_no_value_changes(steps: list[Operation], world: tuple[str, str]) -> None:
    it = life(world)
    it.asked = it.world.search.ask(4, it.propose)
    it.told = [it.result(trial) for trial in it.asked]
    it.world.search.tell(it.told)
    it.live([step for step in steps if step[0] not in ("tell", "again", "version")])
    before = [(node.n, node.w) for node in it.world.nodes]
    residual = it.world.search.tree.values.general_residual
    it.world.search.tell([])
    if (
        it.world.search.tree.values.general_residual == residual
    ):  # without a single success it follows the best prediction
        for node, (n, w) in zip(it.world.nodes, before, strict=True):
            assert (node.n, node.w) == (n, pytest.approx(w, rel=1e-9, abs=1e-12))


def total_values(world: World) -> dict[int, float]:
    """Of every visited node."""
    totals: dict[int, float] = {}
    for node in reversed(world.nodes):
        if not (node.pruned or node.held):
            below = math.fsum(totals[child.id] for child in node.children if not child.held)
            totals[node.id] = own_value(world, node) + below
    return totals


def own_value(world: World, node: Node) -> float:
    known, facts = world.search.tree.known, node.facts
    succeeded = [one for one in known if one.measured_us is not None and one.measured_us < math.inf]
    if facts.measured_us == math.inf:
        return 0.0
    if facts.measured_us is not None:
        return value(world, facts.measured_us / min(one.measured_us or 0.0 for one in succeeded))
    ratio = facts.predicted_us * residual(world, node) / best_us(world)
    if node.rollout_ratios:
        values = [value(world, ratio * rollout) for rollout in node.rollout_ratios]
        return sum(values) / len(values)
    return value(world, ratio)


def best_us(world: World) -> float:
    """The best measured latency, or the best predicted one while nothing is measured."""
    known = world.search.tree.known
    succeeded = [one.measured_us for one in known if one.measured_us is not None and one.measured_us < math.inf]
    return min(succeeded, default=min(one.predicted_us for one in known))


def residual(world: World, node: Node) -> float:
    """Measured over predicted of the nearest ancestor that ran; of the best trial if there is none below the root."""
    for step in node.path():
        measured = step.facts.measured_us
        if step.parent is not None and measured is not None and measured < math.inf:
            return measured / step.facts.predicted_us
    known = world.search.tree.known
    trials = [one for one in known if one.trial >= 0 and one.measured_us is not None and one.measured_us < math.inf]
    best = min(trials, key=lambda one: (one.measured_us, one.trial), default=None)
    if best is None or best.measured_us is None:
        return best_us(world) / min(one.predicted_us for one in known)
    return best.measured_us / best.predicted_us


def value(world: World, ratio: float) -> float:
    ratio = max(ratio, 1.0)
    return 1.0 / ratio if world.config.value == "ratio" else 1.0 / (1.0 + math.log(ratio))
