"""The runs below a folder, and what was read of them so far.

A run is asked for by its place below the folder, and found among those that a scan found: a name from a request never
becomes a path. Links are not followed, neither to folders nor to files.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.store.directory import CONFIG, JOURNAL, RECEIPT
from colt.store.receipt import Receipt, load_receipt
from colt.util.collecting import no_collecting
from colt.util.files import refusal
from colt.util.text import shown
from colt.views.report.chart import figures
from colt.views.report.content import (
    Panel,
    RunContent,
    headline_of,
    live_panels,
    program_panel,
    programs_soon,
    receipt_panel,
    tree_of,
    trial_panels,
)
from colt.views.report.page import page_data, render_part
from colt.views.report.panels.tree import compact
from colt.views.report.source import RunFiles, SeenRun, program_asked, read_config, trials_asked

DEEPEST = 4
"""Folders below the one that is shown."""
MOST_RUNS = 2000
FRESH_S = 60.0
"""A run without a receipt counts as in progress if its journal has grown this recently."""
PIECE = 1 << 23
"""Bytes of a journal that are read before others have their turn."""
MOST_KEPT = 8
"""Runs whose events are kept in memory; of others they are read again when they are looked at."""


@dataclass(frozen=True)
class RunRow:
    """A run in the list."""

    id: str
    """Its place below the folder, as people are to see it; so are all other texts."""
    program: str
    status: str
    best: str
    speedup: str
    trials: str
    seconds: str
    changed: float
    """When its journal last grew, in seconds since 1970."""


class Runs:
    """All runs below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, Path] = {}
        self._receipts: dict[Path, tuple[int, Receipt | None]] = {}
        self._watched: dict[str, WatchedRun] = {}
        self._lock = threading.Lock()

    def rows(self) -> list[RunRow]:
        """The list, the latest first."""
        found = {shown(str(path.relative_to(self.folder))): path for path in _run_directories(self.folder)}
        with self._lock:
            self._found = found
        rows = [row for name, path in found.items() if (row := self._row(name, path)) is not None]
        return sorted(rows, key=lambda row: -row.changed)

    def _row(self, name: str, path: Path) -> RunRow | None:
        try:
            changed = (path / JOURNAL).lstat().st_mtime
        except OSError:
            return None  # removed meanwhile
        receipt, problem = self._receipt(path), _refused(path)
        if receipt is not None and not problem:
            work = receipt.workload
            program = f"{work.name} ({work.size})" if work.size else work.name
            best = "-" if receipt.best is None else f"{figures(receipt.best.latency_us)} µs"
            times = "-" if receipt.best is None else f"{figures(receipt.speedup)}x"
            seconds = f"{receipt.seconds.get('total', 0):,.1f}"
            verdict = str(receipt.verdict or "finished")
            return RunRow(name, shown(program), verdict, best, times, f"{receipt.trials.total:,}", seconds, changed)
        config, _ = read_config(path)
        program, trials = program_asked(config), trials_asked(config)
        status = problem or ("in progress" if time.time() - changed < FRESH_S else "not finished")
        asked = "of ?" if trials is None else f"of {trials:,}"
        return RunRow(name, shown(program), status, "-", "-", asked, "-", changed)

    def _receipt(self, path: Path) -> Receipt | None:
        try:
            status = (path / RECEIPT).lstat()
        except OSError:
            return None
        kept = self._receipts.get(path)
        if kept is None or kept[0] != status.st_mtime_ns:
            try:
                receipt = load_receipt(path, links=False)
            except InputError:
                receipt = None
            kept = self._receipts[path] = (status.st_mtime_ns, receipt)
        return kept[1]

    def get(self, name: str) -> WatchedRun | None:
        """The run at that place, if a scan finds one there."""
        if name not in self._found:
            self.rows()
        with self._lock:
            path = self._found.get(name)
            if path is None:
                return None
            run = self._watched.pop(name, None) or WatchedRun(name, path)
            self._watched[name] = run  # the latest stands last
            for old in list(self._watched)[:-MOST_KEPT]:
                del self._watched[old]
            return run


def _refused(path: Path) -> str:
    """Which of a run's files is none that is read, and why; empty if there is no such one."""
    for name in (JOURNAL, RECEIPT, CONFIG):
        with suppress(OSError):
            if problem := refusal(path / name, links=False):
                return f"{name} is not read: {problem}"
    return ""


def _run_directories(folder: Path) -> Iterator[Path]:
    """Folders with a journal, the given one included."""
    count = 0
    for place, names, files in os.walk(folder, followlinks=False):
        path = Path(place)
        names[:] = sorted(name for name in names if not name.startswith("."))
        if len(path.relative_to(folder).parts) >= DEEPEST:
            names.clear()
        if JOURNAL in files and CONFIG in files:
            yield path
            count += 1
            names.clear()  # the folders of a run's tasks are part of it
        if count >= MOST_RUNS:
            return


class WatchedRun:
    """One run that is being looked at: read on as it grows, its page made anew when it has.

    A long journal is read piece by piece. Until that is done the page shows what is about trials, which is read first.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.version = 0
        """Grows with what can be seen."""
        self.made_in_s = 0.0
        """How long it took to make the content and the trees last."""
        self._files = RunFiles(folder)
        self._trials = RunFiles(folder, only_trials=True)
        self._grew = False
        self._finished = 0
        self._content: tuple[int, dict[str, Any]] | None = None
        self._trees: dict[int, tuple[int, bytes]] = {}
        self._programs: list[Panel] | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()

    def update(self) -> int:
        """Read on, about ``PIECE`` bytes; the version. Raises :class:`InputError`."""
        with self._lock:
            if self.version or self._files.journal.unread <= PIECE:
                self._grew |= self._files.update(PIECE)
            if self.is_reading:
                self._trials.update()
            receipts = sum(os.path.lexists(folder / RECEIPT) for folder in {one.folder for one in self._seen()})
            if not self.version or (not self.is_reading and (self._grew or receipts != self._finished)):
                self._grew, self._finished = self.is_reading, receipts
                self.version += 1
            return self.version

    @property
    def is_reading(self) -> bool:
        """Whether there is more to be read."""
        return not self._files.journal.at_end

    def _seen(self) -> list[SeenRun]:
        return (self._trials if self.is_reading else self._files).seen(self.name)

    def read_programs(self) -> None:
        """Have TVM read the programs of a finished run, once; the version grows by it, seconds later."""
        if self._reader is None:
            with self._lock:
                seen = self._seen()
            if all(one.receipt is not None for one in seen):
                self._reader = threading.Thread(target=self._read_programs, args=(seen,), daemon=True)
                self._reader.start()

    def _read_programs(self, seen: list[SeenRun]) -> None:
        panels = [program_panel(one) for one in seen]
        with self._lock:
            self._programs = panels
            self.version += 1

    def content(self) -> dict[str, Any]:
        """The page's content as plain data: HTML for the run, charts, and the versions of the trees.

        What is new is read first, but not the rest of a long journal: whoever asks gets what there is to show.
        Raises :class:`InputError`.
        """
        if not self.version or not self.is_reading:
            self.update()
        with self._lock:
            if self._content is None or self._content[0] != self.version:
                began = time.monotonic()
                with no_collecting():
                    self._content = (self.version, self._make())
                self.made_in_s = time.monotonic() - began
            return self._content[1]

    def _make(self) -> dict[str, Any]:
        seen = self._seen()
        contents = []
        for number, one in enumerate(seen):
            panels = trial_panels(one) if one.only_trials else live_panels(one)
            if self._programs is not None and number < len(self._programs):
                panels.append(self._programs[number])
            elif one.receipt is not None:
                panels.append(programs_soon())
            contents.append(RunContent(headline_of(one), [*panels, receipt_panel(one)]))
        return {
            "version": self.version,
            "reading": self.is_reading,
            "runs": [parts_of(content, f"r{number}-") for number, content in enumerate(contents)],
            "trees": {f"r{number}-tree-chart": number for number, one in enumerate(seen) if not one.only_trials},
            "charts": page_data(contents)["charts"],
        }

    def tree(self, number: int) -> bytes | None:
        """The tree of one of the run's programs as JSON; ``None`` if there is none, or it is not read yet."""
        with self._lock:
            seen = self._seen()
            if self.is_reading or not 0 <= number < len(seen):
                return None
            kept = self._trees.get(number)
            if kept is None or kept[0] != self.version:
                began = time.monotonic()
                with no_collecting():
                    kept = self._trees[number] = (self.version, msgspec.json.encode(compact(tree_of(seen[number]))))
                self.made_in_s += time.monotonic() - began
            return kept[1]

    def seen(self) -> list[SeenRun]:
        """The run for a comparison. Raises :class:`InputError`."""
        self.update()
        return self._seen()


def parts_of(content: RunContent, prefix: str) -> dict[str, Any]:
    """The run's article, and those parts of it that change while the same charts stay."""
    ids = [f"{prefix}{panel.id}/{chart.id}" for panel in content.panels for chart in panel.charts]
    return {
        "shape": ids + [panel.id for panel in content.panels],
        "html": render_part("parts.html.jinja", "run", content, prefix),
        "parts": {
            f"{prefix}headline": render_part("parts.html.jinja", "headline", content.headline),
            **{f"{prefix}{panel.id}-text": render_part("parts.html.jinja", "text", panel) for panel in content.panels},
        },
    }
