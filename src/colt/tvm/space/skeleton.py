"""Reads a sketch's skeleton (:mod:`colt.analysis.skeleton`) off its scheduled TensorIR.

The module to read is the sketch replayed with some values and every movable block at the root, before post-processing.
What cannot be read exactly (an index that is not affine, a loop that no knob explains) is taken as it stands. Reading
never fails on an unusual program; it only gets coarser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from colt.analysis.skeleton import (
    FIXED,
    ROOT,
    Block,
    BlockWork,
    Iter,
    LoopKind,
    LoopSource,
    MemoryAccess,
    Product,
    Skeleton,
    knowing_constants,
)
from colt.knobs import CategoryKnob, Knob, LocationKnob, TileKnob, Value
from colt.tvm.programs.constants import constants_of
from colt.tvm.space.affine import linear
from colt.tvm.space.dots import TENSORIZED, read_dot
from colt.tvm.space.provenance import AxisPart, Provenance
from colt.tvm.space.variables import variables
from colt.tvm.vector_math import replaced_by

_PARALLEL = "meta_schedule.parallel"
_VECTORIZE = "meta_schedule.vectorize"
_UNROLL = "meta_schedule.unroll_explicit"
_REDUCE = 2
_SPLIT_NAME = re.compile(r"(.*)_(\d+)")
_ROUNDING = ("fabs", "floor", "ceil", "round", "trunc", "nearbyint")
_BITS = ("shift_left", "shift_right", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "reinterpret")
_UPDATE, _INIT = "_update", "_init"
"""What TVM adds to the name of a reduction without its initial value, and of that value's block."""
_SUM = 0.5
"""Operations that a sum of integers counts as; a product counts as one."""
_VECTOR_CALLS = frozenset(("likely", "max", "min", *_ROUNDING, *_BITS))
"""Calls that LLVM turns into vector instructions; the others go to libm, element by element."""


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
            pieces = (AxisPart(name, drive or "", extent=None if drive else _integer(loop.extent)),)
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


def read_skeleton(
    mod: tvm.IRModule, knobs: Sequence[Knob], values: Sequence[Value], *, vector_math: bool = False
) -> Skeleton:
    """The skeleton of the sketch with these knobs; ``mod`` is its instance with ``values``."""
    body = mod["main"].body
    program = _Program.of(mod, vector_math)
    placed = list(_leaf_blocks(body, []))
    hosts = [_host(number, placed) for number in range(len(placed))]
    blocks = [_read_block(number, placed, hosts, knobs, values, program) for number in range(len(placed))]
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
    return [place for place in placed if str(place.block.name_hint) not in initials]


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
) -> Block:
    place = placed[number]
    block = place.block
    host, depth = hosts[number]
    own = place.loops[depth + 1 :] if host != ROOT else place.loops
    loops = tuple(_loop_source(loop, str(block.name_hint), place.realize, knobs, values) for loop in own)
    link = _link(placed[host].block, block) if host != ROOT else None
    return replace(_block(place, loops, host, depth, program), link=link)


def _block(place: _Placed, loops: tuple[LoopSource, ...], host: int, depth: int, program: _Program) -> Block:
    block = place.block
    iters = tuple(Iter(str(v.var.name), _integer(v.dom.extent), int(v.iter_type) == _REDUCE) for v in block.iter_vars)
    numbers = {v.var: n for n, v in enumerate(block.iter_vars)}
    body = _Body(numbers, program.vector_math)
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
    )


def _loop_source(loop: Any, block: str, realize: Any, knobs: Sequence[Knob], values: Sequence[Value]) -> LoopSource:
    """Which iter the loop drives, and which part of which tile it is."""
    extent = _integer(loop.extent)
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
    body = _Body({v.var: n for n, v in enumerate(host.iter_vars)})
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


@dataclass(slots=True)
class _Body:
    """The loads, the store and the operations of a block's body, per point."""

    numbers: dict[Any, int]
    vector_math: bool = False
    reads: list[MemoryAccess] = field(default_factory=list)
    write: MemoryAccess | None = None
    _multiplications: float = 0.0
    _additions: float = 0.0
    _simple: float = 0.0
    _divisions: float = 0.0
    _calls: float = 0.0
    _branches: float = 0.0
    _seen: set[int] = field(default_factory=set)

    def visit(self, stmt: Any) -> None:
        """Take in a statement and all below it."""
        if isinstance(stmt, tirx.BufferStore):
            if self.write is None:
                self.write = self._access(stmt.buffer, stmt.indices)
            tvm_ffi.structural_walk(stmt.value, (tvm.ir.Expr, self._expression))
        elif isinstance(stmt, tirx.Bind):
            tvm_ffi.structural_walk(stmt.value, (tvm.ir.Expr, self._expression))
        elif isinstance(stmt, tirx.SeqStmt):
            for part in stmt:
                self.visit(part)
        elif isinstance(stmt, tirx.For):
            self.visit(stmt.body)
        elif isinstance(stmt, tirx.IfThenElse):
            self.visit(stmt.then_case)

    def begin(self, init: Any) -> bool:
        """Take in what a reduction begins with; whether that is what another block has summed."""
        loads: list[Any] = []
        if init is not None:
            tvm_ffi.structural_walk(init, (tvm.ir.TensorLoad, loads.append))
        for load in loads:
            self._load(load)
        return bool(loads)

    def work(self) -> BlockWork:
        """The operations; multiplications and additions are fused as far as they pair up."""
        fused = min(self._multiplications, self._additions)
        rest = self._multiplications + self._additions - 2 * fused
        return BlockWork(fused, self._simple + rest, self._divisions, self._calls, self._branches)

    def product(self, block: Any) -> Product | None:
        """The product that the block sums up from zero, if it does only that."""
        store = block.body
        if not isinstance(store, tirx.BufferStore) or not _starts_from_zero(block.init, store):
            return None
        terms = (store.value.a, store.value.b) if isinstance(store.value, tirx.Add) else ()
        factors = next((term for term in terms if isinstance(term, tirx.Mul)), None)
        if factors is None or not any(_is_load(term) and term.source.same_as(store.buffer) for term in terms):
            return None
        loads = [_cast_load(factor) for factor in (factors.a, factors.b)]
        reads = [None if load is None else self._access(load.source, load.indices) for load in loads]
        if any(read is None or read not in self.reads for read in reads) or reads[0] == reads[1]:
            return None
        first, second = (self.reads.index(read) for read in reads if read is not None)
        left, right = (str(load.ty) for load in loads)
        return Product((first, second), (left, right), str(factors.ty))

    def _expression(self, node: Any) -> None:
        same = tvm_ffi.structural_hash(node)
        if same in self._seen:
            return  # LLVM computes a shared expression once
        self._seen.add(same)
        if isinstance(node, tvm.ir.TensorLoad):
            self._load(node)
        elif _is_integer_arithmetic(node):
            self._simple += 1 if isinstance(node, tirx.Mul) else _SUM  # integers have no fused multiply-add
        elif not _is_number(node):
            return
        elif isinstance(node, tirx.Mul):
            self._multiplications += 1
        elif isinstance(node, (tirx.Add, tirx.Sub)):
            self._additions += 1
        elif isinstance(node, (tirx.Max, tirx.Min, tirx.Select)) or (isinstance(node, tirx.Cast) and not _widens(node)):
            self._simple += 1
        elif isinstance(node, tirx.Div):
            self._divisions += 1
        elif isinstance(node, tvm.ir.Call):
            self._call(node)

    def _load(self, node: Any) -> None:
        access = self._access(node.source, node.indices)
        if access != self.write and access not in self.reads:
            self.reads.append(access)

    def _call(self, node: Any) -> None:
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        function = replaced_by(node) if self.vector_math else None
        if function is not None:
            self._simple += function.slots
        elif name == "if_then_else":
            self._branches += 1
        elif name in ("sqrt", "rsqrt"):
            self._divisions += 1
        elif name in _VECTOR_CALLS:
            self._simple += 1
        else:
            self._calls += 1

    def _access(self, buffer: Any, indices: Any) -> MemoryAccess:
        shape = tuple(_integer(size) for size in buffer.shape)
        index = tuple(self._affine(expression) for expression in indices)
        return MemoryAccess(str(buffer.name), shape, max(1, _bits(buffer.dtype) // 8), index)

    def _affine(self, expression: Any) -> tuple[tuple[int, float], ...] | None:
        terms = linear(expression, self.numbers)
        if terms is None:
            return None
        return tuple((number, coefficient) for number, coefficient in terms.items() if coefficient)


def _starts_from_zero(init: Any, store: Any) -> bool:
    """Whether the initial value of the buffer that is summed up in is zero."""
    zero = isinstance(init, tirx.BufferStore) and isinstance(init.value, (tirx.IntImm, tirx.FloatImm))
    return zero and init.value.value == 0 and init.buffer.same_as(store.buffer)


def _is_load(node: Any) -> bool:
    return isinstance(node, tvm.ir.TensorLoad)


def _cast_load(factor: Any) -> Any:
    """The load that a factor is; ``None`` if it is more than a load and a cast to a wider type."""
    load = factor.value if isinstance(factor, tirx.Cast) else factor
    if not _is_load(load):
        return None
    return load if load is factor or _bits(load.ty) < _bits(factor.ty) else None


def _is_number(node: Any) -> bool:
    """Whether the node computes a value rather than an index or a condition."""
    dtype = str(getattr(node, "ty", ""))
    return dtype.startswith(("float", "bfloat", "int8", "uint8", "int16"))


def _is_integer_arithmetic(node: Any) -> bool:
    """Whether the node adds or multiplies loaded integers, rather than being part of an index."""
    if not isinstance(node, (tirx.Add, tirx.Sub, tirx.Mul)) or str(getattr(node, "ty", "")) not in ("int32", "int64"):
        return False
    loads: list[Any] = []
    tvm_ffi.structural_walk(node, (tvm.ir.TensorLoad, loads.append))
    return bool(loads)


def _widens(cast: Any) -> bool:
    """Whether the cast widens elements as they are loaded, which costs once per load, not per use."""
    return isinstance(cast.value, tvm.ir.TensorLoad) and _bits(cast.value.ty) < _bits(cast.ty)


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, (int, tirx.IntImm)) else 1


def _bits(dtype: Any) -> int:
    digits = re.search(r"(\d+)", str(dtype))
    return int(digits.group(1)) if digits else 32
