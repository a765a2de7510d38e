"""MetaSchedule's database of a run: every measured schedule as a record that stock TVM reads and replays."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from tvm.s_tir import meta_schedule as ms

from colt.errors import InputError
from colt.util.files import write_atomically

FAILED_SECONDS = 1e10
"""What MetaSchedule writes for a candidate that did not run."""


class DatabaseFile:
    """A new file to which TVM appends lines. TVM does not notice a full disk, so the file is looked at afterwards."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """In bytes, when it was last looked at."""

    def require(self, lines: int) -> None:
        """See that so many whole lines were appended since the last time.

        Raises
        ------
        OSError
            Lines are missing. What there is of the first one is removed: with it TVM would read no line at all.
        """
        with self.path.open("rb+") as file:
            file.seek(self.size)
            added = file.read()
            whole = added.rfind(b"\n") + 1
            file.truncate(self.size + whole)
        self.size += whole
        if whole != len(added) or added.count(b"\n") != lines:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


class Records:
    """Writes the tuning records of one program. One writer only, into files that do not exist yet."""

    def __init__(self, workloads: Path, records: Path, mod: Any, target: Any) -> None:
        """Write the program. Raises :class:`OSError`, which names the file."""
        self._file = DatabaseFile(records)
        self._lines: dict[int, int] = {}
        self._database = ms.database.JSONDatabase(path_workload=str(workloads), path_tuning_record=str(records))
        self._workload = self._database.commit_workload(mod)
        DatabaseFile(workloads).require(1)
        self._target = target
        self._arguments = arguments_info(mod)

    def add(self, trial: int, schedule: Any, latency_us: float | None) -> None:
        """Record a trial's TVM schedule and latency, ``None`` for a failure.

        Raises
        ------
        InputError
            The file cannot be opened any more.
        OSError
            The disk is full. The file holds the records before this one.
        """
        seconds = FAILED_SECONDS if latency_us is None else latency_us / 1e6
        record = ms.database.TuningRecord(schedule.trace, self._workload, [seconds], self._target, self._arguments)
        try:
            self._database.commit_tuning_record(record)
        except RuntimeError:
            raise InputError(f"{self._file.path} cannot be written any more: has the run directory gone?") from None
        self._file.require(1)
        self._lines[trial] = len(self._lines)

    def fail(self, trial: int) -> None:
        """Make the record of a trial that computes something else a failure, so that nobody picks it.

        Raises :class:`OSError`; the file is then as it was.
        """
        if trial not in self._lines:
            return
        lines = self._file.path.read_text().splitlines()
        number = self._lines[trial]
        workload, (trace, _, *rest) = json.loads(lines[number])
        lines[number] = json.dumps([workload, [trace, [FAILED_SECONDS], *rest]])
        content = "".join(f"{line}\n" for line in lines).encode()
        write_atomically(self._file.path, content)
        self._file.size = len(content)


def arguments_info(mod: Any) -> Any:
    """MetaSchedule's description of the program's arguments."""
    return ms.arg_info.ArgInfo.from_entry_func(mod, remove_preproc=True)
