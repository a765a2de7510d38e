"""What kind of loop nest suits a block: which of its iters becomes vectors, which rows, what has to be packed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from colt.analysis.estimate import vector_quality
from colt.analysis.skeleton import Block
from colt.tvm.sketches.structured.flow import reduced, spatial, step_of

PACKING_PAYS = 8
"""An operand is packed if each of its elements is used at least so often."""


class Kind(StrEnum):
    """``KERNEL``: a reduction with vectors along a spatial iter; ``ROWS``: one whose vectors run along the reduction;
    ``POINTWISE``: no reduction; ``OTHER``: a reduction without either."""

    KERNEL = "kernel"
    ROWS = "rows"
    POINTWISE = "pointwise"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shape:
    """``vector`` is the iter along which vectors of ``width`` elements run, ``rows`` the iter that a kernel's register
    tile repeats them over, ``packed`` the reads to be packed first so that they are contiguous in ``vector``.
    ``partial``: the vectors hold partial results of a row reduction."""

    kind: Kind
    vector: int | None = None
    width: int = 1
    rows: int | None = None
    packed: tuple[int, ...] = ()
    partial: bool = False

    @property
    def is_contraction(self) -> bool:
        """A kernel of the program's own."""
        return self.kind is Kind.KERNEL and not self.partial


def shape_of(block: Block, vector_bits: int) -> Shape:
    """The shape that suits the block."""
    lanes = max(1, vector_bits // (8 * block.write.element_bytes))
    if not reduced(block):
        vector = _pointwise_vector(block)
        width = 1 if vector is None else width_of(block.iters[vector].extent, lanes)
        return Shape(Kind.POINTWISE, vector if width > 1 else None, width)
    return _kernel(block, lanes) or _row_reduction(block, lanes) or Shape(Kind.OTHER)


def width_of(extent: int, lanes: int) -> int:
    """Elements of one vector statement along ``extent``: the divisor that one register holds with the fastest code.

    LLVM makes poor code of statements that are longer than a register and no power of two times it, and of shorter
    ones that are no power of two.
    """
    divisors = [number for number in range(1, lanes + 1) if extent % number == 0]
    return max(divisors, key=lambda number: (number * vector_quality(number, lanes), -number))


def _pointwise_vector(block: Block) -> int | None:
    """The iter that is contiguous in the result and in all that is read."""
    if block.work.branches:
        return None  # the statement would be taken apart again, element by element
    for iter_ in spatial(block):
        contiguous = all(step_of(read, iter_) in (0, 1) for read in block.reads)
        if block.iters[iter_].extent > 1 and step_of(block.write, iter_) == 1 and contiguous:
            return iter_
    return None


def _kernel(block: Block, lanes: int) -> Shape | None:
    best: tuple[tuple[int, int], Shape] | None = None
    for column in spatial(block):
        width = width_of(block.iters[column].extent, lanes)
        steps = [step_of(read, column) for read in block.reads]
        if width == 1 or step_of(block.write, column) != 1 or not any(steps):
            continue
        packed = tuple(n for n, step in enumerate(steps) if step not in (0, 1))
        if not all(_can_be_packed(block, n, column) for n in packed):
            continue
        shape = Shape(Kind.KERNEL, column, width, _rows(block, column), packed)
        rank = (-len(packed), width)
        if best is None or rank > best[0]:
            best = rank, shape
    return None if best is None else best[1]


def _can_be_packed(block: Block, read: int, column: int) -> bool:
    access = block.reads[read]
    if any(index is None for index in access.index):
        return False
    alone = [index for index in access.index if index is not None and any(n == column for n, _ in index)]
    used = {n for index in access.index for n, _ in index or ()}
    reuse = math.prod(block.iters[n].extent for n in spatial(block) if n not in used)
    return alone == [((column, 1.0),)] and reuse >= PACKING_PAYS


def _rows(block: Block, column: int) -> int | None:
    """The spatial iter over which the vectors that were loaded can be used again; the largest if there are several."""
    candidates = [n for n in spatial(block) if n != column and block.iters[n].extent > 1]
    vectors = [read for read in block.reads if step_of(read, column) != 0]
    reusing = [n for n in candidates if not any(_mentions(read.index, n) for read in vectors)]
    return max(reusing or candidates, key=lambda n: (block.iters[n].extent, n), default=None)


def _mentions(index: tuple[tuple[tuple[int, float], ...] | None, ...], iter_: int) -> bool:
    return any(terms is None or any(n == iter_ for n, _ in terms) for terms in index)


def _row_reduction(block: Block, lanes: int) -> Shape | None:
    """Partial results in the lanes of a vector, along a reduced iter that is contiguous in what is read."""
    for along in reversed(reduced(block)):
        steps = [step_of(read, along) for read in block.reads]
        width = width_of(block.iters[along].extent, lanes)
        if 1 in steps and all(step in (0, 1) for step in steps) and width > 1 and not block.work.branches:
            return Shape(Kind.ROWS, along, width)
    return None
