"""What is counted of whom: calls, errors, hits predicted and measured, and who is asked when nobody valid is named."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given

from colt import events
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.search.pool import MemberRecord, Pool
from colt.search.types import Proposal, ProposalError
from tests.helpers.operations import Operation, few, life, operations, worlds
from tests.helpers.toyworld import ILLEGAL, LARGE, MEMBERS, MIDDLE, SMALL, World, line_world, to

SILENT = ProposalError("nothing")


def submit(world: World, reply: Proposal | ProposalError, feeder: str | None = None) -> None:
    ticket = world.search.select(feeder)
    assert ticket is not None
    for due in world.search.commit(ticket, reply):
        world.search.commit(due, SILENT)


def small(world: World) -> MemberRecord:
    return world.search.pool.records["small"]


# ---- calls, errors, fallbacks ----


@pytest.mark.parametrize(
    ("reply", "errors", "fallbacks"),
    [
        (to(40), 0, 0),
        (SILENT, 1, 1),
        (ILLEGAL, 1, 1),
        (Proposal((), "small"), 1, 1),
        (to(50), 1, 1),
        (to(40, then="nobody"), 1, 1),
        (to(50, then="nobody"), 2, 2),
        (to(50, 40), 1, 0),
        (to(50, 50), 2, 1),
    ],
    ids=["fine", "silent", "illegal", "empty", "no change", "nobody next", "two mistakes", "one of two", "both of two"],
)
def test_errors_and_fallbacks_of_one_call(reply: Proposal | ProposalError, errors: int, fallbacks: int) -> None:
    """Every mistake is an error; a fallback is what was done in place of something, not each reason for it."""
    world = line_world()
    submit(world, reply)
    record = small(world)
    assert (record.calls, record.errors, record.fallbacks) == (1, errors, fallbacks)
    assert len(world.of(events.FellBack)) == errors
    assert len(world.nodes) == 3


def test_an_unusable_transformation_falls_back_to_a_random_legal_one_that_is_nobodys_credit() -> None:
    world = line_world()
    submit(world, ILLEGAL)
    child = world.nodes[2]
    assert (child.by, child.counted, child.parent, child.n) == ("random", False, world.nodes[1], 1)
    assert child.facts.schedule != world.nodes[1].facts.schedule
    assert (small(world).predicted_hits, small(world).predicted_regressions) == (0, 0)
    world.tell_all(world.search.trials.pick(9))
    assert small(world).scored_calls == 0


def test_a_fallback_keeps_the_next_member_that_was_named() -> None:
    world = line_world()
    submit(world, Proposal(ILLEGAL.transformations, "large"))
    assert world.nodes[2].next_member == "large"


def test_the_fallback_is_not_drawn_as_the_proposer_draws() -> None:
    """A proposer that draws from its observation's seed, and failed, must not be followed by the same draw."""
    same = 0
    config = SearchConfig.preset(root_width=1, widening_coefficient=0.0)
    for seed in range(20):
        world = World(config, openings=1, seed=seed)
        ticket = world.search.select()
        assert ticket is not None
        seen = world.search.observe(ticket)
        drawn = world.space.random_transformation(seen.node.schedule, random.Random(seen.seed))
        world.search.commit(ticket, SILENT)
        same += world.nodes[2].transformation == drawn
    assert same < 5


def test_an_expansion_without_any_child_is_a_visit_of_value_zero() -> None:
    world = line_world()
    world.space._rejected = frozenset(range(100))  # type: ignore[attr-defined]
    before = world.nodes[1].w, world.root.w
    submit(world, to(40))
    assert [event.node for event in world.of(events.Failed)] == [1]
    assert (world.nodes[1].n, world.root.n, world.nodes[1].failed_visits) == (2, 3, 1)
    assert (world.nodes[1].w, world.root.w) == before


def test_feeders_stay_out_of_the_members_statistics_even_under_a_members_name() -> None:
    world = line_world()
    for feeder, value in (("scout", 60), ("small", 61), ("large", 40)):
        submit(world, to(value), feeder=feeder)
    submit(world, SILENT, feeder="small")
    assert [node.by for node in world.nodes[2:5]] == ["scout", "small", "large"]
    assert {node.next_member for node in world.nodes[2:]} == {"small"}
    world.tell_all(world.search.trials.pick(9))
    assert all(record == MemberRecord(record.spec) for record in world.search.pool.records.values())
    assert world.search.tree.streak == 0


def test_a_feeders_child_inherits_the_nodes_next_member() -> None:
    world = line_world()
    world.nodes[1].next_member = "large"
    submit(world, to(40, then="small"), feeder="scout")
    assert world.nodes[2].next_member == "large"


# ---- hits ----


def test_predicted_hits_and_regressions_are_counted_for_each_child_and_evens_for_none() -> None:
    world = line_world(at_51=150.0)
    submit(world, to(40, 41, 60, 51))
    assert (small(world).predicted_hits, small(world).predicted_regressions) == (2, 1)
    assert [event.outcome for event in world.of(events.Scored)] == ["hit", "hit", "regression", "even"]


def test_a_measured_hit_needs_both_ends_measured() -> None:
    world = line_world()
    submit(world, to(40))
    trials = {trial.schedule.values: trial.id for trial in world.search.trials.pick(2)}
    world.search.tell([Measurement(trials[(40,)], Fate.OK, 140.0)])
    assert small(world).scored_calls == 0
    world.search.tell([Measurement(trials[(50,)], Fate.OK, 150.0)])
    assert (small(world).measured_hits, small(world).measured_regressions) == (1, 0)


@pytest.mark.parametrize(
    ("parent", "child", "hits", "regressions"),
    [
        (150.0, 140.0, 1, 0),
        (150.0, 160.0, 0, 1),
        (150.0, 150.0, 0, 0),
        (150.0, None, 0, 1),
        (None, 1.0, 1, 0),
        (None, None, 0, 0),
    ],
)
def test_measured_verdicts(parent: float | None, child: float | None, hits: int, regressions: int) -> None:
    """A crash is worse than any latency."""
    world = line_world()
    submit(world, to(40))
    trials = {trial.schedule.values[0]: trial.id for trial in world.search.trials.pick(2)}
    world.search.tell(
        Measurement(trials[value], Fate.CRASH if latency is None else Fate.OK, latency)
        for value, latency in ((50, parent), (40, child))
    )
    assert (small(world).measured_hits, small(world).measured_regressions) == (hits, regressions)


def test_a_verdict_on_two_known_measurements_is_measured_and_not_predicted() -> None:
    """The child is an alias of a measured opening, worse by the scorer and better by the clock."""
    world = line_world(SearchConfig.preset(root_width=2, branching=9), openings=(50, 80))
    trials = {trial.schedule.values[0]: trial.id for trial in world.search.trials.pick(2)}
    world.search.tell([Measurement(trials[50], Fate.OK, 150.0), Measurement(trials[80], Fate.OK, 90.0)])
    world.nodes[2].closed = True
    world.nodes[1].next_member = "small"
    submit(world, to(80))
    scored = world.of(events.Scored)[-1]
    assert (scored.outcome, scored.measured) == ("hit", True)
    assert (small(world).predicted_hits, small(world).measured_hits) == (0, 0)
    world.search.tell([])
    assert (small(world).predicted_hits, small(world).measured_hits) == (0, 1)


@few
@given(operations, worlds)
def test_all_counts_follow_from_the_events(steps: list[Operation], world: tuple[str, str]) -> None:
    it = life(world).live(steps)
    it.world.search.tell([])
    selected = {event.ticket: event for event in it.world.of(events.Selected)}
    asked = {event.ticket for event in selected.values() if event.acting != "scout" and not event.alteration}
    calls: Counter[str] = Counter()
    alterations: Counter[str] = Counter()
    for proposed in it.world.of(events.Proposed):
        (alterations if selected[proposed.ticket].alteration else calls)[proposed.by] += 1
    fell_back = it.world.of(events.FellBack)
    errors = Counter(event.by for event in fell_back if event.what != "model")
    passed = Counter(event.by for event in fell_back if event.what == "model")
    verdicts: Counter[tuple[str, str, bool]] = Counter()
    applied = {event.node: event for event in it.world.of(events.Applied)}
    for scored in it.world.of(events.Scored):
        made = applied[scored.node]
        if made.ticket in asked:
            verdicts[made.by, scored.outcome, scored.measured] += 1
    for name, record in it.world.search.pool.records.items():
        assert (record.calls, record.alterations, record.errors) == (calls[name], alterations[name], errors[name])
        assert record.passed == passed[name]
        assert record.predicted_hits == verdicts[name, "hit", False]
        assert record.predicted_regressions == verdicts[name, "regression", False]
        assert (record.measured_hits, record.measured_regressions) == measured_verdicts(it.world, asked, name)


def measured_verdicts(world: World, asked: set[int], name: str) -> tuple[int, int]:
    hits = regressions = 0
    for event in world.of(events.Applied):
        if event.ticket in asked and event.by == name:
            before = world.nodes[event.parent].facts.measured_us
            after = world.nodes[event.node].facts.measured_us
            if before is not None and after is not None:
                hits += after < before
                regressions += after > before
    return hits, regressions


# ---- the fallback for an invalid next member ----


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({}, "middle"),
        ({"small": (1, 3), "large": (3, 1)}, "large"),
        ({"small": (2, 2), "large": (1, 1)}, "small"),
        ({"small": (2, 2), "large": (3, 3)}, "large"),
        ({"small": (2, 2), "large": (2, 2), "middle": (2, 2)}, "small"),
        ({"large": (0, 5)}, "large"),
    ],
    ids=["nothing scored: the acting", "best rate", "more calls", "more calls, the larger", "the smaller", "only one"],
)
def test_whom_an_invalid_next_member_falls_back_to(scores: dict[str, tuple[int, int]], expected: str) -> None:
    pool = Pool(MEMBERS[::-1])
    for name, (hits, regressions) in scores.items():
        pool.records[name].measured_hits, pool.records[name].measured_regressions = hits, regressions
    assert pool.fallback("middle") == expected


def test_predicted_hits_do_not_count_for_the_fallback() -> None:
    pool = Pool(MEMBERS)
    pool.records["large"].predicted_hits = 9
    assert pool.fallback("middle") == "middle"


def test_an_invalid_next_member_is_replaced_at_the_child() -> None:
    world = line_world(members=(SMALL, MIDDLE, LARGE))
    submit(world, to(60, then="large"))
    world.tell_all(world.search.trials.pick(9))  # the small member has a measured regression, the others nothing
    world.nodes[1].next_member = "middle"
    submit(world, to(40, then="nobody"))
    assert world.nodes[3].next_member == "small"
    assert [event.what for event in world.of(events.FellBack)] == ["next-model"]


def test_a_pool_is_not_empty_and_its_names_are_unique() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Pool([])
    with pytest.raises(ValueError, match="same name"):
        Pool([SMALL, SMALL])
