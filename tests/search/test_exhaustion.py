"""Spaces that come to an end: nodes close, the root closes, and the loop stops instead of spinning."""

from __future__ import annotations

import random

import pytest

from colt import events
from colt.options import SearchConfig
from colt.search.search import answer
from colt.search.types import ProposalError, Ticket
from tests.helpers.toyworld import LINE, LineSpace, World, line_world, to

ENOUGH = 5_000
"""Iterations after which a loop counts as endless."""

CONFIGS = {
    "widening": SearchConfig.preset(),
    "no widening": SearchConfig.preset(widening_coefficient=0.0),
    "paper": SearchConfig.preset("paper"),
    "several": SearchConfig.preset(proposals_per_call=3, branching=3),
    "strict": SearchConfig.preset(dead_end_limit=1, fallback_tries=1),
}
SPACES = {
    "one": LineSpace(1),
    "two": LineSpace(2),
    "four": LineSpace(4),
    "none": LineSpace(3, rejected=frozenset((0, 1, 2))),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("openings", [0, 2])
def test_an_exhausted_space_closes_the_root_and_ends_the_loop(config: str, space: str, openings: int) -> None:
    world = World(CONFIGS[config], space=SPACES[space], openings=openings if space != "none" else 0)
    for _ in range(ENOUGH):
        if not world.search.iterate(world.propose):
            break
    assert world.search.closed
    assert all(node.closed or node.pruned for node in world.nodes)
    assert world.search.select() is None
    assert not world.search.iterate(world.propose)
    assert world.of(events.Closed)[-1].node == 0


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("space", ["one", "two", "four"])
@pytest.mark.parametrize("width", [2, 7])
def test_it_ends_with_tickets_in_flight_too(config: str, space: str, width: int) -> None:
    world = World(CONFIGS[config], space=SPACES[space], openings=2)
    rng = random.Random(width)
    out: list[Ticket] = []
    for _ in range(ENOUGH):
        ticket = world.search.select(feeder="scout" if rng.random() < 0.2 else None) if len(out) < width else None
        if ticket is not None:
            out.append(ticket)
        elif out:
            chosen = out.pop(rng.randrange(len(out)))
            out += world.search.commit(chosen, answer(world.propose_as, world.search.observe(chosen)))
        else:
            break
    assert world.search.closed
    assert all(node.closed or node.pruned for node in world.nodes)


def test_iterate_does_nothing_while_tickets_in_flight_take_all_room() -> None:
    world = line_world(SearchConfig.preset(root_width=1, branching=1, widening_coefficient=0.0))
    ticket = world.search.select()
    assert ticket is not None
    assert not world.search.iterate(world.propose)
    assert not world.search.closed
    world.search.commit(ticket, to(40))
    assert world.search.iterate(lambda seen: to(30))


def test_every_schedule_of_a_tiny_space_is_found() -> None:
    world = World(SearchConfig.preset(), space=LineSpace(5), openings=1)
    while world.search.iterate(world.propose):
        pass
    assert len(world.search.tree.known) == 1 + 5


def test_ask_ends_early_and_gives_what_there_is() -> None:
    world = World(SearchConfig.preset(), space=LineSpace(3), openings=1)
    assert len(world.search.ask(400, world.propose)) == 3
    assert world.search.ask(4, world.propose) == []


def test_a_node_closes_after_as_many_failed_expansions_as_allowed() -> None:
    world = line_world(SearchConfig.preset(root_width=1, dead_end_limit=3))
    world.space._rejected = frozenset(range(100))  # type: ignore[attr-defined]
    for failures in (1, 2, 3):
        assert not world.nodes[1].closed
        world.nodes[0].dead_ends = 3  # the root is out of the way
        assert world.search.iterate(lambda seen: to(40))
        assert world.nodes[1].dead_ends == failures
    assert world.nodes[1].closed
    assert [event.node for event in world.of(events.Closed)] == [1, 0]


def test_a_dead_end_with_an_open_child_stays_reachable_and_closes_with_it() -> None:
    world = line_world(SearchConfig.preset(root_width=1, branching=2, widening_coefficient=0.0, dead_end_limit=1))
    world.search.iterate(lambda seen: to(40))
    world.space._rejected = frozenset(range(100))  # type: ignore[attr-defined]
    world.search.iterate(lambda seen: to(41))
    assert (world.nodes[1].dead_ends, world.nodes[1].closed) == (1, False)
    ticket = world.search.select()
    assert ticket is not None
    assert ticket.node == 2
    world.search.commit(ticket, to(41))
    assert [event.node for event in world.of(events.Closed)] == [2, 1, 0]


def test_a_node_does_not_close_while_a_ticket_is_out_for_it() -> None:
    world = line_world(SearchConfig.preset(root_width=1, branching=2, widening_coefficient=0.0, dead_end_limit=1))
    first, second = world.search.select(), world.search.select()
    assert first is not None
    assert second is not None
    world.space._rejected = frozenset(range(100))  # type: ignore[attr-defined]
    world.search.commit(first, to(41))
    assert not world.nodes[1].closed
    world.space._rejected = frozenset()  # type: ignore[attr-defined]
    world.search.commit(second, to(42))
    assert not world.nodes[1].closed
    assert len(world.nodes[1].children) == 1


def test_failing_for_want_of_an_answer_closes_nothing_while_random_edits_succeed() -> None:
    world = line_world(LINE)
    for _ in range(20):
        world.search.iterate(silent)
    assert world.nodes[1].dead_ends == 0
    assert len(world.nodes) == 22


def silent(seen: object) -> None:  # type: ignore[return]
    raise ProposalError("no idea")
