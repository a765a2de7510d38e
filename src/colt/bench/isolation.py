"""Runs cells in separate processes, which end with this process and cannot crash it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from colt.bench.config import Cell
from colt.bench.directory import LOG, BenchDirectory
from colt.bench.records import CellRecord
from colt.machine import CACHE_VARIABLE
from colt.tvm import own
from colt.util.process import Child, describe_status

FLOOR_SECONDS = 900.0
SECONDS_PER_TRIAL = 60.0
"""The time limit of a cell: the floor, plus seconds for each of its trials. A cell that takes longer hangs; slow builds
and kernels have much lower limits of their own."""
_LAST_WORDS = 500


def run_isolated(directory: BenchDirectory, cell: Cell) -> CellRecord:
    """Run a cell and return its record, which exists however the cell's process ends.

    If this process is interrupted meanwhile, the cell is killed and has no record; next time it goes on.
    """
    log = directory.begin(cell) / LOG
    started = time.monotonic()
    limit = FLOOR_SECONDS + SECONDS_PER_TRIAL * directory.config.trials
    died = _run(_command(directory, cell), log, limit, _environment(directory, cell))
    record = directory.result(cell)
    if record is None:
        record = CellRecord(
            workload=cell.workload,
            strategy=cell.strategy,
            seed=cell.seed,
            failure=died or f"it ended without a result; {_last_words(log)}",
            wall_seconds=time.monotonic() - started,
        )
        directory.finish(cell, record)
    return record


def _command(directory: BenchDirectory, cell: Cell) -> list[str]:
    place = [str(directory.path), cell.workload, str(cell.strategy), str(cell.seed), str(os.getpid())]
    return own.command("colt.bench.cell", *place)


def _environment(directory: BenchDirectory, cell: Cell) -> dict[str, str]:
    """The environment, with the cell's own copy of the peaks: a run may raise them, which would change the schedules
    that the next run constructs."""
    own = directory.folder(cell) / "peaks"
    if directory.peaks.exists() and not own.exists():
        shutil.copytree(directory.peaks, own)
    return os.environ | {CACHE_VARIABLE: str(own.resolve())}


def _run(command: list[str], log: Path, seconds: float, environment: dict[str, str]) -> str:
    """Run the command and return how the process died; empty if it exited with status 0."""
    child = Child(command, log=log, env=environment)
    try:
        status = child.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"it took more than {seconds:.0f} s; {_last_words(log)}"
    finally:
        child.end()
    return f"{describe_status(status)}; {_last_words(log)}" if status else ""


def _last_words(log: Path) -> str:
    """The last line that the process printed."""
    lines = log.read_text(errors="replace")[-_LAST_WORDS:].strip().splitlines()
    return f"last output: {lines[-1]}" if lines else "it printed nothing"
