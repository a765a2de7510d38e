"""Records as JSON lines, for other people and other stores.

The first line says what the file is. A program comes before its records. Whatever is read is checked, and counts as
imported and not verified: it is measured before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from colt.errors import InputError
from colt.records.record import StoredRecord, Strict
from colt.util.text import why

FORMAT = 1
MOST_LINE = 24 * 2**20
"""Bytes of a line."""


class Head(Strict, frozen=True, tag_field="kind", tag="colt records"):
    """The first line."""

    format: int


class ProgramLine(Strict, frozen=True, tag_field="kind", tag="program"):
    """A program of MetaSchedule's, in base64, by its hash there."""

    hash: str
    module: str


class RecordLine(Strict, frozen=True, tag_field="kind", tag="record"):
    """A record."""

    record: StoredRecord


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file from elsewhere holds. ``refused`` says why something of it is left out."""

    records: tuple[StoredRecord, ...]
    programs: Mapping[str, str]
    refused: tuple[str, ...] = ()


def write_lines(records: Iterable[StoredRecord], programs: Mapping[str, str]) -> bytes:
    """The records, and those of the ``programs`` that they are of."""
    lines: list[Head | ProgramLine | RecordLine] = [Head(format=FORMAT)]
    written: set[str] = set()
    for record in records:
        name = "" if record.stock is None else record.stock.program
        if name in programs and name not in written:
            written.add(name)
            lines.append(ProgramLine(hash=name, module=programs[name]))
        lines.append(RecordLine(record=record))
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def read_lines(content: bytes, name: str) -> Imported:
    """What such a file holds; a line that cannot be read is refused, with its number.

    Raises :class:`InputError` if it is not one; ``name`` is what messages call it.
    """
    rows = content.split(b"\n")
    _require_head(rows[0], name)
    records: list[StoredRecord] = []
    programs: dict[str, str] = {}
    refused: list[str] = []
    for number, row in enumerate(rows[1:], 2):
        if not row.strip():
            continue
        try:
            line = _decoded(row)
        except ValueError as error:
            refused.append(f"{name}, line {number}: {why(error)}")
            continue
        if isinstance(line, ProgramLine):
            programs[line.hash] = line.module
        else:
            records.append(as_imported(line.record))
    return Imported(tuple(records), programs, tuple(refused))


def as_imported(record: StoredRecord) -> StoredRecord:
    """The record as one that nobody here has seen proof of."""
    origin = msgspec.structs.replace(record.origin, imported=True)
    return msgspec.structs.replace(record, verified=False, origin=origin)


def _require_head(row: bytes, name: str) -> None:
    try:
        head = msgspec.json.decode(row, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{name} does not begin as records of COLT in JSON lines do") from None
    if head.format != FORMAT:
        raise InputError(f"{name} has format {head.format} of records; this COLT reads {FORMAT}")


_LINES = msgspec.json.Decoder(ProgramLine | RecordLine)


def _decoded(row: bytes) -> ProgramLine | RecordLine:
    if len(row) > MOST_LINE:
        raise ValueError(f"it is longer than {MOST_LINE} bytes")
    try:
        line: ProgramLine | RecordLine = _LINES.decode(row)
        return line
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
