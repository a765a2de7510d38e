"""The gain from 64 trials, on the main workloads and on the held-out programs.

    .venv/bin/python benchmarks/gains.py [--trials 64] [--seed 0] [NAME ...]

The held-out programs are of other kinds than the main workloads; COLT must gain on them too.
"""

from __future__ import annotations

import argparse
import statistics
import time

import colt
from colt.tvm.programs import workloads

HELD_OUT = workloads.names("held-out")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*workloads.names(), *HELD_OUT])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    gains: dict[bool, list[float]] = {True: [], False: []}
    for name in options.names:
        started = time.perf_counter()
        result = colt.tune(name, trials=options.trials, seed=options.seed, use_records=False)
        seconds = time.perf_counter() - started
        gains[name in HELD_OUT].append(result.speedup)
        gflops = f"{result.best.gflops:6.1f}" if result.best and result.best.gflops else "     -"
        receipt = result.receipt
        failed = receipt.trials.total - receipt.trials.fates["ok"]
        print(
            f"{name:22} {result.speedup:7.1f}x  {gflops} GFLOPS  {seconds:5.0f} s  {failed} of "
            f"{receipt.trials.total} failed, stopped: {receipt.stop_reason}, verified: {receipt.verified.ok}",
            flush=True,
        )
    for held_out, label in ((False, "main workloads"), (True, "held-out programs")):
        if gains[held_out]:
            print(f"{label}: geometric mean {statistics.geometric_mean(gains[held_out]):.1f}x")


if __name__ == "__main__":
    main()
