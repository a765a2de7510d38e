"""What threads read next of a large operand is asked for while they go over the present part: a pass over scheduled
programs.

The weights of a contraction are read a part at a time, and each part for every tile of rows. The first time waits for
memory and has little to compute meanwhile. All others find the part in the second cache, and memory rests. So each turn
of the innermost loop asks for a few bytes of the next part, and by the time that one begins, all of it is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.target import codegen
from tvm.tirx import BufferLoad, Evaluate, For, ForKind, IntImm, PrimFunc

from colt.tvm.dots.shims import IMPORT, PREFETCH, PREFETCH_IR
from colt.tvm.programs.arguments import DTYPE_BYTES
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import is_constant, mentions, sequence
from colt.tvm.programs.walks import every, mutated

FEWEST_BYTES, MOST_BYTES = 4096, 384 << 10
"""How much of an operand is a part: at most what fits twice into a second cache of 1 MB, with room for the rest."""
FEWEST_LANES = 8
"""A block that works on vectors by itself reads so many elements of the operand that it loads as one."""
FEWEST_OF_ALL = 512 << 10
"""Less stays in the second cache as a whole."""
MOST_ASKED = 32
"""So many bytes are asked for in one turn at most. What is gone over too few times for that keeps the memory busy as it
is, and asking costs more than it brings."""
_UNROLLED = "pragma_auto_unroll"
_OFFSET, _MOST = "int32", 2**31 - 1
"""TVM narrows what is passed to functions, as far as its values allow."""


def asks_on(target: Any) -> bool:
    """Whether the target has the instruction: processors of x86 have."""
    return target.kind.name == "llvm" and bool(codegen.target_has_features("sse", target))


def next_parts(function: PrimFunc, body: Any) -> Any:
    """The function's body with such prefetches; ``body`` itself if there is nothing to ask for."""

    def loop(node: For, mutator: Any) -> Any:
        if int(node.kind) != int(ForKind.PARALLEL):
            return mutator.default_mutate(node)
        return _asking(node) if is_constant(node) and int(node.extent) > 1 else node

    return mutated(body, (For, loop))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a block reads of a buffer: ``extents`` elements from ``indices`` on, which are in terms of the loops."""

    buffer: Any
    indices: tuple[Any, ...]
    extents: tuple[int, ...]
    block: str
    loops: tuple[For, ...]

    def is_in_vectors(self) -> bool:
        """Whether vectors are loaded, rather than numbers that are spread over one."""
        if math.prod(self.extents) >= FEWEST_LANES:
            return True
        along = [loop.loop_var for loop in self.loops if int(loop.kind) == int(ForKind.VECTORIZED)]
        return any(mentions(last, one) for last in self.indices[-1:] for one in along)


@dataclass(frozen=True, slots=True)
class _Digit:
    """The values of a loop's variable, divided by ``below``, modulo ``extent``. Each moves the reading by ``step``
    elements, or by none. Without a loop: what a block goes through by itself."""

    loop: For | None
    below: int
    extent: int
    step: int

    def value(self) -> Any:
        assert self.loop is not None
        found, total = self.loop.loop_var, int(self.loop.extent)
        if self.below > 1:
            found = tirx.floordiv(found, _number(self.below, found))
        if self.below * self.extent < total:
            found = tirx.floormod(found, _number(self.extent, found))
        return tirx.Cast(_OFFSET, found) if str(found.ty) != _OFFSET else found


def _asking(jobs: For) -> For:
    """The loop with prefetches; the loop itself if there is nothing to ask for."""
    readings: dict[Any, list[_Reading]] = {}
    for reading in _readings(jobs, ()):
        readings.setdefault(reading.buffer, []).append(reading)
    written = {region.source for realize in every(jobs.body, SBlockRealize) for region in realize.block.writes}
    asked: dict[Any, list[Any]] = {}
    for buffer, found in readings.items():
        alone = buffer not in written and len({one.block for one in found}) == 1
        stream = _Stream.of(found[0]) if alone and found[0].is_in_vectors() else None
        if stream is not None:
            asked.setdefault(stream.host, []).append(stream.asking())
    if not asked:
        return jobs

    def loop(node: For, mutator: Any) -> Any:
        inside = mutator.default_mutate(node)
        return _with_first(asked[node], inside) if node in asked else inside

    found = mutated(jobs, (For, loop))
    assert isinstance(found, For)
    return found


def _with_first(asking: Sequence[Any], loop: For) -> For:
    """The loop with something to do first in each turn, and what that calls."""
    notes = {str(name): value for name, value in (loop.annotations or {}).items()}
    notes[IMPORT] = str(notes.get(IMPORT, "")) + PREFETCH_IR
    start = (loop.loop_var, loop.min, loop.extent, loop.kind)
    return For(*start, sequence([*asking, loop.body]), loop.thread_binding, notes, loop.step)


def _readings(stmt: Any, loops: tuple[For, ...]) -> Iterator[_Reading]:
    """What is read under loops of constant extent, in blocks that nothing is conditional about."""
    if isinstance(stmt, tirx.SeqStmt):
        for one in stmt.seq:
            yield from _readings(one, loops)
    elif isinstance(stmt, For):
        if is_constant(stmt):
            yield from _readings(stmt.body, (*loops, stmt))
    elif isinstance(stmt, SBlockRealize) and isinstance(stmt.predicate, IntImm):
        block = stmt.block
        values = {axis.var: value for axis, value in zip(block.iter_vars, stmt.iter_values, strict=True)}
        name, known = str(block.name_hint), {loop.loop_var for loop in loops}
        for matched in block.match_buffers:
            region = matched.source
            if all(isinstance(one.extent, IntImm) for one in region.region):
                indices = tuple(substituted(one.min, values) for one in region.region)
                yield _Reading(region.source, indices, tuple(int(one.extent) for one in region.region), name, loops)
        own = {matched.buffer for matched in block.match_buffers}
        for load in every(block.body, tvm.ir.TensorLoad):
            indices = tuple(substituted(index, values) for index in load.indices)
            inside = all(one in known for index in indices for one in every(index, tirx.Var))
            if load.source not in own and inside:
                yield _Reading(load.source, indices, (1,) * len(indices), name, loops)


@dataclass(frozen=True)
class _Stream:
    """A buffer that is read part by part. ``parts`` and ``inside`` move from part to part and within one, ``again`` is
    what each part is gone over for, and all that follows it in the nest; ``host`` is the innermost loop, which moves
    within a part, and in which there is nothing but a register tile."""

    buffer: Any
    base: int
    parts: tuple[_Digit, ...]
    inside: tuple[_Digit, ...]
    again: tuple[_Digit, ...]
    host: For

    @classmethod
    def of(cls, reading: _Reading) -> _Stream | None:
        """The stream; ``None`` if it is none, or one that is not read as said above."""
        digits = _digits(reading)
        if digits is None:
            return None
        base, moving = digits
        hosts = [loop for loop in reading.loops if int(loop.kind) == int(ForKind.SERIAL) and int(loop.extent) > 1]
        if not hosts:
            return None
        host = hosts[-1]
        if not any(digit.loop is host and digit.step for digit in moving) or any(map(_is_unrolled, reading.loops)):
            return None
        for place, digit in enumerate(moving):
            if digit.step or digit.extent == 1:
                continue
            parts = tuple(one for one in moving[:place] if one.step and one.extent > 1)
            inside = tuple(one for one in moving[place:] if one.step and one.extent > 1)
            last = max((n for n, one in enumerate(moving) if one.loop is host), default=-1)
            again = tuple(one for one in moving[place : last + 1] if one.extent > 1)
            found = cls(reading.buffer, base, parts, inside, again, host)
            if parts and last >= place and found.is_worth_it():
                return found
        return None

    @cached_property
    def elements(self) -> int:
        """Those of a part."""
        return math.prod(one.extent for one in self.inside)

    @cached_property
    def turns(self) -> int:
        """How many there are of the innermost loop while one part is gone over."""
        return math.prod(one.extent for one in self.again)

    @cached_property
    def element_bytes(self) -> int:
        return DTYPE_BYTES.get(str(self.buffer.ty.dtype), 0)

    def is_worth_it(self) -> bool:
        """Whether a part lies in one piece and is neither too small nor too large, and little is asked for in each
        turn: where to ask is then an addition or two."""
        if not self._is_in_one_piece():
            return False
        whole = math.prod(int(one) for one in self.buffer.ty.shape) * self.element_bytes
        part, in_range = self.elements * self.element_bytes, max(whole, self._share[0] * self.turns) <= _MOST
        return in_range and whole >= FEWEST_OF_ALL and FEWEST_BYTES <= part <= min(MOST_BYTES, MOST_ASKED * self.turns)

    def _is_in_one_piece(self) -> bool:
        run = 1
        for digit in sorted(self.inside, key=lambda one: one.step):
            if digit.step != run:
                return False
            run *= digit.extent
        return True

    @cached_property
    def _share(self) -> tuple[int, int]:
        """How many elements are asked for in how many turns."""
        common = math.gcd(self.elements, self.turns)
        return self.elements // common, self.turns // common

    def asking(self) -> Any:
        """What is to be done at the beginning of each turn."""
        turn: Any = _number(0)
        count = self.turns
        for digit in self.again:
            count //= digit.extent
            turn = turn + digit.value() * _number(count)
        elements, turns = self._share
        within = tirx.floordiv(turn * _number(elements), _number(turns))
        place = self._next() + within
        start = BufferLoad(self.buffer, [IntImm(str(one.ty), 0) for one in self.buffer.ty.shape])
        offset = tvm.sym.Analyzer().simplify(place * _number(self.element_bytes))
        return Evaluate(tirx.call_extern("int32", PREFETCH, tirx.address_of(start), offset))

    def _next(self) -> Any:
        """Where the next part begins, or the present one if it is the last."""
        *outer, inner = self.parts
        here: Any = _number(self.base)
        for digit in self.parts:
            here = here + digit.value() * _number(digit.step)
        step = inner.step
        in_line, last, span = True, self.base + step * (inner.extent - 1), inner.step * inner.extent
        for digit in reversed(outer):
            in_line = in_line and digit.step == span
            last, span = last + digit.step * (digit.extent - 1), digit.step * digit.extent
        if in_line:
            return tirx.min(here + _number(step), _number(last))
        has_next = inner.value() < _number(inner.extent - 1)
        return here + tirx.Select(has_next, _number(step), _number(0))


def _is_unrolled(loop: For) -> bool:
    """Whether TVM unrolls loops in the loop as far as there is room. It would repeat what is asked for between the
    operations of a register tile, which LLVM then makes no tile of."""
    return any(str(name).startswith(_UNROLLED) for name in loop.annotations or ())


def _digits(reading: _Reading) -> tuple[int, list[_Digit]] | None:
    """Where the reading begins, and the digits of the loops around it, outermost first, with those that the reading
    itself goes through; ``None`` if it is not a sum of such digits that goes forwards."""
    shape = list(reading.buffer.ty.shape)
    if not all(isinstance(one, IntImm) for one in shape) or list(getattr(reading.buffer.ty, "strides", None) or ()):
        return None
    place: Any = 0
    steps, below = [], 1
    for size in reversed(shape):
        steps.append(below)
        below *= int(size)
    steps.reverse()
    for index, step in zip(reading.indices, steps, strict=True):
        place = place + index * _number(step, index)
    ranges = {loop.loop_var: tvm.ir.Range.from_min_extent(loop.min, loop.extent) for loop in reading.loops}
    analyzer = tvm.sym.Analyzer()
    for variable, range_ in ranges.items():
        analyzer.bind(variable, range_)
    try:
        total = tvm.sym.normalize_to_iter_sum(analyzer.simplify(place), ranges)
    except tvm.TVMError:
        return None
    if not isinstance(total.base, IntImm) or int(total.base) < 0:
        return None
    used: dict[Any, list[_Digit]] = {}
    loops = {loop.loop_var: loop for loop in reading.loops}
    for part in total.args:
        loop = loops.get(part.source.source)
        numbers = (part.lower_factor, part.extent, part.scale)
        if loop is None or not all(isinstance(one, IntImm) and int(one) > 0 for one in numbers):
            return None
        used.setdefault(loop.loop_var, []).append(_Digit(loop, *map(int, numbers)))
    moving = [digit for loop in reading.loops for digit in _filled(loop, used.get(loop.loop_var, []))]
    own = (_Digit(None, 1, extent, step) for extent, step in zip(reading.extents, steps, strict=True) if extent > 1)
    return int(total.base), [*moving, *own]


def _filled(loop: For, used: Sequence[_Digit]) -> list[_Digit]:
    """All digits of the loop, the highest first: those that the reading uses, and what lies between them."""
    found, below, total = [], 1, int(loop.extent)
    for digit in sorted(used, key=lambda one: one.below):
        if digit.below > below:
            found.append(_Digit(loop, below, digit.below // below, 0))
        found.append(digit)
        below = digit.below * digit.extent
    if below < total:
        found.append(_Digit(loop, below, total // below, 0))
    return found[::-1]


def _number(value: int, like: Any = None) -> Any:
    return IntImm(_OFFSET if like is None else str(like.ty), value)
