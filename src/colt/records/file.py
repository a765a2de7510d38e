"""The file of records: recognised before SQLite touches it, made whole or not at all, migrated when it is older.

Several processes may write at once. SQLite's write-ahead log keeps readers and writers apart; who writes waits for
whoever does, for :data:`PATIENCE_S` at most. What was acknowledged is on the disk.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from colt.records.record import RecordsError
from colt.records.schema import APPLICATION, MIGRATIONS, VERSION

PATIENCE_S = 10.0
_HEADER = b"SQLite format 3\0"
_HEADER_BYTES = 100
_MOMENT_S = 0.05
"""After which what looks torn is looked at again: another process may have finished writing it just then."""


@contextmanager
def opened(path: Path, patience_s: float = PATIENCE_S) -> Iterator[sqlite3.Connection]:
    """A connection to an existing file of records, of the present version. Close nothing; commit what is to stay.

    Raises
    ------
    RecordsError
        The file is not one of records, is torn, is of a newer version, is locked for too long, or the disk is full.
        Of what was begun nothing is kept.
    """
    with _explained(path):
        require_ours(path)
        with closing(sqlite3.connect(_address(path), uri=True, timeout=patience_s, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")  # what is acknowledged survives a power cut
            connection.execute("PRAGMA trusted_schema = OFF")
            _migrate(path, connection)
            yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written within is kept as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def make(path: Path) -> None:
    """Make an empty file of records, unless there is one. Raises :class:`RecordsError`."""
    if path.exists():
        return
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            made = Path(folder) / path.name
            with closing(sqlite3.connect(made, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                _apply(connection, 0)
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):  # somebody else was faster
                os.link(made, path)


def require_ours(path: Path) -> None:
    """Raise :class:`RecordsError` unless the file begins as a whole file of records does. Reads, and writes nothing."""
    if not path.is_file():
        raise RecordsError(
            f"{path} is not a file of records: {'it is not a file' if path.exists() else 'it does not exist'}"
        )
    head = _head(path)
    if not head.startswith(_HEADER) or len(head) < _HEADER_BYTES or _number(head, 68, 4) != APPLICATION:
        raise RecordsError(f"{path} is not a file of records of COLT; it was left as it is")
    if _is_short(path) and _is_short(path, _MOMENT_S):
        raise RecordsError(f"{path} is torn: it is shorter than it says; it was left as it is")
    version = _number(head, 60, 4)
    if version > VERSION:
        raise RecordsError(
            f"{path} has version {version} of records, this COLT reads 1 to {VERSION}; it was left as it is"
        )


def _is_short(path: Path, after_s: float = 0.0) -> bool:
    """Whether pages are missing that the file says it has.

    While there is a log, others may be writing pages, the first of them first: SQLite itself will find out.
    """
    time.sleep(after_s)
    head, size, log = _head(path), path.stat().st_size, path.with_name(f"{path.name}-wal")
    page = _number(head, 16, 2)
    page = 65536 if page == 1 else page
    return (page < 512 or size % page != 0 or size < page * _number(head, 28, 4)) and not log.exists()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _number(head: bytes, place: int, length: int) -> int:
    return int.from_bytes(head[place : place + length], "big")


def _address(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=rw"


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    """Bring an older file up to date, and no other."""
    if _version(connection) < VERSION:
        with transaction(connection):
            _apply(connection, _version(connection))  # read again: another process may have done it meanwhile
    if (version := _version(connection)) > VERSION:
        raise RecordsError(f"{path} has version {version} of records, this COLT reads 1 to {VERSION}")


def _apply(connection: sqlite3.Connection, version: int) -> None:
    for statements in MIGRATIONS[version:]:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system, with the name of the file."""
    try:
        yield
    except sqlite3.Error as error:
        reason = "the disk is full" if _is_full(path.parent) else _in_words(error)  # SQLite says "disk I/O error" then
        raise RecordsError(f"{path} cannot be used: {reason}") from None
    except OSError as error:
        raise RecordsError(f"{path} cannot be used: {error.strerror or error}") from None


_WORDS = {
    sqlite3.SQLITE_BUSY: "another process has kept it locked for too long",
    sqlite3.SQLITE_LOCKED: "another process has kept it locked for too long",
    sqlite3.SQLITE_READONLY: "it may not be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
    sqlite3.SQLITE_IOERR: "the disk cannot read or write it",
    sqlite3.SQLITE_FULL: "the disk is full",
}


def _in_words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it says which kind of that
    return _WORDS.get(code, str(error))


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False
