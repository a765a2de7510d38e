"""Loops that a user has tiled, fused or reordered by hand, as one loop for each axis of the block again.

Such loops are a schedule, and a block says itself what it computes: its axes. If the loops go through each point of
these once, they are left out, and schedules decide about them anew.
"""

from __future__ import annotations

from math import prod
from typing import Any

import tvm
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import For, ForKind, IntImm, PrimFunc

from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import PlainNest, chain, is_constant, nests_of, with_nests

_OPAQUE = (1, 3)
_BY_HAND = (int(ForKind.SERIAL), int(ForKind.UNROLLED))


def loops_plain(func: PrimFunc) -> PrimFunc:
    """The function with such loops as plain ones; ``func`` itself if it has none."""
    stmts = nests_of(func)
    found = [plain_loops(stmt) for stmt in stmts]
    if not any(one is not None for one in found):
        return func
    return with_nests(func, [stmt if one is None else one for stmt, one in zip(stmts, found, strict=True)])


def plain_loops(stmt: Any) -> Any:
    """The block in plain loops; ``None`` if it is so already, or its loops have to stay."""
    loops = chain(stmt)
    realize = loops[-1].body if loops else None
    if not isinstance(realize, SBlockRealize) or PlainNest.of(stmt) is not None:
        return None
    if not all(is_constant(loop) and int(loop.kind) in _BY_HAND for loop in loops) or not _is_free(realize.block):
        return None
    if not _covers_once(loops, realize):
        return None
    block = realize.block
    axes = {axis.var: tvm.ir.Var(str(axis.var.name).removeprefix("v") or "i", axis.var.ty) for axis in block.iter_vars}
    fresh = {axis.var: tvm.ir.Var(str(axis.var.name), axis.var.ty) for axis in block.iter_vars}
    nested: Any = SBlockRealize(list(axes.values()), True, with_block(block))
    for axis in reversed(block.iter_vars):
        nested = For(axes[axis.var], axis.dom.min, axis.dom.extent, ForKind.SERIAL, nested)
    return substituted(nested, fresh)


def _is_free(block: Any) -> bool:
    """Whether the block's points may be computed in any order: each reads nothing that others write."""
    written = [region.source for region in block.writes]
    own = block.init is None and any(region.source.same_as(one) for region in block.reads for one in written)
    ordered = any(int(axis.iter_type) in _OPAQUE for axis in block.iter_vars)
    constant = all(isinstance(axis.dom.extent, IntImm) and _is_zero(axis.dom.min) for axis in block.iter_vars)
    return bool(list(block.iter_vars)) and constant and not own and not ordered and not list(block.match_buffers)


def _is_zero(value: Any) -> bool:
    return isinstance(value, IntImm) and int(value) == 0


def _covers_once(loops: list[Any], realize: Any) -> bool:
    """Whether the loops go through each point of the block's axes once."""
    ranges = {loop.loop_var: tvm.ir.Range.from_min_extent(loop.min, loop.extent) for loop in loops}
    values, wanted = list(realize.iter_values), [int(axis.dom.extent) for axis in realize.block.iter_vars]
    found = tvm.sym.detect_iter_map(
        values, ranges, predicate=realize.predicate, check_level="bijective", simplify_trivial_iterators=False
    )
    if len(found.indices) != len(values):
        return False
    extents = [_extent(one) for one in found.indices]
    always = isinstance(realize.predicate, IntImm)
    return extents == wanted and (not always or prod(int(loop.extent) for loop in loops) == prod(wanted))


def _extent(index: Any) -> int | None:
    """How many values, all from 0 on, the index takes; ``None`` if it leaves some out, or that is not known."""
    count = 1
    if not _is_zero(index.base) or not all(isinstance(one.extent, IntImm) for one in index.args):
        return None
    for one in sorted(index.args, key=lambda one: int(one.scale)):
        if int(one.scale) != count:
            return None
        count *= int(one.extent)
    return count
