"""Strategies that are runs of COLT's own, by one pool or another and one method or another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from colt import events
from colt.bench.directory import RUN
from colt.bench.records import TrialRecord
from colt.bench.task import CellTask, Found, Search, seconds_since_start
from colt.errors import InputError
from colt.events import Event
from colt.fleet.session import queued_s
from colt.measure.base import Fate
from colt.options import SearchConfig
from colt.plan import Plan
from colt.proposers.members import PoolSpec
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.resume import to_the_end
from colt.store.directory import RECORDING
from colt.strategies.base import StrategyMaker
from colt.world.answers import MeasuredAnswer
from colt.world.recording import read_recording


@dataclass(slots=True)
class TrialLog:
    """Keeps the trials of a run in the order of measuring; a listener of its events.

    A schedule that is skipped, since its code is too large to build, is no trial. One that turns out to compute
    something else is one that failed.
    """

    seconds: Callable[[], float]
    _kept: dict[int, TrialRecord] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Take in what became of a trial."""
        if isinstance(event, events.Timed) and event.fate != Fate.SKIPPED:
            self._kept[event.trial] = TrialRecord(fate=event.fate, latency_us=event.latency_us, seconds=self.seconds())
        elif isinstance(event, events.Measured) and event.fate == Fate.WRONG:
            self._kept[event.trial] = self._kept[event.trial].failed(event.fate)

    def timed_by(self, clocks: Mapping[int, float], started: float) -> tuple[TrialRecord, ...]:
        """All of them, each with the seconds that the run's own clock states, which began at ``started``."""
        return tuple(
            msgspec.structs.replace(record, seconds=started + clocks[trial]) if trial in clocks else record
            for trial, record in self._kept.items()
        )

    def forget(self) -> None:
        """Begin anew."""
        self._kept.clear()


def of_ours(
    pool: tuple[str, ...],
    strategy: Callable[[CellTask], StrategyMaker],
    settings: Callable[[CellTask], Mapping[str, Any]],
) -> Search:
    """A strategy by that pool and strategy, with these settings of the search."""

    def search(task: CellTask) -> Found:
        config = SearchConfig.preset("default", **settings(task))
        plan = replace(task.plan(), pool=PoolSpec.built_in(pool), config=config, run_dir=task.folder / RUN)
        started = seconds_since_start() - queued_s()  # that is no time of the search
        trials = TrialLog(seconds_since_start)
        result, why_anew = _searched(plan, strategy(task), trials)
        receipt = result.receipt
        latency = receipt.best or receipt.baseline
        seconds = receipt.seconds
        return Found(
            result.module,
            latency.latency_us,
            trials.timed_by(_clocks(task.folder / RUN), started),
            seconds["building"],
            seconds["timing"],
            receipt.stop_reason,
            (*why_anew, *receipt.messages),
            max(0.0, seconds["total"] - (seconds_since_start() - started)),
        )

    return search


def _searched(plan: Plan, strategy: StrategyMaker, trials: TrialLog) -> tuple[Result, tuple[str, ...]]:
    """The result of the run that was under way, or of a new one; and why it is a new one though there was another."""
    folder = plan.run_dir
    assert folder is not None
    if not folder.exists():
        (result,) = run(plan, [trials], strategy=strategy)
        return result, ()
    try:
        (result,) = to_the_end(plan, strategy, [trials])
        return result, ()
    except InputError as error:
        shutil.rmtree(folder)
        trials.forget()
        return _searched(plan, strategy, trials)[0], (f"the search began anew: {error}",)


def _clocks(folder: Path) -> dict[int, float]:
    """When each trial was measured, in seconds since its run began, those of earlier processes included."""
    found = {}
    for line in read_recording(folder / RECORDING, unfinished=True).lines:
        if isinstance(line.answer, MeasuredAnswer) and line.answer.totals.clock is not None:
            number = int(line.asked.removeprefix("measure ").partition(":")[0])
            found[number] = line.answer.totals.clock.total
    return found
