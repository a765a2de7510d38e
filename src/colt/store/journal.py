"""The journal: every event of a run, one JSON object a line, in the order of happening."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from colt.errors import InputError
from colt.events import Event, to_record
from colt.util.files import LineFile, read_file

RENAMED = {"next_model": "next_member"}
"""Fields of events that had another name in journals of earlier versions."""


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All records of a journal, without their times, with the present names of their fields.

    Raises :class:`InputError`, which names a damaged line.
    """
    try:
        rows = read_file(path).splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    decoder = msgspec.json.Decoder(dict[str, Any])
    records = []
    for number, row in enumerate(rows, 1):
        try:
            record = decoder.decode(row)
            del record["t"]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError) as error:
            raise InputError(f"{path}, line {number}, is no event: {error}") from None
        records.append({RENAMED.get(key, key): value for key, value in record.items()})
    return records


class Journal:
    """Appends events with the seconds since its opening. A subscriber of the event stream; usable in ``with``.

    A write that fails raises nothing, since events come in the middle of other work: ``failure`` has the error, which
    names the file, and nothing more is written.
    """

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self._file = LineFile(path)
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Write one event; a batch is flushed when the tree has been valued by it."""
        if self.failure is not None:
            return
        record = {"t": round(time.monotonic() - self._started, 4), **to_record(event)}
        try:
            self._file.write(json.dumps(record, separators=(",", ":"), allow_nan=False, default=str).encode())
            if record["event"] == "revalued":
                self._file.flush()
        except OSError as error:
            self.failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
