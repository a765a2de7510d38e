"""The main job of a benchmark, on one screen.

claim       the directory: new, or left by an interrupted benchmark                        directory.py
search      each cell in its own process; finished cells are kept, one that was under way
            goes on, failures are recorded                                                 isolation.py
remeasure   the winners of a workload and the peers, in turn                               remeasure.py
report      after each workload, from the records so far                                   report.py, tables.py
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from colt.bench.config import EXTRAS, BenchConfig
from colt.bench.directory import REPORT, BenchDirectory
from colt.bench.figures import Results, WorkloadResults
from colt.bench.isolation import run_isolated
from colt.bench.records import CellRecord
from colt.bench.remeasure import remeasure
from colt.bench.report import markdown
from colt.bench.tables import TABLES
from colt.fleet.session import leave
from colt.machine import Hardware, Peaks, detect, load_peaks, save_peaks
from colt.tvm.devices.fleet import FleetDevice, require_like_here
from colt.tvm.devices.hold import hold_this_machine
from colt.tvm.devices.host import available_cores
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.devices.resolve import resolve_device
from colt.util.text import in_us
from colt.util.version import versions

Say = Callable[[str], None]


def run(config: BenchConfig, path: Path, say: Say) -> str:
    """Run the rest of a benchmark and return its report. ``say`` receives the progress in words.

    Raises
    ------
    InputError
        The directory cannot be used, or it holds something else.
    MeasureError
        The peaks of this machine cannot be measured.
    """
    hardware = detect()
    if config.fleet:
        config = _like_here(config)
    with BenchDirectory.claimed(path, config, conditions(config, hardware)) as directory:
        hardware = replace(hardware, peaks=_peaks(directory, hardware, say))
        report = ""
        for workload in config.workloads:
            _search(directory, workload, say)
            if directory.remeasured(workload) is None:
                say(f"{workload}: timing all winners and peers in turn")
                with closing(hold_this_machine()):
                    directory.keep_remeasured(remeasure(directory, workload))
            report = write_report(directory, hardware)
        return report


def _like_here(config: BenchConfig) -> BenchConfig:
    """With threads that the fleet's hosts and this machine have, where winners are timed in turn.

    Raises :class:`InputError` if the hosts are unlike this machine.
    """
    device = resolve_device(threads=config.threads or None, fleet=config.fleet, fleet_cpu=detect().cpu)
    assert isinstance(device, FleetDevice)
    try:
        config = config.with_threads(device.threads, available_cores())
        require_like_here(replace(device, threads=config.threads), "every winner")
        return config
    finally:
        leave()  # the searches enter it, each in its own process


def conditions(config: BenchConfig, hardware: Hardware) -> dict[str, str]:
    """The conditions that must be the same for figures to be comparable."""
    found = {"cpu": hardware.cpu, "cores": str(hardware.cores), **versions()}
    for package in {peer.package for peer in config.peers} & set(EXTRAS):
        found[package] = importlib.metadata.version(package)
    return found


def write_report(directory: BenchDirectory, hardware: Hardware) -> str:
    """Write the report and all tables from the records so far; return the report."""
    results = load_results(directory)
    for name, table in TABLES.items():
        directory.write(name, table(results))
    report = markdown(results, hardware, directory.conditions)
    directory.write(REPORT, report)
    return report


def load_results(directory: BenchDirectory) -> Results:
    """All records so far."""
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
            how = "goes on" if directory.goes_on(cell) else "..."
            say(f"{workload} {number}/{len(everything)}: {cell.strategy} seed {cell.seed} {how}")
            record = run_isolated(directory, cell, lambda text: say(f"    {text} ..."))
            say(f"    {_outcome(record)}")


def _outcome(record: CellRecord) -> str:
    if record.best_us is None:
        return f"FAILED after {record.wall_seconds:.0f} s: {record.failure}"
    failed = f", {record.failed_trials} of them failed" if record.failed_trials else ""
    return f"{in_us(record.best_us)} after {len(record.trials)} trials{failed}, {record.wall_seconds:.0f} s"


def _peaks(directory: BenchDirectory, hardware: Hardware, say: Say) -> Peaks:
    """This machine's peaks when the benchmark began. Raises :class:`MeasureError`."""
    threads = directory.config.threads
    kept = load_peaks(hardware, threads, directory.peaks)
    if kept is not None:
        return kept
    with closing(hold_this_machine()), warnings.catch_warnings(record=True) as warned:
        peaks = hardware_with_peaks(threads).peaks
    for warning in warned:
        say(f"note: {warning.message}")
    save_peaks(hardware, peaks, directory.peaks)
    return peaks
