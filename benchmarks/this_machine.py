"""How COLT does on the machine at hand: one table, each row with what is to be reached, in under 40 minutes.

    .venv/bin/python benchmarks/this_machine.py --out DIR [--parts hardware wall fp32 low rank truth] [--seeds 3]

hardware  seconds that ``colt hardware`` takes to measure a machine that is new to it
wall      seconds of a 64-trial matmul, cold start to finish, three times
fp32      the main workloads, 64 trials, compared with the best of the libraries (``colt bench``)
low       the same of the workloads in few bits
rank      how well the analytical model ranks 40 random schedules of each main workload
truth     how near the schedule that is called best comes to the true best

The same command goes on after an interruption: searches that are finished are kept in DIR, and each part's rows in
``DIR/PART.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from colt.bench.directory import BenchDirectory
from colt.bench.figures import speedup
from colt.bench.run import load_results
from colt.machine import detect
from colt.tvm.programs.workloads import names

HERE = Path(__file__).parent
COLT = (sys.executable, "-P", "-m", "colt.cli")
Row = tuple[str, str, str]
"""What, what to reach, what was measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=64)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{detect().cpu}, {len(os.sched_getaffinity(0))} cores\n\n| what | reach | measured |\n|---|---|---|",
        flush=True,
    )
    for part in options.parts:
        for row in kept(options.out / f"{part}.json", lambda part=part: PARTS[part](options)):
            print("| " + " | ".join(row) + " |", flush=True)


def kept(path: Path, measure: Callable[[], list[Row]]) -> list[Row]:
    """The rows of an earlier call, or measured now."""
    if not path.exists():
        path.write_text(json.dumps(measure(), indent=1))
    return [(what, reach, found) for what, reach, found in json.loads(path.read_text())]


def output(*command: object, **environment: str) -> str:
    """What a command prints. It must succeed."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment
    )
    return done.stdout


def seconds(*command: object, **environment: str) -> float:
    started = time.perf_counter()
    output(*command, **environment)
    return time.perf_counter() - started


def hardware(options: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as empty:
        taken = seconds(*COLT, "hardware", COLT_CACHE_DIR=empty)
    return [("`colt hardware`, nothing known", "20 s", f"{taken:.1f} s")]


def wall(options: argparse.Namespace) -> list[Row]:
    output(*COLT, "hardware")  # known from now on
    with tempfile.TemporaryDirectory() as runs:
        command = (*COLT, "tune", "matmul", "--trials", 64, "--no-records")
        taken = [seconds(*command, "--run", Path(runs) / str(seed), "--seed", seed) for seed in range(3)]
    return [("a 64-trial matmul", "16 s", ", ".join(f"{one:.1f}" for one in taken) + " s")]


def fp32(options: argparse.Namespace) -> list[Row]:
    return compared(options, "fp32", ["main"], "1.4 (Zen 4), 1.15 (Intel with AVX-512); no workload under 0.97")


def low(options: argparse.Namespace) -> list[Row]:
    return compared(options, "low", ["low-precision"], "1.0; no workload under 1.0")


def compared(options: argparse.Namespace, name: str, workloads: Sequence[str], reach: str) -> list[Row]:
    """How many times faster than the fastest library, by workload and on the whole."""
    out = options.out / name
    size = ("--trials", options.trials, "--seeds", options.seeds)
    output(*COLT, "bench", *workloads, "--strategies", "colt", *size, "--out", out)
    results = load_results(BenchDirectory.load(out))
    rows: list[Row] = []
    ratios = []
    for one in results.workloads:
        peer, ours = one.best_peer(results.config.peers), one.latency(results.subject)
        theirs = None if peer is None else one.latency(peer)
        if ours is None or theirs is None:
            rows.append((one.name, "", "no winner" if ours is None else "no library computes it here"))
            continue
        ratio = speedup(ours, theirs).median
        ratios.append(ratio)
        rows.append((one.name, "", f"{ratio:.2f} of {peer}; {one.gflops(ours.median_us):.0f} GFLOPS"))
    if ratios:
        found = f"{statistics.geometric_mean(ratios):.2f}; the least {min(ratios):.2f}"
        rows.append((f"{name}: geometric mean of {len(ratios)}", reach, found))
    return rows


def rank(options: argparse.Namespace) -> list[Row]:
    printed = output(sys.executable, HERE / "estimate_rank.py", "--schedules", 40, *names("main"))
    ranks = {one: float(found) for one, found in re.findall(r"^(\S+) .*rank +(-?[\d.]+)", printed, re.MULTILINE)}
    rows: list[Row] = [(f"rank, {one}", "", f"{found:.2f}") for one, found in ranks.items()]
    mean = statistics.geometric_mean(max(found, 0.01) for found in ranks.values())
    return [*rows, ("rank of the model, geometric mean", "0.85", f"{mean:.2f}")]


def truth(options: argparse.Namespace) -> list[Row]:
    printed = output(sys.executable, HERE / "measuring.py", "truth", "--candidates", 24, "--workloads", "matmul")
    losses = [float(found) for found in re.findall(r"called best is ([\d.]+) of the true best of them", printed)]
    found = ", ".join(f"{one:.3f}" for one in losses)
    return [("called best, of the true best", "1.03 every time", found)]


PARTS = {one.__name__: one for one in (hardware, wall, fp32, low, rank, truth)}

if __name__ == "__main__":
    main()
