"""The directory of a benchmark: one configuration, never mixed, never half-written.

    bench.toml                              the configuration and the conditions
    peaks/                                  the machine's peaks at the start: constructed schedules depend on them
    cells/WORKLOAD/STRATEGY-SEED/           result.json, winner.json, log.txt, and the search's own files
    remeasured/WORKLOAD.json                the winners and peers timed in turn
    report.md, cells.csv, trials.csv, remeasured.csv

A cell is done when it has its ``result.json``, which is written last and in one step.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from colt.bench.config import BenchConfig, Cell
from colt.bench.records import CellRecord, RemeasureRecord, load_record
from colt.errors import InputError
from colt.store.directory import RECORDING, RunDirectory
from colt.util.lock import Busy, FolderLock
from colt.util.text import why

CONFIG = "bench.toml"
RESULT = "result.json"
WINNER = "winner.json"
LOG = "log.txt"
REPORT = "report.md"
RUN = "run"
"""The folder of a cell's run, for searches of COLT's own."""


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of ``bench.toml``. Figures are comparable only under the same ``conditions``: machine, versions."""

    bench: BenchConfig
    conditions: dict[str, str]


class BenchDirectory:
    """A directory that belongs to one benchmark."""

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path = path
        self.config = contents.bench
        self.conditions = contents.conditions

    # ---- opening ----

    @classmethod
    @contextmanager
    def claimed(cls, path: Path, config: BenchConfig, conditions: Mapping[str, str]) -> Iterator[BenchDirectory]:
        """The directory, new or left by an interrupted benchmark, locked for this process.

        Raises
        ------
        InputError
            It holds other files or a benchmark of another configuration, or another process works in it.
        """
        wanted = Contents(config, dict(conditions))
        if (path / CONFIG).exists():
            _require_same(path, cls.load(path), wanted)
        else:
            _require_free(path)
        with _locked(path):
            if not (path / CONFIG).exists():
                RunDirectory(path).write(CONFIG, tomli_w.dumps(msgspec.to_builtins(wanted)).encode())
            yield cls(path, wanted)

    @classmethod
    def load(cls, path: Path) -> BenchDirectory:
        """An existing directory, for reading. Raises :class:`InputError` if it holds no benchmark."""
        try:
            contents = msgspec.toml.decode((path / CONFIG).read_bytes(), type=Contents)
        except OSError as error:
            raise InputError(f"{path} holds no benchmark: {CONFIG}: {error.strerror or error}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"{path / CONFIG} is not the configuration of a benchmark: {why(error)}") from None
        return cls(path, contents)

    @property
    def peaks(self) -> Path:
        """The folder of the machine's measured peaks, the same for all cells."""
        return self.path / "peaks"

    # ---- cells ----

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell's files."""
        return self.path / "cells" / cell.workload / f"{cell.strategy}-{cell.seed}"

    def result(self, cell: Cell) -> CellRecord | None:
        """The record of a cell; ``None`` if it is not done."""
        return load_record(self.folder(cell) / RESULT, CellRecord)

    def goes_on(self, cell: Cell) -> bool:
        """Whether a cell was under way when the benchmark broke off, and its search can be resumed."""
        return (self.folder(cell) / RUN / RECORDING).is_file()

    def begin(self, cell: Cell) -> Path:
        """Make a folder for a cell, and delete the workload's re-measurement. The folder is empty unless the cell goes
        on: other files that an unfinished one left are deleted."""
        folder = self.folder(cell)
        if folder.exists() and not self.goes_on(cell):
            shutil.rmtree(folder)
        self._remeasured(cell.workload).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, cell: Cell, record: CellRecord) -> None:
        """Write the cell's record: it is done."""
        RunDirectory(self.folder(cell)).write(RESULT, record.to_json())

    # ---- re-measurements ----

    def remeasured(self, workload: str) -> RemeasureRecord | None:
        """The winners and peers of a workload timed in turn; ``None`` if they have not been."""
        return load_record(self._remeasured(workload), RemeasureRecord)

    def keep_remeasured(self, record: RemeasureRecord) -> None:
        """Write a re-measurement."""
        path = self._remeasured(record.workload)
        path.parent.mkdir(exist_ok=True)
        RunDirectory(path.parent).write(path.name, record.to_json())

    def _remeasured(self, workload: str) -> Path:
        return self.path / "remeasured" / f"{workload}.json"

    # ---- reports ----

    def write(self, name: str, text: str) -> Path:
        """Write a report or a table."""
        return RunDirectory(self.path).write(name, text.encode())


def _require_free(path: Path) -> None:
    try:
        # A benchmark that was killed right after its start leaves hidden files only.
        if path.exists() and any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise InputError(f"{path} holds other files; name a directory that is new, empty, or of a benchmark")
    except OSError as error:
        raise InputError(f"{path} cannot be used: {error.strerror or error}") from None


def _require_same(path: Path, found: BenchDirectory, wanted: Contents) -> None:
    """Require that a benchmark is resumed with the configuration that it began with."""
    before = {**msgspec.to_builtins(found.config), **found.conditions}
    now = {**msgspec.to_builtins(wanted.bench), **wanted.conditions}
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        differences = "; ".join(f"{n} was {_show(before.get(n))}, now it is {_show(now.get(n))}" for n in changed)
        raise InputError(f"{path} holds a benchmark of another configuration: {differences}; name another directory")


def _show(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Make the directory if it does not exist, and lock other benchmarks out."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path)
    except Busy as busy:
        raise InputError(f"another colt bench works in {path}: {busy}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be used: {error.strerror or error}") from None
    with lock:
        yield
