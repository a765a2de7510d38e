"""A run directory, as far as it can be read: finished or not, damaged or not."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colt import events
from colt.errors import InputError
from colt.store.directory import CONFIG, JOURNAL, read_file
from colt.store.happened import JournalReader
from colt.store.receipt import Receipt, load_receipt
from colt.util.collecting import no_collecting
from colt.util.text import why
from colt.views.fold import fold
from colt.views.state import RunState, TaskState

LARGEST_RECEIPT = 1 << 24
"""Bytes of a receipt or a config; a larger one is not read."""


@dataclass(slots=True)
class SeenRun:
    """One program of a run: its directory, its events so far, its receipt if it is finished."""

    folder: Path
    label: str
    """What distinguishes it from the others on the page."""
    state: RunState
    task: TaskState
    receipt: Receipt | None
    config: dict[str, Any]
    problems: tuple[str, ...] = ()
    """What could not be read, in words."""
    only_trials: bool = False
    """Whether of the journal only what is about trials was read."""

    @property
    def program(self) -> str:
        """The program's name and size."""
        if self.receipt is not None:
            work = self.receipt.workload
            return f"{work.name} ({work.size})" if work.size else work.name
        asked = self.config.get("run", {})
        return str(asked.get("name") or asked.get("program") or "unknown program")

    @property
    def trials_asked(self) -> int | None:
        """How many trials the run was given."""
        if self.state.went_on:
            return self.state.went_on[-1][1]
        asked = self.config.get("run", {}).get("trials")
        return asked if isinstance(asked, int) else None

    @property
    def best_path(self) -> list[int]:
        """The nodes from the root to the winner's, or to that of the best trial so far."""
        best = self.receipt.best if self.receipt is not None else None
        trial = self.task.trials.get(best.trial) if best is not None else None
        return self.task.best_path if trial is None else self.task.path_to(trial.node)

    @property
    def members(self) -> list[str]:
        """All who proposed anything, those of the pool first, in its order."""
        pool = [one.name for one in self.receipt.pool] if self.receipt is not None else []
        seen = self.state.members
        return [name for name in pool if name in seen] + sorted(seen.keys() - set(pool))


OF_TRIALS = (
    *(events.Began, events.Turn, events.Baseline, events.WentOn),
    *(events.Called, events.Asked, events.Timed, events.Measured),
)
"""Events that tell of trials, and of what was paid: one in ten of a long run."""


@dataclass
class RunFiles:
    """The files of one run, read again and again as they grow."""

    folder: Path
    only_trials: bool = False
    """Whether of the journal only what is about trials is read."""

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.journal = JournalReader(self.folder / JOURNAL, OF_TRIALS if self.only_trials else ())
        self.state = RunState()

    def update(self, most: float = math.inf) -> bool:
        """Take in what is new in the journal, about ``most`` bytes of it; whether there was anything.

        Raises :class:`InputError`.
        """
        if self.journal.is_another():
            self._begin()
        before = self.state.events
        with no_collecting():
            fold(self.state, self.journal.read(most))
        return self.state.events > before

    def seen(self, label: str = "") -> list[SeenRun]:
        """The run as it stands, once for each of its programs."""
        label = label or self.folder.name or str(self.folder)
        config, problems = read_config(self.folder)
        return [
            self._task(name, task, f"{label}/{name}" if name else label, config, problems)
            for name, task in self.state.tasks.items()
        ]

    def _task(self, name: str, task: TaskState, label: str, config: dict[str, Any], problems: list[str]) -> SeenRun:
        folder = self.folder / Path(name).name if name else self.folder  # a name is no way out of the directory
        receipt, missing = _receipt(folder)
        said = [*problems, *missing, *self._damage()]
        return SeenRun(folder, label, self.state, task, receipt, config, tuple(said), self.only_trials)

    def _damage(self) -> list[str]:
        journal, found = self.journal, []
        if journal.skipped:
            found.append(
                f"{journal.skipped} of {journal.lines} lines of {JOURNAL} are not events of this version and were "
                f"skipped, the first of them line {journal.first_skipped}"
            )
        if journal.torn:
            found.append(f"the last line of {JOURNAL} is not complete: {journal.torn} bytes were left out")
        if self.state.stray and not self.only_trials:
            found.append(f"{self.state.stray} events are about nodes or trials that {JOURNAL} does not introduce")
        return found


def load_run(folder: Path, label: str = "") -> list[SeenRun]:
    """What a run directory tells, once for each program of the run. Raises :class:`InputError` if it is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a run directory: there is no such folder")
    if not (folder / JOURNAL).is_file():
        raise InputError(f"{folder} is not a run directory: there is no {JOURNAL}")
    files = RunFiles(folder)
    files.update()
    return files.seen(label)


def load_runs(folders: list[Path]) -> list[SeenRun]:
    """Several runs, under labels that tell them apart. Raises as :func:`load_run`."""
    names = [folder.resolve().name for folder in folders]
    apart = len(set(names)) == len(names)
    return [
        run
        for folder, name in zip(folders, names, strict=True)
        for run in load_run(folder, name if apart else str(folder))
    ]


def read_config(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What was asked of a run, and what is wrong with the file."""
    try:
        if (folder / CONFIG).stat().st_size > LARGEST_RECEIPT:
            return {}, [f"{CONFIG} is too large to be one"]
        config = tomllib.loads(read_file(folder / CONFIG).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        return {}, [f"{CONFIG} cannot be read: {why(error)}"]
    return {name: part for name, part in config.items() if isinstance(part, dict | list)}, []


def _receipt(folder: Path) -> tuple[Receipt | None, list[str]]:
    from colt.store.directory import RECEIPT

    if not (folder / RECEIPT).exists():
        return None, []
    try:
        if (folder / RECEIPT).stat().st_size > LARGEST_RECEIPT:
            return None, [f"{RECEIPT} is too large to be one"]
        return load_receipt(folder), []
    except (OSError, InputError, RecursionError) as error:
        return None, [why(error)]
