"""What a strategy is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from colt.bench.config import BenchConfig, Cell
from colt.bench.records import TrialRecord
from colt.plan import Plan, plan


@dataclass(frozen=True, slots=True)
class CellTask:
    """A cell to be run."""

    config: BenchConfig
    cell: Cell
    folder: Path
    """For whatever the search leaves itself."""

    def plan(self) -> Plan:
        """Program, target, budget and seed as a run of COLT's own has them. Raises :class:`InputError`."""
        config, cell = self.config, self.cell
        made = plan(cell.workload, size=config.size, trials=config.trials, seed=cell.seed, threads=config.threads)
        return replace(made, space=config.space_of(cell.strategy))


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


Search = Callable[[CellTask], Found]


def seconds_since_start() -> float:
    """Since this process was started."""
    return time.time() - psutil.Process().create_time()
