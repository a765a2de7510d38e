"""Reads a sketch's skeleton (:mod:`colt.analysis.skeleton`) off its scheduled TensorIR.

The module to read is the sketch replayed with some values and every movable block at the root, before post-processing.
What cannot be read exactly (an index that is not affine, a loop that no knob explains) is taken as it stands. Reading
never fails on an unusual program; it only gets coarser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from colt.analysis.skeleton import (
    FIXED,
    ROOT,
    Block,
    Iter,
    LoopKind,
    LoopSource,
    MemoryAccess,
    Skeleton,
    knowing_constants,
)
from colt.knobs import CategoryKnob, Knob, LocationKnob, TileKnob, Value
from colt.tvm.programs.constants import constants_of
from colt.tvm.programs.nests import is_arranged
from colt.tvm.space.bodies import Body, integer
from colt.tvm.space.dots import TENSORIZED, read_dot
from colt.tvm.space.provenance import AxisPart, Provenance
from colt.tvm.space.variables import variables

_PARALLEL = "meta_schedule.parallel"
_VECTORIZE = "meta_schedule.vectorize"
_UNROLL = "meta_schedule.unroll_explicit"
_REDUCE = 2
_SPLIT_NAME = re.compile(r"(.*)_(\d+)")
_UPDATE, _INIT = "_update", "_init"
"""What TVM adds to the name of a reduction without its initial value, and of that value's block."""


def read_structured(
    mod: tvm.IRModule, loops: Provenance, knob_of: Mapping[int, int], *, vector_math: bool = False
) -> Skeleton:
    """The skeleton of a sketch whose trace says what becomes of its loops; ``mod`` is an instance of it.

    ``loops`` says where the loops come from; ``knob_of`` maps an instruction's number to its knob's number.
    ``vector_math``: :func:`colt.tvm.vector_math.rewrite` will replace calls.
    """
    program = _Program.of(mod, vector_math)
    placed = _without_initials(list(_leaf_blocks(mod["main"].body, [])))
    numbers = {place.name: number for number, place in enumerate(placed)}
    own = [_own_pieces(place, loops) for place in placed]
    blocks = []
    for number, place in enumerate(placed):
        host, depth = _owner(number, place, own, numbers)
        sources = tuple(_explicit(place, piece, loop, knob_of) for loop, piece in own[number])
        found = _block(place, sources, host, depth, program)
        blocks.append(read_dot(place.block, found, program.arguments) if place.block.match_buffers else found)
    known = knowing_constants(blocks, program.constants)
    return Skeleton(known, max_parallel=0, max_vector=0, unroll_knob=FIXED, explicit=True)


def _own_pieces(place: _Placed, loops: Provenance) -> list[tuple[Any, AxisPart]]:
    """The loops that belong to the block itself, one entry for each part of a fused loop."""
    name = place.name
    drives = _drives(place)
    found = []
    for loop in place.loops:
        pieces = loops.get(loop.loop_var)
        if pieces is None:  # a loop of a moved block: it runs over what is needed there
            drive = drives.get(loop.loop_var)
            pieces = (AxisPart(name, drive or "", extent=None if drive else integer(loop.extent)),)
        found += [(loop, piece) for piece in pieces if piece.block == name]
    return found


def _drives(place: _Placed) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for iter_, value in zip(place.block.iter_vars, place.realize.iter_values, strict=True):
        for var in variables(value):
            found.setdefault(var, place.iter_name(iter_))
    return found


def _owner(
    number: int, place: _Placed, own: Sequence[Sequence[tuple[Any, AxisPart]]], numbers: Mapping[str, int]
) -> tuple[int, int]:
    """The block that owns the innermost foreign loop around this one, and that loop's depth there."""
    mine = {loop.loop_var for loop, _ in own[number]}
    for loop in reversed(place.loops):
        if loop.loop_var in mine:
            continue
        for other in numbers.values():
            depths = [depth for depth, (theirs, _) in enumerate(own[other]) if theirs.same_as(loop)]
            if depths and other != number:
                return other, depths[-1]
    return ROOT, 0


def _explicit(place: _Placed, piece: AxisPart, loop: Any, knob_of: Mapping[int, int]) -> LoopSource:
    names = [place.iter_name(iter_) for iter_ in place.block.iter_vars]
    iter_ = names.index(piece.iter) if piece.iter in names else 0
    kind = LoopKind(int(loop.kind)) if int(loop.kind) in list(LoopKind) else LoopKind.SERIAL
    if piece.tile is not None and piece.tile in knob_of:
        return LoopSource(iter_, knob_of[piece.tile], piece.part, 0, kind)
    return LoopSource(iter_, FIXED, 0, piece.extent or 1, kind, rest=piece.extent is None)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the loops of an instance come from, and the number of the knob that each instruction decides."""

    loops: Provenance
    knob_of: Mapping[int, int]


def read_skeleton(
    mod: tvm.IRModule,
    knobs: Sequence[Knob],
    values: Sequence[Value],
    *,
    vector_math: bool = False,
    origins: Origins | None = None,
) -> Skeleton:
    """The skeleton of the sketch with these knobs; ``mod`` is its instance with ``values``.

    What a loop runs over follows from its name, unless ``origins`` tells: a part of a tile that moves split again is
    called like a part of no tile.
    """
    body = mod["main"].body
    program = _Program.of(mod, vector_math)
    placed = list(_leaf_blocks(body, []))
    hosts = [_host(number, placed) for number in range(len(placed))]
    blocks = [_read_block(number, placed, hosts, knobs, values, program, origins) for number in range(len(placed))]
    annotations = body.block.annotations if isinstance(body, SBlockRealize) else {}
    unroll = next(
        (n for n, knob in enumerate(knobs) if isinstance(knob, CategoryKnob) and knob.name == "unroll"), FIXED
    )
    return Skeleton(
        knowing_constants([_locate(block, blocks, knobs) for block in blocks], program.constants),
        max_parallel=int(annotations.get(_PARALLEL, 0)),
        max_vector=int(annotations.get(_VECTORIZE, 0)),
        unroll_knob=unroll if _UNROLL in annotations else FIXED,
    )


@dataclass(frozen=True, slots=True)
class _Program:
    """What holds for all blocks."""

    arguments: frozenset[str]
    constants: tuple[str, ...]
    vector_math: bool

    @classmethod
    def of(cls, mod: tvm.IRModule, vector_math: bool) -> _Program:
        names = frozenset(str(parameter.name) for parameter in mod["main"].params)
        return cls(names, constants_of(mod["main"]), vector_math)


@dataclass(slots=True)
class _Placed:
    """A leaf block with the loops around it, outermost first."""

    realize: Any
    loops: list[Any]

    @property
    def block(self) -> Any:
        return self.realize.block

    @property
    def name(self) -> str:
        """The block's name before it was replaced by an intrinsic, if it was."""
        return self._before(self.block.name_hint).removesuffix(_UPDATE if self.block.match_buffers else "")

    def iter_name(self, iter_: Any) -> str:
        """The name that the iter had before."""
        return self._before(iter_.var.name)

    def _before(self, name: Any) -> str:
        return str(name).removesuffix(TENSORIZED if self.block.match_buffers else "")


def _without_initials(placed: list[_Placed]) -> list[_Placed]:
    """The blocks without those that only set to zero what an intrinsic adds to: the model counts it with the sum."""
    initials = {f"{place.name}{_INIT}" for place in placed if place.block.match_buffers}
    return [place for place in placed if place.name not in initials]


def _leaf_blocks(stmt: Any, loops: list[Any]) -> Iterator[_Placed]:
    if isinstance(stmt, tirx.For):
        yield from _leaf_blocks(stmt.body, [*loops, stmt])
    elif isinstance(stmt, tirx.SeqStmt):
        for part in stmt:
            yield from _leaf_blocks(part, loops)
    elif isinstance(stmt, tirx.IfThenElse):
        yield from _leaf_blocks(stmt.then_case, loops)
        if stmt.else_case is not None:
            yield from _leaf_blocks(stmt.else_case, loops)
    elif isinstance(stmt, SBlockRealize):
        inner = list(_leaf_blocks(stmt.block.body, loops))
        if inner:
            yield from inner
        elif stmt.block.writes:
            yield _Placed(stmt, loops)


def _host(number: int, placed: Sequence[_Placed]) -> tuple[int, int]:
    """The deepest block that this one shares outer loops with, and the depth of the innermost shared one."""
    mine = placed[number].loops
    best = (ROOT, 0)
    for other, place in enumerate(placed):
        if (len(place.loops), -other) <= (len(mine), -number):
            continue
        shared = 0
        while shared < min(len(mine), len(place.loops)) and mine[shared].same_as(place.loops[shared]):
            shared += 1
        if shared and (best[0] == ROOT or len(place.loops) > len(placed[best[0]].loops)):
            best = (other, shared - 1)
    return best


def _read_block(
    number: int,
    placed: Sequence[_Placed],
    hosts: Sequence[tuple[int, int]],
    knobs: Sequence[Knob],
    values: Sequence[Value],
    program: _Program,
    origins: Origins | None,
) -> Block:
    place = placed[number]
    block = place.block
    host, depth = hosts[number]
    own = place.loops[depth + 1 :] if host != ROOT else place.loops
    loops = tuple(
        _told_source(place, loop, origins) or _loop_source(loop, str(block.name_hint), place.realize, knobs, values)
        for loop in own
    )
    link = _link(placed[host].block, block) if host != ROOT else None
    return replace(_block(place, loops, host, depth, program), link=link)


def _block(place: _Placed, loops: tuple[LoopSource, ...], host: int, depth: int, program: _Program) -> Block:
    block = place.block
    iters = tuple(Iter(str(v.var.name), integer(v.dom.extent), int(v.iter_type) == _REDUCE) for v in block.iter_vars)
    numbers = {v.var: n for n, v in enumerate(block.iter_vars)}
    body = Body(numbers, program.vector_math)
    body.visit(block.body)
    goes_on = body.begin(block.init)
    write = body.write or MemoryAccess("?", (1,), 4, ((),))
    return Block(
        name=place.name,
        iters=iters,
        reads=tuple(body.reads),
        write=write,
        work=body.work(),
        loops=loops,
        host=host,
        depth=depth,
        loop_names=tuple(str(loop.loop_var.name) for loop in place.loops),
        local=write.buffer not in program.arguments,
        product=body.product(block),
        goes_on=goes_on,
        arranged=is_arranged(block),
    )


def _told_source(place: _Placed, loop: Any, origins: Origins | None) -> LoopSource | None:
    """What the loop runs over, as its origin tells; ``None`` if that is unknown or several things at once."""
    pieces = () if origins is None else origins.loops.get(loop.loop_var, ())
    if origins is None or len(pieces) != 1 or pieces[0].block != place.name:
        return None
    return _explicit(place, pieces[0], loop, origins.knob_of)


def _loop_source(loop: Any, block: str, realize: Any, knobs: Sequence[Knob], values: Sequence[Value]) -> LoopSource:
    """Which iter the loop drives, and which part of which tile it is."""
    extent = integer(loop.extent)
    iter_ = 0
    for number, binding in enumerate(realize.iter_values):
        if any(var.same_as(loop.loop_var) for var in variables(binding)):
            iter_ = number
            break
    match = _SPLIT_NAME.fullmatch(str(loop.loop_var.name))
    if match is not None:
        part = int(match.group(2))
        for number, (knob, value) in enumerate(zip(knobs, values, strict=True)):
            if (
                isinstance(knob, TileKnob)
                and knob.loop == match.group(1)
                and (block == knob.block or block.startswith(knob.block))
                and part < knob.parts
                and isinstance(value, tuple)
                and value[part] == extent
            ):
                return LoopSource(iter_, number, part, extent)
    return LoopSource(iter_, FIXED, 0, extent)


def _link(host: Any, guest: Any) -> MemoryAccess | None:
    """The host's access to the buffer that it shares with the guest."""
    return _shared_access(host, {str(r.source.name) for r in (*guest.reads, *guest.writes)})


def _shared_access(host: Any, buffers: set[str]) -> MemoryAccess | None:
    body = Body({v.var: n for n, v in enumerate(host.iter_vars)})
    body.visit(host.body)
    if body.write is not None and body.write.buffer in buffers:
        return body.write
    return next((access for access in body.reads if access.buffer in buffers), None)


def _locate(block: Block, blocks: Sequence[Block], knobs: Sequence[Knob]) -> Block:
    """Attach the location knob of a movable block, with its consumer as the host."""
    for number, knob in enumerate(knobs):
        if isinstance(knob, LocationKnob) and knob.block == block.name:
            host = next((n for n, other in enumerate(blocks) if other.name == knob.consumer), ROOT)
            link = None
            if host != ROOT:
                link = next((read for read in blocks[host].reads if read.buffer == block.write.buffer), None)
            if link is None:
                host, link = _reader_of(block, blocks)
            return replace(block, host=host, depth=0, location_knob=number, link=link)
    return block


def _reader_of(block: Block, blocks: Sequence[Block]) -> tuple[int, MemoryAccess | None]:
    for number, other in enumerate(blocks):
        for read in other.reads:
            if read.buffer == block.write.buffer and other is not block:
                return number, read
    return ROOT, None
