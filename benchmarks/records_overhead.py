"""What records cost a run: the wall time of looking up and of adding, beside that of the whole run.

    python benchmarks/records_overhead.py [WORKLOAD] [--trials 64] [--rounds 3]

Runs with a recording and records, and without either, alternate. Their wall times differ by more than records cost,
since they measure other schedules; so the time spent on records is also taken inside the runs. The store holds
``--others`` records of other programs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

import colt
from colt.records.record import Key, MachineKey, Origin, ProgramKey, StoredRecord, Versions, Words
from colt.records.store import Store
from colt.run import finish, loop


class Spent:
    """Adds up the seconds of what it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*given: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*given)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def fill(store: Store, count: int) -> None:
    """Records of so many other programs."""
    machine = MachineKey(target="{}", features="avx", threads=2, exact_math=False)
    record = StoredRecord(
        name="other",
        key=Key(program=ProgramKey(structure="0" * 16, family="0" * 16), machine=machine, versions=Versions(tvm="0")),
        latency_us=1.0,
        verified=True,
        machine="0" * 16,
        cpu="none",
        origin=Origin(by="tuner", when="2026-01-01T00:00:00Z"),
        words=Words(variant="plain", sketch="fused", knobs={f"block{n}.i": [1, 2, 3, 4] for n in range(8)}),
    )
    keys = (
        msgspec.structs.replace(record.key, program=ProgramKey(structure=f"{n:016x}", family=f"{n:016x}"))
        for n in range(count)
    )
    store.put([msgspec.structs.replace(record, key=key) for key in keys], {})


def run(workload: str, trials: int, seed: int, **options: Any) -> tuple[float, float]:
    """Wall seconds of a run, and those of them spent on records."""
    spent, started = Spent(), time.perf_counter()
    with (
        patch.object(loop, "recall", spent.wrapped(loop.recall)),
        patch.object(finish, "remember", spent.wrapped(finish.remember)),
    ):
        colt.tune(workload, trials=trials, seed=seed, **options)
    return time.perf_counter() - started, spent.seconds


def main() -> int:
    """Alternate, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", default="matmul")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=int, default=2000)
    given = parser.parse_args()
    with_s, without_s, shares = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "records.db")
        fill(store, given.others)
        for seed in range(given.rounds):
            without_s.append(run(given.workload, given.trials, seed, use_records=False)[0])
            path = Path(folder) / f"run-{seed}"
            total, records = run(given.workload, given.trials, seed, records=store.path, run_dir=path)
            with_s.append(total)
            shares.append(records / total)
            print(f"seed {seed}: {without_s[-1]:.1f} s without, {total:.1f} s with, {records * 1e3:.0f} ms on records")
    medians = statistics.median(without_s), statistics.median(with_s)
    print(f"median: {medians[0]:.1f} s without, {medians[1]:.1f} s with recording and records")
    print(f"spent on records: {statistics.median(shares):.2%} of the wall time, at most {max(shares):.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
