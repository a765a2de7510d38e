"""Loop nests in words, read off a skeleton: which loops are parallel, vectorised or unrolled, and which knob decides
their extents; for one schedule, the extents themselves.

    parallel(h i_0):
      QK: h i j O.i_2 {[d] unroll(O.i_3 j_1) vec(j:16)}

Each line is a block with its loops, outermost first. ``i_1`` is part 1, counted from 0, of the block's own tile knob
for loop ``i``; ``O.i_1`` is part 1 of block O's knob. Brackets mark reductions. Sums over the loops in braces are kept
in a local buffer and written out afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from colt.analysis.nests import Nest, instantiate
from colt.analysis.skeleton import FIXED, ROOT, Block, BlockWork, Iter, LoopKind, LoopSource, MemoryAccess, Skeleton
from colt.knobs import ROOT_LOCATION, Knob, TileKnob, Value

_KINDS = {LoopKind.VECTORIZED: "vec", LoopKind.UNROLLED: "unroll", LoopKind.PARALLEL: "parallel"}
_PART = re.compile(r"_\d+$")


def nests(untuned: Skeleton, skeleton: Skeleton, knobs: Sequence[Knob]) -> list[str]:
    """The lines. Blocks that share a parallel loop are listed below it, in the order of computation."""
    return [line for lines in _Nests(untuned, skeleton, knobs).lines() for line in lines]


def nests_as_they_are(
    untuned: Skeleton, skeleton: Skeleton, knobs: Sequence[Knob], values: Sequence[Value]
) -> list[str]:
    """A line for each block of one schedule, as it will run: ``C: parallel(i_0:4) j_1:8 {[k:512] unroll(i_3:4)} x32``.
    Loops with one iteration are left out; ``x32``: so many times in all."""
    return list(_Present(untuned, skeleton, knobs, values).lines_with_extents())


def inlined(untuned: Skeleton, sketch: Skeleton) -> dict[str, str]:
    """The blocks that the sketch inlines, each with the name of the block it is inlined into."""
    left = {block.name for block in sketch.blocks}
    found = {}
    for block in untuned.blocks:
        consumer: Block | None = block
        while consumer is not None and consumer.name not in left:
            consumer = _reader(untuned, consumer)
        if block.name not in left and consumer is not None:
            found[block.name] = consumer.name
    return found


def padding(untuned: Skeleton, sketch: Skeleton) -> list[str]:
    """The blocks of the program whose loops the sketch pads, with the padded extents."""
    given = {block.name: {iter_.name: iter_.extent for iter_ in block.iters} for block in untuned.blocks}
    found = []
    for block in sketch.blocks:
        before = given.get(block.name, {})
        grown = [iter_ for iter_ in block.iters if iter_.extent > before.get(iter_.name, iter_.extent)]
        if grown:
            found.append(f"{block.name} to {' '.join(_extent(iter_) for iter_ in grown)}")
    return found


def _extent(iter_: Iter) -> str:
    return f"{iter_.name.removeprefix('v_')}:{iter_.extent}"


def _reader(skeleton: Skeleton, block: Block) -> Block | None:
    readers = (one for one in skeleton.blocks if one is not block)
    return next((one for one in readers if any(read.buffer == block.write.buffer for read in one.reads)), None)


class _Nests:
    def __init__(self, untuned: Skeleton, skeleton: Skeleton, knobs: Sequence[Knob]) -> None:
        self._blocks = skeleton.blocks
        self._knobs = knobs
        self._given = {block.name for block in untuned.blocks}
        self._loops = {iter_.name.removeprefix("v_") for block in untuned.blocks for iter_ in block.iters}
        self._written_back = {
            block.host: block for number, block in enumerate(self._blocks) if self._is_write_back(number)
        }

    def lines(self) -> Iterator[list[str]]:
        told: set[int] = set()
        movable = [block.name for block in self._blocks if block.location_knob != FIXED]
        for number in range(len(self._blocks)):
            anchor = self._anchor(number)
            if anchor in told or self._blocks[anchor].location_knob != FIXED:
                continue
            told.add(anchor)
            members = [n for n in range(len(self._blocks)) if self._anchor(n) == anchor and not self._is_write_back(n)]
            parallel = [loop for loop in self._blocks[anchor].loops if loop.kind is LoopKind.PARALLEL]
            if copy := self._copy(self._blocks[anchor]):
                yield [copy]
                continue
            if parallel:
                yield [f"parallel({' '.join(self._names(self._blocks[anchor], parallel)) or 'one iteration'}):"]
            yield ["  " * bool(parallel) + self._line(n) for n in members]
        if movable:
            yield [f"{', '.join(movable)}: placed by .at knobs"]

    def _is_write_back(self, number: int) -> bool:
        """Whether the block copies its host's sums from the local buffer to the output."""
        block = self._blocks[number]
        return (
            block.host != ROOT and block.location_knob == FIXED and block.name == self._blocks[block.host].write.buffer
        )

    def _anchor(self, number: int) -> int:
        """The block whose nest contains this block; itself if it has a nest of its own."""
        block = self._blocks[number]
        return number if block.host == ROOT or block.location_knob != FIXED else self._anchor(block.host)

    def _copy(self, block: Block) -> str | None:
        """The line of a block that only packs an operand and isn't in the untuned program; else ``None``."""
        if block.name in self._given or block.work != BlockWork() or len(block.reads) != 1:
            return None
        (read,) = block.reads
        return f"packed first: {block.name}[{_indices(block.write)}] = {read.buffer}[{_indices(read)}]"

    def _line(self, number: int) -> str:
        block = self._blocks[number]
        back = self._written_back.get(number)
        if back is None:
            loops = " ".join(self._grouped(block, block.loops))
        else:
            outside = self._grouped(block, block.loops[: back.depth + 1])
            loops = " ".join([*outside, "{" + " ".join(self._grouped(block, block.loops[back.depth + 1 :])) + "}"])
        return f"{block.name}{self._inside(block)}: {loops or 'one point'}"

    def _inside(self, block: Block) -> str:
        """The loop of another block inside which this one is computed; empty if that is only the parallel loop."""
        if block.host == ROOT:
            return ""
        host = self._blocks[block.host]
        around = [loop for loop in host.loops[: block.depth + 1] if loop.kind is not LoopKind.PARALLEL]
        names = self._names(host, around)
        return f" (inside {host.name}'s {names[-1]})" if names else ""

    def _grouped(self, block: Block, loops: Sequence[LoopSource]) -> Iterator[str]:
        own = [loop for loop in loops if loop.kind is not LoopKind.PARALLEL]
        for kind, group in groupby(own, key=lambda loop: loop.kind):
            names = " ".join(self._names(block, list(group)))
            if names:
                yield names if kind is LoopKind.SERIAL else f"{_KINDS[kind]}({names})"

    def _names(self, block: Block, loops: Sequence[LoopSource]) -> list[str]:
        """Names of the loops, without those that always have one iteration."""
        return [
            self._name(block, loop)
            for loop in loops
            if loop.knob != FIXED or loop.rest or (loop.extent > 1 and block.iters)
        ]

    def _name(self, block: Block, loop: LoopSource) -> str:
        iter_ = block.iters[loop.iter]
        knob = None if loop.knob == FIXED else self._knobs[loop.knob]
        if isinstance(knob, TileKnob):
            own = block.name == knob.block or block.name.startswith(f"{knob.block}_")
            name = f"{knob.loop}_{loop.part}" if own else f"{knob.block}.{knob.loop}_{loop.part}"
        else:
            name = self._iter_name(replace(iter_, name=iter_.name.removesuffix("_o")) if block.on_tiles else iter_)
            name += "" if loop.rest else f":{loop.extent}"
        return f"[{name}]" if iter_.reduce else name

    def _iter_name(self, iter_: Iter) -> str:
        """The loop's name in the program; for partial results (``vk_1``) with the part's number."""
        bare = iter_.name.removeprefix("v_").removeprefix("v")
        return bare if _PART.sub("", bare) in self._loops else iter_.name.removeprefix("v_")


class _Present(_Nests):
    """The nests of one choice of values."""

    def __init__(self, untuned: Skeleton, skeleton: Skeleton, knobs: Sequence[Knob], values: Sequence[Value]) -> None:
        super().__init__(untuned, skeleton, knobs)
        self._values = values
        self._explicit = skeleton.explicit
        self._nests = instantiate(skeleton, values)

    def lines_with_extents(self) -> Iterator[str]:
        numbers = {id(block): number for number, block in enumerate(self._blocks)}
        for nest in self._nests:
            number = numbers[id(nest.block)]
            if not self._is_write_back(number):
                times = f" x{nest.times}" if nest.times > 1 else ""
                loops = " ".join(self._loops_of(nest, self._written_back.get(number)))
                yield f"{nest.block.name}{self._where(nest.block)}: {loops or 'one point'}{times}"

    def _where(self, block: Block) -> str:
        if block.location_knob == FIXED:
            return self._inside(block)
        place = self._values[block.location_knob]
        return "" if place == ROOT_LOCATION else f" (inside {place})"

    def _loops_of(self, nest: Nest, back: Block | None) -> Iterator[str]:
        """The loops in groups of one kind; braces around those whose sums are kept in a buffer."""
        kinds = self._kinds_of(nest)
        names = self._extents_of(nest)
        first = len(kinds) if back is None or back.location_knob != FIXED else back.depth + 1
        for opens, numbers in groupby(range(len(kinds)), key=lambda number: number >= first):
            shown = []
            for kind, group in groupby(numbers, key=kinds.__getitem__):
                text = " ".join(names[number] for number in group if nest.loops[number].extent > 1)
                if text:
                    shown.append(text if kind is LoopKind.SERIAL else f"{_KINDS[kind]}({text})")
            if shown:
                yield f"{{{' '.join(shown)}}}" if opens else " ".join(shown)

    def _kinds_of(self, nest: Nest) -> list[LoopKind]:
        kinds = [loop.kind for loop in nest.loops]
        vectors = len(kinds) - nest.vector
        kinds[vectors:] = [LoopKind.VECTORIZED] * nest.vector
        kinds[vectors - nest.unrolled : vectors] = [LoopKind.UNROLLED] * nest.unrolled
        product = 1
        for number, loop in enumerate(nest.loops if not self._explicit and nest.times == 1 else ()):
            product *= loop.extent
            if loop.reduce or product > nest.parallel:
                break
            kinds[number] = LoopKind.PARALLEL
        return kinds

    def _extents_of(self, nest: Nest) -> list[str]:
        block = nest.block
        sources = block.loops if len(block.loops) == len(nest.loops) else [None] * len(nest.loops)
        names = []
        for source, loop in zip(sources, nest.loops, strict=True):
            iter_ = block.iters[loop.iter]
            if source is not None and source.iter == loop.iter:
                name = self._name(block, source).strip("[]").partition(":")[0]
            else:
                name = self._iter_name(iter_)
            names.append(f"[{name}:{loop.extent}]" if iter_.reduce else f"{name}:{loop.extent}")
        return names


def _indices(access: MemoryAccess) -> str:
    """The index of each dimension, with one letter for each iter."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ", ".join("?" if not pairs else " + ".join(letters[n % 26] for n, _ in pairs) for pairs in access.index)
