"""The same seed, answers and results give the same tree, whatever order they come in where the order is free."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt import events
from colt.measure.base import Fate, Measurement
from colt.search.search import answer
from colt.search.types import Proposal, ProposalError, Ticket
from tests.helpers.operations import CONFIGS, Life, Operation, few, life, operations, tree, worlds

seeds = st.integers(0, 10_000)


def in_ticket_order(world: tuple[str, str]) -> bool:
    return CONFIGS[world[0]].commit_order == "ticket"


@few
@given(operations, worlds, seeds)
def test_the_same_life_twice_gives_the_same_tree_and_events(
    steps: list[Operation], world: tuple[str, str], seed: int
) -> None:
    first, second = life(world, seed).live(steps), life(world, seed).live(steps)
    assert tree(first.world) == tree(second.world)
    assert first.world.events == second.world.events


def test_another_seed_gives_another_tree() -> None:
    steps = [("ask", 3)] * 5
    assert tree(life(seed=1).live(steps).world) != tree(life(seed=2).live(steps).world)


# ---- answers in flight ----


@few
@given(st.lists(st.integers(1, 6), min_size=3, max_size=8), worlds.filter(in_ticket_order), seeds)
def test_answers_in_flight_may_arrive_in_any_order(rounds: list[int], world: tuple[str, str], seed: int) -> None:
    in_order, shuffled = (fly(life(world), rounds, rng) for rng in (None, random.Random(seed)))
    assert tree(in_order.world) == tree(shuffled.world)
    assert in_order.world.events == shuffled.world.events
    assert in_order.world.search.tree.streak == shuffled.world.search.tree.streak
    assert in_order.world.search.pool.records == shuffled.world.search.pool.records


def fly(it: Life, rounds: list[int], rng: random.Random | None) -> Life:
    """In each round hand out some tickets, then answer them in their order or in one drawn by ``rng``."""
    search = it.world.search
    for width in rounds:
        handed_out = (search.select() for _ in range(width))
        waiting = [(ticket, reply(it, ticket)) for ticket in handed_out if ticket is not None]
        if rng is not None:
            rng.shuffle(waiting)
        while waiting:
            due = search.commit(*waiting.pop(0))
            # the large member's answer to an alteration may also come after answers to later tickets
            place = 0 if rng is None else rng.randint(0, len(waiting))
            waiting[place:place] = [(ticket, reply(it, ticket)) for ticket in due]
        assert search.in_flight() == 0
        trials = search.trials.pick(1)
        search.tell(it.result(trial) for trial in trials)
    return it


def reply(it: Life, ticket: Ticket) -> Proposal | ProposalError:
    return answer(it.propose, it.world.search.observe(ticket))


def test_an_early_answer_waits_for_those_before_it() -> None:
    it = life()
    first, second = it.world.search.select(), it.world.search.select()
    assert first is not None
    assert second is not None
    before = tree(it.world)
    assert it.world.search.commit(second, reply(it, second)) == []
    assert tree(it.world) == before
    it.world.search.commit(first, reply(it, first))
    assert [event.ticket for event in it.world.of(events.Proposed)][:2] == [first.id, second.id]


@pytest.mark.parametrize("feeder", [None, "scout"])
def test_a_ticket_is_answered_once(feeder: str | None) -> None:
    it = life()
    blocking = it.world.search.select()
    ticket = it.world.search.select(feeder)
    assert blocking is not None
    assert ticket is not None
    it.world.search.commit(ticket, reply(it, ticket))
    before = tree(it.world)
    with pytest.raises(ValueError, match=f"ticket {ticket.id} is not out"):
        it.world.search.commit(ticket, ProposalError("once more"))
    with pytest.raises(ValueError, match="ticket 77 is not out"):
        it.world.search.commit(Ticket(77, 0, "large", feeding=feeder is not None), ProposalError("made up"))
    assert tree(it.world) == before


def test_a_feeders_answer_takes_effect_at_once() -> None:
    it = life()
    slow, quick = it.world.search.select(), it.world.search.select(feeder="scout")
    assert slow is not None
    assert quick is not None
    count = len(it.world.nodes)
    it.world.search.commit(quick, reply(it, quick))
    assert len(it.world.nodes) > count
    assert it.world.search.in_flight() == 1


# ---- results ----


@few
@given(operations, worlds, seeds)
def test_results_told_again_reordered_or_in_pieces_give_the_same_tree(
    steps: list[Operation], world: tuple[str, str], seed: int
) -> None:
    at_once, in_pieces = life(world).live(steps), life(world).live(steps)
    rng = random.Random(seed)
    results = outstanding(at_once)
    at_once.world.search.tell(results)
    pieces = [*results, *in_pieces.told]
    pieces += rng.choices(pieces, k=3) if pieces else []
    rng.shuffle(pieces)
    rest = iter(pieces)
    in_pieces.world.search.tell([])
    while piece := list(islice(rest, rng.randint(1, 4))):
        in_pieces.world.search.tell(piece)
    assert tree(at_once.world) == tree(in_pieces.world)
    assert at_once.world.search.pool.records == in_pieces.world.search.pool.records
    assert [node.id for node in at_once.world.search.tree.leaders] == [
        node.id for node in in_pieces.world.search.tree.leaders
    ]
    for it in (at_once, in_pieces):  # and so is what comes of it
        it.live([("ask", 2), ("ask", 1)])
    assert tree(at_once.world) == tree(in_pieces.world)


def outstanding(it: Life) -> list[Measurement]:
    told = {result.trial for result in it.told}
    return [it.result(trial) for trial in it.asked if trial.id not in told]


def ok(trial: int, latency: float, seconds: float = 0.1) -> Measurement:
    return Measurement(trial, Fate.OK, latency, seconds)


CRASHED = Measurement(0, Fate.CRASH, None, 0.0)


@pytest.mark.parametrize(
    ("results", "counts"),
    [
        ([ok(0, 300.0, 0.1), ok(0, 200.0, 0.5)], 200.0),
        ([ok(0, 300.0, 0.5), ok(0, 200.0, 0.1)], 300.0),
        ([ok(0, 300.0, 0.1), ok(0, 200.0, 0.1)], 300.0),
        ([ok(0, 300.0, 0.1), CRASHED], 300.0),
        ([ok(0, 300.0, 0.1), ok(0, 200.0, 0.5), ok(0, 250.0, 0.3)], 200.0),
    ],
    ids=["longer and faster", "longer and slower", "as long: the slower", "crashed", "three"],
)
@pytest.mark.parametrize("together", [True, False])
def test_of_two_measurements_the_longer_counts(results: list[Measurement], counts: float, together: bool) -> None:
    for ordered in (results, results[::-1]):
        it = life()
        it.world.search.ask(1, it.propose)
        for piece in [ordered] if together else [[result] for result in ordered]:
            it.world.search.tell(piece)
        facts = next(one for one in it.world.search.tree.known if one.trial == 0)
        assert facts.measured_us == counts


@pytest.mark.parametrize(
    "wrong",
    [
        ok(99, 100.0),
        ok(-1, 100.0),
        ok(0, 0.0),
        ok(0, -5.0),
        ok(0, float("inf")),
        ok(0, float("nan")),
        Measurement(0, Fate.OK, None),
        Measurement(0, Fate.WRONG, 100.0),
    ],
    ids=str,
)
def test_impossible_results_are_refused_and_leave_everything_as_it_was(wrong: Measurement) -> None:
    it = life()
    trials = it.world.search.ask(2, it.propose)
    before, emitted = tree(it.world), len(it.world.events)
    with pytest.raises(ValueError, match="trial"):
        it.world.search.tell([it.result(trials[1]), wrong])
    assert tree(it.world) == before
    assert len(it.world.events) == emitted
    assert it.world.search.trials.told == 0


def test_results_and_ranking_come_from_what_counts() -> None:
    it = life()
    it.world.search.ask(4, it.propose)
    trials = it.world.search.trials
    it.world.search.tell([ok(2, 300.0), Measurement(1, Fate.CRASH, None), ok(0, 200.0, 0.1), ok(0, 250.0, 0.2)])
    assert (trials.asked, trials.told) == (4, 3)
    assert [(result.trial, result.latency_us) for result in trials.results] == [(0, 250.0), (1, None), (2, 300.0)]
    assert [(latency, trial.id) for latency, trial in trials.ranked()] == [(250.0, 0), (300.0, 2)]
    assert [trials.trial(index).id for index in range(4)] == [0, 1, 2, 3]
