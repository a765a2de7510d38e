"""Loops over nothing: a block with such a loop computes nothing, and a sum over nothing is what it starts from.

A loop may be over nothing always, or in some rows only: the first row of a triangle has no terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, Evaluate, For, IntImm, PrimFunc, SeqStmt

from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import around, chain, sequence, statements
from colt.tvm.programs.walks import every, mapped, mutated

_REDUCE = 2


def without_nothing(func: PrimFunc) -> PrimFunc:
    """The function without loops that never turn; ``func`` itself if it has none.

    A reduction over nothing becomes a block that stores the initial value, as NumPy defines it. (TVM would leave the
    result unwritten.)
    """
    if not any(map(_is_empty, every(func.body, For))):
        return func
    body = mapped(_Initialised().mutate(func.body), (SeqStmt, _flat))
    return func.with_body(body)


def with_sums_set(func: PrimFunc) -> PrimFunc:
    """The function with the results of sums that may be over nothing set first; ``func`` itself if it has none.

    A sum whose number of terms depends on the row is set to its initial value before all rows. Where a row has terms,
    its first term sets it again, so nothing else changes.
    """
    found: list[Any] = []

    def visit(loop: Any, mutator: Any) -> Any:
        initial = _set_first(loop)
        if initial is None:
            return mutator.default_mutate(loop)
        found.append(initial)
        return SeqStmt([initial, loop])

    body = mutated(func.body, (For, visit))
    return func.with_body(mapped(body, (SeqStmt, _spliced))) if found else func


def _set_first(loop: Any) -> Any:
    """The block that sets the results of the reduction in the loops from this one on; ``None`` if there is none, if all
    its rows have as many terms, or if it is not plain which loops are its rows."""
    loops = chain(loop)
    realize = loops[-1].body
    if not isinstance(realize, SBlockRealize) or all(isinstance(one.extent, IntImm) for one in loops):
        return None
    bare = _bare(realize)
    if bare is None:
        return None
    terms = _loops_of_terms(loops, realize)
    if len(terms) != sum(int(var.iter_type) == _REDUCE for var in realize.block.iter_vars):
        return None  # a loop around these has terms too, or terms are counted by several loops
    rows = [one for one in loops if one.loop_var not in terms]
    named = with_block(bare.block, name_hint=f"{bare.block.name_hint}_init")
    nested: Any = SBlockRealize(bare.iter_values, bare.predicate, named)
    for one in reversed(rows):
        nested = around(one, nested)
    if any(var in terms for var in every(nested, tvm.ir.Var)):
        return None
    axes = [var.var for var in bare.block.iter_vars] + [one.loop_var for one in rows]
    return substituted(nested, {axis: tvm.ir.Var(str(axis.name), axis.ty) for axis in axes})


def _spliced(stmt: Any) -> Any:
    parts = [inner for part in stmt.seq for inner in statements(part)]
    return stmt if len(parts) == len(stmt.seq) else sequence(parts)


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
        return mutated(stmt, (SBlockRealize, self._realize), (For, self._loop))

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
    loops = chain(loop)
    realize = loops[-1].body
    bare = _bare(realize) if isinstance(realize, SBlockRealize) else None
    if bare is None:
        return None
    over = _loops_of_terms(loops, realize)
    if any(_is_empty(one) and one.loop_var not in over for one in loops):
        return None
    found: Any = bare
    for one in reversed(loops):
        if one.loop_var not in over:
            found = around(one, found)
    return found


def _bare(realize: Any) -> Any:
    """The block of a reduction, which only sets its result; ``None`` if it is none."""
    block = realize.block
    if block.init is None:
        return None
    pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
    kept = [(var, value) for var, value in pairs if int(var.iter_type) != _REDUCE]
    zero = {var.var: IntImm(str(var.var.ty), 0) for var, _ in pairs if int(var.iter_type) == _REDUCE}
    init = substituted(block.init, zero)
    if not isinstance(init, BufferStore):
        return None
    bare = with_block(block, iter_vars=[var for var, _ in kept], reads=[], body=init, init=None)
    return SBlockRealize([value for _, value in kept], realize.predicate, bare)


def _loops_of_terms(loops: Sequence[Any], realize: Any) -> set[Any]:
    """The variables of the loops that go through a reduction's terms."""
    pairs = zip(realize.block.iter_vars, realize.iter_values, strict=True)
    terms = [value for var, value in pairs if int(var.iter_type) == _REDUCE]
    return {loop.loop_var for loop in loops if any(value.same_as(loop.loop_var) for value in terms)}
