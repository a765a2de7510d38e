"""The recording of a run: every answer that it got from outside, one JSON object a line, in the order of asking.

The first line holds the version of the format. Every other one has its own number, the number of the question (those
to which the answer is nothing new are left out), what was asked, and the answer. A recording is read as data from
strangers: types and ranges are checked, and nothing in it is ever evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from colt.errors import InputError
from colt.util.files import LineFile, read_file
from colt.world.answers import AnyAnswer, Spent

SCHEMA = 2
"""1: texts for people and for language models were worded differently."""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line."""

    schema: int


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer."""

    line: int
    question: int
    asked: str
    answer: AnyAnswer


class RecordingWriter:
    """Writes answers as they come: into memory until there is a file, then each at once.

    A write that fails raises nothing, since answers come in the middle of other work: ``failure`` has the error, which
    names the file, and nothing more is written.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self._early = [msgspec.json.encode(Header(schema=SCHEMA))]
        self._file: LineFile | None = None
        self._count = 1

    def write(self, question: int, asked: str, answer: AnyAnswer) -> None:
        """Append an answer."""
        self._count += 1
        line = msgspec.json.encode(Line(line=self._count, question=question, asked=asked, answer=answer))
        if self._file is None:
            self._early.append(line)
        else:
            self._put(self._file, line)

    def open(self, path: Path) -> None:
        """Write what there is, and from now on everything at once, into a new file. To be called once.

        Raises :class:`OSError` if the file can't be made.
        """
        self._file = LineFile(path)
        self._put(self._file, *self._early)
        self._early.clear()

    def close(self) -> None:
        """End the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _put(self, file: LineFile, *lines: bytes) -> None:
        if self.failure is not None:
            return
        try:
            for line in lines:
                file.write(line)
            file.flush()
        except OSError as error:
            self.failure = error


@dataclass(frozen=True, slots=True)
class Recording:
    """The answers of a run, in the order of asking."""

    schema: int
    lines: tuple[Line, ...]

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its last answer says where the time went."""
        return bool(self.lines) and isinstance(self.lines[-1].answer, Spent)


def read_recording(path: Path, *, unfinished: bool = False) -> Recording:
    """All answers of a run; with ``unfinished`` also of one that broke off, less a last line that is torn.

    Raises
    ------
    InputError
        There is no such file, it is damaged or cut short (the message names the line), or it is of another version.
    """
    try:
        rows = read_file(path).split(b"\n")
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no recording: there is no {path.name}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    schema = _read_header(path, rows[0])
    decoder = msgspec.json.Decoder(Line)
    lines: list[Line] = []
    for number, row in enumerate(rows[1:-1], 2):
        try:
            line = decoder.decode(row)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}, is damaged: {error}") from None
        if line.line != number or line.question <= (lines[-1].question if lines else 0):
            raise InputError(f"{path}, line {number}, is not where it was written: lines before it are missing or new")
        lines.append(line)
    recording = Recording(schema, tuple(lines))
    if not unfinished and (rows[-1] or not recording.finished):
        raise InputError(f"{path} is cut short after line {len(lines) + 1}: it does not end as that of a finished run")
    return recording


def _read_header(path: Path, row: bytes) -> int:
    try:
        header = msgspec.json.decode(row, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}, line 1, is not the head of a recording: {error}") from None
    if not 1 <= header.schema <= SCHEMA:
        raise InputError(f"{path} has schema {header.schema}; this version of COLT reads 1 to {SCHEMA}")
    return header.schema
