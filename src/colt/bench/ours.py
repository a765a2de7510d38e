"""Strategies that are COLT's own runs, each with its pool and method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from colt import events
from colt.bench.records import TrialRecord
from colt.bench.task import CellTask, Found, Search, seconds_since_start
from colt.events import Event
from colt.measure.base import Fate
from colt.options import SearchConfig
from colt.proposers.poolfile import PoolSpec
from colt.run.loop import Method, run


@dataclass(slots=True)
class TrialLog:
    """A listener that keeps the trials of a run, in the order of measuring.

    A schedule that is skipped because its code is too large to build is not a trial. One that turns out to compute
    something else is a failed trial.
    """

    seconds: Callable[[], float]
    _kept: dict[int, TrialRecord] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Note the outcome of a trial."""
        if isinstance(event, events.Timed) and event.fate != Fate.SKIPPED:
            self._kept[event.trial] = TrialRecord(fate=event.fate, latency_us=event.latency_us, seconds=self.seconds())
        elif isinstance(event, events.Measured) and event.fate == Fate.WRONG:
            self._kept[event.trial] = self._kept[event.trial].failed(event.fate)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """All trials."""
        return tuple(self._kept.values())


def of_ours(
    pool: tuple[str, ...], method: Callable[[CellTask], Method], settings: Callable[[CellTask], Mapping[str, Any]]
) -> Search:
    """The strategy with this pool, method and settings of the search."""

    def search(task: CellTask) -> Found:
        trials = TrialLog(seconds_since_start)
        config = SearchConfig.preset("default", **settings(task))
        plan = replace(task.plan(), pool=PoolSpec.built_in(pool), config=config, run_dir=task.folder / "run")
        result = run(plan, [trials], method(task))
        receipt = result.receipt
        latency = receipt.best or receipt.baseline
        return Found(
            result.module,
            latency.latency_us,
            trials.records,
            receipt.seconds["building"],
            receipt.seconds["timing"],
            receipt.stop_reason,
            receipt.messages,
        )

    return search
