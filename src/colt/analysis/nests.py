"""Turns a skeleton and knob values into concrete loop nests, as MetaSchedule's post-processors will rewrite them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from colt.analysis.loops import (
    Loop,
    footprint,
    marked_loops,
    own_loops,
    parallel_extent,
    reaches,
    unrolled_loops,
    vector_loops,
)
from colt.analysis.skeleton import FIXED, ROOT, Block, BlockWork, LoopKind, Skeleton
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, Value

_OWN = 1 << 30
"""The depth that stands for all loops of the nest itself."""
LLVM_UNROLLS = 64
"""LLVM itself unrolls constant loops of up to this many statements."""
BRANCHED = 4
"""A statement with a branch counts as this many statements."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a buffer that is written and read again in one turn of a loop: ``bytes`` of it, which a nest touches
    with its loops from number ``first`` on."""

    bytes: int
    first: int


@dataclass(slots=True)
class Nest:
    """A block with its own loops, outermost first, which run ``times`` times in all.

    The innermost ``vector`` loops are vectorised, the ``unrolled`` loops around them unrolled. ``parallel`` is the
    extent of the fused parallel loop (1: serial). ``pieces`` describes the buffers that are used piece by piece.
    """

    block: Block
    work: BlockWork
    loops: list[Loop]
    times: int
    parallel: int
    vector: int
    unrolled: int
    pieces: dict[str, Piece] = field(default_factory=dict)
    owner: int = 0
    """The number of the block whose own loops are the outermost around."""

    def depends_on(self) -> tuple[object, ...]:
        """All that its cost depends on, beside the block."""
        loops = tuple([(loop.iter, loop.extent, loop.step, loop.reduce, loop.kind) for loop in self.loops])
        return self.work, loops, self.times, self.parallel, self.vector, self.unrolled, tuple(self.pieces.items())

    def vector_extent(self) -> int:
        """Elements of one vector statement; 1 if scalar."""
        return math.prod(loop.extent for loop in self.loops[len(self.loops) - self.vector :])


def instantiate(skeleton: Skeleton, values: Sequence[Value]) -> list[Nest]:
    """The nests of all blocks that are not inlined, in program order."""
    return _Instance(skeleton, values).nests()


@dataclass(slots=True)
class _Place:
    """Where a block is computed: under loop ``depth`` of the loops of ``host``, or on its own (ROOT)."""

    host: int
    depth: int
    loops: list[Loop]
    names: list[tuple[str, int, int]]
    """All loops around the block from the outside, each with the block that owns it and its depth there."""


class _Instance:
    """One choice of values. Consumers are placed before the blocks that move under their loops."""

    def __init__(self, skeleton: Skeleton, values: Sequence[Value]) -> None:
        self._skeleton = skeleton
        self._blocks = skeleton.blocks
        self._values = values
        self._places: dict[int, _Place | None] = {}
        self._regions: dict[tuple[int, int, int], list[int]] = {}

    def nests(self) -> list[Nest]:
        for number in range(len(self._blocks)):
            self._place(number)
        placed = {number: place for number, place in sorted(self._places.items()) if place is not None}
        shared: dict[int, set[int]] = {}
        for place in placed.values():
            shared.setdefault(place.host, set()).add(place.depth)
        work = self._work()
        limit = max(_unroll_limit(self._skeleton, self._values), LLVM_UNROLLS)
        nests: dict[int, Nest] = {}
        for number in sorted(placed, key=lambda n: len(placed[n].names) - len(placed[n].loops)):
            nests[number] = self._nest(number, placed[number], nests, shared.get(number, set()), work[number], limit)
        for buffer, users in self._users(placed).items():
            self._add_pieces(buffer, users, nests)
        return [nests[number] for number in placed]

    def _users(self, placed: Iterable[int]) -> dict[str, list[int]]:
        """The blocks that use each buffer, for buffers that one block writes and others read."""
        users: dict[str, list[int]] = {self._blocks[n].write.buffer: [n] for n in placed if self._blocks[n].local}
        for number in placed:
            for read in self._blocks[number].reads:
                if read.buffer in users and number not in users[read.buffer]:
                    users[read.buffer].append(number)
        return {buffer: numbers for buffer, numbers in users.items() if len(numbers) > 1}

    def _add_pieces(self, buffer: str, users: Sequence[int], nests: dict[int, Nest]) -> None:
        turn = _common_turn([self._path(number) for number in users])
        if turn is None:
            return
        host, depth = turn
        first = {number: depth + 1 if number == host else 0 for number in users}
        size = max(_bytes_of(nests[number], buffer, first[number]) for number in users)
        for number in users:
            nests[number].pieces[buffer] = Piece(size, first[number])

    def _path(self, number: int) -> list[tuple[int, int]]:
        """The blocks around this one from the outside, each with the depth of the loop that holds the next; last, the
        block itself."""
        path = [(number, _OWN)]
        place = self._place(number)
        while place is not None and place.host != ROOT:
            path.append((place.host, place.depth))
            place = self._place(place.host)
        return path[::-1]

    def _work(self) -> list[BlockWork]:
        """The work of each block per point; that of an inlined block is added to that of all who read it."""
        work = [block.work for block in self._blocks]
        for number, block in enumerate(self._blocks):
            if self._places[number] is None and block.host != ROOT:
                readers = [] if self._skeleton.inlined_once else self._readers(block)
                for reader in readers or [block.host]:
                    work[reader] = work[reader] + work[number]
        return work

    def _readers(self, block: Block) -> list[int]:
        """The blocks that read what the block writes, in program order."""
        return [
            number
            for number, other in enumerate(self._blocks)
            if other is not block and any(read.buffer == block.write.buffer for read in other.reads)
        ]

    def _nest(
        self, number: int, place: _Place, nests: dict[int, Nest], shared: set[int], work: BlockWork, limit: int
    ) -> Nest:
        block, loops = self._blocks[number], place.loops
        if self._skeleton.explicit:
            vector = marked_loops(loops, LoopKind.VECTORIZED)
        else:
            vector = vector_loops(block, loops, self._skeleton.max_vector, shared)
        body = loops[: len(loops) - vector]
        owner = number
        if place.host == ROOT:
            parallel = parallel_extent(body, self._skeleton.max_parallel, shared)
            parallel *= math.prod(loop.extent for loop in loops if loop.kind is LoopKind.PARALLEL)
            times = 1
        else:
            host = nests[place.host]
            owner, parallel = host.owner, host.parallel
            times = host.times * math.prod(loop.extent for loop in host.loops[: place.depth + 1])
        longer = BRANCHED if work.branches else 1
        unrolled = max(unrolled_loops(body, limit // longer), marked_loops(body, LoopKind.UNROLLED))
        return Nest(block, work, loops, times, parallel, vector, unrolled, owner=owner)

    # ---- placing ----

    def _place(self, number: int) -> _Place | None:
        if number not in self._places:
            self._places[number] = None  # ends the recursion in a cycle, which no real program has
            self._places[number] = self._find_place(number)
        return self._places[number]

    def _find_place(self, number: int) -> _Place | None:
        block = self._blocks[number]
        if block.location_knob == FIXED:
            host, depth = block.host, block.depth
        else:
            where = str(self._values[block.location_knob])
            if where == INLINE_LOCATION:
                return None
            host, depth = self._named_loop(block.host, where)
        if host == ROOT:
            loops = own_loops(block, self._values, [iter_.extent for iter_ in block.iters])
            return _Place(ROOT, 0, loops, [(name, number, n) for n, name in enumerate(block.loop_names)])
        place = self._place(host)
        if place is None:
            return None
        if self._skeleton.explicit:
            loops = own_loops(block, self._values, self._needed(number, host, depth))
        else:
            region = self._region(number, host, depth)
            loops = [Loop(n, extent, 1, block.iters[n].reduce) for n, extent in enumerate(region)]
        outer = place.names[: len(place.names) - len(place.loops) + depth + 1]
        return _Place(host, depth, loops, [*outer, *((f"ax{n}", number, n) for n in range(len(loops)))])

    def _named_loop(self, consumer: int, name: str) -> tuple[int, int]:
        """Owner and depth of the loop of that name around the consumer; ROOT if there is none."""
        place = self._place(consumer) if consumer != ROOT and name != ROOT_LOCATION else None
        if place is None:
            return ROOT, 0
        wanted, _, repeat = name.partition("#")
        found = [(owner, depth) for loop, owner, depth in place.names if loop == wanted]
        number = int(repeat) - 1 if repeat.isdigit() else 0
        return found[number] if number < len(found) else (ROOT, 0)

    def _needed(self, number: int, host: int, depth: int) -> list[int]:
        """How many values of each of the block's iters are needed by all that is computed under that loop of ``host``.

        A write-back reads what the host writes; it covers what the host writes there. A block that reads what a
        write-back writes covers what that write-back covers.
        """
        key = (number, host, depth)
        if key not in self._regions:
            self._regions[key] = self._find_needed(*key)
        return self._regions[key]

    def _find_needed(self, number: int, host: int, depth: int) -> list[int]:
        block, owner = self._blocks[number], self._blocks[host]
        region = [iter_.extent for iter_ in block.iters]
        place = self._place(host)
        if place is None:
            return region
        reach = reaches(place.loops[depth + 1 :], len(owner.iters))
        source = self._written_back(number, host, depth)
        if source is not None:
            producer = self._blocks[source]
            done = reach if source == host else self._needed(source, host, depth)
            read = next(read for read in block.reads if read.buffer == producer.write.buffer)
            for index, count in zip(read.index, footprint(producer.write, done), strict=True):
                _narrow(region, index, count)
            return region
        needs: list[list[int]] = []
        for consumer, other in enumerate(self._blocks):
            for read in other.reads:
                if read.buffer != block.write.buffer or consumer == number:
                    continue
                if consumer != host and (consumer not in self._guests(host) or consumer == number):
                    return region  # a block elsewhere needs all of it
                needs.append(footprint(read, reach if consumer == host else self._needed(consumer, host, depth)))
        for dimension, index in enumerate(block.write.index if needs else ()):
            most = max(need[dimension] for need in needs)
            _narrow(region, index, most)
            if not self._skeleton.whole_vectors:
                _narrow_vectors(region, index, most)
        return region

    def _written_back(self, number: int, host: int, depth: int) -> int | None:
        """The block whose results this write-back passes on: ``host``, or a write-back under that loop of ``host``;
        ``None`` if this block is not a write-back."""
        reads = {read.buffer for read in self._blocks[number].reads}
        if self._blocks[host].write.buffer in reads:
            return host
        for other, block in enumerate(self._blocks[:number]):
            near = (block.host, block.depth) == (host, depth) and block.location_knob == FIXED
            if near and block.write.buffer in reads and self._written_back(other, host, depth) is not None:
                return other
        return None

    def _guests(self, host: int) -> set[int]:
        """The blocks that are computed under some loop of ``host``, directly or indirectly."""
        found = {host}
        for number in (*range(len(self._blocks)), *reversed(range(len(self._blocks)))):
            if self._blocks[number].host in found:
                found.add(number)
        return found - {host}

    def _region(self, number: int, host: int, depth: int) -> list[int]:
        """How many values of each of the block's iters are computed at a time under that loop of ``host``."""
        block = self._blocks[number]
        region = [iter_.extent for iter_ in block.iters]
        if block.link is None or block.host == ROOT:
            return region
        place = self._place(host)
        if block.host == host and place is not None:
            reach = reaches(place.loops[depth + 1 :], len(self._blocks[host].iters))
        elif self._place(block.host) is not None:
            reach = self._region(block.host, host, depth)
        else:
            return region
        needed = footprint(block.link, reach)
        shared = [block.write] if block.write.buffer == block.link.buffer else []
        shared += [access for access in block.reads if access.buffer == block.link.buffer][:1]
        for access in shared[:1]:
            for dimension, index in enumerate(access.index):
                _narrow(region, index, needed[dimension])
        return region


def _common_turn(paths: Sequence[Sequence[tuple[int, int]]]) -> tuple[int, int] | None:
    """The innermost loop that contains all paths, by block and depth; ``None`` if there is none."""
    found = None
    for steps in zip(*paths, strict=False):
        if len({host for host, _ in steps}) > 1:
            break
        host, depth = min(steps)
        found = host, depth
        if len(set(steps)) > 1:
            break
    return found


def _bytes_of(nest: Nest, buffer: str, first: int) -> int:
    """Bytes of the buffer that the nest touches while its loops from ``first`` on run."""
    reach = reaches(nest.loops[first:], len(nest.block.iters))
    accesses = [access for access in (*nest.block.reads, nest.block.write) if access.buffer == buffer]
    return max(math.prod(footprint(access, reach)) * access.element_bytes for access in accesses)


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
