"""The LLM-aware tree policy, against numbers computed by hand."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest

from colt.knobs import Schedule
from colt.options import SearchConfig
from colt.search import policy
from colt.search.pool import Pool, small_member_bonus
from colt.search.setup import Setup
from colt.search.steps import close_exhausted
from colt.search.toy import ToyScorer, ToySpace
from colt.search.tree import Node, Tree, Values
from colt.search.types import MemberSpec
from tests.helpers.toyworld import LARGE, MEMBERS, MIDDLE, SMALL

PHI = {"small": 1.0, "middle": 0.6243, "large": 0.0}
NARROW = SearchConfig(widening_coefficient=0.0, branching=2, root_width=3)


def family(*children: tuple[int, float, str], n: int | None = None) -> Node:
    """A root with children of these visits, value sums and next members."""
    tree = Tree(Schedule("v", "untuned", ()), "large", Values("log"))
    for index, (visits, total, member) in enumerate(children):
        child = tree.add(tree.root, Schedule("v", "s", (index,)), "somebody", member)
        child.n, child.w = visits, total
    tree.root.n = n if n is not None else 1 + sum(child.n for child in tree.root.children)
    return tree.root


def winner(root: Node, phi: Mapping[str, float] = PHI, seed: int = 0, **constants: float) -> int:
    config = SearchConfig(**{"exploration": math.sqrt(2), **constants})
    return root.children.index(policy.best_child(root, root.children, phi, config, random.Random(seed)))


# ---- φ ----


def test_phi_is_one_for_the_smallest_zero_for_the_largest_and_logarithmic_between() -> None:
    phi = small_member_bonus(MEMBERS)
    assert phi["small"] == 1.0
    assert phi["large"] == 0.0
    assert phi["middle"] == pytest.approx((math.log(400) - math.log(32)) / (math.log(400) - math.log(7)))
    assert phi["middle"] == pytest.approx(0.6243, abs=1e-4)


def test_phi_depends_on_ratios_of_sizes_alone() -> None:
    scaled = [MemberSpec(member.name, member.size_b * 1000.0) for member in MEMBERS]
    assert small_member_bonus(scaled) == pytest.approx(small_member_bonus(MEMBERS))


@pytest.mark.parametrize("members", [[SMALL], [MemberSpec("a", 8.0), MemberSpec("b", 8.0)]], ids=["one", "equal sizes"])
def test_phi_is_zero_with_one_member_or_equal_sizes(members: list[MemberSpec]) -> None:
    assert set(small_member_bonus(members).values()) == {0.0}


def test_largest_is_the_biggest_and_of_equals_the_first_listed() -> None:
    assert Pool([SMALL, LARGE, MIDDLE]).largest == "large"
    assert Pool([SMALL, MemberSpec("one", 9.0), MemberSpec("other", 9.0)]).largest == "one"


# ---- the score ----


def test_score_is_the_papers() -> None:
    """(1 - λ) w/n + λ φ + c sqrt(ln N / n) with λ = 0.25, c = 0.5, N = 20.

    First:  0.75 · 6/10 + 0.25 · 0 + 0.5 · sqrt(2.9957/10) = 0.4500 + 0.2737 = 0.7237
    Second: 0.75 · 2/9 + 0.25 · 1 + 0.5 · sqrt(2.9957/9) = 0.1667 + 0.25 + 0.2885 = 0.7051
    """
    assert winner(family((10, 6.0, "large"), (9, 2.0, "small")), size_weight=0.25, exploration=0.5) == 0
    # 0.75 · 2.25/9 = 0.1875 lifts the second to 0.7260
    assert winner(family((10, 6.0, "large"), (9, 2.25, "small")), size_weight=0.25, exploration=0.5) == 1


def test_phi_is_that_of_the_childs_next_member() -> None:
    children = ((5, 2.5, "large"), (5, 2.5, "middle"), (5, 2.5, "small"))
    assert winner(family(*children)) == 2
    assert winner(family(*children[:2])) == 1


def test_lambda_zero_ignores_sizes_and_one_ignores_values() -> None:
    children = ((5, 3.0, "large"), (5, 2.0, "small"))
    assert winner(family(*children), size_weight=0.0) == 0
    assert winner(family(*children), size_weight=1.0) == 1


def test_lambda_counts_as_zero_where_all_children_share_one_phi() -> None:
    """With λ = 0.9 kept, values (1 - λ) · 0.5 = 0.05 apart would lose to exploration terms 0.07 apart."""
    better_and_visited, worse = (12, 12.0, "small"), (10, 5.0, "small")
    assert winner(family(better_and_visited, worse), size_weight=0.9) == 0
    # the same two of different φ, the better one the smaller's: (1 - λ) counts again
    mixed = family(better_and_visited, (10, 5.0, "middle"))
    assert winner(mixed, phi={"small": 0.5, "middle": 0.501}, size_weight=0.9) == 1


def test_exploration_favours_what_was_visited_less() -> None:
    children = ((20, 12.0, "small"), (4, 2.0, "small"))
    assert winner(family(*children), exploration=0.0) == 0
    assert winner(family(*children), exploration=1.0) == 1


def test_unvisited_children_come_first_larger_phi_before_smaller() -> None:
    for seed in range(5):
        assert winner(family((1, 1.0, "small"), (0, 0.0, "large")), seed=seed) == 1
        assert winner(family((0, 0.0, "large"), (0, 0.0, "small"), (0, 0.0, "middle")), seed=seed) == 1


def test_tickets_in_flight_count_as_visits_of_value_zero() -> None:
    root = family((4, 3.0, "small"), (4, 2.9, "small"))
    assert winner(root) == 0
    root.virtual = root.children[0].virtual = 1
    assert winner(root) == 1
    # the parent's too: with N = 3, c sqrt(ln 3 / n) leads by 0.307 and w/n trails by 0.33; with N = 9 it leads by 0.434
    crowded = family((1, 0.3, "small"), (2, 1.26, "small"), n=3)
    assert winner(crowded, exploration=1.0) == 1
    crowded.virtual = 6
    assert winner(crowded, exploration=1.0) == 0
    unvisited = family((0, 0.0, "small"), (1, 0.1, "small"))
    unvisited.children[0].virtual = 3
    assert winner(unvisited) == 1


def test_ties_are_broken_evenly_by_the_seeded_generator() -> None:
    root = family(*[(3, 1.0, "small")] * 4)
    chosen = [winner(root, seed=seed) for seed in range(200)]
    assert chosen == [winner(root, seed=seed) for seed in range(200)]
    assert all(30 <= count <= 70 for count in Counter(chosen).values())
    assert len(set(chosen)) == 4


# ---- the descent ----


def select(root: Node, config: SearchConfig = NARROW) -> Node | None:
    return policy.descend(root, PHI, config, random.Random(0))


def test_descent_ends_at_the_first_node_with_room() -> None:
    root = family((3, 1.0, "small"), (3, 2.0, "small"), (3, 0.5, "small"))
    assert select(root) is root.children[1]


def test_the_root_has_its_own_width() -> None:
    root = family((3, 1.0, "small"), (3, 2.0, "small"))
    assert select(root) is root
    assert select(root, SearchConfig(widening_coefficient=0.0, root_width=2)) is root.children[1]


def test_closed_and_contested_children_are_passed_by() -> None:
    root = family((3, 1.0, "small"), (3, 2.0, "small"), (3, 1.5, "small"))
    root.children[1].closed = True
    assert select(root) is root.children[2]
    root.children[2].held = True
    assert select(root) is root.children[0]


def test_a_dead_end_is_descended_through_but_not_expanded() -> None:
    tree_root = family((3, 2.0, "small"), (3, 0.1, "small"), (3, 0.1, "small"))
    node = tree_root.children[0]
    node.dead_ends = NARROW.dead_end_limit
    child = Node(9, node, "somebody", "small", n=1)
    node.children.append(child)
    assert select(tree_root) is child


def test_nothing_is_selected_where_tickets_in_flight_take_all_room() -> None:
    root = family((3, 1.0, "small"), (3, 2.0, "small"), (3, 0.5, "small"))
    for child in root.children:
        child.pending = 2
    assert select(root) is None
    root.children[2].pending = 1
    assert select(root) is root.children[2]


def test_nothing_is_selected_below_a_closed_root() -> None:
    root = family()
    root.closed = True
    assert select(root) is None


# ---- room ----


@pytest.mark.parametrize(
    ("visits", "exponent", "coefficient", "children"),
    [(1, 0.5, 1.0, 2), (8, 0.5, 1.0, 2), (9, 0.5, 1.0, 3), (99, 0.5, 1.0, 9), (100, 0.5, 1.0, 10), (100, 0.5, 0.0, 2)],
)
def test_progressive_widening(visits: int, exponent: float, coefficient: float, children: int) -> None:
    """max(branching, coefficient · n ^ exponent) children; a coefficient of 0 turns it off."""
    config = SearchConfig(branching=2, widening_coefficient=coefficient, widening_exponent=exponent)
    node = family((visits, 0.5, "small")).children[0]
    assert policy.room(node, config) == children
    node.pending = 1
    assert policy.room(node, config) == children - 1


def test_widening_gives_one_more_child_where_all_others_are_closed() -> None:
    """Else a node full of closed children would wait for visits that cannot come."""
    node = family((3, 1.0, "small"), (3, 1.0, "small"))
    widening = SearchConfig(root_width=2)
    assert policy.room(node, widening) == 0
    for child in node.children:
        child.closed = True
    assert policy.room(node, widening) == 1
    assert policy.room(node, SearchConfig(root_width=2, widening_coefficient=0.0)) == 0
    assert not closes(node, widening)
    assert closes(node, SearchConfig(root_width=2, widening_coefficient=0.0))


def closes(node: Node, config: SearchConfig) -> bool:
    close_exhausted(Setup(ToySpace(), ToyScorer(ToySpace()), Pool(MEMBERS), config, lambda event: None), node)
    return node.closed
