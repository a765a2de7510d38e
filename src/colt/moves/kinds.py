"""The kinds of moves, each over named blocks and loops. What makes a move none at all is refused where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from colt.errors import IllegalEdit

LARGEST = 2**31 - 1
REST = None
"""The factor of a split that is what the others leave."""
OPEN: Literal["?"] = "?"
"""A factor that is a knob."""

Factor = int | Literal["?"] | None


@dataclass(frozen=True, slots=True)
class LoopName:
    """A loop by its block and its name there."""

    block: str
    loop: str

    def __str__(self) -> str:
        return f"{self.block}.{self.loop}"


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a buffer's new layout: dimension ``of`` of the old one, whole, or divided by ``size`` (``/``),
    or what that division leaves (``%``)."""

    of: int
    part: Literal["", "/", "%"] = ""
    size: int = 1

    def __str__(self) -> str:
        return f"d{self.of}" + (f"{self.part}{self.size}" if self.part else "")


@dataclass(frozen=True, slots=True)
class Move:
    """Base of all moves: ``verb`` is what the move is called, ``usage`` says how it is written."""

    verb: ClassVar[str]
    usage: ClassVar[str]


@dataclass(frozen=True, slots=True)
class SplitLoop(Move):
    """The loop becomes several, outermost first. At most one factor is what is left. Open factors are one tile knob,
    and stand before the numbers."""

    verb = "split"
    usage = "split(B.i, [_, 4, 16]) (i_0 to i_2; _ is what is left; ?, before the numbers, a knob)"
    loop: LoopName
    factors: tuple[Factor, ...]

    def __post_init__(self) -> None:
        """Raise :class:`IllegalEdit` unless the factors are some that a loop can be split by."""
        factors = self.factors
        if not 2 <= len(factors) <= 8:
            raise IllegalEdit(f"split takes 2 to 8 factors, not {len(factors)}")
        if factors.count(REST) > 1:
            raise IllegalEdit("split takes one factor at most that is left open by _")
        if OPEN in factors:
            free = [number for number, factor in enumerate(factors) if not isinstance(factor, int)]
            if free != list(range(len(free))) or len(free) < 2:
                raise IllegalEdit("split takes its open factors, ? and _, before the numbers, and two of them at least")

    @property
    def is_open(self) -> bool:
        """Whether it makes a knob."""
        return OPEN in self.factors

    @property
    def free(self) -> int:
        """How many factors its knob has."""
        return sum(not isinstance(factor, int) for factor in self.factors) if self.is_open else 0


@dataclass(frozen=True, slots=True)
class FuseLoops(Move):
    """Loops directly inside each other become one."""

    verb = "fuse"
    usage = "fuse(B, [i, j]) (i_j)"
    block: str
    loops: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_different("fuse", self.loops)


@dataclass(frozen=True, slots=True)
class ReorderLoops(Move):
    """The loops take these turns, outermost first, in the places that they have together."""

    verb = "reorder"
    usage = "reorder(B, [k_0, i, j])"
    block: str
    loops: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_different("reorder", self.loops)


@dataclass(frozen=True, slots=True)
class ParallelLoop(Move):
    """The loop's turns are dealt to the threads."""

    verb = "parallel"
    usage = "parallel(B.i)"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class VectorizeLoop(Move):
    """The innermost loop becomes vectors."""

    verb = "vectorize"
    usage = "vectorize(B.j_1) (innermost)"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class UnrollLoop(Move):
    """The loop's turns are written out."""

    verb = "unroll"
    usage = "unroll(B.i_1)"
    loop: LoopName


Place = Literal["last", "first"]


@dataclass(frozen=True, slots=True)
class ComputeAt(Move):
    """A block is computed inside a loop of its consumer, as much of it as one turn needs: directly before its consumer,
    or ``first`` of all that it may stand before."""

    verb = "compute_at"
    usage = "compute_at(A, B.i) (producer A)"
    block: str
    loop: LoopName
    place: Place = "last"


@dataclass(frozen=True, slots=True)
class ReverseComputeAt(Move):
    """A block is computed inside a loop of its producer, as much of it as one turn gives."""

    verb = "reverse_compute_at"
    usage = "reverse_compute_at(C, B.i) (consumer C)"
    block: str
    loop: LoopName
    place: Place = "last"


@dataclass(frozen=True, slots=True)
class ComputeInline(Move):
    """A block is computed where it is read."""

    verb = "compute_inline"
    usage = "compute_inline(A)"
    block: str


@dataclass(frozen=True, slots=True)
class ReverseComputeInline(Move):
    """A block is computed where its only producer writes."""

    verb = "reverse_compute_inline"
    usage = "reverse_compute_inline(C)"
    block: str


@dataclass(frozen=True, slots=True)
class CacheRead(Move):
    """A buffer is copied before the block reads it; the copy is a block called ``BUFFER_global``."""

    verb = "cache_read"
    usage = "cache_read(B, X) (block X_global copies X)"
    block: str
    buffer: str


@dataclass(frozen=True, slots=True)
class CacheWrite(Move):
    """The block writes to a buffer of its own, which is copied afterwards by a block called ``BUFFER_global``."""

    verb = "cache_write"
    usage = "cache_write(B, Y) (B sums in Y_global; block Y_global copies it out)"
    block: str
    buffer: str


@dataclass(frozen=True, slots=True)
class TransformLayout(Move):
    """A buffer between blocks, such as a copy, gets another layout: dimensions in another order, cut in blocks."""

    verb = "transform_layout"
    usage = "transform_layout(B, X_global, [d1/16, d0, d1%16]) (of a buffer between blocks)"
    block: str
    buffer: str
    layout: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Raise :class:`IllegalEdit` unless each dimension is there once: whole, or divided with what that leaves."""
        if not 1 <= len(self.layout) <= 16:
            raise IllegalEdit("transform_layout takes 1 to 16 dimensions")
        parts: dict[int, list[tuple[str, int]]] = {}
        for axis in self.layout:
            parts.setdefault(axis.of, []).append((axis.part, axis.size))
        for number, found in parts.items():
            sizes = {size for _, size in found}
            kinds = sorted(part for part, _ in found)
            if kinds not in ([""], ["%", "/"]) or len(sizes) > 1:
                raise IllegalEdit(f"transform_layout takes d{number} once, or d{number}/16 and d{number}%16")


@dataclass(frozen=True, slots=True)
class PadEinsum(Move):
    """The block's loops are padded to multiples of these numbers, and operands and results with them."""

    verb = "pad_einsum"
    usage = "pad_einsum(B, [8, 32, 1]) (each loop to a multiple)"
    block: str
    multiples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DecomposeReduction(Move):
    """The sum's first value is set by a block of its own, before the loop."""

    verb = "decompose_reduction"
    usage = "decompose_reduction(B.k) (else done at the end)"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class RFactor(Move):
    """The turns of a loop over terms become partial results, along dimension ``axis`` of a new buffer; the block then
    adds these up."""

    verb = "rfactor"
    usage = "rfactor(B.k_1, 1) (block B_rf sums in parts along dimension 1)"
    loop: LoopName
    axis: int = 0


@dataclass(frozen=True, slots=True)
class Tensorize(Move):
    """What the loop does becomes one of COLT's tensor intrinsics."""

    verb = "tensorize"
    usage = "tensorize(B.j_1, colt.dot.NAME)"
    loop: LoopName
    intrinsic: str


@dataclass(frozen=True, slots=True)
class Prefetch(Move):
    """What the loop's body reads of a buffer is asked for so many turns ahead."""

    verb = "prefetch"
    usage = "prefetch(B.k_1, X, 16) (turns of k_1 ahead)"
    loop: LoopName
    buffer: str
    ahead: int


Scope = Literal["local", "global"]


@dataclass(frozen=True, slots=True)
class SetScope(Move):
    """A buffer between blocks is kept in another place: ``local`` is the stack."""

    verb = "set_scope"
    usage = "set_scope(B, X, local) (or global)"
    block: str
    buffer: str
    scope: Scope


SketchName = str


@dataclass(frozen=True, slots=True)
class ApplySketch(Move):
    """The program, whose loops are its own up to here, is scheduled by the sketch of that name: one that COLT derives
    of what earlier moves have made of it, such as copies of operands in other layouts. Its knobs are the structure's.
    """

    verb = "sketch"
    usage = "sketch(fused) (COLT's own of that name, for what the moves before it have made of the untuned program)"
    sketch: SketchName


KINDS: tuple[type[Move], ...] = (
    SplitLoop,
    FuseLoops,
    ReorderLoops,
    ParallelLoop,
    VectorizeLoop,
    UnrollLoop,
    ComputeAt,
    ReverseComputeAt,
    ComputeInline,
    ReverseComputeInline,
    CacheRead,
    CacheWrite,
    TransformLayout,
    PadEinsum,
    DecomposeReduction,
    RFactor,
    Tensorize,
    Prefetch,
    SetScope,
    ApplySketch,
)


def _require_different(verb: str, loops: tuple[str, ...]) -> None:
    if len(loops) < 2 or len(set(loops)) < len(loops):
        raise IllegalEdit(f"{verb} takes two or more different loops of one block")
