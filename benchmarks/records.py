"""How much sooner a run is fast that begins from records of a relative: trials to 95 % of the final speed.

    python benchmarks/records.py --out DIR [--seconds 100]     # goes on where it stopped; all of it takes 40 minutes
    python benchmarks/records.py --out DIR --report            # only the table

Each pair is a program, and a relative whose records it may begin from: the same layer at another batch size, or a
held-out program at another extent. The relative is tuned once. For each seed the program is tuned without records, and
with those of the relative: a cell.

What counts is the number of the first trial that reaches 95 % of the final speed, and that is asked twice: of the speed
at which the run without records ends, and of the speed of the faster of both winners. The former says when a run with
records has what one could have had without; the latter also counts what a run without records never finds. One timing
is too noisy to decide either. So all trials of both runs that are not far behind are timed in turn, and the ratio to a
winner, round by round, decides: a machine that is slow for some rounds slows all. A run that never comes as far counts
as one trial more than it had. The speed at the end is the ratio of both winners in the same rounds. Other loads
lengthen this, but need not be absent.

``--bad`` measures what useless records cost: each tile of the relative's schedules is reversed, so that what belonged
into registers is spread over threads. To reach: 3 times fewer trials, never slower at the end; with bad records no more
trials than without, beside those that went to the records themselves.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

import colt
from colt import events
from colt.measure.base import Inputs, Job, Limits, Measurement
from colt.records.record import StoredRecord
from colt.records.store import Store
from colt.run.compare import RANKING_LIMITS
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.programs.export import load_module, save_module
from colt.tvm.programs.workloads import registry
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import paired_ratio
from colt.world.parts import Parts, using

Extents = tuple[tuple[str, int], ...]
SHARE = 0.95
SEEDS = (0, 1, 2)
FAR = 1.6
"""A trial that took so many times as long as the fastest is far behind."""
ROUNDS = 13
SLOWER = 0.97
"""The speed at the end below which a pair counts as slower, if all of its interval is below 1."""


@dataclass(frozen=True)
class Program:
    """A workload with other extents than it comes with."""

    workload: str
    extents: Extents

    def __str__(self) -> str:
        return " ".join([self.workload, *(f"{name}={value}" for name, value in self.extents)])

    def build(self) -> Any:
        """Its module."""
        found = registry.get(self.workload)
        return found.build(replace(found.shape("small"), **dict(self.extents)))


def pair(workload: str, name: str, extent: int, relative: int) -> tuple[Program, Program]:
    """A program and its relative, which differ in one extent."""
    return Program(workload, ((name, extent),)), Program(workload, ((name, relative),))


PAIRS = (
    # a layer at another batch size
    pair("matmul", "m", 64, 128),
    pair("llama3-attention", "heads", 4, 8),
    pair("deepseek-r1-moe", "tokens", 32, 16),
    pair("deepseek-r1-experts", "tokens", 16, 32),
    pair("flux-conv", "side", 16, 32),
    pair("llama4-scout-mlp", "tokens", 32, 64),
    # a held-out program at another extent
    pair("batch-matmul-epilogue", "batch", 16, 4),
    pair("separable-conv", "side", 14, 28),
    pair("layer-norm", "rows", 256, 1024),
    pair("group-norm", "pixels", 256, 1024),
    pair("gru-cell", "batch", 16, 64),
    pair("l1-distance", "m", 128, 256),
)


class Keeping(LocalMeasurer):
    """A measurer that keeps the programs of its trials."""

    modules: dict[int, Any]

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`."""

        def kept() -> Iterator[Job]:
            for job in jobs:
                self.modules[job.id] = job.module
                yield job

        return super().measure(kept(), best_us, limits)


@dataclass(frozen=True)
class Tuned:
    """A run: the latency of each trial in microseconds, not corrected for other loads, in the order of measuring; and
    the winner's number, from 0."""

    latencies: list[float | None]
    winner: int
    leads: int
    """How many trials went to what was known of relatives."""

    @property
    def near(self) -> list[int]:
        """The trials that are not far behind."""
        most_us = FAR * min(us for us in self.latencies if us is not None)
        return [n for n, us in enumerate(self.latencies) if n == self.winner or (us is not None and us <= most_us)]


def tune(program: Program, trials: int, seed: int, folder: Path, **options: Any) -> Tuned:
    """Tune, and keep the run in ``folder``, with the programs of all trials that may decide."""
    seen: dict[int, float | None] = {}
    modules: dict[int, Any] = {}
    device = CpuDevice.resolved(None, None)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Timed):
            seen[event.trial] = None if event.latency_us is None else event.latency_us * event.slowdown
        elif isinstance(event, events.Measured) and event.latency_us is None:
            seen[event.trial] = None

    def measurer(limits: Limits, peak_gflops: float | None) -> Keeping:
        made = Keeping(device.target, device.threads, limits, peak_gflops=peak_gflops)
        made.modules = modules
        return made

    with using(Parts(measurer=measurer)):
        receipt = colt.tune(program.build(), trials=trials, seed=seed, on_event=[listen], **options).receipt
    assert receipt.best is not None
    order = list(seen)  # as they were measured
    found = Tuned([seen[trial] for trial in order], order.index(receipt.best.trial), receipt.records.relatives)
    for number in found.near:
        (folder / f"{number}.json").write_bytes(save_module(modules[order[number]]))
    (folder / "run.json").write_text(json.dumps(asdict(found)))
    return found


def without(program: Program, trials: int, seed: int, out: Path) -> tuple[Tuned, Path]:
    """The program's run without records, made unless it is there, and its folder, with its ``records.db``."""
    folder = out / f"{program} seed {seed} trials {trials}".replace(" ", "-")
    if not (folder / "run.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tune(program, trials, seed, folder, records=folder / "records.db", fresh=True)
    return Tuned(**json.loads((folder / "run.json").read_text())), folder


@contextmanager
def records_of(folder: Path, bad: bool) -> Iterator[Path]:
    """A copy of the records there, or of what ``bad`` ones would be."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "records.db"
        if bad:
            found = [one.record for one in Store(folder / "records.db").all().records]
            Store(copy).put([spoilt(record) for record in found], {})
        else:
            shutil.copy(folder / "records.db", copy)
        yield copy


def spoilt(record: StoredRecord) -> StoredRecord:
    """The record with each tile reversed."""
    assert record.words is not None
    knobs = {name: value[::-1] if isinstance(value, list) else value for name, value in record.words.knobs.items()}
    return msgspec.structs.replace(record, words=msgspec.structs.replace(record.words, knobs=knobs), stock=None)


def measure(program: Program, relative: Program, seed: int, trials: int, out: Path, bad: bool) -> dict[str, Any]:
    """One cell."""
    _, known = without(relative, trials, SEEDS[0], out)
    cold, cold_folder = without(program, trials, seed, out)
    with tempfile.TemporaryDirectory() as name, records_of(known, bad) as records:
        warm = tune(program, trials, seed, Path(name), records=records)
        needed, of_faster, end = decide(program, (cold, cold_folder), (warm, Path(name)))
    return {
        "pair": f"{program} from {relative.extents[0][1]}",
        "seed": seed,
        "trials": trials,
        "bad": bad,
        "without": needed[0],
        "with": needed[1],
        "of_faster": of_faster,
        "leads": warm.leads,
        "end": end,
        "latencies": [cold.latencies, warm.latencies],
    }


def decide(program: Program, *runs: tuple[Tuned, Path]) -> tuple[list[int], list[int], list[float]]:
    """How many trials each run needed to reach the first one's final speed, and that of the faster one; and how many
    times faster the second one's winner is, with a 95 % interval."""
    paths = [folder / f"{trial}.json" for tuned, folder in runs for trial in tuned.near]
    device = CpuDevice.resolved(None, None)
    with LocalMeasurer(device.target, device.threads) as measurer:
        modules = [load_module(path.read_bytes()) for path in paths]
        inputs = Inputs(program.build(), 0)
        times = dict(zip(paths, measurer.interleave(modules, ROUNDS, RANKING_LIMITS, inputs), strict=True))
    finals = [times[folder / f"{tuned.winner}.json"] for tuned, folder in runs]
    end = paired_ratio(*finals)
    assert end.interval is not None

    def needed(tuned: Tuned, folder: Path, final: Sequence[float]) -> int:
        slower = {trial: paired_ratio(times[folder / f"{trial}.json"], final).median for trial in tuned.near}
        reached = (trial + 1 for trial in sorted(slower) if slower[trial] <= 1 / SHARE)
        return next(reached, len(tuned.latencies) + 1)

    of_first, of_faster = ([needed(*run, final) for run in runs] for final in (finals[0], finals[end.median > 1]))
    return of_first, of_faster, [end.median, end.interval.low, end.interval.high]


def report(rows: Sequence[dict[str, Any]]) -> None:
    """Trials to the goal, and the speed at the end, by pair; geometric means over all."""
    print(
        f"{'program from relative':44} {'without':>12} {'with':>12} {'fewer':>6} {'of the faster':>14} speed at the end"
    )
    for name in dict.fromkeys(row["pair"] for row in rows):
        mine = sorted((row for row in rows if row["pair"] == name), key=lambda row: row["seed"])
        counts = [" ".join(str(row[way]) for row in mine) for way in ("without", "with")]
        ends = ", ".join("{:.2f} ({:.2f} to {:.2f})".format(*row["end"]) for row in mine)
        known = [row["of_faster"] for row in mine if "of_faster" in row]
        faster = f"{geomean(cold / warm for cold, warm in known):.1f}x" if known else ""
        print(f"{name:44} {counts[0]:>12} {counts[1]:>12} {geomean(map(fewer, mine)):5.1f}x {faster:>14} {ends}")
    if rows:
        slower = [row for row in rows if row["end"][0] < SLOWER and row["end"][2] < 1]
        extra = statistics.fmean(row["with"] - row["without"] for row in rows)
        leads = statistics.fmean(row["leads"] for row in rows)
        print(f"{len(rows)} cells: {geomean(map(fewer, rows)):.2f} times fewer trials with records (geometric mean)")
        known = [row["of_faster"] for row in rows if "of_faster" in row]
        if known:
            mean = geomean(cold / warm for cold, warm in known)
            print(f"{len(known)} cells: {mean:.2f} times fewer to reach the speed of the faster winner")
        print(f"on average {extra:+.1f} trials, of which the first {leads:.1f} are the records'")
        print(f"speed at the end {geomean(row['end'][0] for row in rows):.3f}; {len(slower)} cells are slower")


def fewer(row: dict[str, Any]) -> float:
    """How many times fewer trials a cell needs with records."""
    return float(row["without"] / row["with"])


def geomean(values: Iterable[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> int:
    """Measure what is missing, as long as there is time, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for what was measured")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1800.0, help="begin nothing new after so many")
    parser.add_argument("--bad", action="store_true", help="begin from spoilt records")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "cells.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    end = time.monotonic() + given.seconds
    for seed in SEEDS:
        for program, relative in PAIRS:
            cell = (f"{program} from {relative.extents[0][1]}", seed, given.trials, given.bad)
            if given.report or cell in {(row["pair"], row["seed"], row["trials"], row["bad"]) for row in rows}:
                continue
            for each, its_seed in ((relative, SEEDS[0]), (program, seed)):
                if time.monotonic() < end:
                    without(each, given.trials, its_seed, given.out)
            if time.monotonic() >= end:
                break
            rows.append(measure(program, relative, seed, given.trials, given.out, given.bad))
            with file.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
    report([row for row in rows if row["trials"] == given.trials and row["bad"] == given.bad])
    return 0


if __name__ == "__main__":
    sys.exit(main())
