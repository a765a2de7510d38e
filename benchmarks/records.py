"""How much sooner a run is fast that begins from records of relatives: trials to 95 % of the final speed.

    python benchmarks/records.py --out DIR [--minutes 5]       # goes on where it stopped; all of it takes half an hour
    python benchmarks/records.py --out DIR --report            # only the table

Each pair is a program, and the same layer at another batch size, or a held-out program of other extents, whose records
it may begin from. For each seed the relative is tuned first, then the program without records and with those of the
relative, in turns that alternate. The final speed of a pair is the better of both runs', so that neither can win by
ending badly; a run that never comes as far counts as one trial more than it had.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import colt
from colt import events
from colt.tvm.programs.workloads import registry

SHARE = 0.95
SEEDS = (0, 1, 2)
PAIRS: tuple[tuple[str, dict[str, int], dict[str, int]], ...] = (
    # one layer at several batch sizes: the program, and its relative
    ("matmul", {"m": 64}, {"m": 512}),
    ("matmul", {"m": 128}, {"m": 32}),
    ("matmul", {"m": 256, "n": 1024}, {"m": 64, "n": 1024}),
    ("deepseek-r1-moe", {"tokens": 32}, {"tokens": 16}),
    ("llama4-scout-mlp", {"tokens": 32}, {"tokens": 64}),
    ("flux-conv", {"side": 16}, {"side": 32}),
    # held-out programs of other extents
    ("matmul-nt", {"m": 128}, {"m": 256}),
    ("matmul-tn", {"m": 192}, {"m": 384}),
    ("batch-matmul-epilogue", {"batch": 16}, {"batch": 4}),
    ("layer-norm", {"rows": 256}, {"rows": 1024}),
    ("group-norm", {"pixels": 256}, {"pixels": 1024}),
    ("gru-cell", {"batch": 16}, {"batch": 64}),
)


def name_of(pair: tuple[str, dict[str, int], dict[str, int]]) -> str:
    """In words."""
    workload, program, relative = pair
    first, second = (" ".join(f"{key}={value}" for key, value in each.items()) for each in (program, relative))
    return f"{workload} {first} from {second}"


def build(workload: str, changes: dict[str, int]) -> Any:
    """The program with these extents."""
    found = registry.get(workload)
    return found.build(replace(found.shape("small"), **changes))


def tune(program: Any, trials: int, seed: int, **options: Any) -> tuple[list[float | None], float]:
    """The latency of each trial in microseconds, in order, and that of the winner, timed in turn at the end."""
    seen: dict[int, float | None] = {}

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Timed):
            seen[event.trial] = event.latency_us
        elif isinstance(event, events.Measured) and event.latency_us is None:
            seen[event.trial] = None

    result = colt.tune(program, trials=trials, seed=seed, on_event=[listen], **options)
    best = result.receipt.best or result.receipt.baseline
    return list(seen.values()), best.latency_us


def measure(pair: tuple[str, dict[str, int], dict[str, int]], seed: int, trials: int) -> dict[str, Any]:
    """The three runs of one pair and seed."""
    workload, changes, relative = pair
    program = build(workload, changes)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "records.db"
        tune(build(workload, relative), trials, seed, records=store, fresh=True)
        ways: dict[str, dict[str, Any]] = {"without": {"use_records": False}, "with": {"records": store}}
        order = ("without", "with") if seed % 2 == 0 else ("with", "without")
        found = {way: tune(program, trials, seed + 100, **ways[way]) for way in order}
    return {"pair": name_of(pair), "seed": seed, "trials": trials, **found}


def trials_to(latencies: Sequence[float | None], goal_us: float) -> int:
    """How many trials until one takes no longer than that."""
    reached = (n for n, us in enumerate(latencies, 1) if us is not None and us <= goal_us)
    return next(reached, len(latencies) + 1)


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Trials to the goal, and the speed at the end, by pair; geometric means over all."""
    print(f"{'pair':58} {'seeds':>5} {'without':>8} {'with':>6} {'fewer':>6} {'end speed':>9}")
    fewer, ends = [], []
    for pair in dict.fromkeys(row["pair"] for row in rows):
        ratios, speeds, counts = [], [], {"without": [], "with": []}  # type: ignore[var-annotated]
        for row in (row for row in rows if row["pair"] == pair):
            best = {way: min(us for us in row[way][0] if us is not None) for way in counts}
            goal = min(best.values()) / SHARE
            needed = {way: trials_to(row[way][0], goal) for way in counts}
            for way, count in needed.items():
                counts[way].append(count)
            ratios.append(needed["without"] / needed["with"])
            speeds.append(row["without"][1] / row["with"][1])
        fewer.append(geomean(ratios))
        ends.append(geomean(speeds))
        medians = [statistics.median(counts[way]) for way in ("without", "with")]
        print(f"{pair:58} {len(ratios):5} {medians[0]:8g} {medians[1]:6g} {fewer[-1]:5.1f}x {ends[-1]:8.3f}x")
    if fewer:
        slower = sum(speed < 0.97 for speed in ends)
        print(f"geometric mean: {geomean(fewer):.2f} times fewer trials with relatives; at the end {geomean(ends):.3f}")
        print(f"{slower} of {len(ends)} pairs are slower at the end by more than 3 %, the worst {min(ends):.3f}")


def geomean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> int:
    """Measure what is missing, as long as there is time, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for what was measured")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=30.0, help="begin nothing new after so many")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "pairs.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["pair"], row["seed"], row["trials"]) for row in rows}
    end = time.monotonic() + 60 * given.minutes
    for seed in SEEDS:
        for pair in PAIRS:
            if given.report or time.monotonic() > end or (name_of(pair), seed, given.trials) in done:
                continue
            rows.append(measure(pair, seed, given.trials))
            with file.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
    report([row for row in rows if row["trials"] == given.trials])
    return 0


if __name__ == "__main__":
    sys.exit(main())
