"""The input of a strategy, a cell to run, and its output, what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from colt.bench.config import BenchConfig, Cell
from colt.bench.records import TrialRecord
from colt.machine import detect
from colt.plan import Plan, plan


@dataclass(frozen=True, slots=True)
class CellTask:
    """A cell to run."""

    config: BenchConfig
    cell: Cell
    folder: Path
    """The folder for the search's own files."""

    def plan(self) -> Plan:
        """The plan of a COLT run of this cell: program, target, budget, seed. Raises :class:`InputError`.

        It neither begins from records nor adds to them: what earlier runs have found would favour whoever reads it.
        """
        config, cell = self.config, self.cell
        where: dict[str, Any] = {"fleet": config.fleet, "fleet_cpu": detect().cpu} if config.fleet else {}
        made = plan(
            cell.workload, size=config.size, trials=config.trials, seed=cell.seed, threads=config.threads, **where
        )
        return replace(made, space=config.space_of(cell.strategy), records=None)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: ``module`` is the winner, ``best_us`` its latency."""

    module: Any
    best_us: float
    trials: tuple[TrialRecord, ...]
    build_seconds: float
    timing_seconds: float
    stop_reason: str
    messages: tuple[str, ...] = ()
    seconds_before: float = 0.0
    """What earlier processes took for it, if the search has gone on."""


Search = Callable[[CellTask], Found]


def seconds_since_start() -> float:
    """The seconds since this process started."""
    return time.time() - psutil.Process().create_time()
