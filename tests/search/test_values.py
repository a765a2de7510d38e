"""How latencies become values, which figure counts, and that two versions of a scorer are never compared."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt import events
from colt.knobs import Schedule
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.search.tree import Tree, Values
from tests.search.operations import few
from tests.search.toyworld import LINE, SMALL, World, line_world, to


def measured(kind: str, ratio: float) -> float:
    """The value of a schedule that measured ``ratio`` times the best."""
    values = Values(kind)
    values.best_us = 100.0
    node = Tree(Schedule("v", "untuned", ()), "large", values).root
    node.facts.measured_us = 100.0 * ratio
    return values.own(node)


@pytest.mark.parametrize(("ratio", "log", "raw"), [(1.0, 1.0, 1.0), (2.0, 0.5906, 0.5), (60.0, 0.1963, 0.0167)])
def test_value_of_a_latency_over_the_best(ratio: float, log: float, raw: float) -> None:
    assert measured("log", ratio) == pytest.approx(log, abs=1e-4)
    assert measured("ratio", ratio) == pytest.approx(raw, abs=1e-4)


@pytest.mark.parametrize("kind", ["log", "ratio"])
def test_better_than_the_best_counts_as_the_best_and_infinite_as_nothing(kind: str) -> None:
    assert measured(kind, 0.3) == 1.0
    assert measured(kind, math.inf) == 0.0


@few
@given(st.floats(1.0, 1e6), st.floats(1.0, 1e6))
def test_value_falls_as_latency_grows(first: float, second: float) -> None:
    for kind in ("log", "ratio"):
        low, high = measured(kind, min(first, second)), measured(kind, max(first, second))
        assert 0.0 < high <= low <= 1.0


def told(world: World, latencies: dict[int, float | None]) -> None:
    """Measure these numbers of the line; ``None`` is a crash."""
    trials = {trial.schedule.values[0]: trial.id for trial in world.search.trials.pick(100)}
    world.search.tell(
        Measurement(trials[value], Fate.CRASH if latency is None else Fate.OK, latency, 0.1)
        for value, latency in latencies.items()
    )


def grown(values: tuple[int, ...] = (60, 40, 45), config: SearchConfig = LINE) -> World:
    """Node 1 is number 50; its children are these."""
    world = line_world(config, members=(SMALL,))
    for value in values:
        assert world.search.iterate(lambda seen, value=value: to(value))
    return world


def value(latency: float, best: float) -> float:
    return 1.0 / (1.0 + math.log(latency / best))


def test_predictions_are_scaled_by_what_the_nearest_measured_ancestor_measured() -> None:
    world = grown()
    told(world, {50: 300.0, 40: 200.0})
    root, start, sixty, forty, other = world.nodes
    own = world.search.tree.values.own
    assert own(forty) == 1.0
    assert own(start) == pytest.approx(value(300.0, 200.0))
    assert own(root) == pytest.approx(value(1000.0, 200.0))
    assert own(sixty) == pytest.approx(value(160.0 * 300 / 150, 200.0))  # its parent measured 300 µs for 150 predicted
    assert own(other) == pytest.approx(value(145.0 * 300 / 150, 200.0))
    assert start.w == pytest.approx(own(start) + own(sixty) + own(forty) + own(other))


def test_without_a_measured_ancestor_the_best_schedules_residual_counts() -> None:
    world = grown()
    told(world, {40: 200.0})
    start, sixty = world.nodes[1:3]
    own = world.search.tree.values.own
    assert own(start) == pytest.approx(value(150.0 * 200 / 140, 200.0))
    assert own(sixty) == pytest.approx(value(160.0 * 200 / 140, 200.0))


def test_a_failed_trial_has_value_zero_and_its_children_look_further_up() -> None:
    world = grown()
    told(world, {50: None, 40: 200.0})
    start, sixty = world.nodes[1:3]
    assert world.search.tree.values.own(start) == 0.0
    expected = 1.0 + value(160.0 * 200 / 140, 200.0) + value(145.0 * 200 / 140, 200.0)
    assert start.w == pytest.approx(expected)
    assert sixty.n == 1


def test_without_any_success_the_best_prediction_stands_for_the_best() -> None:
    world = grown()
    told(world, {40: None})
    assert world.search.tree.values.own(world.nodes[4]) == pytest.approx(value(145.0, 140.0))
    assert world.search.tree.values.own(world.nodes[3]) == 0.0


def test_trials_are_picked_by_what_they_are_expected_to_measure() -> None:
    world = grown((60, 40), dataclasses.replace(LINE, branching=2))
    told(world, {50: 150.0, 60: 80.0, 40: 280.0})  # half of what was predicted for 60, twice as much for 40
    others, first_children = iter(range(61, 100)), {60: 59, 40: 39}
    for _ in range(20):
        world.search.iterate(lambda seen: to(first_children.pop(seen.node.schedule.values[0], next(others))))
    assert {facts.schedule.values for facts in world.search.tree.known} >= {(59,), (39,)}  # predicted 159 and 139
    (first,) = world.search.trials.pick(1)
    assert first.schedule.values == (59,)


def test_unmeasured_nodes_have_the_mean_value_of_their_rollouts() -> None:
    world = grown(config=SearchConfig.preset(root_width=1, branching=64, widening_coefficient=0.0, rollouts=3))
    told(world, {40: 140.0})
    for node in world.nodes[1:]:
        assert len(node.rollout_ratios) == 3
    sixty = world.nodes[2]
    latencies = [160.0 * ratio for ratio in sixty.rollout_ratios]
    assert all(latency - round(latency) == pytest.approx(0.0, abs=1e-9) for latency in latencies)
    expected = sum(1.0 if latency < 140.0 else value(latency, 140.0) for latency in latencies) / 3
    assert world.search.tree.values.own(sixty) == pytest.approx(expected)
    assert world.search.tree.values.own(world.nodes[3]) == 1.0  # measured: its rollouts count no more


def test_the_paper_preset_values_by_the_raw_ratio() -> None:
    world = grown(config=SearchConfig.preset("paper", root_width=1, branching=64, rollouts=0))
    told(world, {50: 300.0, 40: 200.0})
    assert world.search.tree.values.own(world.nodes[1]) == pytest.approx(2 / 3)
    assert world.search.tree.values.own(world.nodes[2]) == pytest.approx(200 / (160 * 300 / 150))


def test_the_baseline_counts_as_measured_but_is_no_trial() -> None:
    world = line_world()
    assert world.root.facts.measured_us == 1000.0
    assert world.search.tree.values.best_us == 1000.0
    assert world.search.trials.told == 0
    assert [trial.schedule.values for trial in world.search.trials.pick(9)] == [(50,)]


# ---- versions of the scorer ----


def test_a_new_version_of_the_scorer_revalues_the_tree_before_anything_is_compared() -> None:
    """Version 2 of this scorer predicts twice as much of everything: nothing must look worse for it."""
    world = grown()
    told(world, {40: 140.0})
    before = [node.w for node in world.nodes]
    world.scorer.advance()
    assert world.search.iterate(lambda seen: to(44))
    child = world.of(events.Scored)[-1]
    assert (child.scorer, child.outcome, child.predicted_us) == ("v2", "hit", 288.0)
    assert {facts.scorer for facts in world.search.tree.known} == {"v2"}
    assert child.value == pytest.approx(value(144.0, 140.0))
    assert [node.w for node in world.nodes[2:5]] == pytest.approx(before[2:5])
    assert [event.scorer for event in world.of(events.Revalued)] == ["v1", "v1", "v2"]


def test_the_same_version_revalues_nothing_by_itself() -> None:
    world = grown()
    assert len(world.of(events.Revalued)) == 1


def test_trials_are_picked_by_the_newest_version() -> None:
    world = grown()
    assert [trial.schedule.values[0] for trial in world.search.trials.pick(1)] == [40]

    class Contrary:
        version = "contrary"

        def predict(self, schedules):  # type: ignore[no-untyped-def]
            return [1e4 - schedule.values[0] if schedule.values else 1e5 for schedule in schedules]

    setup = dataclasses.replace(world.search.setup, scorer=Contrary())
    world.search.trials._setup = setup
    assert [trial.schedule.values[0] for trial in world.search.trials.pick(4)] == [60, 50, 45]


def test_a_search_may_start_from_the_bare_root() -> None:
    """Without openings, baseline or anything else."""
    world = World(openings=0)
    for _ in range(3):
        world.tell_all(world.search.ask(4, world.propose))
    own = [world.search.tree.values.own(node) for node in world.nodes]
    assert 0.0 < min(own) < max(own) == 1.0
    assert len(world.root.children) > 1
