"""MetaSchedule's database of a run: every measured schedule as a record that stock TVM reads and replays."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from tvm.s_tir import meta_schedule as ms

from colt.util.files import LineFile, read_file, write_atomically

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
    """Writes the tuning records of one program. One writer only, into files that do not exist yet.

    Those of a run that goes on are *followed*: the trials that they have are registered with :meth:`has`, in their
    order, and not written again.
    """

    def __init__(self, workloads: Path, records: Path, mod: Any, target: Any, follow: bool = False) -> None:
        """Write the program, unless its files are to be followed. Raises :class:`OSError`, which names the file."""
        self._path = records
        self._lines: dict[int, int] = {}
        """The line of each trial."""
        self._kept: list[int] = _ends(records) if follow else []
        """Where each line ends that was there before, in bytes."""
        self._size = self._kept[-1] if self._kept else 0
        self._draft = Path(tempfile.mkdtemp(prefix="colt-records-"))
        """Where TVM writes: it reads all records that it finds, which takes long, and does not notice a full disk."""
        weakref.finalize(self, shutil.rmtree, self._draft, ignore_errors=True)
        drafts = [self._draft / path.name for path in (workloads, records)]
        self._database = ms.database.JSONDatabase(path_workload=str(drafts[0]), path_tuning_record=str(drafts[1]))
        self._workload = self._database.commit_workload(mod)
        if not self._kept:
            write_atomically(workloads, drafts[0].read_bytes())
            write_atomically(records, b"")
        self._target = target
        self._arguments = arguments_info(mod)

    def has(self, trial: int) -> bool:
        """Whether the next record of the followed files is there; it is that trial's."""
        there = len(self._lines) < len(self._kept)
        if there:
            self._lines[trial] = len(self._lines)
        return there

    def add(self, trial: int, schedule: Any, latency_us: float | None) -> None:
        """Record a trial's TVM schedule and latency, ``None`` for a failure.

        Raises :class:`OSError`, such as for a full disk. The file holds the records before this one.
        """
        seconds = FAILED_SECONDS if latency_us is None else latency_us / 1e6
        record = ms.database.TuningRecord(schedule.trace, self._workload, [seconds], self._target, self._arguments)
        self._database.commit_tuning_record(record)
        draft = self._draft / self._path.name
        line = draft.read_bytes().rstrip(b"\n")
        os.truncate(draft, 0)
        if not line:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))
        with LineFile(self._path, keep=self._size) as file:
            file.write(line)
        self._size += len(line) + 1
        self._lines[trial] = len(self._lines)

    def fail(self, trial: int) -> None:
        """Make the record of a trial that computes something else a failure, so that nobody picks it.

        Raises :class:`OSError`; the file is then as it was.
        """
        if trial not in self._lines:
            return
        lines = self._path.read_text().splitlines()
        number = self._lines[trial]
        workload, (trace, seconds, *rest) = json.loads(lines[number])
        if seconds == [FAILED_SECONDS]:
            return
        lines[number] = json.dumps([workload, [trace, [FAILED_SECONDS], *rest]])
        content = "".join(f"{line}\n" for line in lines).encode()
        write_atomically(self._path, content)
        self._size = len(content)


def _ends(path: Path) -> list[int]:
    """Where each whole line of a file ends; none if there is no such file."""
    if not path.is_file():
        return []
    ends = itertools.accumulate(len(line) for line in read_file(path).splitlines(keepends=True) if line[-1:] == b"\n")
    return list(ends)


def arguments_info(mod: Any) -> Any:
    """MetaSchedule's description of the program's arguments."""
    return ms.arg_info.ArgInfo.from_entry_func(mod, remove_preproc=True)
