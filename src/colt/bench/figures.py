"""The figures of a benchmark, from its records: medians, ratios with intervals, curves. Pure arithmetic.

If a strategy has several seeds, a round's latency is their median. The 95 % intervals are those of the re-measurement:
they say nothing about further seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from colt.bench.config import BenchConfig, Peer, StrategyName
from colt.bench.records import CellRecord, ContenderRecord, RemeasureRecord
from colt.util.stats import Estimate, estimate, paired_ratio

Side = StrategyName | Peer


@dataclass(frozen=True, slots=True)
class WorkloadResults:
    """All records of one workload so far."""

    name: str
    cells: tuple[CellRecord, ...]
    remeasured: RemeasureRecord | None

    def of(self, strategy: StrategyName) -> list[CellRecord]:
        """The cells of a strategy that have a winner."""
        return [cell for cell in self.cells if cell.strategy is strategy and cell.ok]

    def contenders(self, side: Side) -> list[ContenderRecord]:
        """The contenders of one side that were timed."""
        everybody = self.remeasured.contenders if self.remeasured is not None else ()
        return [one for one in everybody if one.ok and side == (one.peer or one.strategy)]

    def latency(self, side: Side) -> Latency | None:
        """The latency of one side in the re-measurement; ``None`` if none of its contenders was timed."""
        return _latency([one.latencies_us for one in self.contenders(side)])

    def best_peer(self, peers: Sequence[Peer]) -> Peer | None:
        """The fastest of the peers that were timed; ``None`` if none was."""
        medians = {peer: found.median_us for peer in peers if (found := self.latency(peer)) is not None}
        return min(medians, key=medians.__getitem__, default=None)

    def gflops(self, latency_us: float) -> float:
        """The workload's GFLOPS at this latency."""
        assert self.remeasured is not None
        return self.remeasured.flops / latency_us / 1e3

    @property
    def goal_us(self) -> float:
        """The lowest latency that any trial of any strategy had; infinite if none was timed."""
        return min((best_after(cell, len(cell.trials)) for cell in self.cells), default=math.inf)


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a benchmark so far."""

    config: BenchConfig
    workloads: tuple[WorkloadResults, ...]

    @property
    def subject(self) -> StrategyName:
        """The strategy that the others are compared with."""
        return StrategyName.COLT if StrategyName.COLT in self.config.strategies else self.config.strategies[0]


@dataclass(frozen=True, slots=True)
class Latency:
    """The latencies of one side, by round; a single one if the side was not timed in turn."""

    rounds_us: tuple[float, ...]

    @property
    def median_us(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.rounds_us)

    @property
    def estimate(self) -> Estimate:
        """The median with its interval."""
        return estimate(self.rounds_us)


def _latency(members: Sequence[Sequence[float]]) -> Latency | None:
    """The median over members in each round, or of their medians if they were not timed in the same rounds."""
    if not members:
        return None
    if len({len(rounds) for rounds in members}) > 1:
        return Latency((statistics.median(map(statistics.median, members)),))
    return Latency(tuple(map(statistics.median, zip(*members, strict=True))))


def speedup(subject: Latency, other: Latency) -> Estimate:
    """How many times faster the subject is: the other's latency divided by the subject's, round by round."""
    if len(subject.rounds_us) == len(other.rounds_us):
        return paired_ratio(other.rounds_us, subject.rounds_us)
    return Estimate(other.median_us / subject.median_us, None, 1)


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """The geometric mean; ``None`` if there are no ratios."""
    values = list(ratios)
    return statistics.geometric_mean(values) if values else None


# ---- curves ----


def curve(cell: CellRecord) -> list[float]:
    """The best latency after each trial, infinite before the first that was timed."""
    best, found = math.inf, []
    for trial in cell.trials:
        best = best if trial.latency_us is None else min(best, trial.latency_us)
        found.append(best)
    return found


def best_after(cell: CellRecord, trials: int) -> float:
    """The best latency after this many trials, or after all if there are fewer; infinite if none was timed."""
    return min(curve(cell)[:trials], default=math.inf)


def trials_to(cell: CellRecord, latency_us: float) -> float:
    """The number of trials needed to reach a latency; infinite if it is not reached."""
    reached = (number for number, best in enumerate(curve(cell), 1) if best <= latency_us)
    return next(reached, math.inf)
