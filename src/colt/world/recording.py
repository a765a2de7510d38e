"""The recording of a run: every answer that it got from outside, one JSON object a line, in the order of asking.

The first line holds the version of the format. Every other one has its own number, the number of the question (those
to which the answer is nothing new are left out), what was asked, and the answer. A recording is read as data from
strangers: types and ranges are checked, and nothing in it is ever evaluated.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from colt.errors import InputError
from colt.util.files import LineFile, read_file
from colt.world.answers import AnyAnswer, Spent

SCHEMA = 1


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
    """Writes lines as they come: into memory until there is a file, then each at once."""

    def __init__(self) -> None:
        self._lines = [msgspec.json.encode(Header(schema=SCHEMA))]
        self._file: LineFile | None = None
        self._count = 1

    def write(self, question: int, asked: str, answer: AnyAnswer) -> None:
        """Append an answer. Raises :class:`OSError`, which names the file; the lines before are in it."""
        self._count += 1
        line = msgspec.json.encode(Line(line=self._count, question=question, asked=asked, answer=answer))
        if self._file is None:
            self._lines.append(line)
        else:
            self._put(self._file, line)

    def open(self, path: Path) -> None:
        """Write what there is, and from now on everything at once, into a new file. To be called once."""
        self._file = LineFile(path)
        for line in self._lines:
            self._put(self._file, line)
        self._lines.clear()

    def close(self) -> None:
        """End the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _put(self, file: LineFile, line: bytes) -> None:
        file.write(line)
        file.flush()


def read_recording(path: Path) -> list[Line]:
    """All answers of a run that has come to its end.

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
    _check_header(path, rows[0])
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
    if rows[-1] or not lines or not isinstance(lines[-1].answer, Spent):
        raise InputError(f"{path} is cut short after line {len(lines) + 1}: it does not end as that of a finished run")
    return lines


def _check_header(path: Path, row: bytes) -> None:
    try:
        header = msgspec.json.decode(row, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}, line 1, is not the head of a recording: {error}") from None
    if header.schema != SCHEMA:
        raise InputError(f"{path} has schema {header.schema}; this version of COLT reads {SCHEMA}")
