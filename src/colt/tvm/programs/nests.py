"""The loop nests that a program consists of, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import Evaluate, For, ForKind, IntImm, IterVar, PrimFunc, SeqStmt

from colt.tvm.programs.naming import with_block
from colt.tvm.programs.walks import every, walk


def in_root(func: PrimFunc) -> PrimFunc:
    """The function with a root block around its only block, if that is written without one."""
    if not isinstance(func.body, SBlockRealize) or str(func.body.block.name_hint) == "root":
        return func
    if every(func.body.block.body, SBlock):
        return func
    return func.with_body(SBlockRealize([], True, SBlock([], [], [], "root", func.body)))


ARRANGED = "colt.arranged"
"""Marks a block whose rows have vectors, or values of their own, inside: vectors are not to run across rows."""


def is_arranged(block: Any) -> bool:
    """Whether the block is marked so."""
    return ARRANGED in block.annotations


def nests_of(func: PrimFunc) -> list[Any]:
    """The statements of the outermost block, in order; none if the function has no such block."""
    if not isinstance(func.body, SBlockRealize):
        return []
    return statements(func.body.block.body)


def statements(stmt: Any) -> list[Any]:
    """The statement's parts, in order."""
    return list(stmt.seq) if isinstance(stmt, SeqStmt) else [stmt]


def sequence(parts: Sequence[Any]) -> Any:
    """One statement of several."""
    return SeqStmt(list(parts)) if len(parts) > 1 else parts[0] if parts else Evaluate(0)


def with_nests(func: PrimFunc, nests: Sequence[Any], buffers: Sequence[Any] = ()) -> PrimFunc:
    """The function with other statements in its outermost block, which allocates ``buffers`` as well."""
    outer = func.body.block
    block = with_block(outer, body=sequence(nests), alloc_buffers=[*outer.alloc_buffers, *buffers])
    return func.with_body(SBlockRealize(func.body.iter_values, func.body.predicate, block))


@dataclass(frozen=True, slots=True)
class PlainNest:
    """A block in loops of constant extent from 0, each of which drives one axis of the block."""

    loops: tuple[Any, ...]
    realize: Any

    @property
    def block(self) -> Any:
        """The block."""
        return self.realize.block

    @classmethod
    def of(cls, stmt: Any) -> PlainNest | None:
        """The nest, if the statement is one."""
        loops = chain(stmt)
        realize = loops[-1].body if loops else None
        if not isinstance(realize, SBlockRealize) or not all(map(is_plain_loop, loops)):
            return None
        block, values = realize.block, list(realize.iter_values)
        driven = [any(value.same_as(loop.loop_var) for value in values) for loop in loops]
        whole = isinstance(realize.predicate, IntImm) and int(realize.predicate) == 1
        if len(values) != len(loops) or not all(driven) or not whole:
            return None
        return None if list(block.alloc_buffers) or list(block.match_buffers) else cls(tuple(loops), realize)

    def around(self, realize: Any, kept: Sequence[Any]) -> Any:
        """``realize`` in those of the loops that drive its axes (``kept``)."""
        found = realize
        for loop in reversed(self.loops):
            if any(value.same_as(loop.loop_var) for value in kept):
                found = around(loop, found)
        return found


def chain(stmt: Any) -> list[Any]:
    """The loops around everything in the statement, outermost first."""
    loops: list[Any] = []
    while isinstance(stmt, For):
        loops.append(stmt)
        stmt = stmt.body
    return loops


def around(loop: Any, body: Any) -> Any:
    """The loop with another body."""
    start = (loop.loop_var, loop.min, loop.extent, loop.kind)
    return For(*start, body, loop.thread_binding, loop.annotations, loop.step)


def axis_over(var: Any, extent: int, kind: int) -> Any:
    """An axis of a block: ``var`` counts from 0 to ``extent``. ``kind`` is TVM's number of what it is for."""
    zero, count = (IntImm(str(var.ty), number) for number in (0, extent))
    return IterVar(tvm.ir.Range.from_min_extent(zero, count), var, kind)


def with_axes_bound(node: Any) -> Any:
    """An analyzer that knows what the axes of all blocks in the node range over."""
    analyzer = tvm.sym.Analyzer()

    def block(found: Any) -> None:
        for axis in found.iter_vars:
            analyzer.bind(axis.var, axis.dom)

    walk(node, (SBlock, block))
    return analyzer


def in_own_loops(block: Any) -> Any:
    """The block in a loop for each of its axes, named after it."""
    loops = [tvm.ir.Var(str(axis.var.name).removeprefix("v_"), axis.var.ty) for axis in block.iter_vars]
    nested: Any = SBlockRealize(loops, True, block)
    for axis, loop in reversed(list(zip(block.iter_vars, loops, strict=True))):
        nested = For(loop, axis.dom.min, axis.dom.extent, ForKind.SERIAL, nested)
    return nested


def is_plain_loop(loop: Any) -> bool:
    """Whether the loop is serial, from 0, in steps of 1, of a constant extent."""
    return is_constant(loop) and int(loop.kind) == int(ForKind.SERIAL)


def is_constant(loop: Any) -> bool:
    """Whether the loop runs from 0, in steps of 1, a constant number of times."""
    if loop.step is not None and not (isinstance(loop.step, IntImm) and int(loop.step) == 1):
        return False
    return isinstance(loop.extent, IntImm) and isinstance(loop.min, IntImm) and int(loop.min) == 0


def is_block(stmt: Any) -> bool:
    """Whether the statement is a block without axes."""
    return isinstance(stmt, SBlockRealize) and not list(stmt.iter_values) and isinstance(stmt.block, SBlock)


def is_nested(stmt: Any) -> bool:
    """Whether the statement has blocks inside of blocks."""
    return any(every([block.body, block.init], SBlock) for block in every(stmt, SBlock))


def is_guarded(stmt: Any) -> bool:
    """Whether the statement is a block in loops under a condition between these (``T.where(k <= i)``): no schedule rule
    takes it, other than where loops that do not divide go too far."""
    loops = chain(stmt)
    realize = loops[-1].body if loops else None
    if not isinstance(realize, SBlockRealize) or isinstance(realize.predicate, IntImm):
        return False
    ranges = {loop.loop_var: tvm.ir.Range.from_min_extent(loop.min, loop.extent) for loop in loops}
    found = tvm.sym.detect_iter_map(list(realize.iter_values), ranges, predicate=realize.predicate)
    return len(found.indices) != len(realize.iter_values)


def covers(store: Any, nest: PlainNest) -> bool:
    """Whether the store goes through its whole buffer, each dimension along an axis of its own."""
    extents = {var.var: int(var.dom.extent) for var in nest.block.iter_vars}
    indices = list(store.indices)
    if not all(isinstance(index, tvm.ir.Var) and index in extents for index in indices):
        return False
    whole = [extents[index] for index in indices] == [int(extent) for extent in store.buffer.ty.shape]
    return whole and len(set(indices)) == len(indices)


def mentions(node: Any, buffer: Any) -> bool:
    """Whether the buffer occurs in the node."""
    return any(map(buffer.same_as, every(node, tvm.ir.Var)))


def element(buffer: Any, indices: Any) -> Any:
    """The region that is this one element."""
    return tirx.BufferRegion(
        buffer, [tvm.ir.Range.from_min_extent(index, IntImm(str(index.ty), 1)) for index in indices]
    )


def region(buffer: Any, indices: Any) -> Any:
    """The region that is this one element, or all of a dimension whose index is read from memory."""
    found = element(buffer, indices)
    ranges = [
        all_ if reads_memory(index) else one
        for index, one, all_ in zip(indices, found.region, whole(buffer).region, strict=True)
    ]
    return tirx.BufferRegion(buffer, ranges)


def reads_memory(value: Any) -> bool:
    """Whether the value is read from a buffer, or depends on one that is."""
    return bool(every(value, tvm.ir.TensorLoad))


def whole(buffer: Any) -> Any:
    """All of the buffer, as a region."""
    return tirx.BufferRegion(buffer, [tvm.ir.Range(0, extent) for extent in buffer.shape])
