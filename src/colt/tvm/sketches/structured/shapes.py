"""The loop nest that suits a block: which iter becomes vectors, which becomes rows, and what has to be packed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from colt.analysis.estimate import NEAR, vector_quality
from colt.analysis.loops import footprint
from colt.analysis.nests import LLVM_UNROLLS
from colt.analysis.skeleton import Block, MemoryAccess
from colt.tvm.dots import Dot
from colt.tvm.sketches.structured.flow import extents_of, reduced, resized, spatial, step_of
from colt.tvm.sketches.structured.tiles import MAX_ROWS, divisor

COPYING_PAYS = 8
"""An operand is packed or padded if each of its elements is used at least this often."""
BETTER = 1.1
"""Another shape is worth a variant if its register tiles promise at least this many times the speed."""
COPYING_IS_FREE = 64
"""The cost of copying an operand is negligible if each of its elements is used at least this often."""
PACKING_IS_FREE = 512
"""The same of an operand that is transposed, beside sums in lanes, which need no copy. To transpose a matrix of 3 MB
takes Zen 5 as long as to use each element 170 times."""
COPY = 0.9
"""A register tile's speed is multiplied by this for each copy of an operand or of the result that it needs."""


@dataclass(frozen=True, slots=True)
class UsesDot:
    """How a kernel uses a dot instruction: it groups terms along the iter ``along``. ``swapped``: the operand that is
    broadcast is the second factor. ``half``: the iter over halves of bytes, if the instruction takes both."""

    instruction: Dot
    along: int
    swapped: bool
    half: int | None = None


@dataclass(frozen=True, slots=True)
class Packing:
    """How the copy of a dot's right operand is made: its iters over rows, which are grouped, and over columns, which
    become lanes, of ``iters`` in all."""

    instruction: Dot
    rows: int
    columns: int
    iters: int


class BlockKind(StrEnum):
    """``KERNEL``: a reduction with a register tile; its vectors, if any, run along a spatial iter. ``ROWS``: one whose
    vectors run along the sum. ``LOOP``: one whose vectors LLVM finds. ``POINTWISE``: no reduction."""

    KERNEL = "kernel"
    ROWS = "rows"
    POINTWISE = "pointwise"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class BlockShape:
    """Vectors of ``width`` elements run along the iter ``vector``; a kernel's register tile repeats them over the iter
    ``rows``. ``packed`` lists the reads to be packed first, so that they are contiguous in ``vector``.

    ``padded``: the extents to pad the iters to; empty if the block is not padded. ``transposed``: the result is not
    contiguous in ``vector``, so it is computed in another layout. ``partial``: the vectors hold partial results of a
    row reduction. ``square``: the iters along which a transposed operand is read and the result is written; small
    squares of them are best. ``columns``: a second iter that the register tile repeats over, if all that it loads are
    vectors; a ``ROWS`` block is to become such a kernel. ``total``: the block adds up partial results of a contraction;
    if it leaves partial results itself, it is ``partial`` too. ``dot``: the kernel's step is a dot instruction.
    ``packing``: the block packs an operand of one. ``parts``: the sum is to be cut into so many, and its terms dealt to
    lanes or rows; 0 if it is not. ``alone``: the block is one of those that this leaves, each a nest of its own.
    ``rest``: its last turns are conditional.
    """

    kind: BlockKind
    vector: int | None = None
    width: int = 1
    rows: int | None = None
    packed: tuple[int, ...] = ()
    padded: tuple[int, ...] = ()
    transposed: bool = False
    partial: bool = False
    square: tuple[int, int] | None = None
    columns: int | None = None
    total: bool = False
    dot: UsesDot | None = None
    packing: Packing | None = None
    parts: int = 0
    alone: bool = False
    rest: bool = False

    @property
    def instruction_rows(self) -> int:
        """The rows that a step of the kernel's instruction takes: more than one if it works on tiles."""
        return 1 if self.dot is None else self.dot.instruction.rows

    @property
    def on_tiles(self) -> bool:
        """Whether the kernel's step is an instruction on tiles."""
        return self.dot is not None and self.dot.instruction.tiles is not None

    @property
    def is_fold(self) -> bool:
        """Whether the block adds up partial results and leaves partial results."""
        return self.partial and self.total

    @property
    def is_contraction(self) -> bool:
        """Whether the block is a kernel with vectors that do not hold partial results."""
        return self.kind is BlockKind.KERNEL and self.vector is not None and not self.partial


def shape_of(block: Block, vector_bits: int) -> BlockShape:
    """The shape that suits the block as it is."""
    lanes = lanes_of(block, vector_bits)
    if not reduced(block):
        return _pointwise(block, lanes)
    kernels = [shape for shape in _kernels(block, lanes) if not shape.transposed]
    if kernels:
        return max(kernels, key=lambda shape: (-len(shape.packed), shape.width))
    return _row_reduction(block, lanes) or _loop(block) or BlockShape(BlockKind.KERNEL, rows=rows_of(block, None))


def better_shape(block: Block, shape: BlockShape, vector_bits: int) -> BlockShape:
    """The shape of a contraction with extents padded or the result transposed, if that is faster; else ``shape``."""
    lanes = lanes_of(block, vector_bits)
    if not reduced(block):
        return shape
    present = _quality(block, shape, lanes) if shape.is_contraction else 0.0
    found = max(_paddings(block, lanes), key=lambda one: _quality(block, one, lanes), default=None)
    return found if found is not None and _quality(block, found, lanes) >= BETTER * present else shape


def shape_in_lanes(block: Block, shape: BlockShape, vector_bits: int, free: float) -> BlockShape:
    """The shape of a contraction that does not pack operands: its vectors run along the sum.

    It is ``shape`` if packing costs little, as each element is used at least ``free`` times, or if the sum is not
    contiguous in the operands.
    """
    costly = [block.reads[n] for n in shape.packed if uses(block, block.reads[n]) < free]
    return (_row_reduction(block, lanes_of(block, vector_bits)) if costly else None) or shape


def shape_of_fold(block: Block) -> BlockShape:
    """The shape of a block that folds the vectors of a contraction's partial sums into shorter ones."""
    along = next(n for n in spatial(block) if step_of(block.write, n) == 1)
    return BlockShape(BlockKind.ROWS, along, block.iters[along].extent, partial=True, total=True)


def lanes_of(block: Block, vector_bits: int) -> int:
    """The elements of the block's result that one register holds."""
    return max(1, vector_bits // (8 * block.write.element_bytes))


def width_of(extent: int, lanes: int) -> int:
    """Elements of one vector statement along ``extent``: the divisor of at most one register with the fastest code.

    LLVM makes poor code of longer statements unless they fill a power of two of registers, and of shorter ones unless
    their length is a power of two.
    """
    divisors = [number for number in range(1, lanes + 1) if extent % number == 0]
    return max(divisors, key=lambda number: (number * vector_quality(number, lanes), -number))


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _pointwise(block: Block, lanes: int) -> BlockShape:
    """The shape of a block without a reduction: vectors if they fill registers well, squares for a transposition."""
    last = None if block.arranged else _contiguous(block, block.write)
    crossing = [read for read in block.reads if last is not None and step_of(read, last) not in (0, 1)]
    if not crossing and last is not None and not block.work.branches:  # branches would take vectors apart again
        width = width_of(block.iters[last].extent, lanes)
        if _is_power_of_two(width) and width > 1:
            return BlockShape(BlockKind.POINTWISE, last, width)
    first = _contiguous(block, crossing[0]) if crossing else None
    return BlockShape(BlockKind.POINTWISE, square=None if first is None or last is None else (first, last))


def _contiguous(block: Block, access: MemoryAccess) -> int | None:
    """The spatial iter along which the access is contiguous, if any."""
    found = (n for n in spatial(block) if block.iters[n].extent > 1 and step_of(access, n) == 1)
    return next(found, None)


# ---- register tiles ----


def _kernels(block: Block, lanes: int) -> Iterator[BlockShape]:
    """Register tiles with vectors along each iter that allows them."""
    for column in spatial(block):
        width = width_of(block.iters[column].extent, lanes)
        steps = [step_of(read, column) for read in block.reads]
        transposed = step_of(block.write, column) != 1
        if width == 1 or not any(steps) or (transposed and not _can_be_transposed(block, column)):
            continue
        packed = tuple(n for n, step in enumerate(steps) if step not in (0, 1))
        if all(stands_alone(block.reads[n], column) and copying_pays(block, block.reads[n]) for n in packed):
            rows = rows_of(block, column)
            columns = None if rows is None else _columns(block, column, rows)
            yield BlockShape(BlockKind.KERNEL, column, width, rows, packed, transposed=transposed, columns=columns)


def _can_be_transposed(block: Block, column: int) -> bool:
    terms = math.prod(block.iters[n].extent for n in reduced(block))
    return stands_alone(block.write, column) and terms >= COPYING_PAYS


def stands_alone(access: MemoryAccess, iter_: int) -> bool:
    """Whether the iter alone is the index of one dimension and occurs in no other."""
    if any(index is None for index in access.index):
        return False
    return [index for index in access.index if index and any(n == iter_ for n, _ in index)] == [((iter_, 1.0),)]


def copying_pays(block: Block, access: MemoryAccess) -> bool:
    return uses(block, access) >= COPYING_PAYS


def uses(block: Block, access: MemoryAccess) -> float:
    """How often each element of the access is used, in all calls; by what is computed ahead of them, once."""
    if access.constant and not block.ahead:
        return math.inf
    moving = {n for index in access.index for n, _ in index or ()}
    return math.prod(block.iters[n].extent for n in spatial(block) if n not in moving)


def rows_of(block: Block, column: int | None) -> int | None:
    """The largest spatial iter over which loaded vectors can be reused.

    Without such an iter, the one that loads the fewest elements because windows overlap.
    """
    candidates = [n for n in spatial(block) if n != column and block.iters[n].extent > 1]
    vectors = [read for read in block.reads if column is not None and step_of(read, column) != 0]
    reusing = [n for n in candidates if not any(mentions(read, n) for read in vectors)]
    if reusing:
        return max(reusing, key=lambda n: (block.iters[n].extent, n))
    return min(candidates, key=lambda n: (_loads(block, n), -block.iters[n].extent, -n), default=None)


def _columns(block: Block, vector: int, rows: int) -> int | None:
    """The largest spatial iter over which vectors that move with the rows can be reused.

    ``None`` if the rows move all vectors, or none: then no such iter is needed.
    """
    vectors = [read for read in block.reads if step_of(read, vector) != 0]
    moving = [read for read in vectors if mentions(read, rows)]
    if not moving or len(moving) == len(vectors):
        return None
    found = [n for n in spatial(block) if n not in (vector, rows) and block.iters[n].extent > 1]
    found = [n for n in found if not any(mentions(read, n) for read in moving)]
    return max(found, key=lambda n: (block.iters[n].extent, n), default=None)


def mentions(access: MemoryAccess, iter_: int) -> bool:
    """Whether the access moves with the iter, or may move with it."""
    return any(terms is None or any(n == iter_ for n, _ in terms) for terms in access.index)


def _loads(block: Block, rows: int) -> float:
    """The elements that each row of a tile loads."""
    reach = [iter_.extent if iter_.reduce else 1 for iter_ in block.iters]
    reach[rows] = min(MAX_ROWS, block.iters[rows].extent)
    return sum(math.prod(footprint(read, reach)) for read in block.reads) / reach[rows]


# ---- padding ----


def _paddings(block: Block, lanes: int) -> Iterator[BlockShape]:
    """Register tiles with vectors along each possible iter: first with extents padded to whole vectors and to rows with
    good divisors, then without padding."""
    for column in spatial(block):
        extents = list(extents_of(block))
        if can_be_padded(block, column):
            extents[column] = _round_up(extents[column], lanes)
        for shape in _kernels(resized(block, extents), lanes):
            if shape.vector == column:
                rows = shape.rows
                whole = rows is None or not can_be_padded(block, rows)
                padded = [e if whole or n != rows else rounded_rows(e) for n, e in enumerate(extents)]
                yield replace(shape, padded=() if tuple(padded) == extents_of(block) else tuple(padded))
    yield from _kernels(block, lanes)


def can_be_padded(block: Block, iter_: int) -> bool:
    """Whether the iter can be padded beyond the arguments' extents: padded copies can replace operands, and pay."""
    touching = [access for access in (*block.reads, block.write) if mentions(access, iter_)]
    paying = all(copying_pays(block, read) for read in block.reads if mentions(read, iter_))
    once = len({read.buffer for read in block.reads}) == len(block.reads)
    return once and paying and all(stands_alone(access, iter_) for access in touching)


def _round_up(extent: int, lanes: int) -> int:
    """The extent rounded up to whole registers, or to the smallest power of two of lanes that holds it."""
    width = min(lanes, 1 << (extent - 1).bit_length())
    return -(-extent // width) * width


def rounded_rows(extent: int) -> int:
    """The extent padded to the best register tiles, padding counted as waste; unchanged if that gains too little."""
    best = max(range(extent, extent + MAX_ROWS), key=lambda padded: (_reuse(padded) * extent / padded, -padded))
    return best if _reuse(best) * extent / best >= BETTER * _reuse(extent) else extent


def _reuse(extent: int) -> float:
    """Multiply-adds per vector load in the largest register tile that divides the rows: 1 is the limit."""
    rows = divisor(extent, MAX_ROWS)
    return rows / (rows + 1)


def _quality(block: Block, shape: BlockShape, lanes: int) -> float:
    """The share of the peak that the register tile allows, as far as it depends on the extents."""
    assert shape.vector is not None
    extents = shape.padded or extents_of(block)
    useful = math.prod(extents_of(block)) / math.prod(extents)
    rows = _reuse(extents[shape.rows]) if shape.rows is not None else _reuse(1)
    copied = [n for n in shape.packed if not block.reads[n].constant]
    copies = COPY ** (len(copied) + shape.transposed)
    return useful * copies * rows * shape.width * vector_quality(shape.width, lanes) / lanes


# ---- other reductions ----


def _row_reduction(block: Block, lanes: int) -> BlockShape | None:
    """Partial results in the lanes of a vector, along a reduced iter that is contiguous in the operands."""
    if block.goes_on:
        return None
    for along in reversed(reduced(block)):
        steps = [step_of(read, along) for read in block.reads]
        width = width_of(block.iters[along].extent, lanes)
        contiguous = 1 in steps and all(step in (0, 1) for step in steps)
        if contiguous and 2 * width >= lanes and _is_power_of_two(width) and not block.work.branches:
            rows = rows_of(block, along)
            columns = None if rows is None else _columns(block, along, rows)
            return BlockShape(BlockKind.ROWS, along, width, rows, columns=columns)
    return None


def _loop(block: Block) -> BlockShape | None:
    """A loop along which LLVM itself finds vectors: accesses are contiguous, or nearly so in a short window."""
    window = math.prod(block.iters[n].extent for n in reduced(block)) <= LLVM_UNROLLS
    for iter_ in spatial(block):
        steps = [step_of(read, iter_) for read in block.reads]
        near = all(0 <= step <= (NEAR if window else 1) for step in steps)
        if block.iters[iter_].extent > 1 and step_of(block.write, iter_) == 1 and any(steps) and near:
            return BlockShape(BlockKind.LOOP, iter_)
    return None
