"""MetaSchedule's JSON databases: two files of lines, which any stock TVM may have written, or anybody else.

They are read as JSON and written as text. No program and no trace of them is handed to TVM here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.records.record import MOST_MODULE, MOST_TRACE, StockForm, StoredRecord
from colt.store.directory import RECORDS, WORKLOADS
from colt.util.files import read_file, write_atomically
from colt.util.text import why

FAILED_SECONDS = 1e9
"""From here on a latency stands for a candidate that did not run."""
_WORKLOAD = msgspec.json.Decoder(tuple[str | int, str])
_LINE = msgspec.json.Decoder(tuple[int, tuple[Any, list[float] | float | None, Any, Any]])


@dataclass(frozen=True, slots=True)
class StockLine:
    """One record of a database that ran: its program's number there, what it holds, and its latency."""

    program: int
    form: StockForm
    latency_us: float


@dataclass(frozen=True, slots=True)
class StockDatabase:
    """``programs`` are hashes and base64, as they stand in the file; ``refused`` says what is left out, and why."""

    programs: tuple[tuple[str, str], ...]
    lines: tuple[StockLine, ...]
    refused: tuple[str, ...]


def is_database(folder: Path) -> bool:
    """Whether the folder holds the two files; run directories do."""
    return (folder / WORKLOADS).is_file() and (folder / RECORDS).is_file()


def read_database(folder: Path) -> StockDatabase:
    """All that can be read of a database. Raises :class:`InputError` if its files cannot be."""
    refused: list[str] = []
    programs = [_workload(row, refused) for row in _rows(folder / WORKLOADS)]
    lines = []
    for number, row in enumerate(_rows(folder / RECORDS), 1):
        try:
            line = _line(row, programs)
        except (ValueError, RecursionError) as error:
            refused.append(f"{RECORDS}, line {number}: {why(error)}")
        else:
            lines += [] if line is None else [line]
    return StockDatabase(tuple(programs), tuple(lines), tuple(refused))


def write_database(folder: Path, records: Sequence[StoredRecord], programs: Mapping[str, str]) -> int:
    """Write the records whose stock forms and programs are known; returns how many. Raises :class:`OSError`."""
    usable = [r for r in records if r.stock is not None and r.stock.program in programs]
    names = list(dict.fromkeys(r.stock.program for r in usable if r.stock is not None))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WORKLOADS, _text(f"[{json.dumps(name)},{json.dumps(programs[name])}]" for name in names))
    write_atomically(folder / RECORDS, _text(_written(record, names) for record in usable))
    return len(usable)


def _written(record: StoredRecord, names: Sequence[str]) -> str:
    stock = record.stock
    assert stock is not None
    seconds = json.dumps([record.latency_us / 1e6])
    return f"[{names.index(stock.program)},[{stock.trace},{seconds},{stock.target},{stock.arguments}]]"


def _text(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _rows(path: Path) -> list[bytes]:
    try:
        return [row for row in read_file(path).split(b"\n") if row.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _workload(row: bytes, refused: list[str]) -> tuple[str, str]:
    """Hash and base64; both empty for a line that cannot be read, so that the others keep their numbers."""
    try:
        name, module = _WORKLOAD.decode(row)
        if not str(name).isdecimal() or len(str(name)) > 20 or len(module) > MOST_MODULE:
            raise ValueError("it is no hash with a program of reasonable size")
    except (ValueError, RecursionError) as error:
        refused.append(f"{WORKLOADS}: {why(error)}")
        return "", ""
    return str(name), module


def _line(row: bytes, programs: Sequence[tuple[str, str]]) -> StockLine | None:
    """``None`` for a candidate that did not run."""
    number, (trace, seconds, target, arguments) = _LINE.decode(row)
    if not 0 <= number < len(programs) or not programs[number][0]:
        raise ValueError(f"there is no program {number}")
    latencies = [seconds] if isinstance(seconds, float | int) else seconds or []
    if not latencies or any(not 0 < one < FAILED_SECONDS for one in latencies):
        return None
    parts = [json.dumps(part, separators=(",", ":"), allow_nan=False) for part in (trace, target, arguments)]
    if len(parts[0]) > MOST_TRACE:
        raise ValueError("its trace is too long")
    fields = {"program": programs[number][0], "trace": parts[0], "target": parts[1], "arguments": parts[2]}
    form = msgspec.convert(fields, StockForm)
    return StockLine(number, form, min(sum(latencies) / len(latencies) * 1e6, 1e15))
