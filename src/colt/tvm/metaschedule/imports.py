"""Records from elsewhere: another store, JSON lines, a run directory, a MetaSchedule database.

All of it is a stranger's. It is read as data, programs are identified in a process of their own, and everything counts
as imported and not verified.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from colt.errors import InputError
from colt.records.database import StockLine, read_database
from colt.records.lines import Imported, as_imported, read_lines
from colt.records.record import MOST_NAME, UNDATED, Key, MachineKey, Origin, ProgramKey, StoredRecord, Versions
from colt.records.sources import SourceKind, require_source
from colt.records.store import Numbered, Store
from colt.store.receipt import load_receipt
from colt.tvm.metaschedule.identify import identified
from colt.util.files import read_file
from colt.util.text import why
from colt.util.version import versions

MOST_FILE = 2**30
"""Bytes of a file of JSON lines."""
MOST_OF_DATABASE = 64
"""How many records of each program of a database are read: the fastest."""


@dataclass(frozen=True, slots=True)
class Source:
    """What was read, and what of it was left out."""

    records: tuple[StoredRecord, ...]
    programs: dict[str, str]
    refused: tuple[str, ...]

    def matches(self) -> list[Numbered]:
        """The records, numbered."""
        return [Numbered(number, record) for number, record in enumerate(self.records)]


def read_source(path: Path) -> Source:
    """Read it. Raises :class:`InputError`, or RecordsError for a store that cannot be used."""
    kind = require_source(path)
    if kind is SourceKind.DATABASE:
        return _of_database(path)
    if kind is SourceKind.LINES:
        try:
            if path.stat().st_size > MOST_FILE:
                raise InputError(f"{path} is larger than {MOST_FILE} bytes")
            found: Imported = read_lines(read_file(path), str(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        return Source(found.records, dict(found.programs), found.refused)
    store = Store(path)
    matches = store.all()
    records = tuple(as_imported(one.record) for one in matches.records)
    names = [record.stock.program for record in records if record.stock is not None]
    refused = (f"{matches.unreadable} records cannot be read",) if matches.unreadable else ()
    return Source(records, store.programs(names), refused)


def _of_database(folder: Path) -> Source:
    database, name = read_database(folder), _name_of(folder)
    refused = list(database.refused)
    numbers = sorted({line.program for line in database.lines})
    keys = dict(zip(numbers, identified([database.programs[number][1] for number in numbers]), strict=True))
    refused += [f"program {number} of {folder} cannot be read" for number, key in keys.items() if key is None]
    records: list[StoredRecord] = []
    for number in numbers:
        program = keys[number]
        if program is not None:
            lines = sorted((each for each in database.lines if each.program == number), key=lambda one: one.latency_us)
            found = (_record(folder, name, program, line, refused) for line in lines[:MOST_OF_DATABASE])
            records += [record for record in found if record is not None]
    programs = {database.programs[n][0]: database.programs[n][1] for n in numbers if keys[n] is not None}
    return Source(tuple(records), programs, tuple(refused))


def _name_of(folder: Path) -> str:
    """What the program is called: as a run's receipt says, or else as the folder is called."""
    try:
        name = load_receipt(folder, links=False).workload.name
    except InputError:  # no run's folder, or one without a result
        name = folder.absolute().name
    return name[:MOST_NAME]


def _record(folder: Path, name: str, program: ProgramKey, line: StockLine, refused: list[str]) -> StoredRecord | None:
    """``None`` if the line cannot be one of a record."""
    try:
        target = json.loads(line.form.target)
        cores = target.pop("num-cores", 1)
        record = StoredRecord(
            name=name,
            key=Key(
                program=program,
                machine=MachineKey(
                    target=json.dumps(target, sort_keys=True), features="", threads=cores, exact_math=False
                ),
                versions=Versions(tvm=versions()["apache-tvm"]),
            ),
            latency_us=line.latency_us,
            verified=False,
            machine="",
            cpu="",
            origin=Origin(by="a database", when=UNDATED, run=folder.absolute().name[:MOST_NAME], imported=True),
            stock=line.form,
        )
        return msgspec.convert(msgspec.to_builtins(record), StoredRecord)
    except (msgspec.MsgspecError, AttributeError, ValueError, RecursionError) as error:
        refused.append(f"a record of {folder}: {why(error)}")
        return None
