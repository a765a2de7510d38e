"""Turns a skeleton and knob values into concrete loop nests, as MetaSchedule's post-processors will rewrite them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from colt.analysis.loops import (
    Loop,
    footprint,
    marked_loops,
    own_loops,
    parallel_extent,
    unrolled_loops,
    vector_loops,
)
from colt.analysis.own import OwnLoops
from colt.analysis.places import Arrangement, BlockPlace
from colt.analysis.skeleton import FIXED, ROOT, Block, BlockWork, LoopKind, Skeleton
from colt.knobs import Value

LLVM_UNROLLS = 64
"""LLVM itself unrolls constant loops of up to this many statements."""
BRANCHED = 4
"""A statement with a branch counts as this many statements."""


class Piece(NamedTuple):
    """The part of a buffer that is written and read again in one turn of a loop: ``bytes`` of it, which a nest touches
    with its loops from number ``first`` on."""

    bytes: int
    first: int


@dataclass(slots=True)
class Nest:
    """A block with its own loops, which run ``times`` times in all.

    ``parallel`` is the extent of the fused parallel loop (1: serial). ``pieces`` describes the buffers that are used
    piece by piece.
    """

    own: OwnLoops
    times: int
    parallel: int
    pieces: dict[str, Piece] = field(default_factory=dict)
    owner: int = 0
    """The number of the block whose own loops are the outermost around."""

    @property
    def block(self) -> Block:
        return self.own.block

    @property
    def work(self) -> BlockWork:
        """The block's work per point, with that of what is inlined into it."""
        return self.own.work

    @property
    def loops(self) -> list[Loop]:
        """The block's own loops, outermost first."""
        return self.own.loops

    @property
    def vector(self) -> int:
        """How many of the innermost loops are vectorised."""
        return self.own.vector

    @property
    def unrolled(self) -> int:
        """How many loops around those are unrolled."""
        return self.own.unrolled

    def depends_on(self) -> tuple[object, ...]:
        """All that its cost depends on."""
        return self.own, self.times, self.parallel, *self.pieces.items()

    def vector_extent(self) -> int:
        """Elements of one vector statement; 1 if scalar."""
        return self.own.vector_extent


@dataclass(slots=True)
class Made:
    """What has been made before: arrangements, by skeleton and locations, and blocks' own loops, by all that decides
    them."""

    arrangements: dict[tuple[object, ...], Arrangement] = field(default_factory=dict)
    own: dict[tuple[object, ...], OwnLoops] = field(default_factory=dict)

    def arrangement(self, skeleton: Skeleton, values: Sequence[Value]) -> Arrangement:
        """The places of all blocks with these values."""
        key = (id(skeleton), *[values[knob] for knob in skeleton.location_knobs])
        found = self.arrangements.get(key)
        if found is None:  # an arrangement holds its skeleton: no other has its number meanwhile
            found = self.arrangements[key] = Arrangement(skeleton, values)
        return found


def instantiate(skeleton: Skeleton, values: Sequence[Value], made: Made | None = None) -> list[Nest]:
    """The nests of all blocks that are not inlined, in program order. ``made`` is filled, and looked up."""
    made = Made() if made is None else made
    arrangement = made.arrangement(skeleton, values)
    limit = max(_unroll_limit(skeleton, values), LLVM_UNROLLS)
    nests: dict[int, Nest] = {}
    for number, place in arrangement.hosts_first:
        host = nests.get(place.host)
        region = _region(arrangement, number, place, host)
        key = (arrangement.about[number], limit, region, *[values[knob] for knob in skeleton.blocks[number].knobs])
        own = made.own.get(key)
        if own is None:
            own = made.own[key] = _own_loops(arrangement, number, place, region, values, limit)
        if host is None:
            nests[number] = Nest(own, 1, own.parallel, owner=number)
        else:
            times = host.times * host.own.turns[place.depth + 1]
            nests[number] = Nest(own, times, host.parallel, owner=host.owner)
    for buffer, users in arrangement.shared:
        size = max([nests[number].own.bytes_of(buffer, first) for number, first in users])
        for number, first in users:
            nests[number].pieces[buffer] = Piece(size, first)
    return [nests[number] for number in arrangement.placed]


def _own_loops(
    arrangement: Arrangement, number: int, place: BlockPlace, region: Sequence[int], values: Sequence[Value], limit: int
) -> OwnLoops:
    skeleton, guests, work = arrangement.skeleton, arrangement.guests_at[number], arrangement.work[number]
    block = skeleton.blocks[number]
    if place.host == ROOT or skeleton.explicit:
        loops = own_loops(block, values, region)
    else:
        loops = [Loop(n, extent, 1, block.iters[n].reduce) for n, extent in enumerate(region)]
    if skeleton.explicit:
        vector = marked_loops(loops, LoopKind.VECTORIZED)
    else:
        vector = vector_loops(block, loops, skeleton.max_vector, guests)
    body = loops[: len(loops) - vector]
    parallel = parallel_extent(body, skeleton.max_parallel, guests)
    parallel *= math.prod([loop.extent for loop in loops if loop.kind is LoopKind.PARALLEL])
    longer = BRANCHED if work.branches else 1
    unrolled = max(unrolled_loops(body, limit // longer), marked_loops(body, LoopKind.UNROLLED))
    return OwnLoops(block, work, loops, vector, unrolled, parallel)


# ---- regions ----


def _region(arrangement: Arrangement, number: int, place: BlockPlace, host: Nest | None) -> tuple[int, ...]:
    """How many values of each of the block's iters its loops run over, as far as that decides them."""
    skeleton, block = arrangement.skeleton, arrangement.skeleton.blocks[number]
    if host is None or (skeleton.explicit and not block.has_rests):
        return block.extents
    found = host.own.regions.get((place.depth, number))
    return _Regions(arrangement, place.host, host.own, place.depth).of(number) if found is None else found


@dataclass(slots=True)
class _Regions:
    """How many values of the iters of blocks are computed at a time under loop ``depth`` of ``host``, whose loops are
    ``own``."""

    arrangement: Arrangement
    host: int
    own: OwnLoops
    depth: int

    def of(self, number: int) -> tuple[int, ...]:
        """Those of that block; they are worked out once for each of the host's loops."""
        key = self.depth, number
        found = self.own.regions.get(key)
        if found is None:
            find = self._needed if self.arrangement.skeleton.explicit else self._linked
            found = self.own.regions[key] = tuple(find(number))
        return found

    def _under(self, number: int) -> Sequence[int]:
        return self.own.reach(self.depth + 1) if number == self.host else self.of(number)

    def _needed(self, number: int) -> list[int]:
        """What is needed by all that is computed under the loop.

        A write-back reads what the host writes; it covers what the host writes there. A block that reads what a
        write-back writes covers what that write-back covers.
        """
        blocks, whole_vectors = self.arrangement.skeleton.blocks, self.arrangement.skeleton.whole_vectors
        block = blocks[number]
        region = list(block.extents)
        source = self.arrangement.written_back(number, self.host, self.depth)
        if source is not None:
            written = blocks[source].write
            read = next(read for read in block.reads if read.buffer == written.buffer)
            for index, count in zip(read.index, footprint(written, self._under(source)), strict=True):
                _narrow(region, index, count)
            return region
        consumers = self.arrangement.consumers(number, self.host)
        needs = []
        for consumer, read in consumers:
            word = block.write.shape[len(read.shape) :]  # dots load the elements of their last dimension as one
            needs.append([*footprint(read, self._under(consumer)), *word])
        for dimension, index in enumerate(block.write.index if needs else ()):
            most = max([need[dimension] for need in needs])
            _narrow(region, index, most)
            if not whole_vectors:
                _narrow_vectors(region, index, most)
        return region

    def _linked(self, number: int) -> list[int]:
        """What the host needs, or the block between them, of the buffer that the block shares with it."""
        block = self.arrangement.skeleton.blocks[number]
        region = list(block.extents)
        if block.link is None or block.host == ROOT:
            return region
        needed = footprint(block.link, self._under(block.host))
        shared = [block.write] if block.write.buffer == block.link.buffer else []
        shared += [access for access in block.reads if access.buffer == block.link.buffer][:1]
        for access in shared[:1]:
            for dimension, index in enumerate(access.index):
                _narrow(region, index, needed[dimension])
        return region


def _narrow(region: list[int], index: tuple[tuple[int, float], ...] | None, needed: int) -> None:
    if index is not None and len(index) == 1:
        iter_ = index[0][0]
        region[iter_] = min(region[iter_], needed)


def _narrow_vectors(region: list[int], index: tuple[tuple[int, float], ...] | None, needed: int) -> None:
    """Narrow the iter that steps over parts of a dimension, such as vectors, if another iter goes through each part."""
    if index is not None and len(index) == 2:
        (outer, step), (inner, one) = sorted(index, key=lambda term: -term[1])
        if one == 1.0 and region[inner] == step:
            region[outer] = min(region[outer], math.ceil(needed / step))


def _unroll_limit(skeleton: Skeleton, values: Sequence[Value]) -> int:
    return int(str(values[skeleton.unroll_knob])) if skeleton.unroll_knob != FIXED else 0
