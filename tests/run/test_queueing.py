"""A run that others' work on its hosts keeps waiting says so, and its own clock stands still meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest

import colt
from colt import events
from colt.events import Event
from colt.measure.base import Measurer
from colt.plan import plan
from colt.run.finish import Result
from colt.run.loop import run
from colt.store.receipt import Receipt
from colt.tvm.devices.hold import Hold
from colt.util.clock import Stopwatch
from colt.util.waiting import tell_waiting, told_of_waiting
from colt.world.answers import MeasuredAnswer
from colt.world.recording import read_recording
from tests.helpers.simulated_runs import StatedCpu, measured_by, simulated

BEFORE_S, WAITED_S = 50.0, 0.3


@dataclass(frozen=True)
class BusyCpu(StatedCpu):
    """This machine, which others have for a while."""

    closed: list[str] = field(default_factory=list)

    def hold(self) -> Hold:
        tell_waiting("waiting for busy")
        sleep(WAITED_S)
        return Hold(BEFORE_S, WAITED_S, ("it was busy",), lambda: self.closed.append("hold"))

    def measurer(self, *limits: Any, **options: Any) -> Measurer:
        made = simulated()
        made.close = lambda: self.closed.append("measurer")  # type: ignore[method-assign]
        return made


def tuned(folder: Path, program: str, *listeners: Callable[[Event], None], **options: Any) -> Result:
    settings = {"trials": 6, "pool": ["scout", "tuner"], "config": colt.SearchConfig(batch_size=3)}
    made = plan(program, run_dir=folder, **settings | options)
    made = replace(made, device=BusyCpu(made.target, made.threads))
    (result,) = run(made, listeners)
    assert made.device.closed == ["measurer", "hold"]
    return result


def require_told_apart(receipt: Receipt) -> None:
    seconds = receipt.seconds
    assert seconds["queueing"] == pytest.approx(BEFORE_S + WAITED_S)
    assert all(value >= 0 for value in seconds.values())
    assert seconds["total"] == pytest.approx(sum(seconds.values()) - seconds["total"], abs=0.02)


def test_it_is_in_the_receipt_and_no_part_of_the_runs_clock(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out: list[float] = []
    monkeypatch.setattr(Stopwatch, "leave_out", lambda watch, seconds: left_out.append(seconds))
    receipt = tuned(tmp_path / "run", own_program).receipt
    require_told_apart(receipt)
    assert left_out == [WAITED_S]
    assert "it was busy" in receipt.messages
    lines = read_recording(tmp_path / "run" / "recording.jsonl").lines
    clocks = [line.answer.totals.clock for line in lines if isinstance(line.answer, MeasuredAnswer)]
    assert all(clock is not None and clock.total < receipt.seconds["total"] - BEFORE_S for clock in clocks)
    assert colt.replay(tmp_path / "run").identical


def test_a_run_that_waits_for_nobody_has_no_such_seconds(own_program: str, tmp_path: Path) -> None:
    with measured_by(simulated()):
        receipt = colt.tune(own_program, trials=2, pool=["scout"], run_dir=tmp_path / "run").receipt
    assert "queueing" not in receipt.seconds


def test_the_time_that_a_run_may_take_begins_when_it_may_measure(own_program: str, tmp_path: Path) -> None:
    receipt = tuned(tmp_path / "run", own_program, seconds=BEFORE_S).receipt
    assert receipt.stop_reason == "trials"


class Broken(Exception):
    """The driver dies."""


def test_a_run_that_goes_on_has_waited_as_long(own_program: str, tmp_path: Path) -> None:
    def die(event: Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 4:
            raise Broken

    with pytest.raises(Broken):
        tuned(tmp_path / "run", own_program, die)
    with measured_by(simulated()):
        receipt = colt.resume(tmp_path / "run").receipt
    assert receipt.trials.total == 6
    require_told_apart(receipt)
    assert colt.replay(tmp_path / "run").identical


def test_what_it_waits_for_is_told_once(own_program: str, tmp_path: Path) -> None:
    """To whoever listens already, such as a benchmark that one of its searches waits; else to the run's listeners."""
    heard: list[Event] = []
    told: list[str] = []
    began = events.Began("waiting for busy")
    tuned(tmp_path / "one", own_program, heard.append)
    assert heard.count(began) == 1
    heard.clear()
    with told_of_waiting(told.append):
        tuned(tmp_path / "other", own_program, heard.append)
    assert told == ["waiting for busy"]
    assert began not in heard
