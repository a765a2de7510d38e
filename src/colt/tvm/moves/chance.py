"""Moves at random: plausible ones, of which TVM still refuses many."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tvm.tirx import BufferType, ForKind

from colt.errors import IllegalEdit, Rejected
from colt.moves import (
    OPEN,
    REST,
    Axis,
    CacheRead,
    CacheWrite,
    ComputeAt,
    ComputeInline,
    DecomposeReduction,
    Factor,
    FuseLoops,
    LoopName,
    Move,
    PadEinsum,
    ParallelLoop,
    Prefetch,
    ReorderLoops,
    ReverseComputeAt,
    ReverseComputeInline,
    RFactor,
    SetScope,
    SplitLoop,
    Tensorize,
    TransformLayout,
    UnrollLoop,
    VectorizeLoop,
    can_be_written,
)
from colt.tvm.moves.make import Making
from colt.tvm.moves.names import NamedLoop, Names
from colt.tvm.refusals import TVM_ERRORS

LANES = (4, 8, 16, 32)
TRIES = 6
"""How many moves are drawn for each that is wanted."""


@dataclass(slots=True)
class RandomMoves:
    """Draws moves on a schedule, which they change."""

    making: Making
    rng: random.Random
    refused: int = 0
    """How many of those that were drawn could not be made."""
    _drawing: dict[Callable[[str], Move | None], float] = field(init=False)

    def __post_init__(self) -> None:
        """Weigh the kinds."""
        self._drawing = {
            self._split: 4.0,
            self._reorder: 3.0,
            self._mark: 4.0,
            self._fuse: 1.0,
            self._place: 2.0,
            self._inline: 0.5,
            self._copy: 1.5,
            self._layout: 1.0,
            self._pad: 0.5,
            self._sum: 1.5,
            self._prefetch: 1.0,
            self._scope: 0.3,
            self._tensorize: 0.2,
        }

    @property
    def names(self) -> Names:
        """The names in the schedule as it is."""
        return self.making.names

    def made(self, count: int, tries: int) -> Iterator[Move]:
        """Up to ``count`` moves, each made before the next is drawn; ``tries`` are drawn at most."""
        for _ in range(tries):
            move = self.draw()
            if move is None:
                continue
            try:
                ahead = self.making.copy()
                ahead.told(move)
            except (IllegalEdit, Rejected):
                self.refused += 1
                continue
            self.making = ahead
            yield move
            count -= 1
            if count == 0:
                return

    def draw(self) -> Move | None:
        """A move that names what is there; ``None`` if a kind was drawn that has no place here, a block that TVM does
        not find, or a name that cannot be written, such as one with a bracket."""
        (draw,) = self.rng.choices([*self._drawing], weights=[*self._drawing.values()])
        try:
            move = draw(self.rng.choice(self.names.blocks()))
        except (IllegalEdit, Rejected, *TVM_ERRORS):  # nothing to choose from, or no numbers
            return None
        return move if move is not None and can_be_written(move) else None

    def _loop(self, block: str, nest: Sequence[NamedLoop]) -> tuple[LoopName, NamedLoop]:
        loop = self.rng.choice(nest)
        return LoopName(block, loop.name), loop

    def _split(self, block: str) -> Move | None:
        serial = [one for one in self.names.nest(block) if int(one.stmt.kind) == int(ForKind.SERIAL) and one.extent > 1]
        name, loop = self._loop(block, serial)
        size = self.rng.choice([*_divisors(loop.extent), *LANES, 5])
        forms: list[tuple[Factor, ...]] = [
            (REST, size),
            (size, REST),
            (REST, self.rng.choice((1, 2, 3, 4)), size),
            (OPEN, OPEN),
            (OPEN, REST, size),
        ]
        return SplitLoop(name, self.rng.choice(forms))

    def _reorder(self, block: str) -> Move | None:
        nest = [one.name for one in self.names.nest(block)]
        chosen = self.rng.sample(nest, self.rng.randint(2, len(nest))) if len(nest) > 1 else nest
        return ReorderLoops(block, tuple(chosen))

    def _fuse(self, block: str) -> Move | None:
        nest = [one.name for one in self.names.nest(block)]
        first = self.rng.randrange(len(nest) - 1)
        return FuseLoops(block, tuple(nest[first : first + self.rng.choice((2, 2, 3))]))

    def _mark(self, block: str) -> Move | None:
        nest = self.names.nest(block)
        kind = self.rng.choice((ParallelLoop, VectorizeLoop, UnrollLoop))
        place = {ParallelLoop: 0, VectorizeLoop: -1}.get(kind, self.rng.randrange(len(nest)))
        return kind(LoopName(block, (self.rng.choice(nest) if self.rng.random() < 0.2 else nest[place]).name))

    def _place(self, block: str) -> Move | None:
        other = self.rng.choice([one for one in self.names.blocks() if one != block])
        loop, _ = self._loop(other, self.names.nest(other))
        kind = self.rng.choice((ComputeAt, ComputeAt, ReverseComputeAt))
        return kind(block, loop, "first" if self.rng.random() < 0.1 else "last")

    def _inline(self, block: str) -> Move | None:
        return self.rng.choice((ComputeInline, ReverseComputeInline))(block)

    def _copy(self, block: str) -> Move | None:
        stmt = self.names.stmt(block)
        if self.rng.random() < 0.5:
            return CacheRead(block, str(self.rng.choice(list(stmt.reads)).source.name))
        return CacheWrite(block, str(self.rng.choice(list(stmt.writes)).source.name))

    def _layout(self, block: str) -> Move | None:
        stmt = self.names.stmt(block)
        arguments = {str(one.name) for one in self.names.schedule.mod["main"].params if isinstance(one.ty, BufferType)}
        between = [one.source for one in (*stmt.reads, *stmt.writes) if str(one.source.name) not in arguments]
        buffer = self.rng.choice(between)
        order = list(range(len(buffer.ty.shape)))
        self.rng.shuffle(order)
        layout = [Axis(one) for one in order]
        cut = self.rng.randrange(len(order))
        sizes = _divisors(int(buffer.ty.shape[order[cut]]))
        if self.rng.random() < 0.5 and sizes:
            size = self.rng.choice(sizes)
            layout[cut] = Axis(order[cut], "/", size)
            layout.append(Axis(order[cut], "%", size))
        return TransformLayout(block, str(buffer.name), tuple(layout))

    def _pad(self, block: str) -> Move | None:
        axes = self.names.stmt(block).iter_vars
        return PadEinsum(block, tuple(self.rng.choice((1, 1, 4, 8, 16)) for _ in axes))

    def _sum(self, block: str) -> Move | None:
        name, _ = self._loop(block, self.names.nest(block))
        if self.rng.random() < 0.5:
            return DecomposeReduction(name)
        return RFactor(name, self.rng.randrange(1 + len(self.names.stmt(block).writes[0].region)))

    def _prefetch(self, block: str) -> Move | None:
        name, _ = self._loop(block, self.names.nest(block))
        read = self.rng.choice(list(self.names.stmt(block).reads))
        return Prefetch(name, str(read.source.name), self.rng.choice((1, 4, 16, 64)))

    def _scope(self, block: str) -> Move | None:
        written = self.names.stmt(block).writes[0].source.name
        return SetScope(block, str(written), self.rng.choice(("local", "global")))

    def _tensorize(self, block: str) -> Move | None:
        name, _ = self._loop(block, self.names.nest(block))
        return Tensorize(name, self.rng.choice(sorted(self.making.intrinsics.calls)))


def _divisors(number: int) -> list[int]:
    return [size for size in range(2, min(number, 257)) if number % size == 0]


def random_moves(making: Making, rng: random.Random, count: int) -> tuple[Move, ...]:
    """Up to ``count`` moves that can be made one after the other; none if none was found."""
    return tuple(RandomMoves(making, rng).made(count, TRIES * count))
