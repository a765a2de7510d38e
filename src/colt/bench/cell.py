"""One cell in a process of its own: ``python -m colt.bench.cell DIRECTORY WORKLOAD STRATEGY SEED PARENT WAITS``.

If it crashes, only this cell is lost. Standard output and error go to the cell's log; what it waits for goes, line by
line, to the pipe ``WAITS``, since somebody may be watching.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from colt.bench.config import Cell, StrategyName
from colt.bench.directory import WINNER, BenchDirectory
from colt.bench.records import CellRecord
from colt.bench.strategies import SEARCHES
from colt.bench.task import CellTask, seconds_since_start
from colt.store.directory import RunDirectory
from colt.util.process import die_with_parent
from colt.util.waiting import told_of_waiting


def main(arguments: list[str]) -> None:
    """Run the cell and write its record, whether it has a winner or failed."""
    path, workload, strategy, seed, parent, waits = arguments
    die_with_parent(int(parent))
    os.set_inheritable(int(waits), False)  # it ends with this process, whatever that starts
    directory, cell = BenchDirectory.load(Path(path)), Cell(workload, StrategyName(strategy), int(seed))
    try:
        with told_of_waiting(lambda text: _pass_on(int(waits), text)):
            record = run_cell(directory, cell)
    except Exception as error:  # noqa: BLE001 - any error in a search is the cell's outcome
        traceback.print_exc()
        record = CellRecord(
            workload=cell.workload,
            strategy=cell.strategy,
            seed=cell.seed,
            failure=f"{type(error).__name__}: {error}".strip(),
            wall_seconds=seconds_since_start(),
        )
    directory.finish(cell, record)


def _pass_on(pipe: int, text: str) -> None:
    os.write(pipe, " ".join(text.split()).encode() + b"\n")


def run_cell(directory: BenchDirectory, cell: Cell) -> CellRecord:
    """Search and save the winner."""
    from colt.tvm.devices.host import set_threads
    from colt.tvm.programs.export import save_module

    set_threads(directory.config.threads)
    folder = directory.folder(cell)
    found = SEARCHES[cell.strategy](CellTask(directory.config, cell, folder))
    RunDirectory(folder).write(WINNER, save_module(found.module))
    return CellRecord(
        workload=cell.workload,
        strategy=cell.strategy,
        seed=cell.seed,
        best_us=found.best_us,
        wall_seconds=found.seconds_before + seconds_since_start(),
        search_seconds=max((trial.seconds for trial in found.trials), default=0.0),
        build_seconds=found.build_seconds,
        timing_seconds=found.timing_seconds,
        stop_reason=found.stop_reason,
        messages=found.messages,
        trials=found.trials,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
