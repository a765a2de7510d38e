"""The journal: every event of a run, one JSON object a line, in the order of happening."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from colt.errors import IllegalEdit, InputError, ReplayError
from colt.events import Event, to_record
from colt.knobs import Edit, Jump
from colt.moves import Move, read_move
from colt.search.types import Proposal, ProposalError
from colt.util.files import LineFile, read_file
from colt.util.text import why

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
            raise InputError(f"{path}, line {number}, is not an event: {why(error)}") from None
        records.append({RENAMED.get(key, key): value for key, value in record.items()})
    return records


def said_before(path: Path) -> dict[tuple[int, str], Proposal | ProposalError]:
    """What members have answered according to a journal, by ticket and member, so that nobody has to think it again.

    A run that goes on compares all of it with what follows. What can't be read is left out: it is thought again.
    """
    found: dict[tuple[int, str], Proposal | ProposalError] = {}
    decoder = msgspec.json.Decoder(_Said)
    for row in read_file(path).splitlines() if path.is_file() else ():
        if b'"event":"proposed"' not in row:
            continue
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IllegalEdit):
            said = decoder.decode(row)
            steps = tuple(tuple(_step(one) for one in each) for each in said.transformations)
            answer = ProposalError(said.error) if said.error else Proposal(steps, said.next_member, said.why)
            found[said.ticket, said.by] = answer
    return found


class _EditSaid(msgspec.Struct, forbid_unknown_fields=True):
    knob: str
    value: int | str | tuple[int, ...] | None


class _JumpSaid(msgspec.Struct, forbid_unknown_fields=True):
    jump: tuple[str, str]


class _MoveSaid(msgspec.Struct, forbid_unknown_fields=True):
    move: str


class _Said(msgspec.Struct):
    """The record of a member's answer."""

    ticket: int
    by: str
    transformations: tuple[tuple[dict[str, Any], ...], ...]
    next_member: str
    why: str
    error: str


def _step(said: dict[str, Any]) -> Edit | Jump | Move:
    """Raises :class:`msgspec.ValidationError` or :class:`IllegalEdit`."""
    if "move" in said:
        return read_move(msgspec.convert(said, _MoveSaid).move)
    if "jump" in said:
        return Jump(*msgspec.convert(said, _JumpSaid).jump)
    edit = msgspec.convert(said, _EditSaid)
    return Edit(edit.knob, edit.value)


class Journal:
    """Appends events with the seconds since the run began. A subscriber of the event stream; usable in ``with``.

    The journal of a run that goes on is *followed*: events that it has are compared with it and not written again.
    Until :meth:`go_live` they have to be the same. From there on, whatever it has beyond the first other event gives
    way to what happens now.

    A write that fails raises nothing, since events come in the middle of other work: ``failure`` has the error, which
    names the file, and nothing more is written.
    """

    def __init__(self, path: Path, follow: bool = False) -> None:
        """Create the file, or ``follow`` the one that is there. Raises :class:`OSError`."""
        self.failure: OSError | None = None
        self._path = path
        self._past = _Past(read_file(path)) if follow else None
        self._file = None if follow else LineFile(path)
        self._live = not follow
        self._ahead: list[bytes] = []
        """Events that a followed journal lacks, before it is written to."""
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Write one event; a batch is flushed when the tree has been valued by it.

        Raises :class:`ReplayError` where a followed journal has another one.
        """
        if self.failure is not None:
            return
        record = to_record(event)
        row = json.dumps(record, separators=(",", ":"), allow_nan=False, default=str).encode()[1:]
        if self._past is not None and not self._past.over:
            if self._past.next_is(row):
                return
            if not self._live:
                raise ReplayError(f"line {self._past.number} of {self._path.name} is not {{{row.decode()}")
        if not self._live:
            self._ahead.append(row)
            return
        self._write(row, flush=record["event"] == "revalued")

    def stop(self, why: OSError) -> None:
        """Write nothing more: something else of the run is not there any more."""
        self.failure = self.failure or why

    def go_live(self, seconds: float) -> None:
        """Write from here on; the run has taken so many seconds."""
        self._started = time.monotonic() - seconds
        self._live = True
        ahead, self._ahead = self._ahead, []
        for row in ahead:
            self._write(row, flush=False)

    def _write(self, row: bytes, flush: bool) -> None:
        try:
            if self._file is None:
                assert self._past is not None
                self._file = LineFile(self._path, keep=self._past.end())
            self._file.write(b'{"t":%s,%s' % (json.dumps(round(time.monotonic() - self._started, 4)).encode(), row))
            if flush:
                self._file.flush()
        except OSError as error:
            self.failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError) if self.failure is not None else nullcontext():
                self._file.close()


class _Past:
    """What a followed journal holds, line by line; a last one that is torn does not count."""

    def __init__(self, content: bytes) -> None:
        self._rows = content.split(b"\n")[:-1]
        self._passed = 0
        self._end = 0

    @property
    def number(self) -> int:
        """The number of the next line."""
        return self._passed + 1

    @property
    def over(self) -> bool:
        """Whether there is no further line."""
        return self._passed == len(self._rows)

    def next_is(self, row: bytes) -> bool:
        """Whether the next line holds this event; then it is passed."""
        line = self._rows[self._passed]
        if line.partition(b",")[2] != row:
            return False
        self._passed += 1
        self._end += len(line) + 1
        return True

    def end(self) -> int:
        """The size in bytes of what was passed; there is nothing more from here on."""
        del self._rows[self._passed :]
        return self._end
