"""The main job of a benchmark, on one screen.

claim       the directory: new, or with what an interrupted benchmark left                    directory.py
search      each cell in a process of its own; what is done is kept, what failed is recorded  isolation.py
remeasure   the winners of a workload and the peers, in turn                                  remeasure.py
report      after each workload, from what there is                                           report.py, tables.py
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from colt.bench.config import BenchConfig
from colt.bench.directory import REPORT, BenchDirectory
from colt.bench.figures import Results, WorkloadResults
from colt.bench.isolation import run_isolated
from colt.bench.records import CellRecord
from colt.bench.remeasure import remeasure
from colt.bench.report import markdown
from colt.bench.tables import TABLES
from colt.machine import Hardware, Peaks, detect, load_peaks, save_peaks
from colt.run.receipt import versions
from colt.tvm.devices.peaks import hardware_with_peaks

Say = Callable[[str], None]


def run(config: BenchConfig, path: Path, say: Say) -> str:
    """Run what is left of a benchmark; returns its report. ``say`` is told in words how it goes.

    Raises
    ------
    InputError
        The directory is not to be had, or holds something else.
    MeasureError
        The peaks of this machine cannot be measured.
    """
    hardware = detect()
    with BenchDirectory.claimed(path, config, conditions(config, hardware)) as directory:
        hardware = replace(hardware, peaks=_peaks(directory, hardware, say))
        report = ""
        for workload in config.workloads:
            _search(directory, workload, say)
            if directory.remeasured(workload) is None:
                say(f"{workload}: timing all winners and peers in turn")
                directory.keep_remeasured(remeasure(directory, workload))
            report = write_report(directory, hardware)
        return report


def conditions(config: BenchConfig, hardware: Hardware) -> dict[str, str]:
    """What must be the same wherever figures are compared."""
    found = {"cpu": hardware.cpu, "cores": str(hardware.cores), **versions()}
    if any(peer.needs_torch for peer in config.peers):
        found["torch"] = importlib.metadata.version("torch")
    return found


def write_report(directory: BenchDirectory, hardware: Hardware) -> str:
    """Write the report and all tables from what is there; returns the report."""
    results = load_results(directory)
    for name, table in TABLES.items():
        directory.write(name, table(results))
    report = markdown(results, hardware, directory.conditions)
    directory.write(REPORT, report)
    return report


def load_results(directory: BenchDirectory) -> Results:
    """All records that there are."""
    config = directory.config
    found = []
    for workload in config.workloads:
        cells = [record for cell in config.cells(workload) if (record := directory.result(cell)) is not None]
        found.append(WorkloadResults(workload, tuple(cells), directory.remeasured(workload)))
    return Results(config, tuple(found))


def _search(directory: BenchDirectory, workload: str, say: Say) -> None:
    """Run the cells of a workload that are not done."""
    everything = list(directory.config.cells(workload))
    for number, cell in enumerate(everything, 1):
        if directory.result(cell) is None:
            say(f"{workload} {number}/{len(everything)}: {cell.strategy} seed {cell.seed} ...")
            say(f"    {_outcome(run_isolated(directory, cell))}")


def _outcome(record: CellRecord) -> str:
    if record.best_us is None:
        return f"FAILED after {record.wall_seconds:.0f} s: {record.failure}"
    failed = f", {record.failed_trials} of them failed" if record.failed_trials else ""
    return f"{record.best_us:,.1f} us after {len(record.trials)} trials{failed}, {record.wall_seconds:.0f} s"


def _peaks(directory: BenchDirectory, hardware: Hardware, say: Say) -> Peaks:
    """This machine's, as they were when the benchmark began. Raises :class:`MeasureError`."""
    threads = directory.config.threads
    kept = load_peaks(hardware, threads, directory.peaks)
    if kept is not None:
        return kept
    with warnings.catch_warnings(record=True) as warned:
        peaks = hardware_with_peaks(threads).peaks
    for warning in warned:
        say(f"note: {warning.message}")
    save_peaks(hardware, peaks, directory.peaks)
    return peaks
