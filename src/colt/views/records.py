"""Records as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from colt.records.record import UNDATED
from colt.records.store import Numbered
from colt.util.text import in_us

_LONGEST = 40


def records_table(records: Sequence[Numbered]) -> Table:
    """One line for each record, in the order given."""
    table = Table()
    for name in ("no", "program", "extents", "latency us", "threads", "sketch", "by", "found", "run", "verified"):
        table.add_column(name, justify="right" if name in ("no", "latency us", "threads") else "left")
    for one in records:
        table.add_row(str(one.number), *_cells(one))
    return table


def _cells(one: Numbered) -> list[str]:
    record = one.record
    words, origin = record.words, record.origin
    extents = "x".join(map(str, dict.fromkeys(record.key.program.extents)))
    cells = [
        record.name,
        extents,
        in_us(record.latency_us),
        str(record.key.machine.threads),
        "as a trace" if words is None else f"{words.variant}/{words.sketch}",
        origin.by,
        "-" if origin.when == UNDATED else origin.when[:10],
        origin.run,
        "yes" if record.verified else "imported" if origin.imported else "no",
    ]
    return [_printable(cell) for cell in cells]


def _printable(text: str) -> str:
    """Without control characters, which a stranger's record may hold, and not too long."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
