"""Several boards of one key at a time: a real tracker, and real servers that are killed while they measure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from colt.errors import MeasureError
from colt.measure.base import Fate, Job, Limits, Measurement
from colt.measure.muster import HostSeen, Muster
from colt.testing import MEASURER_CHECKS, MeasurerCase, rule
from colt.tvm.workers import Board, BoardsMeasurer
from tests.helpers import measure_programs as programs
from tests.helpers.loopback_board import LoopbackBoard, end

QUICK = Limits(
    run_seconds=2.0, total_ms=30.0, drop_factor=100.0, connect_seconds=20.0, noise_wait_seconds=0.01, min_repeat_ms=1.0
)
TRIES = 40
"""Batches after which both boards have joined, even on a busy machine."""
GOOD = [programs.scheduled_matmul(size) for size in (32, 48, 64, 80, 96, 112, 128)]


@pytest.fixture(scope="module")
def servers(loopback_board: LoopbackBoard) -> list[Any]:
    """Two servers under one key."""
    return [loopback_board.start_server("pair") for _ in range(2)]


def board_of(tracker: LoopbackBoard, key: str) -> Board:
    return Board("127.0.0.1", tracker.port, key)


def measured_on(tracker: LoopbackBoard, target: Any, key: str, boards: int = 2) -> BoardsMeasurer:
    return BoardsMeasurer(target, 1, QUICK, board=board_of(tracker, key), boards=boards, builders=1)


@pytest.fixture(scope="module")
def pair(target: Any, loopback_board: LoopbackBoard, servers: list[Any]) -> Iterator[BoardsMeasurer]:
    with measured_on(loopback_board, target, "pair") as measurer:
        yield measurer


def jobs(*modules: Any) -> list[Job]:
    return [Job(number, module) for number, module in enumerate(modules)]


def hosts(results: list[Measurement]) -> set[str]:
    return {result.host for result in results if result.fate.timed}


def test_both_boards_measure_and_results_come_in_order(pair: BoardsMeasurer) -> None:
    for _ in range(TRIES):  # the second may join a little later than the first
        found = list(pair.measure(jobs(*GOOD, *GOOD)))
        assert [one.trial for one in found] == list(range(14))
        assert all(one.fate.timed for one in found)  # on a busy machine one may seem far slower than the best
        if len(hosts(found)) == 2:
            break
    remarks = pair.take_remarks()
    assert len(remarks) == 2
    assert sum("its reference kernel takes" in remark for remark in remarks) == 1
    assert all(any(host in remark for remark in remarks) for host in hosts(found))


def test_latencies_are_told_for_the_first_board(pair: BoardsMeasurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the reference took less on the first than it does on any: so does every kernel, and the best one takes
    longer on a board than it is told."""
    next(pair.measure(jobs(GOOD[-1])))
    monkeypatch.setattr(pair, "_muster", replace(pair.muster(), base_us=pair._first.us / 1.2))
    there: list[Measurement] = []
    asked: list[float] = []
    for lease in pair._leases:

        def time(job: Job, build: Any, best_us: float, limits: Limits, timed: Any = lease.measurer.time) -> Measurement:
            asked.append(best_us)
            there.append(timed(job, build, best_us, limits))
            return there[-1]

        monkeypatch.setattr(lease.measurer, "time", time)
    (told,) = pair.measure(jobs(GOOD[-1]), best_us=1000.0)
    (raw,) = there
    assert raw.latency_us is not None
    assert raw.reference_us is not None
    assert told.latency_us == pytest.approx(raw.latency_us * pair._first.us / raw.reference_us)
    assert told.latency_us < raw.latency_us
    assert asked[0] > 1000.0
    assert min(told.runs_us) <= told.latency_us * told.slowdown <= max(told.runs_us)


def test_boards_begin_with_the_next_batch_while_one_is_measured(pair: BoardsMeasurer, tmp_path: Path) -> None:
    """It waits for its turn, whatever else is asked for meanwhile; what is never asked for is dropped."""
    now, then = jobs(*GOOD), [Job(100 + number, module) for number, module in enumerate(GOOD)]
    pair.expect(now)
    pair.expect(then)
    assert [one.trial for one in pair.measure(now)] == [job.id for job in now]
    assert pair.verify(programs.matmul(64), programs.scheduled_matmul(64)).ok
    pair.export(GOOD[0], tmp_path / "kernel.so")
    found = list(pair.measure(then))
    assert [one.trial for one in found] == [job.id for job in then]
    assert all(one.fate.timed for one in found)
    pair.expect(now)
    assert next(pair.measure(then)).trial == 100
    assert [one.trial for one in pair.measure(now)] == [job.id for job in now]


@pytest.mark.parametrize("check", MEASURER_CHECKS, ids=rule)
def test_it_conforms(
    check: Any, pair: BoardsMeasurer, target: Any, loopback_board: LoopbackBoard, tmp_path: Path
) -> None:
    check(
        MeasurerCase(
            pair,
            make=lambda: measured_on(loopback_board, target, "pair"),
            untuned=programs.matmul(256),
            fast=programs.scheduled_matmul(256),
            wrong=programs.matmul_missing_a_term(256),
            broken=programs.cannot_be_built,
            folder=tmp_path,
        )
    )


def test_a_crash_costs_its_trial_alone(pair: BoardsMeasurer) -> None:
    found = list(pair.measure(jobs(GOOD[0], programs.divides_by_zero, GOOD[1], programs.stores_far_away, GOOD[2])))
    assert [one.fate for one in found] == [Fate.OK, Fate.CRASH, Fate.OK, Fate.CRASH, Fate.OK]
    assert not any("lost" in remark for remark in pair.take_remarks())


def test_a_board_that_dies_gives_its_trial_to_another(target: Any, loopback_board: LoopbackBoard) -> None:
    """Each trial has one result, none is lost, and the loss is told."""
    doomed = [loopback_board.start_server("mortal") for _ in range(2)]
    with measured_on(loopback_board, target, "mortal") as measurer:
        assert any(len(hosts(list(measurer.measure(jobs(*GOOD))))) == 2 for _ in range(TRIES))
        measurer.take_remarks()
        threading.Timer(0.3, end, (doomed[0],)).start()
        found = list(measurer.measure(jobs(*GOOD * 6)))
        later = list(measurer.measure(jobs(*GOOD)))
        remarks, muster = measurer.take_remarks(), measurer.muster()
    assert [one.trial for one in found] == list(range(42))
    assert muster.lost == 1
    assert muster.again <= 1
    assert {host.name for host in muster.measuring} == hosts(later)
    assert len(muster.hosts) == 2
    assert all(one.fate.timed for one in found + later)
    assert len(hosts(later)) == 1
    assert sum("is lost (loss 1)" in remark for remark in remarks) == 1


def test_the_last_board_that_dies_ends_the_run_with_the_reason(target: Any, loopback_board: LoopbackBoard) -> None:
    doomed = loopback_board.start_server("single")
    with measured_on(loopback_board, target, "single", boards=1) as measurer:
        assert next(measurer.measure(jobs(GOOD[0]))).fate is Fate.OK
        threading.Timer(0.3, end, (doomed,)).start()
        with pytest.raises(MeasureError, match="no board with key 'single'"):
            list(measurer.measure(jobs(programs.never_ends, *GOOD), limits=replace(QUICK, run_seconds=20.0)))


def test_a_board_of_another_kind_is_not_used(target: Any, loopback_board: LoopbackBoard) -> None:
    """The first board of a run that goes on is the one that it had before, of another kind here."""
    loopback_board.start_server("odd")
    with measured_on(loopback_board, target, "odd", boards=1) as measurer:
        measurer.follow(Muster((HostSeen("first:1", "other", 1, 1e6),), base="first:1", base_us=1e6))
        with pytest.raises(MeasureError, match=r"is not used: its reference kernel takes .*, that of first:1 1000000"):
            list(measurer.measure(jobs(GOOD[0])))
        muster = measurer.muster()
    assert (muster.base, muster.hosts[0].left, muster.measuring) == ("first:1", "the run broke off", ())
    assert len(muster.refused) == 1
