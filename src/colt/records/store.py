"""Putting records in, looking them up, pruning.

A store is a path: each call opens the file, does one short transaction and closes it, so that many processes share it
and nothing is held while kernels are timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from colt.records.file import PATIENCE_S, make, opened, transaction
from colt.records.record import MOST_MODULE, Key, RecordsError, StoredRecord, digest
from colt.util.text import why

MOST_PER_KEY = 16
"""Records of one program on one kind of machine; the slowest make room."""
MOST_LOOKED_AT = 500
"""How many records of a family are looked at: the fastest."""
MOST_OF_MACHINE = 200
"""How many records of all programs on a kind of machine are looked at: the newest."""
_ORDER = """verified DESC, instr(CAST(body AS TEXT), '"interval_us":[') = 0, latency_us"""
"""That of :meth:`~colt.records.record.StoredRecord.rank`."""
_LARGEST = 2**63 - 1
"""SQLite has no larger integer."""
_PUT = """
INSERT INTO records (structure, family, machine_key, versions, schedule, program, latency_us, verified, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (structure, machine_key, versions, schedule) DO UPDATE SET
    family = excluded.family, program = excluded.program, latency_us = excluded.latency_us,
    verified = excluded.verified, body = excluded.body
WHERE excluded.verified >= records.verified
"""
_TRIM = f"""
DELETE FROM records WHERE structure = ? AND machine_key = ? AND versions = ? AND id NOT IN (
    SELECT id FROM records WHERE structure = ? AND machine_key = ? AND versions = ?
    ORDER BY {_ORDER} LIMIT ?
)
"""
_FORGET = """
DELETE FROM programs WHERE hash NOT IN (SELECT program FROM records WHERE program IS NOT NULL)
"""
_DECODER = msgspec.json.Decoder(StoredRecord)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record by its number in the file."""

    number: int
    record: StoredRecord


@dataclass(frozen=True, slots=True)
class Matches:
    """What was looked up, best first. ``unreadable`` records are damaged or a stranger's, and left out."""

    records: tuple[Numbered, ...]
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """The records in a file. All methods raise :class:`~colt.records.record.RecordsError`."""

    path: Path
    patience_s: float = PATIENCE_S
    """How long to wait for others who write."""

    def put(self, records: Sequence[StoredRecord], programs: Mapping[str, str], *, create: bool = True) -> int:
        """Add records, all or none; ``programs`` has those of their stock forms, in base64, by hash.

        A schedule that is known gets its newest figures, except that an unverified record replaces no verified one.
        With ``create`` the file is made if there is none. Returns how many records were taken in.
        """
        taken = 0
        imported = any(record.origin.imported for record in records)
        if create:
            make(self.path)
        with opened(self.path, self.patience_s) as connection, transaction(connection):
            for name, module in programs.items():
                if len(module) > MOST_MODULE:
                    raise RecordsError(f"a program of more than {MOST_MODULE} characters is not kept")
                connection.execute(
                    f"INSERT OR {'IGNORE' if imported else 'REPLACE'} INTO programs VALUES (?, ?)", (name, module)
                )
            for record in records:
                taken += connection.execute(_PUT, _columns(record)).rowcount
            for key in {(r.key.program.structure, digest(r.key.machine), digest(r.key.versions)) for r in records}:
                connection.execute(_TRIM, (*key, *key, MOST_PER_KEY))
        return taken

    def require(self) -> None:
        """Raise unless the file is there, and one of records. Those that look something up find nothing in none."""
        with opened(self.path, self.patience_s):
            pass

    def known(self, key: Key) -> Matches:
        """The records of exactly that key, the best first."""
        names = key.program.structure, digest(key.machine), digest(key.versions)
        return self._found("structure = ? AND machine_key = ? AND versions = ?", names, MOST_PER_KEY)

    def relatives(self, key: Key) -> Matches:
        """Records of the same family for the same target and processor, those of the same program first, then the
        nearest by extents; those of :meth:`known` left out."""
        found = self._found("family = ?", (key.program.family,), MOST_LOOKED_AT)
        return Matches(tuple(nearest(found.records, key)), found.unreadable)

    def of_machine(self, key: Key) -> Matches:
        """The newest records of any program for that machine, math and versions."""
        names = digest(key.machine), digest(key.versions)
        return self._found("machine_key = ? AND versions = ?", names, MOST_OF_MACHINE, "id DESC")

    def all(self) -> Matches:
        """Every record."""
        return self._found("1", (), -1, "id")

    def __getitem__(self, number: int) -> StoredRecord:
        found = self._found("id = ?", (number,), 1) if number <= _LARGEST else Matches(())
        if not found.records:
            raise RecordsError(f"{self.path} has no record {number}" + (" that can be read" * found.unreadable))
        return found.records[0].record

    def programs(self, names: Sequence[str]) -> dict[str, str]:
        """Those of these programs that are known, in base64, by hash."""
        with opened(self.path, self.patience_s) as connection:
            rows = (connection.execute("SELECT hash, module FROM programs WHERE hash = ?", (n,)) for n in set(names))
            return {name: module for row in rows for name, module in row}

    def remove(self, numbers: Sequence[int]) -> int:
        """Remove records, and programs that none is left of; returns how many records are gone."""
        with opened(self.path, self.patience_s) as connection, transaction(connection):
            before = connection.total_changes
            connection.executemany("DELETE FROM records WHERE id = ?", [(number,) for number in numbers])
            gone = connection.total_changes - before
            connection.execute(_FORGET)
        return gone

    def _found(self, condition: str, values: Sequence[object], limit: int, order: str = _ORDER) -> Matches:
        if not self.path.exists():
            return Matches(())
        with opened(self.path, self.patience_s) as connection:
            query = f"SELECT id, body FROM records WHERE {condition} ORDER BY {order} LIMIT {limit}"
            rows = connection.execute(query, values).fetchall()
        read = list(_read(rows))
        return Matches(tuple(one for one in read if one is not None), sum(one is None for one in read))


def nearest(records: Sequence[Numbered], key: Key) -> list[Numbered]:
    """Those of relatives of ``key``, the nearest first, those of one program by what they promise."""
    usable = [one for one in records if one.record.key.program.family == key.program.family]
    usable = [one for one in usable if _is_relative(one.record.key, key)]
    return sorted(usable, key=lambda one: (*_distance(one.record.key, key), *_promise(one.record), one.number))


def _promise(record: StoredRecord) -> tuple[bool, bool, float]:
    """What is verified comes first, then what has won a run: its latency was timed in turn, others only once."""
    return not record.verified, record.interval_us is None, record.latency_us


def _read(rows: Sequence[tuple[int, bytes]]) -> Iterator[Numbered | None]:
    for number, body in rows:
        try:
            yield Numbered(number, _DECODER.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            yield None


def _columns(record: StoredRecord) -> tuple[object, ...]:
    key, stock = record.key, record.stock
    names = key.program.structure, key.program.family, digest(key.machine), digest(key.versions)
    program = None if stock is None else stock.program
    body = msgspec.json.encode(record)
    try:
        _DECODER.decode(body)  # nothing is written that would be refused when it is read
    except msgspec.MsgspecError as error:
        raise RecordsError(f"this is not a record: {why(error)}") from None
    return (*names, record.schedule_id, program, record.latency_us, record.verified, body)


def _is_relative(found: Key, wanted: Key) -> bool:
    """Records from MetaSchedule's databases do not say which processor they are of."""
    same_features = found.machine.features in ("", wanted.machine.features)
    return same_features and found.machine.target == wanted.machine.target and found != wanted


def _distance(found: Key, wanted: Key) -> tuple[bool, float]:
    """First whether it is another program, then how far the extents are apart, as logarithms."""
    one, other = found.program, wanted.program
    if one.structure == other.structure:
        return False, float(found.machine != wanted.machine)
    pairs = zip(one.extents, other.extents, strict=False)
    apart = sum(abs(math.log((a + 1) / (b + 1))) for a, b in pairs)
    return True, apart + abs(len(one.extents) - len(other.extents))
