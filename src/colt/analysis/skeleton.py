"""The structure of a sketch: blocks, their loops and accesses, and which knob decides what. Pure data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from operator import add
from typing import NamedTuple

ROOT = -1
"""The host of a block that stands on its own."""

FIXED = -1
"""The knob number if no knob decides: the number beside it holds."""


@dataclass(frozen=True, slots=True)
class Iter:
    """An iteration variable of a block: ``extent`` points, summed over if ``reduce``."""

    name: str
    extent: int
    reduce: bool


class AccessDimension(NamedTuple):
    """A dimension of a buffer as an access sees it: ``size`` elements, each ``below`` elements of memory after the one
    before; ``terms`` as in the index, with the coefficients' absolute values. ``plain``: the iter that alone is the
    index; ``None`` if it is anything else."""

    size: int
    below: int
    terms: tuple[tuple[int, float], ...] | None
    plain: int | None


@dataclass(frozen=True)
class MemoryAccess:
    """One load or store of a block, per point of its iteration space.

    ``index[d]`` holds the ``(iter, coefficient)`` pairs of the index in dimension ``d``; ``None`` stands for an index
    that is not affine and may reach the whole dimension.
    """

    buffer: str
    shape: tuple[int, ...]
    element_bytes: int
    index: tuple[tuple[tuple[int, float], ...] | None, ...]
    slots: float | None = None
    """Slots of arithmetic on each vector that is loaded; ``None``: those of widening, if elements are narrower than the
    result's."""
    constant: bool = False
    """The same in every call: a copy in another layout is made ahead of all of them."""

    @cached_property
    def dimensions(self) -> tuple[AccessDimension, ...]:
        """The dimensions, outermost first."""
        found, below = [], 1
        for size, index in zip(reversed(self.shape), reversed(self.index), strict=True):
            terms = None if index is None else tuple([(iter_, abs(coefficient)) for iter_, coefficient in index])
            plain = terms[0][0] if terms is not None and len(terms) == 1 and terms[0][1] == 1 else None
            found.append(AccessDimension(size, below, terms, plain))
            below *= size
        return tuple(found[::-1])

    @cached_property
    def along(self) -> dict[int, tuple[int, ...]]:
        """The dimensions that each iter moves the access along."""
        iters = {iter_ for index in self.index for iter_, _ in index or ()}
        return {
            iter_: tuple([n for n, index in enumerate(self.index) if index and any(i == iter_ for i, _ in index)])
            for iter_ in sorted(iters)
        }

    @cached_property
    def moved_by(self) -> dict[int, tuple[float, int]]:
        """How each iter moves the access: its coefficient in the innermost dimension that it indexes, and how many
        elements of memory lie from one index to the next there."""
        found: dict[int, tuple[float, int]] = {}
        for dimension, index in zip(reversed(self.dimensions), reversed(self.index), strict=True):
            for iter_, coefficient in index or ():
                found.setdefault(iter_, (coefficient, dimension.below))
        return found


@dataclass(frozen=True, slots=True)
class Product:
    """What a block sums up from zero, if that is a product of two loads: their numbers among the reads in the order of
    the product, their types, and the type that they are cast to.

    One of them may be half of what is loaded, a byte. Its type is ``uint4``, and the iter ``half`` says which half."""

    factors: tuple[int, int]
    dtypes: tuple[str, str]
    result: str
    half: int | None = None


@dataclass(frozen=True, slots=True)
class BlockWork:
    """Operations per point. ``fused`` counts multiply-adds, ``calls`` calls of libm; ``branches`` counts conditional
    loads, which keep a statement from being vectorised."""

    fused: float = 0.0
    simple: float = 0.0
    divisions: float = 0.0
    calls: float = 0.0
    branches: float = 0.0

    @property
    def counts(self) -> tuple[float, float, float, float, float]:
        """All of them."""
        return self.fused, self.simple, self.divisions, self.calls, self.branches

    def __add__(self, other: BlockWork) -> BlockWork:
        return BlockWork(*map(add, self.counts, other.counts))


class LoopKind(IntEnum):
    """How a sketch itself has marked a loop."""

    SERIAL = 0
    PARALLEL = 1
    VECTORIZED = 2
    UNROLLED = 3


@dataclass(frozen=True, slots=True)
class LoopSource:
    """A loop over all or part of ``iter``: part ``part`` of tile knob number ``knob``, or ``extent`` if FIXED.

    ``rest``: the loop runs over what the other loops over the iter leave of what has to be computed.
    """

    iter: int
    knob: int
    part: int
    extent: int
    kind: LoopKind = LoopKind.SERIAL
    rest: bool = False


@dataclass(frozen=True)
class Block:
    """A block of the program in its sketch.

    This block is computed under loop number ``depth`` (counted from the outside) of block ``host``, or on its own if
    that is ROOT. If ``location_knob`` is not FIXED, it decides instead: root, inline, or a loop of ``host`` by name.
    ``link`` is the host's access to the buffer that both share: it gives the region that is needed there.
    """

    name: str
    iters: tuple[Iter, ...]
    reads: tuple[MemoryAccess, ...]
    write: MemoryAccess
    work: BlockWork
    loops: tuple[LoopSource, ...]
    host: int = ROOT
    depth: int = 0
    location_knob: int = FIXED
    link: MemoryAccess | None = None
    loop_names: tuple[str, ...] = ()
    local: bool = False
    """The block writes a local buffer, not an argument: LLVM can keep it in registers."""
    product: Product | None = None
    ahead: bool = False
    """All that it depends on is constant: on its own it is computed ahead of all calls."""
    instruction: str = ""
    """The instruction set of the dots that take the place of multiply-adds; empty if none do."""
    goes_on: bool = False
    """A sum that begins with what another block has summed: it cannot be cut into partial results."""
    arranged: bool = False
    """What the block does for one point has vectors of its own: none run across its points."""
    on_tiles: bool = False
    """The block's vectors are tiles: they need no vector registers, and an instruction takes a whole one."""

    @cached_property
    def accesses(self) -> tuple[MemoryAccess, ...]:
        """What it reads, then what it writes."""
        return (*self.reads, self.write)

    @cached_property
    def extents(self) -> tuple[int, ...]:
        """The points of each iter."""
        return tuple([iter_.extent for iter_ in self.iters])

    @cached_property
    def reduces(self) -> bool:
        """Whether it sums up."""
        return any(iter_.reduce for iter_ in self.iters)

    @cached_property
    def knobs(self) -> tuple[int, ...]:
        """The numbers of the knobs that decide its loops."""
        return tuple(sorted({source.knob for source in self.loops if source.knob != FIXED}))

    @cached_property
    def has_rests(self) -> bool:
        """Whether some of its loops run over what the others leave."""
        return any(source.rest for source in self.loops)


def knowing_constants(blocks: Sequence[Block], names: Collection[str]) -> tuple[Block, ...]:
    """The blocks, with what follows from the arguments of these names being constant."""
    ready, found = set(names), []
    for block in blocks if names else ():
        reads = tuple(replace(read, constant=read.buffer in ready) for read in block.reads)
        ahead = block.local and bool(reads) and all(read.constant for read in reads)
        ready |= {block.write.buffer} if ahead else set()
        found.append(replace(block, reads=reads, ahead=ahead))
    return tuple(found) if names else tuple(blocks)


@dataclass(frozen=True)
class Skeleton:
    """All blocks in program order, and what the post-processors will do to their loops.

    ``explicit``: the sketch itself marks its parallel, vectorised and unrolled loops, and the post-processors leave
    them alone. Otherwise: ``max_parallel``: outer loops are fused and run in parallel until that extent is passed (0:
    serial); ``max_vector``: inner loops are vectorised up to that extent (0: not at all); ``unroll_knob``: the category
    knob that holds the largest number of statements to unroll. ``inlined_once``: what an inlined block does counts for
    one of its readers only, as it did before the sixth edition of the design space. ``whole_vectors``: blocks of dot
    instructions under other blocks' loops count as computed for all vectors, as they did before the seventh.
    ``in_turn``: what finishes sums waits for memory before the next sums begin, as it did before the tenth.
    """

    blocks: tuple[Block, ...]
    max_parallel: int
    max_vector: int
    unroll_knob: int
    explicit: bool = False
    inlined_once: bool = False
    whole_vectors: bool = False
    in_turn: bool = False

    @cached_property
    def location_knobs(self) -> tuple[int, ...]:
        """The numbers of the knobs that decide where blocks are computed."""
        return tuple([block.location_knob for block in self.blocks if block.location_knob != FIXED])
