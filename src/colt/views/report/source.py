"""A run directory, as far as it can be read: finished or not, damaged or not, a stranger's or not.

Nothing is read through a symbolic link, so that a page never shows a file from outside of the directory.
"""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colt import events
from colt.errors import InputError
from colt.store.bounds import DEEPEST, MOST_COUNT
from colt.store.directory import CONFIG, JOURNAL, RECEIPT
from colt.store.happened import JournalReader
from colt.store.receipt import Receipt, load_receipt
from colt.util.collecting import no_collecting
from colt.util.files import read_file
from colt.util.text import in_bytes, why
from colt.views.fold import fold
from colt.views.state import MOST_MEMBERS, MOST_TASKS, RunState, TaskState

LARGEST_CONFIG = 1 << 18
"""Bytes of a config; that of a run has some thousands. A larger one is not read."""
MOST_DOTS = 200
"""Dots in a line of a config: reading a name takes the square of its parts."""


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
        return program_asked(self.config)

    @property
    def trials_asked(self) -> int | None:
        """How many trials the run was given."""
        if self.state.went_on:
            return self.state.went_on[-1][1]
        return trials_asked(self.config)

    @property
    def best_path(self) -> list[int]:
        """The nodes from the root to the winner's, or to that of the best trial so far."""
        best = self.receipt.best if self.receipt is not None else None
        trial = self.task.trials.get(best.trial) if best is not None else None
        return self.task.best_path if trial is None else self.task.path_to(trial.node)

    @property
    def members(self) -> list[str]:
        """All who proposed anything, those of the pool first, in its order."""
        pool = dict.fromkeys(one.name for one in self.receipt.pool) if self.receipt is not None else {}
        seen = self.state.members
        return [name for name in pool if name in seen] + sorted(seen.keys() - pool.keys())


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
        problems += self._damage()
        return [
            self._task(name, task, f"{label}/{name}" if name else label, config, problems)
            for name, task in self.state.tasks.items()
        ]

    def _task(self, name: str, task: TaskState, label: str, config: dict[str, Any], problems: list[str]) -> SeenRun:
        receipt: Receipt | None = None
        folder, found = task_folder(self.folder, name)
        if not found:
            receipt, found = _receipt(folder)
        said = (*found, *problems)
        return SeenRun(folder, label, self.state, task, receipt, config, said, self.only_trials)

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
            found.append(
                f"{self.state.stray} events are about nodes or trials that {JOURNAL} does not introduce, or not once"
            )
        if self.state.unlisted:
            found.append(f"what more than {MOST_MEMBERS} members did is left out, which is no pool that a run has")
        if self.state.beyond is not None:
            found.append(f"programs beyond the first {MOST_TASKS:,} are left out")
        if journal.left_out:
            found.append(f"{JOURNAL} is longer than any run writes: its last {in_bytes(journal.left_out)} are left out")
        return found


def load_run(folder: Path, label: str = "") -> list[SeenRun]:
    """What a run directory tells, once for each program of the run. Raises :class:`InputError` if it is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a run directory: there is no such folder")
    if not os.path.lexists(folder / JOURNAL):
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


def task_folder(folder: Path, task: str) -> tuple[Path, list[str]]:
    """The folder of a task's files within that of its run, and what is wrong with it. A name is no way out."""
    if not task:
        return folder, []
    name = Path(task).name
    if name in ("", "..") or not name.isprintable():
        return folder, ["a program has a name that no folder of a run has"]
    if (folder / name).is_symlink():
        return folder, [f"{name} is a symbolic link, which is not followed"]
    return folder / name, []


def read_config(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What was asked of a run, as tables of plain data, and what is wrong with the file."""
    try:
        content = read_file(folder / CONFIG, LARGEST_CONFIG, links=False)
        if max(line.count(b".") for line in content.split(b"\n")) > MOST_DOTS:
            raise ValueError(f"a line has more than {MOST_DOTS} dots, which no run writes")
        config = tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:  # those of TOML and Unicode are ValueErrors, too
        return {}, [f"{CONFIG} cannot be read: {why(error)}"]
    return {name: _plain(part) for name, part in config.items() if isinstance(part, dict | list)}, []


def program_asked(config: dict[str, Any]) -> str:
    """What a config calls the run's program."""
    names = (_asked(config, "name"), _asked(config, "program"))
    return next((name for name in names if isinstance(name, str) and name), "unknown program")


def trials_asked(config: dict[str, Any]) -> int | None:
    """How many trials a config gives the run."""
    asked = _asked(config, "trials")
    return asked if isinstance(asked, int) else None


def _asked(config: dict[str, Any], name: str) -> Any:
    table = config.get("run")
    return table.get(name) if isinstance(table, dict) else None


def _plain(value: Any, depth: int = 0) -> Any:
    """A value of TOML as JSON has it: dates and numbers that are too large for it as texts."""
    if isinstance(value, dict | list) and depth > DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {name: _plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, int) and abs(value) > MOST_COUNT:
        return f"{value:#x}"  # in decimals, Python refuses to write very long ones
    return value if isinstance(value, str | int | float) else str(value)


def _receipt(folder: Path) -> tuple[Receipt | None, list[str]]:
    if not os.path.lexists(folder / RECEIPT):
        return None, []
    try:
        return load_receipt(folder, links=False), []
    except InputError as error:
        return None, [why(error)]
