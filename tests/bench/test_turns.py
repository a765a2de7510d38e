"""Timing in turn, with contenders that only say that they ran."""

from __future__ import annotations

from typing import Any

import pytest

from colt.bench import turns
from colt.bench.config import StrategyName
from colt.bench.contenders.client import PeerLost
from colt.bench.contenders.messages import Lap
from colt.bench.records import ContenderRecord
from colt.bench.turns import Entry, rounds_for, time_in_turn

ROUNDS = 5
"""Of one sitting, of three."""


class Home:
    """A process that answers at once. ``queued`` says for each lap what another load takes; 0 after the last."""

    def __init__(self, log: list[str], queued: list[float] | None = None, dies_at: int | None = None) -> None:
        self.log = log
        self.queued = list(queued or [])
        self.left = dies_at

    def lap(self, name: str, seconds: float) -> Lap:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PeerLost("killed by SIGSEGV")
        self.log.append(name)
        return Lap(float(len(self.log)), self.queued.pop(0) if self.queued else 0.0)


def entry(home: Any, seed: int, us: float = 1000.0) -> Entry:
    return Entry(ContenderRecord(strategy=StrategyName.COLT, seed=seed), home, us)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.0)


def test_every_other_round_goes_backwards() -> None:
    log: list[str] = []
    home = Home(log)
    entries = [entry(home, seed) for seed in range(3)]
    rounds = time_in_turn(entries)
    assert (rounds.count, rounds.disturbed) == (ROUNDS, 0)
    assert log[:6] == ["colt 0", "colt 1", "colt 2", "colt 2", "colt 1", "colt 0"]
    assert [one.finished().latencies_us[:2] for one in entries] == [(1.0, 6.0), (2.0, 5.0), (3.0, 4.0)]
    assert all(len(one.finished().latencies_us) == ROUNDS for one in entries)


def test_a_disturbed_round_is_repeated() -> None:
    log: list[str] = []
    one = entry(Home(log, queued=[0.0, 0.3, 0.0, 0.06]), 0)
    rounds = time_in_turn([one])
    assert (rounds.count, rounds.disturbed) == (ROUNDS, 0)
    assert len(log) == ROUNDS + 2
    assert one.finished().latencies_us[:3] == (1.0, 3.0, 5.0)


def test_where_it_is_never_quiet_rounds_count_as_disturbed() -> None:
    log: list[str] = []
    one = entry(Home(log, queued=[0.0] * 2 + [0.5] * 100), 0)
    rounds = time_in_turn([one])
    assert (rounds.count, rounds.disturbed) == (ROUNDS, ROUNDS - 2)
    assert len(log) == 2 * ROUNDS
    assert len(one.finished().latencies_us) == ROUNDS


def test_a_slow_contender_has_its_one_figure() -> None:
    log: list[str] = []
    home = Home(log)
    fast, slow = entry(home, 0), entry(home, 1, us=turns.SLOW_US + 1)
    time_in_turn([fast, slow])
    assert slow.finished().latencies_us == (turns.SLOW_US + 1,)
    assert not slow.wanted  # in another sitting
    assert "colt 1" not in log
    assert time_in_turn([slow]).count == 0


def test_a_process_that_dies_takes_its_contenders_and_no_others() -> None:
    log: list[str] = []
    mortal, other = Home(log, dies_at=3), Home(log)
    entries = [entry(mortal, 0), entry(mortal, 1), entry(other, 2)]
    time_in_turn(entries)
    for lost in entries[:2]:
        record = lost.finished()
        assert record.latencies_us == ()
        assert record.problem == "its process is lost: killed by SIGSEGV"
    assert len(entries[2].finished().latencies_us) == ROUNDS
    assert entries[2].finished().problem == ""


def test_who_is_not_ready_is_not_timed() -> None:
    absent = Entry(ContenderRecord(strategy=StrategyName.COLT, seed=0))
    absent.drop("it does not build")
    assert time_in_turn([absent]).count == 0
    assert absent.finished() == ContenderRecord(strategy=StrategyName.COLT, seed=0, problem="it does not build")


def test_laps_of_several_sittings_add_up() -> None:
    one = entry(Home([]), 0)
    total = time_in_turn([one]) + time_in_turn([one])
    assert total.count == len(one.finished().latencies_us) == 2 * ROUNDS


def test_who_is_lost_in_a_later_sitting_has_no_figures() -> None:
    lost = entry(Home([]), 0)
    time_in_turn([lost])
    lost.home = Home([], dies_at=1)  # type: ignore[assignment]
    time_in_turn([lost])
    assert not lost.wanted
    assert lost.finished().latencies_us == ()


def test_slow_rounds_are_fewer_but_enough_for_an_interval() -> None:
    assert rounds_for([1000.0]) == ROUNDS
    assert rounds_for([1e6] * 6) == 4  # 12 in all
    assert rounds_for([2e6] * 20) == 2
