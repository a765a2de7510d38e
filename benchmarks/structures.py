"""Structured sketches compared with MetaSchedule's own, without a search: the architect's schedules, timed in turn.

    .venv/bin/python benchmarks/structures.py [--count 12] [--rounds 20] [NAME ...]

For each workload the architect constructs schedules in a space of structured sketches alone and in one of
MetaSchedule's alone (none if TVM refuses all of them); all are timed in turn. It prints the best of each, and how many
structured schedules are faster than the best of MetaSchedule's.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from typing import Any

import numpy as np
import tvm

from colt.knobs import Schedule
from colt.proposers.experts.architect import Architect
from colt.search.types import MemberSpec
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target, set_threads
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.programs import workloads
from colt.tvm.sketches import DesignSpace, derive, generate
from colt.tvm.space.space import TvmSpace

THREADS = len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(workloads.names()))
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    set_threads(THREADS)
    target = resolve_target(None, THREADS)
    machine = machine_of(hardware_with_peaks(THREADS), THREADS)
    for name in options.names:
        workload = workloads.get(name)
        mod = workload.build("small")
        stock = generate(mod, target)
        designs, _ = derive(mod, target)
        spaces = (TvmSpace(mod, DesignSpace(tuple(designs), stock.postprocs)), TvmSpace(mod, stock))
        made = [constructed(space, machine, options.count) for space in spaces]
        kernels = [build(space, one, target) for space, some in zip(spaces, made, strict=True) for one in some]
        arguments = [
            tvm.runtime.tensor((np.random.default_rng(0).standard_normal(argument.shape) * 0.1).astype(argument.dtype))
            for argument in workload.arguments("small")
        ]
        seconds = timed_in_turn(kernels, arguments, options.rounds)
        ours, theirs = seconds[: len(made[0])], seconds[len(made[0]) :] or [float("inf")]
        gflops = workload.flops("small") / 1e9
        best = made[0][ours.index(min(ours))]
        faster = sum(one < min(theirs) for one in ours)
        print(
            f"{name:22} structured {gflops / min(ours):6.1f} GFLOPS, MetaSchedule's {gflops / min(theirs):6.1f}, "
            f"ratio {min(theirs) / min(ours):.2f}; {faster} of {len(ours)} faster; "
            f"{best.sketch} {best.values}",
            flush=True,
        )


def constructed(space: TvmSpace, machine: Any, count: int) -> list[Schedule]:
    architect = Architect(space, AnalyticalScorer(space, machine), MemberSpec("architect", 70.0))
    return architect.construct(count, random.Random(0))


def build(space: TvmSpace, schedule: Schedule, target: Any) -> Any:
    return tvm.tirx.build(space.module(schedule), target=target)["main"]


def timed_in_turn(kernels: list[Any], arguments: list[Any], rounds: int) -> list[float]:
    """The best time of each kernel in seconds."""
    best = [float("inf")] * len(kernels)
    for _ in range(rounds):
        for number, kernel in enumerate(kernels):
            for _ in range(2):
                started = time.perf_counter()
                kernel(*arguments)
                best[number] = min(best[number], time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
