"""Tickets of members that take their time: places kept for them, answers out of order, members that cannot be asked."""

from __future__ import annotations

import pytest

from colt import events
from colt.options import SearchConfig
from colt.search.search import answer
from colt.search.steps import member_views
from colt.search.types import NotAsked, Proposal, ProposalError, Ticket
from tests.helpers.operations import CONFIGS, Life, life, tree


def out(it: Life) -> Ticket:
    ticket = it.world.search.select()
    assert ticket is not None
    return ticket


def reply(it: Life, ticket: Ticket) -> Proposal | ProposalError:
    return answer(it.propose, it.world.search.observe(ticket))


def test_the_first_ticket_is_for_the_openings_that_the_root_has_places_for() -> None:
    it = life(("models", "toy"))
    first, second = out(it), out(it)
    assert (first.node, first.places) == (0, CONFIGS["models"].model_openings)
    assert it.world.search.observe(first).proposals_wanted == first.places
    assert second.node != 0


def test_a_ticket_keeps_places_for_all_its_alternatives() -> None:
    it = life(("models", "toy"))
    out(it)
    ticket = out(it)
    assert ticket.places == 2
    assert it.world.nodes[ticket.node].pending == 2


def test_where_one_proposal_is_asked_of_a_call_one_place_is_kept() -> None:
    it = life()
    ticket = out(it)
    assert (ticket.places, it.world.nodes[ticket.node].pending) == (1, 1)


def test_on_arrival_nobody_waits_for_an_earlier_ticket() -> None:
    it = life(("models", "toy"))
    slow, quick = out(it), out(it)
    it.world.search.commit(quick, reply(it, quick))
    assert [event.ticket for event in it.world.of(events.Proposed)] == [quick.id]
    assert it.world.search.in_flight() >= 1
    it.world.search.commit(slow, reply(it, slow))
    assert [event.ticket for event in it.world.of(events.Proposed)][:2] == [quick.id, slow.id]


@pytest.mark.parametrize("config", ["default", "models"])
def test_a_member_that_could_not_be_asked_leaves_no_trace(config: str) -> None:
    it = life((config, "toy"))
    before, places = tree(it.world), [node.pending for node in it.world.nodes]
    records = member_views(it.world.search.pool)
    ticket = out(it)
    assert it.world.search.commit(ticket, NotAsked("benched for 30 s")) == []
    assert tree(it.world) == before
    assert [node.pending for node in it.world.nodes] == places
    assert member_views(it.world.search.pool) == records
    assert it.world.search.iterations == 0
    assert it.world.of(events.Withdrawn) == [events.Withdrawn(ticket.id, ticket.acting, "benched for 30 s")]


def test_a_withdrawn_ticket_lets_later_ones_take_effect() -> None:
    it = life()
    first, second = out(it), out(it)
    it.world.search.commit(second, reply(it, second))
    assert it.world.of(events.Proposed) == []
    it.world.search.commit(first, NotAsked("benched"))
    assert [event.ticket for event in it.world.of(events.Proposed)] == [second.id]


def test_turns_of_a_benched_member_go_to_another() -> None:
    it = life(seed=0)
    absent = out(it).acting
    others = set(it.world.search.pool.specs) - {absent}
    for _ in range(6):
        ticket = it.world.search.select(benched={absent})
        assert ticket is not None
        assert ticket.acting in others
    taken = [event for event in it.world.of(events.FellBack) if event.what == "model"]
    assert it.world.search.pool.records[absent].passed == len(taken) > 0
    assert all(event.by == absent for event in taken)


def test_a_course_alteration_for_which_the_largest_cannot_be_asked_keeps_the_small_members_child() -> None:
    it = life(("models", "toy"))
    due: list[Ticket] = []
    for _ in range(200):
        ticket = it.world.search.select()
        assert ticket is not None
        due = it.world.search.commit(ticket, reply(it, ticket))
        if due:
            break
    (alteration,) = due
    largest = it.world.search.pool.records[alteration.acting]
    before = (largest.alterations, largest.errors)
    contested = it.world.search.observe(alteration).failed
    assert contested is not None
    assert it.world.search.commit(alteration, NotAsked("benched")) == []
    assert (largest.alterations, largest.errors) == before
    assert it.world.of(events.Altered)[-1] == events.Altered(alteration.id, contested.child.id, -1)
    assert it.world.nodes[contested.child.id].n == 1


def test_the_preset_for_models_is_made_of_known_settings() -> None:
    assert SearchConfig.preset("models").model_openings > 0
