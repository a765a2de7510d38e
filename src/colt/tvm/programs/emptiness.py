"""Loops over nothing: a block with such a loop computes nothing, and a sum over nothing is what it starts from."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, Evaluate, For, IntImm, PrimFunc, SeqStmt

from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import around

_REDUCE = 2


def without_nothing(func: PrimFunc) -> PrimFunc:
    """The function without loops that never turn; ``func`` itself if it has none.

    A reduction over nothing becomes a block that stores the initial value, as NumPy defines it. (TVM would leave the
    result unwritten.)
    """
    empty: list[Any] = []
    tvm_ffi.structural_walk(func.body, (For, lambda loop: empty.append(loop) if _is_empty(loop) else None))
    if not empty:
        return func
    body = tvm_ffi.structural_map(_Initialised().mutate(func.body), (SeqStmt, _flat))
    return func.with_body(body)


def _is_empty(loop: Any) -> bool:
    return isinstance(loop.extent, IntImm) and int(loop.extent) <= 0


def is_nothing(stmt: Any) -> bool:
    """Whether the statement does nothing."""
    return isinstance(stmt, Evaluate) and isinstance(stmt.value, IntImm)


def _flat(stmt: Any) -> Any:
    rest = [part for part in stmt.seq if not is_nothing(part)]
    if len(rest) == len(stmt.seq):
        return stmt
    return SeqStmt(rest) if len(rest) > 1 else rest[0] if rest else Evaluate(0)


class _Initialised:
    """Replaces reductions over nothing by their initial value, and everything else over nothing by nothing."""

    def mutate(self, stmt: Any) -> Any:
        return tvm_ffi.structural_mutate(stmt, ((SBlockRealize, self._realize), (For, self._loop)))

    def _loop(self, loop: Any, mutator: Any) -> Any:
        if _is_empty(loop):
            initial = _initial_value(loop)
            return Evaluate(0) if initial is None else initial
        inner = mutator.default_mutate(loop)
        return Evaluate(0) if is_nothing(inner.body) else inner

    def _realize(self, realize: Any, mutator: Any) -> Any:
        inner = mutator.default_mutate(realize)
        return Evaluate(0) if is_nothing(inner.block.body) and not _is_root(inner) else inner


def _is_root(realize: Any) -> bool:
    return str(realize.block.name_hint) == "root"


def _initial_value(loop: Any) -> Any:
    """The loop, which is over nothing, as the block inside that only initialises; ``None`` if it reduces nothing.

    The other loops of the reduction around the block turn once or never; those of its result turn as they did.
    """
    loops = [loop]
    while isinstance(loops[-1].body, For):
        loops.append(loops[-1].body)
    realize = loops[-1].body
    if not isinstance(realize, SBlockRealize) or realize.block.init is None:
        return None
    block = realize.block
    pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
    reduced = [(var, value) for var, value in pairs if int(var.iter_type) == _REDUCE]
    over = {loop.loop_var for loop in loops if any(value.same_as(loop.loop_var) for _, value in reduced)}
    if any(_is_empty(one) and one.loop_var not in over for one in loops):
        return None
    kept = [(var, value) for var, value in pairs if int(var.iter_type) != _REDUCE]
    zero = {var.var: IntImm(str(var.var.ty), 0) for var, _ in reduced}
    init = substituted(block.init, zero)
    if not isinstance(init, BufferStore):
        return None
    bare = with_block(block, iter_vars=[var for var, _ in kept], reads=[], body=init, init=None)
    found: Any = SBlockRealize([value for _, value in kept], realize.predicate, bare)
    for one in reversed(loops):
        if one.loop_var not in over:
            found = around(one, found)
    return found
