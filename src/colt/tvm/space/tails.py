"""Ends of loops that no vector divides, in one more vector that overlaps the last whole one: a pass over scheduled
programs.

LLVM cuts the last 15 of 1,023 elements into shorter vectors and single elements, each of which takes as long as a whole
vector. Where each element is computed from others than the results, some may as well be computed twice.

But not where TVM has both in one place: a result takes the memory of what it is computed from if nobody reads that
any more, element by element, and the second time it would be computed from the first result. There the end is cut into
shorter vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, IntImm

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import is_plain_loop, mentions, sequence
from colt.tvm.programs.program import Change, with_changed_bodies
from colt.tvm.programs.walks import every, mapped
from colt.tvm.space.variables import moves_by_one
from colt.tvm.vector_math.vectors import become_vectors, have_names

_BITS = ("reinterpret", "shift_left", "shift_right", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
_CALLS = frozenset((*_BITS, "call_llvm_pure_intrin", "sqrt", "fabs", "floor", "ceil", "trunc", "round"))
"""Calls that LLVM computes in vectors."""
_WORD = 32
"""Bits of the elements that a vector is counted in."""
_TYPES = ("float32", "float16", "int32", "uint32", "int8", "uint8", "int16", "uint16")
"""Types of results: TVM writes out the rounding to bfloat16 before it makes vectors."""


def with_whole_tails(mod: Any, vector_bits: int, vector_math: bool = False, careful: bool = True) -> Any:
    """The module with such ends; ``mod`` itself if it has none. ``vector_math``: functions that it replaces will
    be code for vectors. ``careful``: none that is computed twice has the memory of what it is computed from."""
    return with_changed_bodies(mod, whole_tails(vector_bits, vector_math, careful))


def whole_tails(vector_bits: int, vector_math: bool = False, careful: bool = True) -> Change:
    """What :func:`with_whole_tails` changes."""
    lanes, suits = vector_bits // _WORD, partial(become_vectors if vector_math else have_names, others=_CALLS)

    def change(function: Any, body: Any) -> Any:
        in_place = _in_place(body, function.params) if careful else []

        def loop(node: For) -> Any:
            if not _is_pointwise(node, lanes, suits):
                return node
            twice = not any(node.loop_var.same_as(one) for one in in_place)
            return _in_vectors(node, lanes, twice)

        return mapped(body, (For, loop))

    return change


def _in_place(body: Any, params: Sequence[Any]) -> list[Any]:
    """The variables of loops around a single block whose result may take the memory of what it reads there: of a
    buffer of the program's own, for the last time."""
    loads = every(body, tvm.ir.TensorLoad)
    last = {load.source: load for load in loads if not any(load.source.same_as(one) for one in params)}
    return [
        loop.loop_var
        for loop in every(body, For)
        if isinstance(loop.body, SBlockRealize)
        and any(last[one.source].same_as(one) for one in every(loop, tvm.ir.TensorLoad) if one.source in last)
    ]


def _is_pointwise(loop: For, lanes: int, suits: Callable[[Any], bool]) -> bool:
    """Whether the loop computes elements side by side, in an awkward number, each from others than the results."""
    realize = loop.body
    if not isinstance(realize, SBlockRealize) or not is_plain_loop(loop) or loop.annotations:
        return False
    extent, block = int(loop.extent), realize.block
    if extent < 2 * lanes or extent % lanes == 0 or not isinstance(block.body, BufferStore):
        return False
    if block.init is not None or block.alloc_buffers or block.match_buffers or block.annotations:
        return False
    if any(int(one.iter_type) for one in block.iter_vars) or mentions(realize.predicate, loop.loop_var):
        return False
    moved = [
        (axis.var, value)
        for axis, value in zip(block.iter_vars, realize.iter_values, strict=True)
        if mentions(value, loop.loop_var)
    ]
    if len(moved) != 1 or not moves_by_one(moved[0][1], loop.loop_var):
        return False
    return str(block.body.buffer.dtype) in _TYPES and _is_side_by_side(block.body, moved[0][0], suits)


def _is_side_by_side(store: BufferStore, axis: Any, suits: Callable[[Any], bool]) -> bool:
    """Whether the store moves along with the axis, element by element, and what it loads does so or stays."""
    loads = every(store.value, tvm.ir.TensorLoad)
    if not suits(store.value) or any(load.source.same_as(store.buffer) for load in loads):
        return False
    moving = [load.indices for load in loads if any(mentions(index, axis) for index in load.indices)]
    return all(
        bool(indices) and moves_by_one(indices[-1], axis) and not any(mentions(index, axis) for index in indices[:-1])
        for indices in (tuple(store.indices), *map(tuple, moving))
    )


def _in_vectors(loop: For, lanes: int, twice: bool) -> Any:
    """The loop over whole vectors, and the last vector, which may compute some elements ``twice``; or else shorter ones
    up to the end."""
    extent = int(loop.extent)
    dtype = str(loop.loop_var.ty)
    outer = tvm.ir.Var(f"{loop.loop_var.name}_0", loop.loop_var.ty)
    whole = _vector(loop, lambda lane: outer * tirx.const(lanes, dtype) + lane, lanes)
    count = IntImm(dtype, extent // lanes)
    first = For(outer, IntImm(dtype, 0), count, ForKind.SERIAL, whole)
    ends = [(extent - lanes, lanes)] if twice else _shorter(extent, lanes)
    return sequence([first, *(_vector(loop, partial(_from, tirx.const(start, dtype)), width) for start, width in ends)])


def _from(start: Any, lane: Any) -> Any:
    return start + lane


def _shorter(extent: int, lanes: int) -> list[tuple[int, int]]:
    """Where vectors of less than ``lanes`` begin that fill up the extent, the longest first, and how long they are."""
    found, start = [], extent // lanes * lanes
    for width in (lanes >> power for power in range(1, lanes.bit_length())):
        if (extent - start) & width:
            found.append((start, width))
            start += width
    return found


def _vector(loop: For, place: Any, lanes: int) -> For:
    """The loop's body for one vector, with variables of its own."""
    dtype = str(loop.loop_var.ty)
    lane = tvm.ir.Var(f"{loop.loop_var.name}_1", loop.loop_var.ty)
    block = loop.body.block
    fresh = {one.var: tvm.ir.Var(str(one.var.name), one.var.ty) for one in block.iter_vars}
    fresh |= {let.var: tvm.ir.Var(str(let.var.name), let.var.ty) for let in every(block.body, tirx.Let)}
    body = substituted(loop.body, {**fresh, loop.loop_var: place(lane)})
    return For(lane, IntImm(dtype, 0), IntImm(dtype, lanes), ForKind.VECTORIZED, body)
