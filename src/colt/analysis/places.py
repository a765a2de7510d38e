"""Where the blocks of a sketch are computed, and what follows from that alone, whatever the tiles are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from colt.analysis.skeleton import FIXED, ROOT, Block, BlockWork, MemoryAccess, Skeleton
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, Value

_OWN = 1 << 30
"""The depth that stands for all loops of the nest itself."""


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where a block is computed: under loop ``depth`` of the loops of ``host``, or on its own (ROOT)."""

    host: int
    depth: int
    own: int
    """How many loops the block itself has."""
    names: tuple[tuple[str, int, int], ...]
    """All loops around the block from the outside, each with the block that owns it and its depth there."""


class Shared(NamedTuple):
    """A buffer of which a piece at a time is written and read: ``users`` are the blocks that do so, each with the
    first of its loops that run on one piece."""

    buffer: str
    users: tuple[tuple[int, int], ...]


class Arrangement:
    """The places of all blocks for one choice of locations. Consumers are placed before the blocks that move under
    their loops; ``places`` holds ``None`` for blocks that are inlined."""

    def __init__(self, skeleton: Skeleton, values: Sequence[Value]) -> None:
        self.skeleton = skeleton
        self._blocks = skeleton.blocks
        self._values = values
        self._found: dict[int, BlockPlace | None] = {}
        self.places = tuple([self._place(number) for number in range(len(self._blocks))])
        self.placed = tuple([number for number, place in enumerate(self.places) if place is not None])
        self._guests: dict[int, set[int]] = {}
        self._sources: dict[tuple[int, int, int], int | None] = {}
        self._consumers: dict[tuple[int, int], tuple[tuple[int, MemoryAccess], ...]] = {}

    # ---- places ----

    def _place(self, number: int) -> BlockPlace | None:
        if number not in self._found:
            self._found[number] = None  # ends the recursion in a cycle, which no real program has
            self._found[number] = self._find_place(number)
        return self._found[number]

    def _find_place(self, number: int) -> BlockPlace | None:
        block = self._blocks[number]
        if block.location_knob == FIXED:
            host, depth = block.host, block.depth
        else:
            where = str(self._values[block.location_knob])
            if where == INLINE_LOCATION:
                return None
            host, depth = self._named_loop(block.host, where)
        if host == ROOT:
            names = tuple([(name, number, n) for n, name in enumerate(block.loop_names)])
            return BlockPlace(ROOT, 0, len(block.loops), names)
        place = self._place(host)
        if place is None:
            return None
        own = len(block.loops) if self.skeleton.explicit else len(block.iters)
        outer = place.names[: len(place.names) - place.own + depth + 1]
        return BlockPlace(host, depth, own, (*outer, *[(f"ax{n}", number, n) for n in range(own)]))

    def _named_loop(self, consumer: int, name: str) -> tuple[int, int]:
        """Owner and depth of the loop of that name around the consumer; ROOT if there is none."""
        place = self._place(consumer) if consumer != ROOT and name != ROOT_LOCATION else None
        if place is None:
            return ROOT, 0
        wanted, _, repeat = name.partition("#")
        found = [(owner, depth) for loop, owner, depth in place.names if loop == wanted]
        number = int(repeat) - 1 if repeat.isdigit() else 0
        return found[number] if number < len(found) else (ROOT, 0)

    # ---- what follows ----

    @cached_property
    def hosts_first(self) -> tuple[tuple[int, BlockPlace], ...]:
        """The places of all blocks that are not inlined, by number, each after its host's."""
        found = [(number, place) for number, place in enumerate(self.places) if place is not None]
        return tuple(sorted(found, key=lambda one: len(self._path(one[0]))))

    @cached_property
    def guests_at(self) -> dict[int, set[int]]:
        """The depths at which loops of each host hold other blocks."""
        found: dict[int, set[int]] = {number: set() for number in (ROOT, *self.placed)}
        for place in self.places:
            if place is not None:
                found[place.host].add(place.depth)
        return found

    @cached_property
    def work(self) -> tuple[BlockWork, ...]:
        """The work of each block per point; that of an inlined block is added to that of all who read it."""
        work = [block.work for block in self._blocks]
        for number, block in enumerate(self._blocks):
            if self.places[number] is None and block.host != ROOT:
                readers = [] if self.skeleton.inlined_once else self._readers(block)
                for reader in readers or [block.host]:
                    work[reader] = work[reader] + work[number]
        return tuple(work)

    def _readers(self, block: Block) -> list[int]:
        """The blocks that read what the block writes, in program order."""
        return [
            number
            for number, other in enumerate(self._blocks)
            if other is not block and any(read.buffer == block.write.buffer for read in other.reads)
        ]

    @cached_property
    def about(self) -> tuple[tuple[object, ...], ...]:
        """What decides about each block's own loops beside values."""
        return tuple([self._about(number, place) for number, place in enumerate(self.places)])

    def _about(self, number: int, place: BlockPlace | None) -> tuple[object, ...]:
        if place is None:
            return ()
        guests = sorted(self.guests_at[number])
        return (id(self.skeleton), number, place.host == ROOT, *self.work[number].counts, *guests)

    @cached_property
    def shared(self) -> tuple[Shared, ...]:
        """The buffers that are used piece by piece."""
        return tuple(self._find_shared())

    def _find_shared(self) -> Iterator[Shared]:
        for buffer, numbers in self._users().items():
            turn = _common_turn([self._path(number) for number in numbers])
            if turn is not None:
                first = [turn[1] + 1 if number == turn[0] else 0 for number in numbers]
                yield Shared(buffer, tuple(zip(numbers, first, strict=True)))

    def _users(self) -> dict[str, list[int]]:
        """The blocks that use each buffer, for buffers that one block writes and others read."""
        users: dict[str, list[int]] = {self._blocks[n].write.buffer: [n] for n in self.placed if self._blocks[n].local}
        for number in self.placed:
            for read in self._blocks[number].reads:
                if read.buffer in users and number not in users[read.buffer]:
                    users[read.buffer].append(number)
        return {buffer: numbers for buffer, numbers in users.items() if len(numbers) > 1}

    def _path(self, number: int) -> list[tuple[int, int]]:
        """The blocks around this one from the outside, each with the depth of the loop that holds the next; last, the
        block itself."""
        path = [(number, _OWN)]
        place = self.places[number]
        while place is not None and place.host != ROOT:
            path.append((place.host, place.depth))
            place = self.places[place.host]
        return path[::-1]

    # ---- who needs what ----

    def consumers(self, number: int, host: int) -> tuple[tuple[int, MemoryAccess], ...]:
        """The other blocks that read what the block writes, each with its read, if all of them are ``host`` or computed
        under its loops; none if one is elsewhere and needs all of it."""
        key = number, host
        if key not in self._consumers:
            buffer, near = self._blocks[number].write.buffer, {host, *self._all_guests(host)}
            found = [
                (consumer, read)
                for consumer, other in enumerate(self._blocks)
                for read in other.reads
                if read.buffer == buffer and consumer != number
            ]
            self._consumers[key] = tuple(found) if all(consumer in near for consumer, _ in found) else ()
        return self._consumers[key]

    def written_back(self, number: int, host: int, depth: int) -> int | None:
        """The block whose results this write-back passes on: ``host``, or a write-back under that loop of ``host``;
        ``None`` if this block is not a write-back."""
        key = number, host, depth
        if key not in self._sources:
            self._sources[key] = self._find_source(*key)
        return self._sources[key]

    def _find_source(self, number: int, host: int, depth: int) -> int | None:
        reads = {read.buffer for read in self._blocks[number].reads}
        if self._blocks[host].write.buffer in reads:
            return host
        for other, block in enumerate(self._blocks[:number]):
            near = (block.host, block.depth) == (host, depth) and block.location_knob == FIXED
            if near and block.write.buffer in reads and self.written_back(other, host, depth) is not None:
                return other
        return None

    def _all_guests(self, host: int) -> set[int]:
        """The blocks that are computed under some loop of ``host``, directly or indirectly."""
        if host not in self._guests:
            found = {host}
            for number in (*range(len(self._blocks)), *reversed(range(len(self._blocks)))):
                if self._blocks[number].host in found:
                    found.add(number)
            self._guests[host] = found - {host}
        return self._guests[host]


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
