"""COLT's winners and schedules written by hand, timed in turn with the same workers.

    .venv/bin/python benchmarks/by_hand.py FILE.py [--trials 64] [--seed 0] [NAME ...]

``FILE.py`` is imported and run as your own code. It has a table ``PROGRAMS``: name -> (build, schedule, blocks).
``build()`` returns the IRModule, the shapes of its inputs and of its output, the number of operations, and a reference
on numpy arrays; ``schedule(module, block, rows, vectors)`` returns a TVM schedule. All combinations of ``blocks`` and a
few register tiles are timed; the fastest is the schedule by hand. If the name is that of a workload and a size, such
as ``flux-conv small``, COLT tunes that workload, otherwise the file's module. To reach: as fast as the schedules by
hand.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import colt
from colt.errors import InputError
from colt.measure.base import Job, Limits
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import Estimate, estimate, paired_ratio

THREADS = len(os.sched_getaffinity(0))
ROWS, VECTORS = (4, 8, 16), (1, 2, 4)
MOST_VECTORS = 28
"""The most vectors of a register tile: more do not fit into 32 registers along with the operands."""
ROUNDS = 15
LIMITS = Limits(min_repeat_ms=20.0, build_seconds=60.0)


@dataclass(frozen=True)
class ByHand:
    """A program of the file, and the scheduled module for each tile."""

    module: Any
    flops: int
    modules: dict[tuple[int, int, int], Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*", help="programs of the file (default: all)")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    programs = load(options.file)
    for name in options.names or programs:
        program = by_hand(*programs[name])
        result = tuned(name, program, options)
        with LocalMeasurer(resolve_target(None, THREADS), THREADS) as measurer:
            tile, theirs = best(measurer, program)
            found = measurer.verify(program.module, theirs, options.seed, LIMITS)
            assert found.ok, f"the schedule by hand of {name} computes something else: {found.message}"
            hand, ours = measurer.interleave([theirs, result.module], ROUNDS, LIMITS)
        print(
            f"{name:26} by hand {figure(program, hand)}, tile {tile}; COLT {figure(program, ours)}; "
            f"COLT is faster by {ratio(paired_ratio(hand, ours))}",
            flush=True,
        )


def load(path: Path) -> dict[str, Any]:
    """The file's programs."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    programs: dict[str, Any] = module.PROGRAMS
    return programs


def by_hand(build: Any, schedule: Any, blocks: tuple[int, ...]) -> ByHand:
    module, shapes, _, flops, _ = build()
    return ByHand(module, flops, {tile: schedule(module, *tile).mod for tile in tiles(blocks, shapes[0][-2])})


def tiles(blocks: tuple[int, ...], rows_there: int) -> Iterator[tuple[int, int, int]]:
    for block, rows, vectors in itertools.product(blocks, ROWS, VECTORS):
        if rows * vectors <= MOST_VECTORS and rows <= min(rows_there, block):
            yield block, rows, vectors


def tuned(name: str, program: ByHand, options: argparse.Namespace) -> colt.Result:
    """COLT's run on the workload of that name and size, or on the file's own program."""
    workload, _, size = name.rpartition(" ")
    try:
        workloads.get(workload).shape(size)
    except InputError:
        return colt.tune(program.module, trials=options.trials, seed=options.seed, use_records=False)
    return colt.tune(workload, size=size, trials=options.trials, seed=options.seed, use_records=False)


def best(measurer: LocalMeasurer, program: ByHand) -> tuple[tuple[int, int, int], Any]:
    """The fastest schedule by hand, with its tile."""
    order = list(program.modules)
    jobs = [Job(number, program.modules[tile]) for number, tile in enumerate(order)]
    timed = {m.trial: m.latency_us for m in measurer.measure(jobs, limits=LIMITS) if m.latency_us is not None}
    tile = order[min(timed, key=timed.__getitem__)]
    return tile, program.modules[tile]


def figure(program: ByHand, latencies_us: list[float]) -> str:
    return f"{program.flops / estimate(latencies_us).median / 1e3:.0f} GFLOPS"


def ratio(found: Estimate) -> str:
    assert found.interval is not None
    return f"{found.median:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f})"


if __name__ == "__main__":
    main()
