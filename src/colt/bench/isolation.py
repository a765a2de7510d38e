"""Runs cells in separate processes, which end with this process and cannot crash it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from colt.bench.config import Cell
from colt.bench.directory import LOG, BenchDirectory
from colt.bench.records import CellRecord
from colt.machine import CACHE_VARIABLE
from colt.tvm import own
from colt.util.process import Child, describe_status
from colt.util.waiting import LONGEST_S

FLOOR_SECONDS = 900.0
SECONDS_PER_TRIAL = 60.0
"""The time limit of a cell: the floor, plus seconds for each of its trials. A cell that takes longer hangs; slow builds
and kernels have much lower limits of their own. What others keep it waiting for may take longer."""
_WAITS = 2
"""How often a cell may wait as long as that: for hosts to say what they are, and for one to be free."""
_LAST_WORDS = 500
_LINGER_S = 5.0


def run_isolated(directory: BenchDirectory, cell: Cell, say: Callable[[str], None] = lambda text: None) -> CellRecord:
    """Run a cell and return its record, which exists however the cell's process ends.

    ``say`` is told what it waits for. If this process is interrupted meanwhile, the cell is killed and has no record;
    next time it goes on.
    """
    log = directory.begin(cell) / LOG
    started = time.monotonic()
    limit = FLOOR_SECONDS + SECONDS_PER_TRIAL * directory.config.trials
    with _Waits(say) as waits:
        died = _run(_command(directory, cell), log, limit, _environment(directory, cell), waits)
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


class _Waits:
    """A pipe on which a cell says what it waits for, line by line; each is passed on as it comes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.heard = False
        self._read, self.cells_end = os.pipe()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def leave_to_cell(self) -> None:
        """The pipe ends with the cell from here on."""
        if self.cells_end >= 0:
            os.close(self.cells_end)
            self.cells_end = -1

    def _pass_on(self) -> None:
        with open(self._read, "rb") as lines:
            for line in lines:
                self.heard = True
                self._say(line.decode("utf-8", "replace").strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave_to_cell()
        self._thread.join(_LINGER_S)  # nobody else should have the cell's end


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


def _run(command: list[str], log: Path, seconds: float, environment: dict[str, str], waits: _Waits) -> str:
    """Run the command and return how the process died; empty if it exited with status 0."""
    pipe = waits.cells_end
    child = Child([*command, str(pipe)], log=log, env=environment, pass_fds=[pipe])
    waits.leave_to_cell()
    try:
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            if not waits.heard:
                raise
            seconds += _WAITS * LONGEST_S
            status = child.wait(_WAITS * LONGEST_S)
    except subprocess.TimeoutExpired:
        return f"it took more than {seconds:.0f} s; {_last_words(log)}"
    finally:
        child.end()
    return f"{describe_status(status)}; {_last_words(log)}" if status else ""


def _last_words(log: Path) -> str:
    """The last line that the process printed."""
    lines = log.read_text(errors="replace")[-_LAST_WORDS:].strip().splitlines()
    return f"last output: {lines[-1]}" if lines else "it printed nothing"
