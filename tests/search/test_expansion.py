"""From a joint action to children: alternatives, aliases, failed tries, trials, openings, what members are shown."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from colt import events
from colt.knobs import Edit, Schedule
from colt.options import SearchConfig
from colt.search.openings import most_diverse, of_near_sketches
from colt.search.steps import views
from colt.search.types import MemberSpec, Proposal, ProposalError
from tests.helpers.toyworld import LARGE, LINE, MEMBERS, SMALL, LineSpace, World, line_world, sampled, to

# ---- children ----


def test_a_child_is_by_the_acting_member_and_expanded_by_the_one_it_named() -> None:
    world = line_world()
    world.search.iterate(lambda seen: to(40, then="large"))
    child = world.nodes[2]
    assert (child.parent, child.by, child.next_member) == (world.nodes[1], "small", "large")
    assert (child.facts.schedule.values, child.transformation) == ((40,), (Edit("k", 40),))
    ticket = world.search.select()
    assert ticket is not None
    assert (ticket.node, ticket.acting) == (1, "small")


def test_visits_and_value_go_up_to_the_root_whoever_made_the_nodes() -> None:
    world = line_world(dataclasses.replace(LINE, branching=1))
    for value, name in ((40, "large"), (30, "small"), (20, "large")):
        world.search.iterate(lambda seen, value=value, name=name: to(value, then=name))
    assert [node.by for node in world.nodes[2:]] == ["small", "large", "small"]
    assert [node.n for node in world.nodes] == [5, 4, 3, 2, 1]
    for above, below in pairwise(world.nodes):
        assert above.w >= below.w


@pytest.mark.parametrize(("branching", "children"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_alternatives_become_siblings_as_far_as_there_is_room(branching: int, children: int) -> None:
    world = line_world(dataclasses.replace(LINE, branching=branching))
    world.search.iterate(lambda seen: to(40, 41, 42, 43))
    assert [node.facts.schedule.values[0] for node in world.nodes[1].children] == [40, 41, 42, 43][:children]
    assert world.nodes[1].n == 1 + children
    assert world.search.iterations == 1


def test_alternatives_leave_room_for_tickets_in_flight() -> None:
    world = line_world(dataclasses.replace(LINE, branching=3))
    first, second = world.search.select(), world.search.select()
    assert first is not None
    assert second is not None
    world.search.commit(first, to(40, 41, 42))
    world.search.commit(second, to(43, 44, 45))
    assert [node.facts.schedule.values[0] for node in world.nodes[1].children] == [40, 41, 43]


def test_an_unusable_alternative_gives_its_place_to_the_next() -> None:
    world = line_world(dataclasses.replace(LINE, branching=2))
    world.search.iterate(lambda seen: to(50, 40, 40, 41))
    assert [node.facts.schedule.values[0] for node in world.nodes[1].children] == [40, 41]


def test_a_schedule_known_elsewhere_makes_an_alias_that_shares_facts_alone() -> None:
    world = line_world(dataclasses.replace(LINE, root_width=2, branching=1), openings=(50, 80))
    world.nodes[2].closed = True
    world.search.iterate(lambda seen: to(80))
    opening, alias = world.nodes[2:]
    assert alias.facts is opening.facts
    assert opening.facts.node is opening
    assert [event.alias for event in world.of(events.Applied)] == [True]
    world.search.iterate(lambda seen: to(20))
    assert (alias.n, opening.n, len(alias.children), opening.children) == (2, 1, 1, [])
    assert len(world.search.trials.pick(9)) == 3


@pytest.mark.parametrize("value", [30, 40, 50], ids=["itself", "parent", "grandparent"])
def test_a_child_equal_to_its_node_or_an_ancestor_is_a_failed_try(value: int) -> None:
    world = line_world(dataclasses.replace(LINE, branching=1))
    for step in (40, 30, value):
        world.search.iterate(lambda seen, step=step: to(step))
    assert [node.by for node in world.nodes[2:]] == ["small", "small", "random"]
    assert world.search.pool.records["small"].errors == 1


def test_a_child_equal_to_a_sibling_is_a_failed_try() -> None:
    world = line_world()
    for _ in range(2):
        world.search.iterate(lambda seen: to(40))
    assert [node.by for node in world.nodes[1].children] == ["small", "random"]
    assert world.search.pool.records["small"].errors == 1


def test_the_spaces_notes_reach_the_event_and_the_view() -> None:
    world = World(openings=4)
    plain = world.space.apply
    world.space.apply = lambda *call: dataclasses.replace(plain(*call), notes=("C.i became 8",))  # type: ignore[method-assign]
    world.search.iterate(world.propose)
    assert views(world.nodes)[-1].notes == ("C.i became 8",)
    assert world.of(events.Applied)[-1].notes == ("C.i became 8",)


@pytest.mark.parametrize("rollouts", [0, 1, 5])
def test_every_node_has_the_same_number_of_rollouts(rollouts: int) -> None:
    world = World(SearchConfig.preset(rollouts=rollouts), openings=8, error_rate=0.1)
    world.search.ask(10, world.propose)
    assert {len(node.rollout_ratios) for node in world.nodes[1:]} == {rollouts}


# ---- trials ----


def test_ask_runs_its_iterations_and_returns_the_best_predicted_first() -> None:
    world = World(SearchConfig.preset(iterations_per_trial=3, epsilon=0.0))
    trials = world.search.ask(5, world.propose)
    assert world.search.iterations == 15
    predicted = world.scorer.predict([trial.schedule for trial in trials])
    others = [facts.predicted_us for facts in world.search.tree.known[1:] if facts.trial < 0]
    assert predicted == sorted(predicted)
    assert max(predicted) <= min(others)
    assert [trial.id for trial in trials] == [0, 1, 2, 3, 4]


def test_a_share_epsilon_is_picked_at_random() -> None:
    def misses(epsilon: float) -> int:
        world = World(SearchConfig.preset(epsilon=epsilon, root_width=100), openings=100)
        predicted = world.scorer.predict([trial.schedule for trial in world.search.trials.pick(60)])
        return sum(later < earlier for earlier, later in pairwise(predicted))

    assert misses(0.0) == 0
    assert 2 <= misses(0.2) <= 20
    assert 20 <= misses(1.0) <= 40


def test_ask_returns_fewer_when_there_are_no_more() -> None:
    world = line_world()
    assert len(world.search.trials.pick(5)) == 1
    assert world.search.trials.pick(5) == []


def test_a_trial_says_who_first_proposed_its_schedule() -> None:
    world = line_world()
    world.search.iterate(lambda seen: to(40))
    assert [(trial.proposed_by, trial.node) for trial in world.search.trials.pick(9)] == [("small", 2), ("sampled", 1)]


# ---- openings ----


def test_openings_are_the_best_and_are_visited_once() -> None:
    world = World(SearchConfig.preset(root_width=8), openings=64, blur=1.0)
    nodes = world.root.children
    assert len(nodes) == 8
    assert {(node.n, node.parent) for node in nodes} == {(1, world.root)}
    assert world.root.n == 9
    best = min(world.space.latency_us(schedule) for schedule, _ in sampled(world.space, 64))
    assert nodes[0].facts.predicted_us == best


def test_openings_are_the_best_of_each_kind_and_then_the_second_best() -> None:
    def made(tile: int, unroll: int) -> Schedule:
        return Schedule("plain", "flat", ((1, 1, 64 // tile, tile), (1, 4, 1, 16), unroll))

    ranked = [made(8, 0), made(8, 16), made(8, 64), made(4, 0), made(4, 16), made(2, 0)]
    assert most_diverse(ranked, 4) == [made(8, 0), made(4, 0), made(2, 0), made(8, 16)]
    assert most_diverse(ranked, 9) == [made(8, 0), made(4, 0), made(2, 0), made(8, 16), made(4, 16), made(8, 64)]


def test_the_best_of_each_near_sketch_has_an_opening() -> None:
    """The model of the machine may be wrong about a whole sketch at once."""

    def made(sketch: str, tile: int) -> Schedule:
        return Schedule("plain", sketch, ((1, 1, 64 // tile, tile), (1, 4, 1, 16)))

    flat = [(100.0 + tile, made("flat", tile)) for tile in (1, 2, 4, 8)]
    ranked = [*flat, (120.0, made("cached", 4)), (125.0, made("cached", 2)), (140.0, made("far", 4))]
    best = [schedule for _, schedule in flat]
    assert of_near_sketches(ranked, 4, 1.0) == best
    assert of_near_sketches(ranked, 4, 1.25) == [*best[:3], made("cached", 4)]
    assert of_near_sketches(ranked, 4, 1.5) == [*best[:3], made("cached", 4)]  # half of the places at most
    assert of_near_sketches(ranked, 6, 1.5) == [*best, made("cached", 4), made("far", 4)]
    assert of_near_sketches(ranked, 1, 1.5) == best[:1]
    assert of_near_sketches([], 4, 1.5) == []


def test_equal_openings_count_once_and_the_untuned_program_is_none() -> None:
    world = World(openings=0)
    one = next(iter(sampled(world.space, 1)))[0]
    world.search.open([(one, "architect"), (world.space.untuned, "joker"), (one, "sampled")])
    assert [(node.facts.schedule, node.by) for node in world.root.children] == [(one, "architect")]


def test_the_pool_is_dealt_over_the_openings_smallest_first() -> None:
    world = World(members=MEMBERS[::-1])
    dealt = [node.next_member for node in world.root.children]
    assert dealt == ["small", "middle", "large", "small", "middle", "large", "small", "middle"]


def test_the_paper_preset_gives_all_openings_to_the_largest() -> None:
    world = World(SearchConfig.preset("paper"))
    assert {node.next_member for node in world.root.children} == {"large"}


def test_a_root_with_room_is_expanded_by_the_largest() -> None:
    world = World(openings=0)
    ticket = world.search.select()
    assert ticket is not None
    assert (ticket.node, ticket.acting) == (0, "large")


# ---- observation ----


def test_what_the_acting_member_is_shown() -> None:
    world = line_world(dataclasses.replace(LINE, branching=1, exploration=0.0, proposals_per_call=4))
    for value, name in ((40, "large"), (30, "small"), (20, "large")):
        world.search.iterate(lambda seen, value=value, name=name: to(value, then=name))
    world.tell_all(world.search.trials.pick(2))
    ticket = world.search.select()
    assert ticket is not None
    seen = world.search.observe(ticket)
    assert seen.acting == LARGE
    assert (seen.node.schedule.values, seen.node.by, seen.node.measured_us) == ((20,), "small", 120.0)
    assert [(view.schedule.values, view.by) for view in seen.ancestors] == [((30,), "large"), ((40,), "small")]
    assert seen.knobs == world.space.sketches[0].knobs
    assert seen.tried == ()
    assert [view.schedule.values for view in seen.best] == [(20,), (30,)]
    assert [member.spec for member in seen.members] == [SMALL, LARGE]
    assert [(member.calls, member.predicted_hits, member.measured_hits) for member in seen.members] == [
        (2, 2, 1),
        (1, 1, 0),
    ]
    assert (seen.progress.trials, seen.progress.trials_total, seen.progress.iterations) == (2, None, 3)
    assert (seen.proposals_wanted, seen.failed) == (1, None)  # four are configured, but there is one place
    assert world.search.observe(ticket) == seen


def test_alternatives_are_wanted_as_far_as_there_are_places() -> None:
    world = line_world(dataclasses.replace(LINE, branching=3, proposals_per_call=4))
    world.search.iterate(lambda seen: to(40))
    ticket = world.search.select()
    assert ticket is not None
    places = 3 - len(world.search.tree.nodes[ticket.node].children)
    assert world.search.observe(ticket).proposals_wanted == min(4, places)


def test_what_was_tried_from_here_is_shown_with_how_it_went() -> None:
    world = line_world()
    world.search.iterate(lambda seen: to(40))
    world.tell_all(world.search.trials.pick(1))
    world.search.iterate(lambda seen: to(60))
    ticket = world.search.select()
    assert ticket is not None
    tried = world.search.observe(ticket).tried
    assert [(view.schedule.values, view.transformation) for view in tried] == [
        ((40,), (Edit("k", 40),)),
        ((60,), (Edit("k", 60),)),
    ]
    assert [(view.predicted_us, view.measured_us) for view in tried] == [(140.0, 140.0), (160.0, None)]


def test_every_ticket_is_observed_with_a_seed_of_its_own() -> None:
    world = World()
    tickets = [world.search.select() for _ in range(6)]
    seeds = [world.search.observe(ticket).seed for ticket in tickets if ticket is not None]
    assert len(set(seeds)) == 6


def test_the_root_has_no_ancestors_and_no_knobs() -> None:
    world = World(openings=0)
    ticket = world.search.select()
    assert ticket is not None
    seen = world.search.observe(ticket)
    assert (seen.ancestors, seen.knobs, seen.tried, seen.best) == ((), (), (), ())


def test_every_schedule_of_the_tree_is_known() -> None:
    world = line_world()
    for value in (60, 80, 40):
        ticket = world.search.select()
        assert ticket is not None
        for due in world.search.commit(ticket, to(value)):
            world.search.commit(due, to(70))
    assert [node.pruned for node in world.nodes] == [False, False, False, True, False, False]
    ticket = world.search.select()
    assert ticket is not None
    known = world.search.observe(ticket).known
    assert all(node.facts.schedule in known for node in world.nodes)
    assert world.space.at(41) not in known  # type: ignore[attr-defined]


def test_a_feeder_is_shown_as_itself() -> None:
    world = World()
    ticket = world.search.select(feeder="scout")
    assert ticket is not None
    assert world.search.observe(ticket).acting == MemberSpec("scout", 1.0, nominal=True)


# ---- errors ----


def test_only_a_proposal_error_is_an_answer() -> None:
    world = World()

    def broken(seen: object) -> Proposal:
        raise RuntimeError("a bug")

    def silent(seen: object) -> Proposal:
        raise ProposalError("no idea")

    assert world.search.iterate(silent)
    with pytest.raises(RuntimeError, match="a bug"):
        world.search.iterate(broken)


def test_a_line_space_is_what_these_tests_take_it_for() -> None:
    space = LineSpace(100, {60: 150.0})
    assert [space.latency_us(space.at(value)) for value in (0, 60, 99)] == [100.0, 150.0, 199.0]
