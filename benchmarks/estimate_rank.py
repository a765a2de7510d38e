"""How well the analytical model ranks measured random schedules: Spearman's rank correlation, per workload.

    .venv/bin/python benchmarks/estimate_rank.py [--schedules 48] [WORKLOAD ...]

It also prints how much slower the best of the model's first 8 is than the best of all (1.00 is no loss).
"""

from __future__ import annotations

import argparse
import os
import random

from colt.errors import Rejected
from colt.measure.base import Job
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target, set_threads
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import rank_correlation

THREADS = len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=list(workloads.names()))
    parser.add_argument("--schedules", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_threads(THREADS)
    machine = machine_of(hardware_with_peaks(THREADS), THREADS)
    target = resolve_target(None, THREADS)
    with LocalMeasurer(target, THREADS) as measurer:
        for name in options.workloads:
            space = TvmSpace.generated(workloads.get(name).build("small"), target, vector_math=True)
            pairs = measured(space, AnalyticalScorer(space, machine), measurer, options)
            report(name, pairs)


def measured(
    space: TvmSpace, scorer: AnalyticalScorer, measurer: LocalMeasurer, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """The predicted and measured latencies of random schedules that ran."""
    rng = random.Random(options.seed)
    pairs: list[tuple[float, float]] = []
    for _ in range(options.schedules):
        try:
            schedule = space.sample(rng)
        except Rejected:
            continue
        best = min((us for _, us in pairs), default=None)
        (result,) = measurer.measure([Job(0, space.module(schedule))], best)
        if result.latency_us is not None:
            pairs.append((scorer.predict([schedule])[0], result.latency_us))
    return pairs


def report(name: str, pairs: list[tuple[float, float]]) -> None:
    predicted, actual = zip(*pairs, strict=True)
    first = min(us for _, us in sorted(pairs)[:8])
    rank = rank_correlation(predicted, actual)
    print(f"{name:22} {len(pairs):3} schedules  rank {rank:5.2f}  loss of the first 8 {first / min(actual):.2f}")


if __name__ == "__main__":
    main()
