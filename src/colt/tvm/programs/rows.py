"""Loops whose turns do not depend on each other, made visible where TVM does not see them.

The rows of a prefix sum, of a sparse matrix or of a triangle can run in parallel, whatever happens inside a row. TVM
parallelises a loop only around blocks that read nothing of what they write. So a nest that it would refuse becomes one
block: an axis for each independent loop, and inside it the rest as plain statements. What a row reads of its own
results is left out of the block's reads, because no other row touches it. A nest without independent loops becomes a
block without axes, which is left as it is while the rest of the program is scheduled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import For, IntImm, IterVar, PrimFunc

from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.lowering import Lowered, is_one
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
from colt.tvm.programs.walks import walk

_SPATIAL, _REDUCE = 0, 2


def rows_apart(func: PrimFunc) -> PrimFunc:
    """The function with such nests as blocks over independent rows; ``func`` itself if there are none."""
    func = in_root(func)
    nests: list[Any] = []
    buffers: list[Any] = []
    changed = False
    for stmt in nests_of(func):
        parts, allocated = opened(stmt)
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


def opened(stmt: Any) -> tuple[list[Any], list[Any]]:
    """The statements inside a block without axes, and its buffers; any other statement as it is."""
    if is_block(stmt) and stmt.block.init is None and not list(stmt.block.match_buffers):
        parts = statements(stmt.block.body)
        if all(isinstance(part, For) for part in parts):
            named = [Part(part, str(stmt.block.name_hint)) for part in parts]
            return list(named), list(stmt.block.alloc_buffers)
    return [stmt], []


@dataclass(frozen=True, slots=True)
class Part:
    """A nest that is part of a block of that name."""

    stmt: Any
    name: str


def _rewritten(part: Any) -> Any:
    """The nest as a block over its independent loops; ``None`` if it need not or cannot be."""
    stmt, name = (part.stmt, part.name) if isinstance(part, Part) else (part, None)
    if not isinstance(stmt, For) or not (name or is_hidden(stmt)):
        return None
    lowered = Lowered()
    plain = lowered.mutate(stmt)
    accesses = None if lowered.refused else Accesses.of(plain, lowered.buffers, widest=False)
    if accesses is None:
        return None
    loops = chain(plain)
    independent = [loop for loop in loops if is_plain_loop(loop) and accesses.separated_by(loop.loop_var)]
    initial, rest = initial_of(loops, independent, stmt)
    body = within(loops, independent, loops[-1].body if initial is None else rest)
    body = body if initial is None else sequence([initial, body])
    return block_of_rows(name or lowered.name or "rows", independent, accesses, lowered.buffers, body)


def within(loops: Sequence[Any], independent: Sequence[Any], body: Any) -> Any:
    """The body in those of the loops that are not independent."""
    for loop in reversed(loops):
        if not any(loop.same_as(one) for one in independent):
            body = around(loop, body)
    return body


def initial_of(loops: Sequence[Any], independent: Sequence[Any], stmt: Any) -> tuple[Any, Any]:
    """What the reduction in the nest sets its result to, and what each of its terms does; ``None`` twice if the nest is
    not one whose other loops all reduce.

    Set before the first term, the result is right where a row has no terms, too.
    """
    realize = chain(stmt)[-1].body if chain(stmt) else stmt
    if len(chain(stmt)) != len(loops) or not isinstance(realize, SBlockRealize) or realize.block.init is None:
        return None, None
    block = realize.block
    pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
    sums = [value for var, value in pairs if int(var.iter_type) == _REDUCE]
    others = [loop for loop in loops if not any(loop.same_as(one) for one in independent)]
    reducing = all(any(value.same_as(loop.loop_var) for value in sums) for loop in others)
    if not reducing or len(sums) != len(others) or not is_one(realize.predicate):
        return None, None
    values = {var.var: value for var, value in pairs}
    plain = Lowered()
    return plain.mutate(substituted(block.init, values)), plain.mutate(substituted(block.body, values))


def is_hidden(stmt: Any) -> bool:
    """Whether TVM does not see which turns of the loops are independent."""
    found: list[bool] = []

    def loop(node: Any) -> None:
        found.append(not isinstance(node.extent, IntImm))

    def block(node: Any) -> None:
        written = [region.source for region in node.writes]
        own = node.init is None and any(region.source.same_as(one) for region in node.reads for one in written)
        found.append(own or not list(node.iter_vars))

    walk(stmt, (For, loop), (SBlock, block))
    return any(found)


def block_of_rows(name: str, independent: Sequence[Any], accesses: Accesses, buffers: Sequence[Any], body: Any) -> Any:
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


def _region(accesses: Accesses, buffer: Any, axes: dict[Any, Any]) -> Any:
    """All of the buffer, but only the row's own part along dimensions that the axes go through."""
    ranges = [tvm.ir.Range.from_min_extent(IntImm(str(extent.ty), 0), extent) for extent in buffer.ty.shape]
    for loop_var, axis in axes.items():
        number = accesses.dimension(buffer, loop_var)
        if number is not None:
            ranges[number] = tvm.ir.Range.from_min_extent(axis, IntImm(str(axis.ty), 1))
    return tirx.BufferRegion(buffer, ranges)
