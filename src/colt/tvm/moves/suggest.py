"""Moves that change the structure as people do by hand, each a few primitives that pay only together.

    pack        an operand is copied first, with the dimension innermost along which results are vectors
    k blocks    terms in blocks outside of the tiles
    unroll      several terms in one turn of the innermost loop over terms
    prefetch    what that loop reads of an operand is asked for some turns ahead
    compute at  a producer inside of a loop of its consumer, or where it is read
    sketch      operands are packed in the untuned program, which has other sketches then

What pays in one sum pays in those beside it: terms are unrolled, and the largest operands prefetched, in all of them
together as well.

They are read off the blocks of any program and the loops of any structure. Random moves find none of these: of three
primitives in a row hardly any fit together. Whether one pays is for predictions and trials to say, and whether one is
legal for whoever makes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tvm.tirx import ForKind, IterVar

from colt.errors import IllegalEdit, Rejected
from colt.moves import (
    OPEN,
    REST,
    ApplySketch,
    Axis,
    CacheRead,
    ComputeAt,
    ComputeInline,
    FuseLoops,
    LoopName,
    Move,
    ParallelLoop,
    Prefetch,
    ReorderLoops,
    SplitLoop,
    TransformLayout,
    UnrollLoop,
    can_be_written,
)
from colt.tvm.moves.make import Making
from colt.tvm.moves.names import NamedLoop, Names, constant
from colt.tvm.refusals import refused
from colt.tvm.space.variables import variables

AHEAD = 8
"""Turns of the innermost loop over terms that a prefetch is ahead."""
TOGETHER = 4
"""Terms in one turn."""
MATTERS = 1 / 8
"""Sums with a smaller share of the terms of the largest are left as they are."""
MOST_HOSTS = 3
"""Loops of a consumer, from the outside, that a producer is moved into."""


def suggested(making: Making, together: bool = True) -> list[tuple[Move, ...]]:
    """What might be worth trying on a structure, whose loops are those of the first values of its knobs.

    ``together``: what changes several blocks at once is among it. Raises :class:`~colt.errors.Rejected` if TVM does not
    find a block.
    """
    names = making.names
    blocks = [name for name in names.blocks() if names.blocks().count(name) == 1]
    sums = [block for block in (_Block.of(names, name) for name in blocks) if block.is_sum]
    most = max((block.terms for block in sums), default=0)
    sums = [block for block in sums if block.terms >= MATTERS * most]
    kinds = {int(loop.stmt.kind) for name in blocks for loop in names.nest(name)}
    marked = int(ForKind.PARALLEL) in kinds  # else post-processing finds what runs in parallel
    found = [moves for block in sums for moves in _of_sum(names, block, blocks, marked)]
    found += [moves for name in blocks for moves in _of_producer(names, name, blocks)]
    if together:
        found = [*_of_packed_program(making, sums), *_in_all(sums), *found]
    return [moves for moves in found if all(map(can_be_written, moves))]


@dataclass(frozen=True, slots=True)
class _Block:
    """A block with the loops around it, and the variables that drive its axes over results and over terms."""

    name: str
    stmt: Any
    nest: tuple[NamedLoop, ...]
    over_results: tuple[Any, ...]
    """Its own axes over results."""
    over_terms: tuple[Any, ...]
    """Loop variables."""

    @classmethod
    def of(cls, names: Names, name: str) -> _Block:
        realize = names.realize(name)
        axes = list(zip(realize.block.iter_vars, realize.iter_values, strict=True))
        is_term = [int(axis.iter_type) == IterVar.CommReduce for axis, _ in axes]
        return cls(
            name,
            realize.block,
            tuple(names.nest(name)),
            tuple(axis.var for (axis, _), term in zip(axes, is_term, strict=True) if not term),
            tuple(used for (_, value), term in zip(axes, is_term, strict=True) if term for used in variables(value)),
        )

    @property
    def is_sum(self) -> bool:
        return bool(self.over_terms)

    @property
    def terms(self) -> int:
        """How many it adds up in all."""
        return math.prod(max(1, constant(axis.dom.extent)) for axis in self.stmt.iter_vars)

    def is_over_terms(self, loop: NamedLoop) -> bool:
        return any(loop.stmt.loop_var.same_as(one) for one in self.over_terms)

    @property
    def serial_terms(self) -> list[NamedLoop]:
        """The loops over terms of which nothing is decided yet, outermost first."""
        return [one for one in self.nest if self.is_over_terms(one) and int(one.stmt.kind) == int(ForKind.SERIAL)]

    @property
    def reads_vectors(self) -> bool:
        """Whether consecutive results read consecutive elements of an operand."""
        return any(_axis_of(read.region[-1].min, self.over_results) for read in self.reads)

    @property
    def reads(self) -> list[Any]:
        """The regions that it reads, one for each buffer that has dimensions."""
        written = {str(region.source.name) for region in self.stmt.writes}
        return [one for one in self.stmt.reads if len(one.region) and str(one.source.name) not in written]


def _of_packed_program(making: Making, sums: Sequence[_Block]) -> Iterator[tuple[Move, ...]]:
    """The sketches of a program whose operands are packed, in each sum that no vector could read as it is: the first
    that can be, in all sums, or the second, and so on."""
    if not making.fixed:
        return
    ways = [packed for block in sums if not block.reads_vectors and (packed := list(_packed(block, marked=False)))]
    for number in range(max(map(len, ways), default=0)):
        moves = [move for packed in ways for move in packed[min(number, len(packed) - 1)]]
        with suppress(IllegalEdit, Rejected):
            trial = making.copy()
            for move in moves:
                trial.told(move)
            with refused("no sketches can be derived"):
                sketches = [*trial.sketches()]
            yield from ((*moves, ApplySketch(name)) for name in sketches)


def _in_all(sums: Sequence[_Block]) -> Iterator[tuple[Move, ...]]:
    """What may pay in several sums, in all of them together: of the operands the largest is prefetched."""
    for way in (_largest_prefetched, _unrolled):
        found = [moves for block in sums for moves in way(block)]
        if len(found) > 1:
            yield tuple(move for moves in found for move in moves)


def _of_sum(names: Names, block: _Block, blocks: Sequence[str], marked: bool) -> Iterator[tuple[Move, ...]]:
    yield from _packed(block, marked)
    yield from ((move,) for move in _prefetches(block))
    yield from _unrolled(block)
    terms = block.serial_terms
    if len(terms) == 1:
        yield from _in_blocks(names, block, terms[0], blocks)


def _prefetches(block: _Block) -> list[Prefetch]:
    """One for each operand."""
    loops = [LoopName(block.name, loop.name) for loop in block.serial_terms[-1:]]
    return [Prefetch(loop, str(read.source.name), AHEAD) for loop in loops for read in block.reads]


def _largest_prefetched(block: _Block) -> Iterator[tuple[Move, ...]]:
    sizes = [math.prod(max(1, constant(extent)) for extent in read.source.ty.shape) for read in block.reads]
    found = _prefetches(block)
    if found:
        yield (found[sizes.index(max(sizes))],)


def _unrolled(block: _Block) -> Iterator[tuple[Move, ...]]:
    for loop in block.serial_terms[-1:]:
        if loop.extent % TOGETHER == 0:
            inner = LoopName(block.name, loop.name)
            yield SplitLoop(inner, (REST, TOGETHER)), UnrollLoop(LoopName(block.name, f"{loop.name}_1"))


def _packed(block: _Block, marked: bool) -> Iterator[tuple[Move, ...]]:
    """Copies of operands that a dimension over results is innermost in, and is not as they are; made in parallel where
    loops are ``marked`` so."""
    for read in block.reads:
        along = [_axis_of(part.min, block.over_results) for part in read.region]
        if along[-1]:
            continue
        for number in (number for number, found in enumerate(along[:-1]) if found):
            order = [*(other for other in range(len(along)) if other != number), number]
            buffer, copy = str(read.source.name), f"{read.source.name}_global"
            outer = tuple(f"ax{place}" for place in range(min(2, len(along) - 1)))
            fused = (FuseLoops(copy, outer),) if len(outer) > 1 else ()
            parallel = (*fused, ParallelLoop(LoopName(copy, "_".join(outer)))) if marked else ()
            layout = TransformLayout(block.name, copy, tuple(map(Axis, order)))
            yield (CacheRead(block.name, buffer), layout, *parallel)


def _axis_of(index: Any, axes: Sequence[Any]) -> bool:
    """Whether an index is one of these axes and nothing else."""
    return any(index.same_as(axis) for axis in axes)


def _in_blocks(names: Names, block: _Block, terms: NamedLoop, blocks: Sequence[str]) -> Iterator[tuple[Move, ...]]:
    """The loop over terms in two, the outer part outside of the loops over results that no thread is dealt."""
    outside = block.nest[: next(place for place, loop in enumerate(block.nest) if loop is terms)]
    dealt = [place for place, loop in enumerate(outside) if int(loop.stmt.kind) == int(ForKind.PARALLEL)]
    host = dealt[-1] if dealt else -1
    tiles = [loop for loop in outside[host + 1 :] if int(loop.stmt.kind) == int(ForKind.SERIAL)]
    if not tiles or len(tiles) < len(outside) - host - 1:
        return
    split = SplitLoop(LoopName(block.name, terms.name), (OPEN, OPEN))
    reorder = ReorderLoops(block.name, (f"{terms.name}_0", *(loop.name for loop in tiles)))
    if not any(_shares(names, name, tiles[0]) for name in blocks if name != block.name):
        yield split, reorder


def _shares(names: Names, name: str, loop: NamedLoop) -> bool:
    """Whether the block is inside of that loop, too: one that writes sums back, which no primitive moves outwards."""
    return any(one.stmt.same_as(loop.stmt) for one in names.nest(name))


def _of_producer(names: Names, name: str, blocks: Sequence[str]) -> Iterator[tuple[Move, ...]]:
    """A block whose results one other block reads, computed there."""
    written = [region.source for region in names.stmt(name).writes][:1]
    readers = [
        other
        for other in blocks
        if other != name and any(region.source.same_as(one) for region in names.stmt(other).reads for one in written)
    ]
    if len(readers) != 1:
        return
    (reader,) = readers
    nest, own = names.nest(reader), names.nest(name)
    if own and nest and own[0].stmt.same_as(nest[0].stmt):
        return  # they share loops already
    yield (ComputeInline(name),)
    yield from ((ComputeAt(name, LoopName(reader, loop.name)),) for loop in nest[:MOST_HOSTS])
