"""Tables for terminals of any width: cells wrap between words, and a table that is too wide all the same is turned."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_BORDERS = 3
"""Characters for each column, and one for all: lines and the space beside them."""


@dataclass(frozen=True)
class Grid:
    """A table in words. ``left`` are the places of columns that are set to the left; figures are set to the right.

    Where not even the longest words of all columns fit side by side, names stand below each other and rows side by
    side, as many as fit.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Collection[int] = (0,)
    title: str = ""
    note: str = ""
    """What stands below it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as there is room."""
        yield from [Text(self.title, style="italic")] if self.title else []
        columns = [[name, *(row[at] for row in self.rows)] for at, name in enumerate(self.head)]
        if _least(columns) <= options.max_width:
            yield _drawn(columns, self.left, options.max_width)
        else:
            yield from self._turned(options.max_width)
        yield from [Text(self.note, style="dim")] if self.note else []

    def _turned(self, room: int) -> Iterator[Table]:
        beside: list[Sequence[str]] = []
        for row in self.rows:
            if beside and _least([self.head, *beside, row]) > room:
                yield _drawn([self.head, *beside], range(len(beside) + 1), room)
                beside = []
            beside.append(row)
        yield _drawn([self.head, *beside], range(len(beside) + 1), room)


def _least(columns: Sequence[Sequence[str]]) -> int:
    """The width in which no word is broken."""
    return 1 + sum(_BORDERS + _longest_word(column) for column in columns)


def _longest_word(column: Sequence[str]) -> int:
    return max((cell_len(word) for cell in column for word in cell.split()), default=0)


def _drawn(columns: Sequence[Sequence[str]], left: Collection[int], room: int) -> Table:
    table = Table()
    for at, (column, width) in enumerate(zip(columns, _widths(columns, room), strict=True)):
        table.add_column(Text(column[0]), width=width, justify="left" if at in left else "right", overflow="fold")
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Widths of columns: those of their texts, or less if there is no room: the widest beyond its words gives way."""
    least = [_longest_word(column) for column in columns]
    widths = [max(map(cell_len, column), default=0) for column in columns]
    while sum(widths) + _BORDERS * len(widths) + 1 > room:
        spare, at = max((width - word, at) for at, (width, word) in enumerate(zip(widths, least, strict=True)))
        if spare <= 0:
            break  # a word is longer than the terminal is wide, and is folded
        widths[at] -= 1
    return widths
