"""Tiles of loops as sampling instructions: parts that become knobs, and can be used again for the loops of blocks
that are computed under the tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

MAX_ROWS = 16
"""Rows of a register tile."""
FIRST_SIDE, FIRST_ROWS = 4, 8
"""Rows of a register tile to begin with: of one that has several columns as well, of others."""
MAX_VECTORS = 4
"""Vectors in each row of a register tile."""
MIDDLE = 64
"""Elements of a tile to begin with, between the parallel loop and the register tile."""

SCALARS = 8
"""Sums side by side in a register tile without vectors."""
SQUARE = 8
"""Elements of a side of the squares in which something is transposed."""
TERMS = 256
"""Terms of a part of a long sum to begin with."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A loop's parts, outermost first, and the vector ``width`` inside the last (1: none).

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


def sample_rows(schedule: Any, loop: Any, extent: int, jobs: int, middle: int, first: int = FIRST_ROWS) -> Tile:
    """A tile of (parallel,) ``middle`` parts and rows of the loop, which stays as it is.

    ``jobs``: how many parallel pieces there should be at least to begin with, 0 if none of it is parallel. ``first``:
    rows to begin with at most.
    """
    rows = divisor(extent, first)
    rest = extent // rows
    inside = _inside(rest, rows, jobs)
    decision = [rest // inside] if jobs else []
    decision += [*[1] * (middle - 1), inside, rows] if middle else [inside * rows]
    return Tile(_sample(schedule, loop, MAX_ROWS if middle else -1, decision), 1, jobs > 0)


def split_rows(schedule: Any, loop: Any, tile: Tile) -> list[Any]:
    """Split the loop into the parts of a tile of rows, which may be more than it has: the rest is left out."""
    return list(schedule.split(loop, list(tile.parts)))


def sample_columns(
    schedule: Any, loop: Any, extent: int, width: int, jobs: int, split: bool = True
) -> tuple[list[Any], Tile]:
    """A tile of (parallel,) middle and vectors of ``width``: the loops it is split into, and the tile.

    The last vector may have more than there is left. Without ``split`` there are but the loop over vectors and that of
    one, for parts that are used after the block has been moved. See :func:`sample_rows`.
    """
    count = -(-extent // width)
    if count == 1 and not jobs:
        return [loop], Tile((), width, False)
    blocks, lanes = schedule.split(loop, [None, width])
    vectors = divisor(count, 2)
    rest = count // vectors
    inside = _inside(rest, width * vectors, jobs)
    decision = [rest // inside, inside, vectors] if jobs else [rest, vectors]
    tile = Tile(_sample(schedule, blocks, MAX_VECTORS, decision), width, jobs > 0)
    return ([*schedule.split(blocks, list(tile.parts)), lanes] if split else [blocks, lanes]), tile


def _sample(schedule: Any, loop: Any, limit: int, decision: list[int]) -> tuple[Any, ...]:
    """Open parts, or the only ones there are."""
    if prod(decision) == 1:
        return tuple(decision)
    return tuple(schedule.sample_perfect_tile(loop, len(decision), limit, decision))


def _inside(count: int, size: int, jobs: int) -> int:
    """How many pieces of ``size`` a parallel one begins with."""
    return divisor(count, min(max(1, MIDDLE // size), max(1, count // jobs))) if jobs else count


def split_sum(schedule: Any, loop: Any, extent: int) -> list[Any]:
    """A reduction in two parts."""
    inner = divisor(extent, TERMS)
    return list(schedule.split(loop, list(_sample(schedule, loop, -1, [extent // inner, inner]))))


def split_inner(schedule: Any, loop: Any, tile: Tile | None, padded: bool) -> list[Any]:
    """Split a loop that runs over one parallel piece of the tile.

    ``padded``: the iter has been padded to the tile, so that whole tiles can be computed even where less is needed.
    """
    if tile is None:
        return [loop]
    factors: Sequence[Any] = tile.inner[1:] + ((tile.width,) if tile.width > 1 and tile.inner else ())
    return list(schedule.split(loop, [None, *factors], disable_predication=padded)) if factors else [loop]
