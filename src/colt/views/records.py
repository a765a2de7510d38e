"""Records as a table."""

from __future__ import annotations

from collections.abc import Sequence

from colt.records.record import UNDATED
from colt.records.store import Numbered
from colt.util.grid import Grid
from colt.util.text import in_us, shown

_HEAD = ("no", "program", "extents", "latency", "timed", "threads", "sketch", "by", "found", "run", "verified")
_LONGEST = 40


def records_table(records: Sequence[Numbered]) -> Grid:
    """One line for each record, in the order given. Latencies that were timed in turn, as those of winners are, and
    those that a search saw once are not to be compared."""
    return Grid(_HEAD, [[str(one.number), *_cells(one)] for one in records], left=(1, 2, 4, 6, 7, 8, 9, 10))


def _cells(one: Numbered) -> list[str]:
    record = one.record
    words, origin = record.words, record.origin
    extents = "x".join(map(str, dict.fromkeys(record.key.program.extents)))
    cells = [
        record.name,
        extents,
        in_us(record.latency_us),
        "once" if record.interval_us is None else "in turn",
        str(record.key.machine.threads),
        "as a trace" if words is None else f"{words.variant}/{words.sketch}",
        origin.by,
        "-" if origin.when == UNDATED else origin.when[:10],
        origin.run,
        "yes" if record.verified else "imported" if origin.imported else "no",
    ]
    return [_cell(text) for text in cells]


def _cell(text: str) -> str:
    """As it is shown, and not too long: a stranger's record may hold anything."""
    cell = shown(text)
    return cell if len(cell) <= _LONGEST else f"{cell[: _LONGEST - 1]}…"
