"""Sums inside a row, in the lanes of a vector: ``for k in range(n): y[i] = y[i] + x[i, k]``.

Each addition waits for the one before, so a row takes as many turns as it has terms, however many a vector holds. The
number of terms may differ from row to row, as in a triangle or a sparse matrix. So the terms go to the lanes of a
vector in turn, the lanes are added up by halves, and what does not fill a vector is added last. Only the order of the
terms changes, as in every tiled sum; largest and smallest elements are found so, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import BufferStore, For, ForKind, IntImm, decl_buffer

from colt.tvm.programs.accumulation import ANY, combined_term
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import chain, mentions, sequence
from colt.tvm.programs.walks import mutated, walk

BITS = 512
"""The widest vectors there are."""


def sums_in_lanes(body: Any) -> tuple[Any, list[Any]]:
    """The statement with such loops in lanes, and the buffers that these need: each is for one run of the statement."""
    buffers: list[Any] = []

    def loop(node: Any, mutator: Any) -> Any:
        term = _term(node)
        if term is None:
            return mutator.default_mutate(node)
        target = node.body.buffer
        width = BITS // _bits(str(target.ty.dtype))
        lanes = decl_buffer((width,), str(target.ty.dtype), f"{target.name}_lanes")
        buffers.append(lanes)
        return _in_lanes(node, term, lanes, width)

    return mutated(body, (For, loop)), buffers


def _bits(dtype: str) -> int:
    return int(tvm.DataType(dtype).bits)


def _term(loop: Any) -> Any:
    """What each turn adds to the one element; ``None`` if the loop does anything else, or vectors would not pay."""
    store = loop.body
    if int(loop.kind) != int(ForKind.SERIAL) or len(chain(loop)) > 1 or not isinstance(store, BufferStore):
        return None
    term = combined_term(store, ANY)
    if term is None or any(mentions(index, loop.loop_var) for index in store.indices):
        return None
    if loop.step is not None and not (isinstance(loop.step, IntImm) and int(loop.step) == 1):
        return None
    bits = _bits(str(store.buffer.ty.dtype))
    short = isinstance(loop.extent, IntImm) and int(loop.extent) < 2 * BITS // bits
    return None if short or not is_contiguous(term, loop.loop_var) else term


def is_contiguous(term: Any, loop_var: Any) -> bool:
    """Whether all that is read is read contiguously, or once for all turns: to gather takes as long as to add."""
    steps: list[int | None] = []

    def load(node: Any) -> None:
        last = node.indices[-1] if list(node.indices) else None
        if not mentions(node, loop_var) or last is None:
            return
        others = list(node.indices)[:-1]
        terms = list(tvm.sym.detect_linear_equation(last, [loop_var]))
        along = not any(mentions(index, loop_var) for index in others)
        steps.append(int(terms[0]) if along and terms and isinstance(terms[0], IntImm) else None)

    walk(term, (tvm.ir.TensorLoad, load))
    return 1 in steps and all(step in (0, 1) for step in steps)


def _in_lanes(loop: Any, term: Any, lanes: Any, width: int) -> Any:
    store, dtype = loop.body, str(loop.loop_var.ty)
    combine, size = type(store.value), IntImm(dtype, width)
    nothing = ANY[combine](str(store.buffer.ty.dtype))
    count = loop.extent if isinstance(loop.extent, IntImm) else tirx.max(loop.extent, IntImm(dtype, 0))
    whole = tirx.floordiv(count, size)

    def at(turn: Any) -> Any:
        return substituted(term, {loop.loop_var: loop.min + turn})

    def combined(lane: Any, other: Any) -> Any:
        return BufferStore(lanes, combine(tirx.BufferLoad(lanes, [lane]), other), [lane])

    parts = [_vector(width, dtype, lambda lane: BufferStore(lanes, nothing, [lane]))]
    turn = tvm.ir.Var(f"{loop.loop_var.name}_0", loop.loop_var.ty)
    added = _vector(width, dtype, lambda lane: combined(lane, at(turn * size + lane)))
    parts.append(_loop(turn, whole, added))
    half = width // 2
    while half:
        step = IntImm(dtype, half)
        parts.append(_vector(half, dtype, partial(_folded, lanes, step, combined)))
        half //= 2
    total = combine(tirx.BufferLoad(store.buffer, store.indices), tirx.BufferLoad(lanes, [IntImm(dtype, 0)]))
    parts.append(BufferStore(store.buffer, total, store.indices))
    left = tirx.floormod(count, size)
    if isinstance(left, IntImm) and int(left) == 0:
        return sequence(parts)
    rest = tvm.ir.Var(f"{loop.loop_var.name}_rest", loop.loop_var.ty)
    last = combine(tirx.BufferLoad(store.buffer, store.indices), at(whole * size + rest))
    parts.append(_loop(rest, left, BufferStore(store.buffer, last, store.indices)))
    return sequence(parts)


def _folded(lanes: Any, step: Any, combined: Callable[[Any, Any], Any], lane: Any) -> Any:
    return combined(lane, tirx.BufferLoad(lanes, [lane + step]))


def _loop(var: Any, extent: Any, body: Any) -> Any:
    return For(var, IntImm(str(var.ty), 0), extent, ForKind.SERIAL, body)


def _vector(width: int, dtype: str, store: Callable[[Any], Any]) -> Any:
    if width == 1:
        return store(IntImm(dtype, 0))
    lane = tvm.ir.Var("lane", tvm.ir.PrimType(dtype))
    return For(lane, IntImm(dtype, 0), IntImm(dtype, width), ForKind.VECTORIZED, store(lane))
