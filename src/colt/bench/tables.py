"""The tables of a benchmark as CSV. Latencies are in microseconds; a missing one is empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence

from colt.bench.figures import Results, curve
from colt.util.stats import estimate

Row = Sequence[object]


def cells(results: Results) -> str:
    """A row for each cell."""
    header = (
        *("workload", "strategy", "seed", "status", "failure", "trials", "failed_trials", "best_us"),
        *("wall_seconds", "search_seconds", "build_seconds", "timing_seconds", "stop_reason"),
    )
    return _csv(header, _cell_rows(results))


def trials(results: Results) -> str:
    """A row for each trial: its own latency, and the best so far."""
    header = ("workload", "strategy", "seed", "trial", "fate", "latency_us", "best_us", "seconds")
    return _csv(header, _trial_rows(results))


def remeasured(results: Results) -> str:
    """A row for each contender of each re-measurement."""
    header = (
        *("workload", "contender", "strategy", "seed", "peer", "median_us", "low_us", "high_us", "gflops", "rounds"),
        *("max_rel_error", "problem"),
    )
    return _csv(header, _contender_rows(results))


TABLES: dict[str, Callable[[Results], str]] = {
    "cells.csv": cells,
    "trials.csv": trials,
    "remeasured.csv": remeasured,
}
"""The tables by file name."""


def _cell_rows(results: Results) -> Iterator[Row]:
    for workload in results.workloads:
        for cell in workload.cells:
            yield (
                *(cell.workload, cell.strategy, cell.seed, "ok" if cell.ok else "failed", cell.failure),
                *(len(cell.trials), cell.failed_trials, _figure(cell.best_us)),
                *map(_figure, (cell.wall_seconds, cell.search_seconds, cell.build_seconds, cell.timing_seconds)),
                cell.stop_reason,
            )


def _trial_rows(results: Results) -> Iterator[Row]:
    for workload in results.workloads:
        for cell in workload.cells:
            for number, (trial, best) in enumerate(zip(cell.trials, curve(cell), strict=True), 1):
                who = (cell.workload, cell.strategy, cell.seed, number, trial.fate)
                yield (*who, _figure(trial.latency_us), _figure(best), _figure(trial.seconds))


def _contender_rows(results: Results) -> Iterator[Row]:
    for workload in results.workloads:
        for one in workload.remeasured.contenders if workload.remeasured is not None else ():
            figures: Row = ("", "", "", "", "")
            if one.ok:
                found = estimate(one.latencies_us)
                low, high = (found.interval.low, found.interval.high) if found.interval is not None else (None, None)
                gflops = workload.gflops(found.median)
                figures = (*map(_figure, (found.median, low, high, gflops)), found.samples)
            error = "" if one.max_rel_error is None else f"{one.max_rel_error:.3g}"
            who = (workload.name, one.name, one.strategy, one.seed, one.peer)
            yield (*who, *figures, error, one.problem)


def _figure(value: float | None) -> str:
    return "" if value is None or value == float("inf") else f"{value:.3f}"


def _csv(header: Row, rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
