"""What a chart shows, whoever draws it: series of points over two axes, or values of knobs side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

Number = float | int | None
Kind = Literal["points", "line", "steps", "bars", "spans"]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C6BB1", "#B8A900")
"""Okabe and Ito's colours, which colour-blind readers tell apart; yellow is darkened, for white paper."""
GREY = "#888888"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
"""What goes with the colours, for readers and printers without any."""


def colour_of(place: int) -> str:
    """The colour of the member at that place; grey for a negative one. Later ones begin anew."""
    return PALETTE[place % len(PALETTE)] if place >= 0 else GREY


def symbol_of(place: int) -> str:
    """The marker that goes with :func:`colour_of`."""
    return SYMBOLS[(place + place // len(PALETTE)) % len(SYMBOLS)] if place >= 0 else "circle"


def figures(value: float) -> str:
    """Four digits, without powers of ten."""
    digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class Told(Sequence[str]):
    """What hovering over each of many points says, made when it is looked at: of ten thousand some are drawn."""

    things: Sequence[Any]
    tell: Callable[[Any], str]

    def __len__(self) -> int:
        return len(self.things)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Told: ...
    def __getitem__(self, at: int | slice) -> str | Told:
        return Told(self.things[at], self.tell) if isinstance(at, slice) else self.tell(self.things[at])


@dataclass(frozen=True)
class Series:
    """One thing that a chart shows. ``spans`` are horizontal bars from ``x`` to ``x_end`` in the row ``y``."""

    name: str
    x: Sequence[Number | str]
    y: Sequence[Number | str]
    kind: Kind = "points"
    place: int = -1
    """The place of its colour and marker in the palette."""
    texts: Sequence[str] = ()
    """What hovering over each point says."""
    x_end: Sequence[Number] = ()
    dashed: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """Series over two axes. ``empty`` is what is said where there is nothing to draw."""

    id: str
    title: str
    x_title: str
    y_title: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    stacked: bool = False
    empty: str = "nothing to draw"
    height: int = 360
    legend: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether no series has a point."""
        return not any(len(one.x) for one in self.series)

    def rows(self) -> list[list[object]]:
        """The data as a table, the heading first."""
        found: list[list[object]] = [["series", self.x_title, "until", self.y_title, "note"]]
        for one in self.series:
            for at, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
                until = one.x_end[at] if one.x_end else None
                found.append([one.name, x, until, y, one.texts[at] if one.texts else ""])
        return found


MOST_LINES = 300
"""Lines of a :class:`Parallel` that are drawn, so that it pans smoothly and can be read; its CSV has all of them."""


GROUPS = (("the fastest tenth", 0.1, 0), ("the next 40 %", 0.5, 2), ("the slower half", 1.0, -1))
"""Lines of a :class:`Parallel` by their share of all, the fastest first, and the place of their colour."""


@dataclass(frozen=True)
class Dimension:
    """One axis of a :class:`Parallel`: where each line crosses it, and the words at some places."""

    label: str
    at: Sequence[float]
    ticks: Sequence[tuple[float, str]] = ()

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest place of all lines: each of very many is scaled by them."""
        return min(self.at), max(self.at)

    def scaled(self, value: float) -> float:
        """A value's height on the axis, from 0 to 1."""
        low, high = self.ends
        return 0.5 if low == high else (value - low) / (high - low)


@dataclass(frozen=True)
class Parallel:
    """A line for each trial across all knobs of a sketch, coloured by latency."""

    id: str
    title: str
    dimensions: Sequence[Dimension]
    latency_us: Sequence[float]
    values: Sequence[Sequence[str]] = field(default_factory=list)
    """The knobs' values of each trial, in words."""
    empty: str = "nothing to draw"
    height: int = 420

    @property
    def is_empty(self) -> bool:
        """Whether there are no two lines to compare."""
        return len(self.latency_us) < 2

    def groups(self) -> list[tuple[str, int, list[int]]]:
        """The lines that are drawn, as :data:`GROUPS`: a group's name, the place of its colour, its lines."""
        order, drawn = self._order(), set(self.drawn())
        found, begin = [], 0
        for name, share, place in GROUPS:
            end = min(len(order), max(begin + 1, round(share * len(order))))
            found.append((name, place, [line for line in order[begin:end] if line in drawn]))
            begin = end
        return found

    def _order(self) -> list[int]:
        return sorted(range(len(self.latency_us)), key=lambda at: self.latency_us[at])

    def drawn(self) -> list[int]:
        """The places of the lines that are drawn, the fastest first: at most ``MOST_LINES``, half of them the fastest.

        The others are spread evenly over all that are slower.
        """
        order = self._order()
        if len(order) <= MOST_LINES:
            return order
        first, rest = order[: MOST_LINES // 2], order[MOST_LINES // 2 :]
        return first + rest[:: math.ceil(len(rest) / (MOST_LINES - len(first)))]

    def rows(self) -> list[list[object]]:
        """The data as a table, the heading first."""
        names: list[object] = [one.label for one in self.dimensions[: len(self.dimensions) - 1]]
        return [
            [*names, "latency_us"],
            *([*row, latency] for row, latency in zip(self.values, self.latency_us, strict=True)),
        ]


AnyChart = Chart | Parallel
