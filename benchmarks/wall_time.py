"""Wall time of a whole run, cold start to finish: ``colt tune matmul --trials 64`` against stock ``ms.tune_tir``.

    .venv/bin/python benchmarks/wall_time.py [--workload matmul] [--trials 64]

They run one after the other, each in its own process and with the same number of threads; then both winners are timed
in turn. To reach: at most a quarter of stock's time, 64 distinct trials measured, our winner no slower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = len(os.sched_getaffinity(0))
os.environ["TVM_NUM_THREADS"] = str(THREADS)

STOCK = """
import json, sys
import tvm
from tvm.s_tir import meta_schedule as ms
from colt.tvm.programs import workloads

if __name__ == "__main__":
    name, trials, folder, target = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    ms.tune_tir(workloads.get(name).build("small"), tvm.target.Target(target), folder, max_trials_global=trials)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", default="matmul")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--stock", action=argparse.BooleanOptionalAction, default=True, help="run the stock side too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, stock = Path(folder) / "ours", Path(folder) / "stock"
        seconds = timed(colt_command(options, ours), Path(folder) / "ours.log")
        receipt = json.loads((ours / "receipt.json").read_text())
        distinct = len(set(records(ours)))
        print(f"COLT:  {seconds:6.1f} s, {receipt['trials']['total']} trials ({distinct} distinct records)")
        print(f"       {receipt['seconds']}")
        if options.stock:
            stock_seconds = timed(stock_command(options, stock, folder), Path(folder) / "stock.log")
            print(f"stock: {stock_seconds:6.1f} s, {len(records(stock))} records")
            print(f"COLT takes {seconds / stock_seconds:.2f} of stock's time")
            compare(options.workload, ours, stock)


def timed(command: list[str], log: Path) -> float:
    """The seconds that a command takes; its output goes to a file."""
    started = time.perf_counter()
    with log.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(log.read_text()[-2000:])
    return time.perf_counter() - started


def colt_command(options: argparse.Namespace, run: Path) -> list[str]:
    command = [sys.executable, "-m", "colt.cli", "tune", options.workload, "--trials", str(options.trials)]
    return [*command, "--run", str(run), "--no-records"]


def stock_command(options: argparse.Namespace, run: Path, folder: str) -> list[str]:
    from colt.tvm.devices.host import resolve_target

    script = Path(folder) / "stock.py"
    script.write_text(STOCK)
    run.mkdir()
    target = str(resolve_target(None, THREADS))
    return [sys.executable, str(script), options.workload, str(options.trials), str(run), target]


def records(run: Path) -> list[str]:
    """The traces in a run's database."""
    lines = (run / "database_tuning_record.json").read_text().splitlines()
    return [json.dumps(json.loads(line)[1][0]) for line in lines]


def compare(name: str, ours: Path, stock: Path) -> None:
    """Time both winners in turn."""
    from tvm.s_tir import meta_schedule as ms

    from colt.tvm.devices.host import cpu_intrinsics, resolve_target
    from colt.tvm.programs import workloads
    from colt.tvm.workers import LocalMeasurer

    target = resolve_target(None, THREADS)
    workload = workloads.get(name)
    with cpu_intrinsics():
        winners = []
        for run in (ours, stock):
            database = ms.database.JSONDatabase(work_dir=str(run))
            record = database.query_tuning_record(workload.build("small"), target, "main")
            schedule = database.query_schedule(workload.build("small"), target, "main")
            winners.append(schedule.mod if schedule is not None else record.workload.mod)
    with LocalMeasurer(target, THREADS) as measurer:
        medians = [statistics.median(times) for times in measurer.interleave(winners, 11)]
    for label, us in zip(("COLT", "stock"), medians, strict=True):
        print(f"{label:6} winner {us:9.1f} us {workload.flops('small') / us / 1e3:6.1f} GFLOPS")
    print(f"COLT's winner is {medians[1] / medians[0]:.2f} times as fast as stock's")


if __name__ == "__main__":
    main()
