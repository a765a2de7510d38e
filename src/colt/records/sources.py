"""What records can be read from: another store, JSON lines, a run directory, a MetaSchedule database."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from colt.errors import InputError
from colt.records.database import is_database
from colt.records.file import require_ours

_SQLITE = b"SQLite format 3\0"


class SourceKind(Enum):
    """What a path holds."""

    STORE = "a file of records"
    LINES = "records as JSON lines"
    DATABASE = "a MetaSchedule database"


def require_source(path: Path) -> SourceKind:
    """What kind of source that is. Raises :class:`InputError`, or RecordsError for a store that cannot be used."""
    accepted = "a run directory, a file of records, records as JSON lines, or the folder of a MetaSchedule JSONDatabase"
    try:
        if path.is_dir() and is_database(path):
            return SourceKind.DATABASE
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(len(_SQLITE))
            if head != _SQLITE:
                return SourceKind.LINES
            require_ours(path)
            return SourceKind.STORE
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    what = "holds no database" if path.is_dir() else "does not exist" if not path.exists() else "is not a file"
    raise InputError(f"{path} {what}; records are read from {accepted}")
