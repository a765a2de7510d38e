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


class Records:
    """Writes tuning records of one workload. One writer only, into files that do not exist yet.

    TVM itself does not notice that a disk is full; here that is an :class:`OSError`, which names the file.
    """

    def __init__(self, workloads: Path, records: Path, mod: Any, target: Any) -> None:
        self._file = records
        self._lines: dict[int, int] = {}
        self._database = ms.database.JSONDatabase(path_workload=str(workloads), path_tuning_record=str(records))
        self._workload = self._database.commit_workload(mod)
        _require_whole_line(workloads, 0)
        self._size = 0
        self._target = target
        self._arguments = arguments_info(mod)

    def add(self, trial: int, schedule: Any, latency_us: float | None) -> None:
        """Record a trial's TVM schedule and what it measured, ``None`` for a failure.

        Raises :class:`OSError` if the file does not take the record, which is then not in it.
        """
        seconds = FAILED_SECONDS if latency_us is None else latency_us / 1e6
        record = ms.database.TuningRecord(schedule.trace, self._workload, [seconds], self._target, self._arguments)
        try:
            self._database.commit_tuning_record(record)
        except RuntimeError:
            raise InputError(f"{self._file} cannot be written any more: has the run directory gone?") from None
        self._size = _require_whole_line(self._file, self._size)
        self._lines[trial] = len(self._lines)

    def fail(self, trial: int) -> None:
        """Turn the record of a trial that computes something else into that of a failure, so that nobody picks it.

        Raises :class:`OSError`; the file is then as it was.
        """
        if trial not in self._lines:
            return
        lines = self._file.read_text().splitlines()
        number = self._lines[trial]
        workload, (trace, _, *rest) = json.loads(lines[number])
        lines[number] = json.dumps([workload, [trace, [FAILED_SECONDS], *rest]])
        content = "".join(f"{line}\n" for line in lines).encode()
        write_atomically(self._file, content)
        self._size = len(content)


def _require_whole_line(path: Path, before: int) -> int:
    """See that one line was appended to a file of ``before`` bytes; its size now.

    Part of a line is taken away again, and is an :class:`OSError`: with it TVM would read no record at all.
    """
    with path.open("rb+") as file:
        file.seek(before)
        added = file.read()
        if added.endswith(b"\n"):
            return before + len(added)
        file.truncate(before)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def arguments_info(mod: Any) -> Any:
    """MetaSchedule's description of the program's arguments."""
    return ms.arg_info.ArgInfo.from_entry_func(mod, remove_preproc=True)
