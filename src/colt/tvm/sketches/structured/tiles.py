"""Tiles of loops as sampling instructions. Their parts become knobs and are reused for the loops of blocks computed
under the tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

MAX_ROWS = 16
"""The most rows of a register tile ..."""
MOST_ROWS, FEWEST_ROWS = 28, 4
"""... or so many, which 32 registers hold beside a vector that they share, where not even so few divide the loop."""
FIRST_SIDE, FIRST_ROWS = 4, 8
"""The initial rows of a register tile that has several columns too, and of any other."""
MAX_VECTORS, FIRST_VECTORS = 4, 2
"""The most vectors in each row of a register tile, and initially."""
MIDDLE = 64
"""The initial elements of a tile between the parallel loop and the register tile."""

SCALARS = 8
"""Sums side by side in a register tile without vectors."""
SQUARE = 8
"""The side, in elements, of the squares of a transposition."""
TERMS = 256
"""The initial terms of one part of a long sum, at most."""
UNROLLED_TERMS = 16
"""The most terms of a sum that a turn of an innermost loop of dot instructions takes."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A loop's parts, outermost first, and the ``width`` of the vector, or of the step on tiles, inside the last (1:
    none).

    ``outer``: the first part belongs to the parallel loop.
    """

    parts: tuple[Any, ...]
    width: int
    outer: bool

    @property
    def inner(self) -> tuple[Any, ...]:
        """The parts inside the parallel loop."""
        return self.parts[1:] if self.outer else self.parts


def divisor(number: int, limit: int) -> int:
    """The greatest divisor up to ``limit``."""
    return max(n for n in range(1, max(1, min(number, limit)) + 1) if number % n == 0)


def most_rows(extent: int) -> int:
    """The most rows that a register tile over a loop may have. Of 17, 19 or 23 there is one alone, or all."""
    return MAX_ROWS if divisor(extent, MAX_ROWS) >= min(extent, FEWEST_ROWS) else MOST_ROWS


def sample_rows(
    schedule: Any, loop: Any, extent: int, jobs: int, middle: int, first: int = FIRST_ROWS, most: int = MAX_ROWS
) -> Tile:
    """A tile of (a parallel part,) ``middle`` parts and rows. The loop itself is not split.

    ``jobs``: the initial number of parallel pieces, at least; 0 if there is no parallel part. ``first``: the most
    initial rows. ``most``: the most of all.
    """
    rows = divisor(extent, first)
    rest = extent // rows
    inside = _inside(rest, rows, jobs)
    decision = [rest // inside] if jobs else []
    decision += [*[1] * (middle - 1), inside, rows] if middle else [inside * rows]
    return Tile(_sample(schedule, loop, most if middle else -1, decision), 1, jobs > 0)


def split_rows(schedule: Any, loop: Any, tile: Tile) -> list[Any]:
    """Split the loop into the parts of a tile of rows. The parts may exceed the loop; the excess is not computed."""
    return list(schedule.split(loop, list(tile.parts)))


def sample_columns(
    schedule: Any,
    loop: Any,
    extent: int,
    width: int,
    jobs: int,
    split: bool = True,
    first: int = FIRST_VECTORS,
    all_: bool = False,
) -> tuple[list[Any], Tile]:
    """A tile of (a parallel part,) a middle part and vectors of ``width``; the loops it splits into, and the tile.

    The last vector may exceed the loop. Without ``split``, the loops are only that over vectors and that over a
    vector's lanes; the parts are used after the block has been moved. ``first``: the most initial vectors of a row.
    ``all_``: a row may have all of them, and has at first. See :func:`sample_rows`.
    """
    count = -(-extent // width)
    if count == 1 and not jobs:
        return [loop], Tile((), width, False)
    blocks, lanes = schedule.split(loop, [None, width])
    vectors = count if all_ else divisor(count, first)
    rest = count // vectors
    inside = _inside(rest, width * vectors, jobs)
    decision = [rest // inside, inside, vectors] if jobs else [rest, vectors]
    tile = Tile(_sample(schedule, blocks, max(vectors, MAX_VECTORS), decision), width, jobs > 0)
    return ([*schedule.split(blocks, list(tile.parts)), lanes] if split else [blocks, lanes]), tile


def sample_steps(
    schedule: Any, loop: Any, extent: int, size: int, jobs: int, middle: int, split: bool = True
) -> tuple[list[Any], Tile]:
    """A tile of (a parallel part and) ``middle`` parts of whole steps of ``size``; the loops it splits into, and the
    tile. Without a parallel part, all steps are one part.

    The last step may exceed the loop. Without ``split``, the loops are only that over steps and that within one; the
    parts are used after the block has been moved. See :func:`sample_rows`.
    """
    count = -(-extent // size)
    if count == 1 and not jobs:
        return [loop], Tile((), size, False)
    steps, inner = schedule.split(loop, [None, size])
    inside = _inside(count, size, jobs)
    decision = [count // inside, *[1] * (middle - 1), inside] if jobs else [count]
    tile = Tile(_sample(schedule, steps, -1, decision) if jobs else (count,), size, jobs > 0)
    return ([*schedule.split(steps, list(tile.parts)), inner] if split and jobs else [steps, inner]), tile


def sample_pieces(schedule: Any, loop: Any, extent: int) -> tuple[list[Any], Tile]:
    """A tile of a parallel part and the rest, which is everything at first; the loops it splits into, and the tile."""
    tile = Tile(_sample(schedule, loop, -1, [1, extent]), 1, outer=True)
    return list(schedule.split(loop, list(tile.parts))), tile


def _sample(schedule: Any, loop: Any, limit: int, decision: list[int]) -> tuple[Any, ...]:
    """Sampled parts; constants if only one choice exists."""
    if prod(decision) == 1:
        return tuple(decision)
    return tuple(schedule.sample_perfect_tile(loop, len(decision), limit, decision))


def _inside(count: int, size: int, jobs: int) -> int:
    """How many pieces of ``size`` a parallel piece holds initially."""
    return divisor(count, min(max(1, MIDDLE // size), max(1, count // jobs))) if jobs else count


def split_sum(schedule: Any, loop: Any, extent: int) -> list[Any]:
    """Split a reduction into two loops."""
    inner = divisor(extent, TERMS)
    return list(schedule.split(loop, list(_sample(schedule, loop, -1, [extent // inner, inner]))))


def unroll_sum(schedule: Any, loop: Any, extent: int, step: int) -> list[Any]:
    """Split a reduction that takes ``step`` terms a turn into a loop and the turns to be unrolled."""
    most = max(1, UNROLLED_TERMS // step)
    first = divisor(extent, most)
    return list(schedule.split(loop, list(_sample(schedule, loop, most, [extent // first, first]))))


def split_inner(schedule: Any, loop: Any, tile: Tile | None, padded: bool) -> list[Any]:
    """Split a loop that runs over one parallel piece of the tile.

    ``padded``: the iter has been padded to the tile, so whole tiles can be computed even if less is needed.
    """
    if tile is None:
        return [loop]
    factors: Sequence[Any] = tile.inner[1:] + ((tile.width,) if tile.width > 1 and tile.inner else ())
    return list(schedule.split(loop, [None, *factors], disable_predication=padded)) if factors else [loop]
