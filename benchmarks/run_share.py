"""How real runs spend their time, and the tree's own share.

    .venv/bin/python benchmarks/run_share.py [--trials 64] [WORKLOAD ...]

To reach: the tree (selecting, expanding, backing up, valuing, events) under 5 % of a run.
"""

from __future__ import annotations

import argparse

import colt


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=["matmul", "flux-conv", "llama3-attention"])
    parser.add_argument("--trials", type=int, default=64)
    options = parser.parse_args()
    for name in options.workloads:
        seconds = colt.tune(name, trials=options.trials, use_records=False).receipt.seconds
        total = seconds["total"]
        named = sum(seconds[key] for key in ("building", "timing", "proposing", "scoring"))
        print(f"{name}: {total:.1f} s; the tree {seconds['searching'] / total:.2%}; outside building, timing, ", end="")
        print(f"proposing and scoring {1 - named / total:.1%}")
        print("   " + ", ".join(f"{key} {value:.2f}" for key, value in seconds.items()))


if __name__ == "__main__":
    main()
