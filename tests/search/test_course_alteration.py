"""Course alteration: when it is due, who wins, and what becomes of the loser."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given

from colt import events
from colt.measure.base import Fate, Measurement
from colt.search.steps import count_regression, views
from colt.search.types import Proposal, ProposalError, Ticket
from tests.helpers.operations import Life, Operation, few, life, operations, worlds
from tests.helpers.toyworld import ILLEGAL, LARGE, LINE, SMALL, World, line_world, to

SILENT = ProposalError("nothing")


def submit(world: World, reply: Proposal | ProposalError, feeder: str | None = None) -> Ticket | None:
    """One proposal at node 1 (150 µs); returns the ticket of a course alteration if one is due."""
    ticket = world.search.select(feeder)
    assert ticket is not None
    assert ticket.node == 1
    due = world.search.commit(ticket, reply)
    return due[0] if due else None


# ---- when ----


@pytest.mark.parametrize(
    ("period", "outcomes", "altered_at"),
    [
        (2, "r", []),
        (2, "rr", [2]),
        (2, "rrr", [2]),
        (2, "rrrr", [2, 4]),
        (2, "rhrr", [4]),
        (2, "rerr", [4]),
        (2, "rlr", [3]),
        (2, "rLr", [3]),
        (2, "rfr", [3]),
        (2, "rsr", [3]),
        (2, "rbr", [3]),
        (2, "rnr", [2]),
        (3, "rrrrrrr", [3, 6]),
        (3, "rrhrrr", [6]),
        (1, "rhr", [1, 3]),
        (0, "rrrr", []),
    ],
)
def test_every_kth_regression_in_a_row_alters_the_course(period: int, outcomes: str, altered_at: list[int]) -> None:
    """Of small members alone: r regression, h hit, e even; n a regression with an invalid next member. The largest's (l
    regression, L hit), fallbacks (f illegal edit, s no answer) and feeders (b) neither add to the streak nor end it.
    """
    world = line_world(dataclasses.replace(LINE, alteration_period=period), at_51=150.0)
    worse, better = iter(range(60, 99)), iter(range(49, 0, -1))
    found = []
    for index, outcome in enumerate(outcomes, 1):
        world.nodes[1].next_member = "large" if outcome in "lL" else "small"
        reply: Proposal | ProposalError = to(next(better) if outcome in "hL" else next(worse))
        if outcome == "e":
            reply = to(51)
        elif outcome == "n":
            reply = dataclasses.replace(to(next(worse)), next_member="nobody")
        elif outcome in "fs":
            reply = ILLEGAL if outcome == "f" else SILENT
        ticket = submit(world, reply, feeder="scout" if outcome == "b" else None)
        if ticket is not None:
            found.append(index)
            assert (ticket.acting, ticket.node, ticket.alteration) == ("large", 1, True)
            world.search.commit(ticket, SILENT)
    assert found == altered_at


def test_a_proposal_of_several_alternatives_counts_once_by_its_best_child() -> None:
    world = line_world()
    assert submit(world, to(60, 61, 62)) is None
    assert world.search.tree.streak == 1
    assert submit(world, to(63, 40, 64)) is None
    assert world.search.tree.streak == 0
    assert submit(world, to(65, 66)) is None
    due = submit(world, to(72, 71, 73))
    assert due is not None
    failed = world.search.observe(due).failed
    assert failed is not None
    assert failed.child.schedule.values == (71,)


def test_one_member_is_never_altered() -> None:
    world = line_world(members=(SMALL,))
    assert [submit(world, to(value)) for value in (60, 61, 62, 63)] == [None] * 4


def test_of_equal_sizes_the_first_listed_is_the_largest() -> None:
    twin = dataclasses.replace(SMALL, name="twin")
    world = line_world(members=(SMALL, twin))
    for value in (60, 61, 62):
        world.nodes[1].next_member = "small"
        assert submit(world, to(value)) is None
    world.nodes[1].next_member = "twin"
    assert submit(world, to(63)) is None
    due = submit(world, to(64))
    assert due is not None
    assert due.acting == "small"


@few
@given(operations, worlds)
def test_streak_and_alterations_follow_from_the_events(steps: list[Operation], world: tuple[str, str]) -> None:
    """The rule once more, from the outside: over all that was emitted."""
    it = life(world).live(steps)
    period, largest = it.world.config.alteration_period, it.world.search.pool.largest
    small_tickets = {
        event.ticket: event.acting
        for event in it.world.of(events.Selected)
        if not event.alteration and event.acting not in (largest, "scout")
    }
    streak, due = 0, 0
    for ticket, children in made_by_ticket(it):
        own = [(scored, applied) for applied, scored in children if applied.by == small_tickets.get(ticket)]
        if own:
            best = min(own, key=lambda pair: pair[0].predicted_us)[0]
            streak = streak + 1 if best.outcome == "regression" else 0
            due += streak > 0 and streak % period == 0
    assert it.world.search.tree.streak == streak
    assert sum(event.alteration for event in it.world.of(events.Selected)) == due
    assert all(event.acting == largest for event in it.world.of(events.Selected) if event.alteration)


def made_by_ticket(it: Life) -> list[tuple[int, list[tuple[events.Applied, events.Scored]]]]:
    """The children of each ticket in the order in which tickets took effect."""
    scored = {event.node: event for event in it.world.of(events.Scored)}
    order: dict[int, list[tuple[events.Applied, events.Scored]]] = {}
    for event in it.world.of(events.Applied):
        order.setdefault(event.ticket, []).append((event, scored[event.node]))
    return list(order.items())


def test_period_is_counted_over_the_whole_streak() -> None:
    world = line_world(dataclasses.replace(LINE, alteration_period=3))
    child = world.nodes[1]
    child.counted = True

    def counted(outcome: str) -> bool:
        ticket = Ticket(0, 0, "small")
        return count_regression(world.search.tree, world.search.setup, ticket, [child], [outcome]) is child

    assert [counted("regression") for _ in range(7)] == [False, False, True, False, False, True, False]
    assert counted("hit") is False
    assert world.search.tree.streak == 0


# ---- who wins ----


def altered(world: World, contested: int, answer: Proposal | ProposalError) -> events.Altered:
    """Two regressions, the second to number ``contested`` (node 3), and the largest member's answer."""
    submit(world, to(90))
    due = submit(world, to(contested))
    assert due is not None
    assert world.search.commit(due, answer) == []
    return world.of(events.Altered)[-1]


def test_the_largest_is_shown_the_failed_proposal_with_its_scores() -> None:
    world = line_world()
    submit(world, to(90))
    due = submit(world, to(80))
    assert due is not None
    seen = world.search.observe(due)
    assert seen.acting == LARGE
    assert seen.node.id == 1
    assert seen.failed is not None
    assert seen.failed.by == "small"
    assert (seen.failed.child.schedule.values, seen.failed.child.predicted_us) == ((80,), 180.0)
    assert seen.failed.child in seen.tried


@pytest.mark.parametrize(
    ("answer", "kept", "pruned"),
    [
        (to(70), 4, 3),
        (to(99), 3, 4),
        (to(81), 4, 3),
        (SILENT, 3, -1),
        (ILLEGAL, 3, -1),
        (Proposal((), "small"), 3, -1),
        (to(80), 3, -1),
        (to(50), 3, -1),
    ],
    ids=["better", "worse", "tie", "silent", "illegal", "empty", "the same", "the node itself"],
)
def test_the_better_child_stays_and_a_tie_is_the_largests(
    answer: Proposal | ProposalError, kept: int, pruned: int
) -> None:
    world = line_world(at_81=180.0)
    event = altered(world, 80, answer)
    assert (event.kept, event.pruned) == (kept, pruned)
    loser = [world.nodes[pruned]] if pruned > 0 else []
    assert [node for node in world.nodes if node.pruned] == loser
    assert world.nodes[kept] in world.nodes[1].children
    assert (world.nodes[kept].n, world.nodes[1].n) == (1, 3)
    assert world.search.pool.records["large"].alterations_kept == (kept == 4)


@pytest.mark.parametrize(("measured_81", "kept"), [(700.0, 5), (500.0, 6), (600.0, 6)], ids=["worse", "better", "tie"])
def test_measurements_on_both_sides_outrank_predictions(measured_81: float, kept: int) -> None:
    """Contested and rival are aliases of measured openings, and the hardware said the contrary of the scorer."""
    world = line_world(dataclasses.replace(LINE, root_width=3), openings=(50, 80, 81))
    trials = {trial.schedule.values[0]: trial.id for trial in world.search.trials.pick(3)}
    latencies = {50: 90.0, 80: 600.0, 81: measured_81}
    world.search.tell(Measurement(trials[value], Fate.OK, latency, 0.1) for value, latency in latencies.items())
    world.nodes[2].closed = world.nodes[3].closed = True  # so that all goes to node 1
    submit(world, to(90))
    due = submit(world, to(80))
    assert due is not None
    world.search.commit(due, to(81))
    assert world.of(events.Altered)[-1].kept == kept


def test_the_pruned_child_keeps_no_slot_and_no_visits_but_may_be_measured_and_is_told_as_tried() -> None:
    world = line_world()
    altered(world, 80, to(70))
    pruned = world.nodes[3]
    assert (pruned.n, pruned.w) == (0, 0.0)
    assert pruned not in world.nodes[1].children
    ticket = world.search.select()
    assert ticket is not None
    assert views([pruned])[0] in world.search.observe(ticket).tried
    world.search.commit(ticket, to(80))
    assert world.search.pool.records["small"].errors == 1  # told as tried: trying it again is a failed try
    assert pruned.facts.schedule in [trial.schedule for trial in world.search.trials.pick(100)]


def test_a_contested_child_is_neither_visited_nor_selected_before_it_is_settled() -> None:
    world = line_world(dataclasses.replace(LINE, branching=2))
    submit(world, to(90))
    due = submit(world, to(80))
    assert due is not None
    contested = world.nodes[3]
    assert (contested.n, world.nodes[1].n) == (0, 2)
    for _ in range(2):  # the sibling takes two, and then there is no room anywhere
        ticket = world.search.select(feeder="scout")
        assert ticket is not None
        assert ticket.node == 2
    assert world.search.select() is None
    world.search.tell([])
    assert (contested.n, world.nodes[1].n) == (0, 2)
    world.search.commit(due, SILENT)
    assert (contested.n, contested.held, world.nodes[1].n) == (1, False, 3)


def test_alteration_calls_are_counted_apart() -> None:
    world = line_world()
    altered(world, 80, to(40))
    small, large = (world.search.pool.records[name] for name in ("small", "large"))
    assert (small.calls, small.predicted_hits, small.predicted_regressions, small.alterations) == (2, 0, 2, 0)
    assert (large.calls, large.predicted_hits, large.predicted_regressions, large.alterations) == (0, 0, 0, 1)
    world.tell_all(world.search.trials.pick(9))
    assert (small.measured_hits, small.measured_regressions) == (0, 2)
    assert (large.measured_hits, large.measured_regressions) == (0, 0)
    assert world.search.iterations == 2


def test_an_alteration_takes_its_causes_place_in_the_order_of_tickets() -> None:
    world = line_world()
    submit(world, to(90))
    first, second = world.search.select(), world.search.select()
    assert first is not None
    assert second is not None
    assert world.search.commit(second, to(91)) == []
    due = world.search.commit(first, to(80))
    assert [ticket.alteration for ticket in due] == [True]
    assert len(world.nodes) == 4  # the second's child has to wait
    assert world.search.commit(due[0], to(70)) == []
    assert [node.facts.schedule.values[0] for node in world.nodes[3:]] == [80, 70, 91]
    assert world.search.in_flight() == 0
