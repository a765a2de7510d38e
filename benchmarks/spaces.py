"""The gain from COLT's own sketches and variants over MetaSchedule's space alone, or from moves of the built-in experts
over none: winners timed in turn.

    .venv/bin/python benchmarks/spaces.py [--moves] [--trials 64] [--seed 0] [PROGRAM ...]

Programs are workloads, by default the held-out ones. To reach: no program is slower with COLT's space; with moves, none
at 64 trials, and all together are faster at 256.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import replace
from typing import Any

from colt.measure.base import Limits
from colt.options import SpaceKind
from colt.plan import plan
from colt.run.loop import run
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import paired_ratio

THREADS = len(os.sched_getaffinity(0))
ROUNDS = 15
LIMITS = Limits(min_repeat_ms=20.0, build_seconds=60.0)


def tuned(name: str, space: SpaceKind, moves: str, trials: int, seed: int) -> tuple[Any, str]:
    """The module and the sketch of the winner."""
    made = plan(name, trials=trials, seed=seed, moves=moves, use_records=False)
    (result,) = run(replace(made, space=space))
    return result.module, "untuned" if result.best is None else result.best.sketch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=list(workloads.names("held-out")))
    parser.add_argument("--moves", action="store_true", help="compare moves with none, in COLT's space")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'program':26} {'own':>9} {'theirs':>9}  us   own is faster by")
    ratios = []
    for name in options.programs:
        other = SpaceKind.COLT if options.moves else SpaceKind.METASCHEDULE
        how = "all" if options.moves else "models"
        ours, sketch = tuned(name, SpaceKind.COLT, how, options.trials, options.seed)
        theirs, their_sketch = tuned(name, other, "models", options.trials, options.seed)
        with LocalMeasurer(resolve_target(None, THREADS), THREADS) as measurer:
            own_us, their_us = measurer.interleave([ours, theirs], ROUNDS, LIMITS)
        ratio = paired_ratio(their_us, own_us)
        interval = ratio.interval
        ends = "" if interval is None else f"({interval.low:.2f} to {interval.high:.2f})"
        ratios.append(ratio.median)
        print(
            f"{name:26} {statistics.median(own_us):9.1f} {statistics.median(their_us):9.1f}      "
            f"{ratio.median:.2f} {ends}  {sketch} against {their_sketch}",
            flush=True,
        )
    print(f"geomean {statistics.geometric_mean(ratios):.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
