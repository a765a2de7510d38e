"""What is worked out from the records of a benchmark."""

from __future__ import annotations

import math

import pytest

from colt.bench.config import Peer, StrategyName
from colt.bench.figures import best_after, curve, geometric_mean, speedup, trials_to
from tests.helpers import bench_records as records

STOCK, COLT, NUMPY, TORCH = StrategyName.STOCK, StrategyName.COLT, Peer.NUMPY, Peer.TORCH


def test_a_curve_falls_and_passes_over_failures() -> None:
    cell = records.cell(COLT, 0, [None, 30.0, 50.0, 10.0])
    assert curve(cell) == [math.inf, 30.0, 30.0, 10.0]
    assert best_after(cell, 1) == math.inf
    assert best_after(cell, 3) == 30.0
    assert best_after(cell, 99) == 10.0
    assert best_after(records.cell(COLT, 0, []), 8) == math.inf


def test_trials_to_a_latency_are_counted_from_one() -> None:
    cell = records.cell(COLT, 0, [None, 30.0, 50.0, 10.0])
    assert trials_to(cell, 30.0) == 2
    assert trials_to(cell, 29.9) == 4
    assert trials_to(cell, 9.9) == math.inf


def test_the_goal_is_the_fastest_trial_of_any_strategy() -> None:
    cells = [records.cell(STOCK, 0, [40.0, 20.0]), records.cell(COLT, 0, [25.0, 30.0])]
    cells.append(records.failed_cell(COLT, 1, "it broke"))
    found = records.results(cells, []).workloads[0]
    assert found.goal_us == 20.0
    assert [cell.seed for cell in found.of(COLT)] == [0]


def test_a_side_has_the_median_over_its_seeds_in_each_round() -> None:
    contenders = [
        records.winner(COLT, 0, [10.0, 11.0, 12.0]),
        records.winner(COLT, 1, [20.0, 21.0, 22.0]),
        records.winner(COLT, 2, [90.0, 9.0, 90.0]),
        records.peer(NUMPY, [5.0, 5.0, 5.0]),
    ]
    found = records.results([], contenders).workloads[0]
    latency = found.latency(COLT)
    assert latency is not None
    assert latency.rounds_us == (20.0, 11.0, 22.0)
    assert latency.median_us == 20.0
    assert found.gflops(20.0) == pytest.approx(50.0)
    assert found.latency(STOCK) is None


def test_a_ratio_is_taken_round_by_round() -> None:
    contenders = [
        records.winner(COLT, 0, [10.0, 20.0, 40.0, 10.0, 20.0, 40.0]),  # a machine that slows down and recovers
        records.winner(STOCK, 0, [30.0, 60.0, 120.0, 30.0, 60.0, 121.0]),
    ]
    found = records.results([], contenders).workloads[0]
    ratio = speedup(found.latency(COLT), found.latency(STOCK))  # type: ignore[arg-type]
    assert ratio.median == pytest.approx(3.0)
    assert ratio.interval is not None
    assert ratio.interval.low == pytest.approx(3.0)
    assert ratio.interval.high == pytest.approx(3.025)


def test_a_side_that_was_timed_once_has_a_ratio_without_an_interval() -> None:
    contenders = [
        records.winner(COLT, 0, [10.0] * 6),
        records.winner(STOCK, 0, [3e6]),
        records.winner(STOCK, 1, [20.0] * 6),
        records.winner(STOCK, 2, [30.0] * 6),
    ]
    found = records.results([], contenders).workloads[0]
    ratio = speedup(found.latency(COLT), found.latency(STOCK))  # type: ignore[arg-type]
    assert (ratio.median, ratio.interval) == (3.0, None)


def test_the_best_peer_is_the_fastest_that_was_timed() -> None:
    contenders = [
        records.peer(NUMPY, [20.0] * 6),
        records.peer(TORCH, [15.0] * 6),
        records.peer(Peer.SDPA, [], problem=""),
        records.peer(Peer.TORCH_COMPILE, [], problem="no compiler"),
    ]
    found = records.results([], contenders).workloads[0]
    assert found.best_peer(list(Peer)) is TORCH
    assert found.best_peer([NUMPY, Peer.SDPA]) is NUMPY
    assert found.best_peer([]) is None


def test_the_subject_is_colt_or_the_first() -> None:
    assert records.results([], []).subject is COLT
    assert records.results([], [], strategies=(StrategyName.MCTS, STOCK)).subject is StrategyName.MCTS


def test_a_geometric_mean_of_nothing_is_none() -> None:
    assert geometric_mean([]) is None
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
