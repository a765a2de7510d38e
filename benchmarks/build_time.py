"""How well code size predicts the time to build a random schedule.

    .venv/bin/python benchmarks/build_time.py [--schedules 40] [--seconds 100] [--seed 100] [WORKLOAD ...]

The ratio is predicted over measured time, before the prediction has learnt anything about this machine; a machine of
another speed shifts all ratios by the same factor. Builds predicted to take more than 20 s are counted but not built.
A workload ends after ``--seconds``.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from statistics import median
from time import perf_counter, process_time
from typing import Any

import tvm

from colt.errors import Rejected
from colt.tvm.devices.host import cpu_intrinsics, resolve_target
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.code_size import predicted_build_seconds
from colt.util.stats import rank_correlation

LONGEST = 20.0
COLUMNS = "{:22} {:>7} {:>7} {:>26} {:>6} {:>7} {:>13}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=list(workloads.names()))
    parser.add_argument("--schedules", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=100)
    options = parser.parse_args()
    target = resolve_target(None, len(os.sched_getaffinity(0)))
    print(COLUMNS.format("", "builds", "skipped", "seconds min median max", "rank", "ratio", "within 2.5x"))
    everything: list[tuple[float, float | None]] = []
    with cpu_intrinsics():
        for name in options.workloads:
            space = TvmSpace.generated(workloads.get(name).build("small"), target, vector_math=True)
            build_seconds(space.module(space.sample(random.Random(0))), target)  # the first build pays for warming up
            pairs = list(predicted_and_measured(space, target, options))
            report(name, pairs)
            everything += pairs
    report("all", everything)


def predicted_and_measured(
    space: TvmSpace, target: Any, options: argparse.Namespace
) -> Iterator[tuple[float, float | None]]:
    """The predicted and measured seconds to build random schedules; measured ``None`` for those that are not built."""
    rng, start = random.Random(options.seed), perf_counter()
    for _ in range(options.schedules):
        if perf_counter() - start > options.seconds:
            return
        try:
            module = space.module(space.sample(rng))
        except Rejected:
            continue
        predicted = predicted_build_seconds(module)
        yield predicted, build_seconds(module, target) if predicted <= LONGEST else None


def build_seconds(module: Any, target: Any) -> float:
    """The CPU seconds of a build, which runs on one thread: other load on the machine matters less."""
    start = process_time()
    tvm.tirx.build(module, target=target)["main"]
    return process_time() - start


def report(name: str, pairs: list[tuple[float, float | None]]) -> None:
    built = [(predicted, measured) for predicted, measured in pairs if measured is not None]
    predicted, measured = zip(*built, strict=True)
    ratios = [p / m for p, m in built]
    seconds = f"{min(measured):.2f} {median(measured):.2f} {max(measured):.2f}"
    within = sum(0.4 < ratio < 2.5 for ratio in ratios) / len(ratios)
    rank = f"{rank_correlation(predicted, measured):.2f}"
    ratio, skipped = f"{median(ratios):.2f}", len(pairs) - len(built)
    print(COLUMNS.format(name, len(built), skipped, seconds, rank, ratio, f"{within:.0%}"), flush=True)


if __name__ == "__main__":
    main()
