"""Loops whose turns do not depend on each other, made visible where TVM does not see them.

The rows of a prefix sum, of a sparse matrix or of a triangle can run in parallel, whatever happens inside a row. TVM
parallelises a loop only around blocks that read nothing of what they write. So a nest that it would refuse becomes one
block: an axis for each independent loop, and inside it the rest as plain statements. What a row reads of its own
results is left out of the block's reads, because no other row touches it. A nest without independent loops becomes a
block without axes, which is left as it is while the rest of the program is scheduled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, BufferType, For, IfThenElse, IntImm, IterVar, PrimFunc

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import (
    around,
    chain,
    in_root,
    is_block,
    is_plain_loop,
    nests_of,
    sequence,
    statements,
    with_nests,
)

_SPATIAL, _REDUCE = 0, 2


def rows_apart(func: PrimFunc) -> PrimFunc:
    """The function with such nests as blocks over independent rows; ``func`` itself if there are none."""
    func = in_root(func)
    nests: list[Any] = []
    buffers: list[Any] = []
    changed = False
    for stmt in nests_of(func):
        parts, allocated = _opened(stmt)
        rewritten = [_rewritten(part) for part in parts]
        if len(parts) > 1 and not all(rewritten):
            nests.append(stmt)  # statements that no block holds cannot be scheduled
            continue
        changed = changed or any(rewritten)
        if any(rewritten):
            buffers += allocated
            nests += [new or part for new, part in zip(rewritten, parts, strict=True)]
        else:
            nests.append(stmt)
    return with_nests(func, nests, buffers) if changed else func


def _opened(stmt: Any) -> tuple[list[Any], list[Any]]:
    """The statements inside a block without axes, and its buffers; any other statement as it is."""
    if is_block(stmt) and stmt.block.init is None and not list(stmt.block.match_buffers):
        parts = statements(stmt.block.body)
        if all(isinstance(part, For) for part in parts):
            named = [_Named(part, str(stmt.block.name_hint)) for part in parts]
            return list(named), list(stmt.block.alloc_buffers)
    return [stmt], []


@dataclass(frozen=True, slots=True)
class _Named:
    """A nest that is part of a block of that name."""

    stmt: Any
    name: str


def _rewritten(part: Any) -> Any:
    """The nest as a block over its independent loops; ``None`` if it need not or cannot be."""
    stmt, name = (part.stmt, part.name) if isinstance(part, _Named) else (part, None)
    if not isinstance(stmt, For) or not (name or _is_hidden(stmt)):
        return None
    lowered = _Lowered()
    plain = lowered.mutate(stmt)
    accesses = None if lowered.refused else _Accesses.of(plain, lowered.buffers)
    if accesses is None:
        return None
    loops = chain(plain)
    independent = [loop for loop in loops if is_plain_loop(loop) and accesses.separated_by(loop.loop_var)]
    initial, rest = _initial(loops, independent, stmt)
    body = loops[-1].body if initial is None else rest
    for loop in reversed(loops):
        if not any(loop.same_as(one) for one in independent):
            body = around(loop, body)
    body = body if initial is None else sequence([initial, body])
    return _block(name or lowered.name or "rows", independent, accesses, lowered.buffers, body)


def _initial(loops: Sequence[Any], independent: Sequence[Any], stmt: Any) -> tuple[Any, Any]:
    """What the reduction in the nest sets its result to, and what each of its terms does; ``None`` twice if the nest is
    not one whose other loops all reduce.

    Set before the first term, the result is right where a row has no terms, too.
    """
    realize = chain(stmt)[-1].body
    if len(chain(stmt)) != len(loops) or not isinstance(realize, SBlockRealize) or realize.block.init is None:
        return None, None
    block = realize.block
    pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
    sums = [value for var, value in pairs if int(var.iter_type) == _REDUCE]
    others = [loop for loop in loops if not any(loop.same_as(one) for one in independent)]
    reducing = all(any(value.same_as(loop.loop_var) for value in sums) for loop in others)
    if not reducing or len(sums) != len(others) or not _is_one(realize.predicate):
        return None, None
    values = {var.var: value for var, value in pairs}
    return substituted(block.init, values), substituted(block.body, values)


def _is_hidden(stmt: Any) -> bool:
    """Whether TVM does not see which turns of the loops are independent."""
    found: list[bool] = []

    def loop(node: Any) -> None:
        found.append(not isinstance(node.extent, IntImm))

    def block(node: Any) -> None:
        written = [region.source for region in node.writes]
        own = node.init is None and any(region.source.same_as(one) for region in node.reads for one in written)
        found.append(own or not list(node.iter_vars))

    tvm_ffi.structural_walk(stmt, ((For, loop), (SBlock, block)))
    return any(found)


class _Lowered:
    """Turns blocks into plain statements; remembers the first block's name and the buffers that blocks allocate."""

    def __init__(self) -> None:
        self.buffers: list[Any] = []
        self.name = ""
        self.refused = False

    def mutate(self, stmt: Any) -> Any:
        return tvm_ffi.structural_mutate(stmt, (SBlockRealize, self._realize))

    def _realize(self, realize: Any, mutator: Any) -> Any:
        block = realize.block
        self.name = self.name or str(block.name_hint)
        self.refused = self.refused or bool(list(block.match_buffers)) or bool(dict(block.annotations))
        self.buffers += block.alloc_buffers
        body = self.mutate(block.body)
        pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
        if block.init is not None:
            first = [value.equal(var.dom.min) for var, value in pairs if int(var.iter_type) == _REDUCE]
            body = sequence([_if(first, self.mutate(block.init)), *statements(body)])
        body = substituted(body, {var.var: value for var, value in pairs})
        return _if([realize.predicate], body)


def _if(conditions: Sequence[Any], stmt: Any) -> Any:
    open_ = [one for one in conditions if not _is_one(one)]
    return IfThenElse(tirx.all(*open_), stmt, None) if open_ else stmt


def _is_one(condition: Any) -> bool:
    return isinstance(condition, IntImm) and int(condition) == 1


@dataclass(frozen=True, slots=True)
class _Accesses:
    """The elements that a nest touches, by buffer, and which buffers it writes."""

    indices: dict[Any, list[list[Any]]]
    written: list[Any]

    @classmethod
    def of(cls, stmt: Any, private: Sequence[Any]) -> _Accesses | None:
        """All accesses but those of ``private`` buffers; ``None`` if a buffer is used in any other way."""
        found: dict[Any, list[list[Any]]] = {}
        written: list[Any] = []
        seen: Counter[Any] = Counter()
        simplify = _simplifier(stmt)

        def add(buffer: Any, indices: Any) -> None:
            found.setdefault(buffer, []).append([simplify(index) for index in indices])

        def store(node: Any) -> None:
            add(node.buffer, node.indices)
            if node.buffer not in written:
                written.append(node.buffer)

        def load(node: Any) -> None:
            add(node.source, node.indices)

        def occurrence(var: Any) -> None:
            seen[var] += isinstance(var.ty, BufferType) or var in found

        def call(node: Any) -> None:
            if getattr(node.op, "name", "") == "tirx.address_of":
                escaped.append(node)

        escaped: list[Any] = []
        rules = ((BufferStore, store), (tvm.ir.TensorLoad, load), (tvm.ir.Call, call), (tvm.ir.Var, occurrence))
        tvm_ffi.structural_walk(stmt, rules, order="pre")
        plain = all(count == len(found.get(buffer, ())) for buffer, count in seen.items())
        if not plain or escaped:
            return None
        hidden = set(private)
        shared = {buffer: indices for buffer, indices in found.items() if buffer not in hidden}
        return cls(shared, [buffer for buffer in written if buffer not in hidden])

    def separated_by(self, loop_var: Any) -> bool:
        """Whether different turns of the loop touch different elements of everything that is written."""
        return bool(self.written) and all(self.dimension(buffer, loop_var) is not None for buffer in self.written)

    def dimension(self, buffer: Any, loop_var: Any) -> int | None:
        """The dimension of which each turn of the loop touches one element of its own."""
        accesses = self.indices[buffer]
        for number in range(len(accesses[0])):
            if all(indices[number].same_as(loop_var) for indices in accesses):
                return number
        return None


def _simplifier(stmt: Any) -> Any:
    analyzer = tvm.sym.Analyzer()

    def bind(loop: Any) -> None:
        if isinstance(loop.extent, IntImm) and isinstance(loop.min, IntImm):
            analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, loop.extent))

    tvm_ffi.structural_walk(stmt, (For, bind))
    return analyzer.simplify


def _block(name: str, independent: Sequence[Any], accesses: _Accesses, buffers: Sequence[Any], body: Any) -> Any:
    """The independent loops around a block of the others. Each row does in the same order what it did before."""
    axes = {one.loop_var: tvm.ir.Var(f"v_{one.loop_var.name}", one.loop_var.ty) for one in independent}
    iters = [
        IterVar(tvm.ir.Range.from_min_extent(one.min, one.extent), axes[one.loop_var], _SPATIAL) for one in independent
    ]
    read = [buffer for buffer in accesses.indices if buffer not in accesses.written]
    block = SBlock(
        iters,
        [_region(accesses, buffer, axes) for buffer in read],
        [_region(accesses, buffer, axes) for buffer in accesses.written],
        name,
        substituted(body, axes),
        alloc_buffers=list(buffers),
    )
    found: Any = SBlockRealize([one.loop_var for one in independent], True, block)
    for one in reversed(independent):
        found = around(one, found)
    return found


def _region(accesses: _Accesses, buffer: Any, axes: dict[Any, Any]) -> Any:
    """All of the buffer, but only the row's own part along dimensions that the axes go through."""
    ranges = [tvm.ir.Range.from_min_extent(IntImm(str(extent.ty), 0), extent) for extent in buffer.ty.shape]
    for loop_var, axis in axes.items():
        number = accesses.dimension(buffer, loop_var)
        if number is not None:
            ranges[number] = tvm.ir.Range.from_min_extent(axis, IntImm(str(axis.ty), 1))
    return tirx.BufferRegion(buffer, ranges)
