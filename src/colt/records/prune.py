"""Which records to remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from colt.errors import InputError
from colt.records.record import digest
from colt.records.store import Numbered


def to_remove(records: Sequence[Numbered], keep: int | None, before: str | None, unverified: bool) -> list[int]:
    """The numbers of records that are unverified, were found before a day (ISO), or are not among the
    best ``keep`` of their key; ``records`` are in their order, the best first.

    Raises :class:`InputError` for a day that is none.
    """
    day = "" if before is None else _day(before)
    counts: Counter[str] = Counter()
    gone = []
    for one in records:
        record = one.record
        old, unproven = record.origin.when < day, unverified and not record.verified
        if not old and not unproven:
            key = digest(record.key)
            counts[key] += 1
            if keep is None or counts[key] <= keep:
                continue
        gone.append(one.number)
    return gone


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InputError(f"--before is {text!r}; it takes a day such as 2026-01-31") from None
