"""Makes moves on a schedule, one by one: each is checked here, then carried out by TVM's primitive.

TVM checks that a move keeps the program's meaning, as far as it knows. What it does not check, and what would end its
process, is refused before. What is not allowed of a whole structure is in :mod:`colt.tvm.moves.soundness` and
:mod:`colt.tvm.moves.bounds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any

from tvm import tirx
from tvm.tirx import BufferType, ForKind

from colt.errors import IllegalEdit, Rejected
from colt.moves import (
    LARGEST,
    ApplySketch,
    CacheRead,
    CacheWrite,
    ComputeAt,
    ComputeInline,
    DecomposeReduction,
    FuseLoops,
    LoopName,
    Move,
    PadEinsum,
    ParallelLoop,
    Prefetch,
    ReorderLoops,
    ReverseComputeAt,
    ReverseComputeInline,
    RFactor,
    SetScope,
    SplitLoop,
    Tensorize,
    TransformLayout,
    UnrollLoop,
    VectorizeLoop,
    show_move,
)
from colt.tvm.dots.shims import IMPORT
from colt.tvm.dots.table import Intrinsics
from colt.tvm.moves.names import LookupRefused, NamedLoop, Names
from colt.tvm.moves.prefetch import ANNOTATION, require_prefetchable
from colt.tvm.moves.soundness import begins_with_others, require_consumer, require_own_terms, require_whole
from colt.tvm.programs.nests import is_arranged
from colt.tvm.refusals import TVM_ERRORS, reason
from colt.util.streams import keeping_remarks

MOST_LANES = 128
"""Turns of a vectorised loop."""
MOST_UNROLLED = 512
"""Turns of an unrolled loop."""
MOST_TURNS = 4096
"""The largest product of factors for a loop whose extent knobs decide."""
MOST_PADDED = 4.0
"""How many times more a block may compute after padding."""
INNERMOST = 64
"""The largest innermost part of an open split, as in MetaSchedule's sketches."""


@dataclass(frozen=True, slots=True)
class Sketching:
    """What moves need to apply a sketch: ``derive`` gives the traces of those that a program has, by name, ``named``
    the names in what a trace makes of the untuned program."""

    derive: Callable[[Any], Mapping[str, Any]]
    named: Callable[[Any], Names]


@dataclass(slots=True)
class Making:
    """A schedule that moves are made on, one after the other.

    ``fixed``: no extent depends on a knob. ``intrinsics`` are those that the target has. ``sketching`` is ``None``
    where no sketch can be applied.
    """

    names: Names
    fixed: bool
    intrinsics: Intrinsics
    sketching: Sketching | None = None

    @property
    def schedule(self) -> Any:
        return self.names.schedule

    def copy(self) -> Making:
        """The same, on a copy of the schedule."""
        return Making(self.names.copy(), self.fixed, self.intrinsics, self.sketching)

    def sketches(self) -> Mapping[str, Any]:
        """The traces of the sketches that the program has now, by name; none once knobs decide on loops."""
        return self.sketching.derive(self.schedule.mod) if self.sketching is not None and self.fixed else {}

    @keeping_remarks()
    def told(self, move: Move) -> str:
        """Make one move; returns what it did, in one line.

        Raises
        ------
        IllegalEdit
            It names what is not there, or is not allowed.
        Rejected
            TVM refuses it.
        """
        shown = show_move(move)
        try:
            return f"{shown} -> {self._made(move)}"
        except IllegalEdit as error:
            raise IllegalEdit(f"{shown}: {error}") from None
        except LookupRefused as error:
            raise Rejected(f"{shown} is refused by TVM: {error.reason}") from error
        except TVM_ERRORS as error:
            raise Rejected(f"{shown} is refused by TVM: {reason(error)}") from error

    def _made(self, move: Move) -> str:
        """What :meth:`told` tells behind the move, which it has made then."""
        before = self.names.blocks()
        block = self.make(move)
        after = self.names.blocks()
        if len(set(after)) < len(after):
            twice = next(name for name in after if after.count(name) > 1)
            raise IllegalEdit(f"it makes a second block {twice}, which could not be told from the first")
        new, gone = [one for one in after if one not in before], [one for one in before if one not in after]
        told = [self.names.show(one) for one in (block, *new) if one in after]
        return "; ".join([*dict.fromkeys(told), *(f"{one} is gone" for one in gone)])

    @singledispatchmethod
    def make(self, move: Any) -> str:
        """Make one move; returns the block that it was about."""
        raise IllegalEdit(f"{type(move).__name__} is no move")

    # ---- loops ----

    @make.register
    def _(self, move: SplitLoop) -> str:
        block, loop = self._serial(move.loop)
        numbers = [factor for factor in move.factors if isinstance(factor, int)]
        product = math.prod(numbers)
        most = loop.extent if self.fixed else max(loop.extent, MOST_TURNS)
        if product > most:
            raise IllegalEdit(f"{loop.name} has {_turns(loop)}, less than the product of the factors, {product}")
        if len(numbers) == len(move.factors) and loop.extent != product:
            raise IllegalEdit(f"the product of the factors is {product}, not {loop.extent}; leave one to _")
        handle = self.names.handle(block, loop)
        parts = self._split_open(block, loop, handle, move, numbers) if move.is_open else None
        parts = parts or list(self.schedule.split(handle, list(move.factors)))
        for number, part in enumerate(parts):
            self.names.call(part, f"{loop.name}_{number}")
        return block

    def _split_open(
        self, block: str, loop: NamedLoop, handle: Any, move: SplitLoop, numbers: Sequence[int]
    ) -> list[Any]:
        """Split by a tile that is a knob; what the numbers take is split off first."""
        product = math.prod(numbers)
        if loop.extent < 1 or loop.extent % product or not self.is_settled(block, loop):
            raise IllegalEdit(
                f"{loop.name} has {loop.extent} turns; to be searched it takes a multiple of {product} that no other "
                "knob decides on"
            )
        inner: list[Any] = []
        if numbers:
            handle, rest = self.schedule.split(handle, [None, product])
            inner = [rest] if len(numbers) == 1 else list(self.schedule.split(rest, list(numbers)))
        whole = loop.extent // product
        first = [whole] + [1] * (move.free - 1)
        tile = self.schedule.sample_perfect_tile(
            handle, n=move.free, max_innermost_factor=min(INNERMOST, whole), decision=first
        )
        self.fixed = False
        return [*self.schedule.split(handle, tile), *inner]

    def is_settled(self, block: str, loop: NamedLoop) -> bool:
        """Whether no knob decides on the loop's extent: it is alone over a whole axis, or there is no knob."""
        if self.fixed:
            return True
        realize = self.names.realize(block)
        return any(
            value.same_as(loop.stmt.loop_var) and int(axis.dom.extent) == loop.extent
            for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)
        )

    @make.register
    def _(self, move: FuseLoops) -> str:
        loops = [self._serial(LoopName(move.block, name))[1] for name in move.loops]
        if math.prod(max(1, loop.extent) for loop in loops) > LARGEST:
            raise IllegalEdit("the fused loop would have more turns than can be counted")
        fused = self.schedule.fuse(*(self.names.handle(move.block, loop) for loop in loops))
        self.names.call(fused, "_".join(loop.name for loop in loops))
        return move.block

    @make.register
    def _(self, move: ReorderLoops) -> str:
        loops = [self.names.loop(move.block, name) for name in move.loops]
        self.schedule.reorder(*(self.names.handle(move.block, loop) for loop in loops))
        return move.block

    @make.register
    def _(self, move: ParallelLoop) -> str:
        block, loop = self._serial(move.loop)
        around = [one.name for one in self.names.nest(block) if int(one.stmt.kind) == int(ForKind.PARALLEL)]
        if around:
            raise IllegalEdit(f"loop {around[0]} around {block} runs in parallel already; one of a nest can")
        self.schedule.parallel(self.names.handle(block, loop))
        return block

    @make.register
    def _(self, move: VectorizeLoop) -> str:
        block, loop = self._serial(move.loop)
        if self.names.nest(block)[-1].name != loop.name:
            raise IllegalEdit(f"{loop.name} is not the innermost loop of {block}; reorder it there first")
        if not 1 <= loop.extent <= MOST_LANES:
            raise IllegalEdit(f"{loop.name} has {_turns(loop)}; a vector takes up to {MOST_LANES}: split it first")
        if is_arranged(self.names.stmt(block)):
            raise IllegalEdit(f"{block} has vectors, or values of its own, inside")
        self.schedule.vectorize(self.names.handle(block, loop))
        return block

    @make.register
    def _(self, move: UnrollLoop) -> str:
        block, loop = self._serial(move.loop)
        if not 1 <= loop.extent <= MOST_UNROLLED:
            raise IllegalEdit(f"{loop.name} has {_turns(loop)}; up to {MOST_UNROLLED} are unrolled: split it first")
        self.schedule.unroll(self.names.handle(block, loop))
        return block

    @make.register
    def _(self, move: Prefetch) -> str:
        block, loop = self._serial(move.loop)
        handle = self.names.handle(block, loop)
        require_prefetchable(self.schedule.get(handle), move.buffer, move.ahead)
        self.schedule.annotate(handle, ANNOTATION + move.buffer, move.ahead)
        return block

    # ---- blocks ----

    @make.register
    def _(self, move: ComputeAt) -> str:
        return self._move_block(move, self.schedule.compute_at)

    @make.register
    def _(self, move: ReverseComputeAt) -> str:
        require_consumer(self.schedule, self.names.stmt(move.block), self.names.block(move.loop.block))
        return self._move_block(move, self.schedule.reverse_compute_at)

    def _move_block(self, move: ComputeAt | ReverseComputeAt, primitive: Callable[..., None]) -> str:
        handle = self.names.handle(move.loop.block, self.names.loop(move.loop.block, move.loop.loop))
        axes = self.names.axes(move.block)
        primitive(
            self.names.block(move.block), handle, preserve_unit_loops=True, index=-1 if move.place == "last" else -2
        )
        self.names.call_own(move.block, axes)
        return move.block

    @make.register
    def _(self, move: ComputeInline) -> str:
        self.schedule.compute_inline(self.names.block(move.block))
        return move.block

    @make.register
    def _(self, move: ReverseComputeInline) -> str:
        self.schedule.reverse_compute_inline(self.names.block(move.block))
        return move.block

    @make.register
    def _(self, move: CacheRead) -> str:
        place = self._place(move.block, "reads", move.buffer)
        self.schedule.cache_read(self.names.block(move.block), place, "global")
        return move.block

    @make.register
    def _(self, move: CacheWrite) -> str:
        place = self._place(move.block, "writes", move.buffer)
        self.schedule.cache_write(self.names.block(move.block), place, "global")
        return move.block

    @make.register
    def _(self, move: TransformLayout) -> str:
        stmt = self.names.stmt(move.block)
        kind = "write" if any(str(one.source.name) == move.buffer for one in stmt.writes) else "read"
        place = self._place(move.block, f"{kind}s", move.buffer)
        self._require_between(move.buffer)
        shape = [int(extent) for extent in getattr(stmt, f"{kind}s")[place].source.ty.shape]
        if {axis.of for axis in move.layout} != set(range(len(shape))):
            raise IllegalEdit(f"{move.buffer} has {len(shape)} dimensions: d0 to d{len(shape) - 1}, each once")
        for axis in move.layout:
            if shape[axis.of] % axis.size:
                raise IllegalEdit(f"d{axis.of} of {move.buffer} is {shape[axis.of]}, no multiple of {axis.size}")

        def layout(*index: Any) -> list[Any]:
            return [_PARTS[axis.part](index[axis.of], axis.size) for axis in move.layout]

        dtype = str(stmt.iter_vars[0].var.ty) if stmt.iter_vars else "int32"
        index_map = tirx.IndexMap.from_func(layout, ndim=len(shape), index_dtype=dtype)
        self.schedule.transform_layout(self.names.block(move.block), (kind, place), index_map=index_map)
        return move.block

    @make.register
    def _(self, move: PadEinsum) -> str:
        extents = [int(axis.dom.extent) for axis in self.names.stmt(move.block).iter_vars]
        if len(move.multiples) != len(extents):
            raise IllegalEdit(f"{move.block} has {len(extents)} loops of its own, of {extents} turns")
        padded = [-(-extent // by) * by for extent, by in zip(extents, move.multiples, strict=True)]
        if math.prod(padded) > MOST_PADDED * math.prod(extents):
            raise IllegalEdit(f"{padded} in place of {extents} is more than {MOST_PADDED:g} times as much")
        self.schedule.pad_einsum(self.names.block(move.block), list(move.multiples))
        return move.block

    @make.register
    def _(self, move: SetScope) -> str:
        self._require_between(move.buffer)
        place = self._place(move.block, "writes", move.buffer)
        self.schedule.set_scope(self.names.block(move.block), place, move.scope)
        return move.block

    # ---- sums ----

    @make.register
    def _(self, move: DecomposeReduction) -> str:
        block, loop = move.loop.block, self.names.loop(move.loop.block, move.loop.loop)
        if self.names.stmt(block).init is None:
            raise IllegalEdit(f"{block} is no sum, or its first value is set already")
        nest = [one.stmt for one in self.names.nest(block)]
        place = next(number for number, one in enumerate(nest) if one.same_as(loop.stmt))
        require_own_terms(self.names.realize(block), nest[place:])
        self.schedule.decompose_reduction(self.names.block(block), self.names.handle(block, loop))
        return block

    @make.register
    def _(self, move: RFactor) -> str:
        block, loop = self._serial(move.loop)
        require_whole(self.names.realize(block))
        if begins_with_others(self.names.stmt(block)):
            raise IllegalEdit(f"{block} begins with another sum, which would count in each of its parts")
        self.schedule.rfactor(self.names.handle(block, loop), move.axis)
        return block

    @make.register
    def _(self, move: Tensorize) -> str:
        block, loop = move.loop.block, self.names.loop(move.loop.block, move.loop.loop)
        if move.intrinsic not in self.intrinsics.calls:
            known = ", ".join(self.intrinsics.told(self._types_read(block))) or "none on this target"
            raise IllegalEdit(f"there is no intrinsic {move.intrinsic[:80]!r} here; there are {known}")
        step = self.schedule.blockize(self.names.handle(block, loop))
        self.schedule.tensorize(step, move.intrinsic)
        if called := self.intrinsics.calls[move.intrinsic]:
            self.schedule.annotate(step, IMPORT, called)
        return block

    # ---- all blocks ----

    @make.register
    def _(self, move: ApplySketch) -> str:
        if self.sketching is None or not self.fixed:
            raise IllegalEdit("a sketch is applied to the untuned program, or to what moves without knobs made of it")
        known = self.sketches()
        if move.sketch not in known:
            told = ", ".join(known) or "none"
            raise IllegalEdit(f"there is no sketch {move.sketch[:80]!r} of this program; there are {told}")
        known[move.sketch].apply_to_schedule(self.schedule, remove_postproc=True)
        self.fixed = False
        self.names = self.sketching.named(self.schedule.trace)
        return ""

    # ---- looking up ----

    def _serial(self, name: LoopName) -> tuple[str, NamedLoop]:
        """The loop, if nothing was done with its turns yet."""
        loop = self.names.loop(name.block, name.loop)
        if int(loop.stmt.kind) != int(ForKind.SERIAL):
            raise IllegalEdit(f"{loop.name} is {_KINDS.get(int(loop.stmt.kind), 'not serial')} already")
        return name.block, loop

    def _place(self, block: str, of: str, buffer: str) -> int:
        """Which of the block's regions, ``reads`` or ``writes``, is of that buffer."""
        names = [str(region.source.name) for region in getattr(self.names.stmt(block), of)]
        if names.count(buffer) != 1:
            raise IllegalEdit(f"{block} {of} {', '.join(names) or 'nothing'}; {buffer[:80]!r} has to be one of them")
        return names.index(buffer)

    def _types_read(self, block: str) -> set[str]:
        """The types of what the block reads, but for what it adds to."""
        stmt = self.names.stmt(block)
        written = [region.source for region in stmt.writes]
        read = (one.source for one in stmt.reads if not any(one.source.same_as(other) for other in written))
        return {str(source.ty.dtype) for source in read}

    def _require_between(self, buffer: str) -> None:
        """Only a buffer that the program does not show to its caller can be changed."""
        if buffer in {str(one.name) for one in self.schedule.mod["main"].params if isinstance(one.ty, BufferType)}:
            raise IllegalEdit(f"{buffer} is an argument; copy it by cache_read or cache_write, and change the copy")


_KINDS = {int(ForKind.PARALLEL): "parallel", int(ForKind.VECTORIZED): "vectorised", int(ForKind.UNROLLED): "unrolled"}


_PARTS: dict[str, Callable[[Any, int], Any]] = {
    "": lambda index, size: index,
    "/": lambda index, size: index // size,
    "%": lambda index, size: index % size,
}
"""What a dimension of a new layout is, from the index along the old one."""


def _turns(loop: NamedLoop) -> str:
    return f"{loop.extent} turns" if loop.extent >= 0 else "no constant number of turns"
