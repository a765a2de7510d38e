"""The dataflow of a program of blocks: which block reads which, and how much of a producer part of a consumer needs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from colt.analysis.loops import Loop, footprint, stride
from colt.analysis.skeleton import Block, BlockWork, MemoryAccess, Skeleton

RECOMPUTED = 1.3
"""A producer follows a tiled loop if its tiles compute at most this many times as many points as the whole."""
_CALL, _DIVISION = 16.0, 8.0


Extents = tuple[int, ...]
"""The extents of a block's iters."""


@dataclass(frozen=True)
class Flow:
    """Blocks in program order, which is a topological order. A number stands for the block at that position.

    ``useful`` holds the same blocks with their extents before padding. The dataflow is worked out from these, so that
    padding does not change it.
    """

    blocks: tuple[Block, ...]
    useful: tuple[Block, ...]

    @classmethod
    def of(cls, skeleton: Skeleton, unpadded: Mapping[str, Extents]) -> Flow | None:
        """The flow of an unscheduled program; ``None`` if a name is used twice, or a buffer is written twice, or after
        it was read: blocks may not pass each other there.

        ``unpadded`` maps a padded block's name to its extents before padding.
        """
        blocks = skeleton.blocks
        names = {block.name for block in blocks}
        buffers = {block.write.buffer for block in blocks}
        useful = tuple(resized(block, unpadded.get(block.name, extents_of(block))) for block in blocks)
        if len(names) != len(buffers) or len(buffers) != len(blocks) or _writes_what_was_read(blocks):
            return None
        return cls(blocks, useful)

    @cached_property
    def _writers(self) -> dict[str, int]:
        return {block.write.buffer: number for number, block in enumerate(self.blocks)}

    @cached_property
    def _consumers(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.blocks]
        for number, block in enumerate(self.blocks):
            for producer in self.producers(number):
                found[producer].append(number)
            assert all(producer != number for producer in self.producers(number)), block.name
        return found

    def number(self, name: str) -> int:
        """The number of the block of that name."""
        return next(number for number, block in enumerate(self.blocks) if block.name == name)

    def producers(self, number: int) -> list[int]:
        """The blocks whose results this block reads."""
        found = (self._writers.get(read.buffer) for read in self.blocks[number].reads)
        return list(dict.fromkeys(producer for producer in found if producer is not None and producer != number))

    def consumers(self, number: int) -> list[int]:
        """The blocks that read this block's results."""
        return self._consumers[number]

    def ancestors(self, number: int) -> set[int]:
        """The block and all blocks that it depends on."""
        found = {number}
        for producer in self.producers(number):
            found |= self.ancestors(producer)
        return found

    def chain_work(self, number: int) -> float:
        """The work of the block and of all blocks that it depends on."""
        return sum(work_of(self.blocks[one]) for one in self.ancestors(number))

    def regions(self, anchor: int, members: Collection[int], reach: Sequence[int]) -> dict[int, list[int]]:
        """How many values of each iter are needed, by block, while the anchor's iters take ``reach`` values each."""
        found = {anchor: list(reach)}
        for number in sorted(members, reverse=True):
            region = self._region(number, found)
            if region is not None:
                found[number] = region
        return found

    def _region(self, number: int, known: Mapping[int, Sequence[int]]) -> list[int] | None:
        block = self.useful[number]
        region: list[int] | None = None
        for consumer in self.consumers(number):
            for read in self.useful[consumer].reads if consumer in known else ():
                if read.buffer == block.write.buffer:
                    needed = narrowed(block, footprint(read, known[consumer]))
                    region = needed if region is None else list(map(max, region, needed))
        return region

    def follows(self, anchor: int, members: Collection[int], number: int, iter_: int, tile: int = 0) -> bool:
        """Whether ``number`` can be computed tile by tile of the anchor's iter without much recomputation.

        Without a ``tile``, tiles of a quarter of the extent are considered.
        """
        extent = self.useful[anchor].iters[iter_].extent
        tile = tile or max(1, extent // 4)
        region = self.regions(anchor, {*members, number}, self._tiled(anchor, iter_, tile)).get(number)
        if region is None:
            return False
        return math.prod(region) * extent <= RECOMPUTED * tile * points_of(self.useful[number])

    def counterpart(self, anchor: int, members: Collection[int], number: int, iter_: int) -> int | None:
        """The iter of ``number`` that takes exactly the values of the anchor's iter, if there is one."""
        if number == anchor:
            return iter_
        block, extent = self.useful[number], self.useful[anchor].iters[iter_].extent
        found = None
        for tile in {1, max(1, extent // 2)}:
            region = self.regions(anchor, {*members, number}, self._tiled(anchor, iter_, tile)).get(number)
            if region is None:
                return None
            changed = [n for n, it in enumerate(block.iters) if region[n] != it.extent]
            if len(changed) != 1 or region[changed[0]] != tile or block.iters[changed[0]].extent != extent:
                return None
            found = changed[0]
        return found

    def touched(self, anchor: int, members: Collection[int], number: int, iters: Collection[int]) -> set[int]:
        """The iters of ``number`` of which a tile of the anchor's ``iters`` needs only a part."""
        block = self.useful[number]
        reach = [1 if n in iters else it.extent for n, it in enumerate(self.useful[anchor].iters)]
        region = self.regions(anchor, {*members, number}, reach).get(number)
        if region is None:
            return set()
        return {n for n, it in enumerate(block.iters) if region[n] != it.extent}

    def _tiled(self, anchor: int, iter_: int, tile: int) -> list[int]:
        return [tile if n == iter_ else it.extent for n, it in enumerate(self.useful[anchor].iters)]


def narrowed(block: Block, needed: Sequence[int]) -> list[int]:
    """How many values of each iter are computed if ``needed`` elements of each dimension of the result are needed."""
    region = [iter_.extent for iter_ in block.iters]
    for index, count in zip(block.write.index, needed, strict=True):
        if index is not None and len(index) == 1:
            region[index[0][0]] = min(region[index[0][0]], count)
    return region


def step_of(access: MemoryAccess, iter_: int) -> float:
    """How many elements one step of the iter moves the access in memory."""
    return stride(access, Loop(iter_, 1, 1, False))


def extents_of(block: Block) -> Extents:
    """The extents of the block's iters."""
    return tuple(iter_.extent for iter_ in block.iters)


def resized(block: Block, extents: Sequence[int]) -> Block:
    """The block with other extents."""
    iters = (replace(iter_, extent=extent) for iter_, extent in zip(block.iters, extents, strict=True))
    return replace(block, iters=tuple(iters))


def spatial(block: Block) -> list[int]:
    """The iters that are not summed over."""
    return [number for number, iter_ in enumerate(block.iters) if not iter_.reduce]


def reduced(block: Block) -> list[int]:
    """The iters that are summed over."""
    return [number for number, iter_ in enumerate(block.iters) if iter_.reduce]


def points_of(block: Block) -> int:
    """The number of points of the iteration space."""
    return math.prod(iter_.extent for iter_ in block.iters)


def work_of(block: Block) -> float:
    """A rough cost in operations."""
    return points_of(block) * cost_of(block.work)


def cost_of(work: BlockWork) -> float:
    """The operations of one point; at least one, for moving the data."""
    return max(1.0, work.fused + work.simple + _DIVISION * work.divisions + _CALL * work.calls + work.branches)


def _writes_what_was_read(blocks: Sequence[Block]) -> bool:
    """Whether a block writes to a buffer that one before it has read."""
    read: set[str] = set()
    for block in blocks:
        if block.write.buffer in read:
            return True
        read |= {access.buffer for access in block.reads} - {block.write.buffer}
    return False
