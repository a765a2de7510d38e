"""One sum over rows of unequal length: the sum of a triangle.

No two of its turns are independent, since all add to one element. But each row can be summed by itself, and what the
rows have come to is a plain reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, IntImm, IterVar, decl_buffer

from colt.tvm.programs.accumulation import ANY, combined_term
from colt.tvm.programs.lowering import around_all, reduces
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import chain, element, is_plain_loop, sequence

_REDUCE = 2


@dataclass(frozen=True, slots=True)
class Total:
    """``rows`` leaves a sum for each row in ``buffer``; ``nest`` adds these up."""

    rows: Any
    buffer: Any
    nest: Any

    @classmethod
    def of(cls, stmt: Any, name: str) -> Total | None:
        """The two; ``None`` if the statement is no such sum."""
        loops = chain(stmt)
        realize = loops[-1].body if loops else None
        if not isinstance(realize, SBlockRealize) or len(loops) < 2 or not is_plain_loop(loops[0]):
            return None
        block = realize.block
        if not reduces(realize, loops) or not isinstance(block.body, BufferStore):
            return None
        values = {axis.var: value for axis, value in zip(block.iter_vars, realize.iter_values, strict=True)}
        store, initial = substituted(block.body, values), substituted(block.init, values)
        term = combined_term(store, ANY)
        constant = all(isinstance(index, IntImm) for index in store.indices)
        if term is None or not constant or not isinstance(initial, BufferStore):
            return None
        sums = decl_buffer([loops[0].extent], str(store.buffer.ty.dtype), f"{store.buffer.name}_rows")
        return cls(_rows(loops, store, term, sums), sums, _total(loops[0], store, initial, sums, name))


def _rows(loops: list[Any], store: Any, term: Any, sums: Any) -> Any:
    """The loop over the rows, with plain statements inside."""
    combine, row = type(store.value), loops[0].loop_var
    nothing = ANY[combine](str(sums.ty.dtype))
    added = BufferStore(sums, combine(tirx.BufferLoad(sums, [row]), term), [row])
    return around_all(loops[:1], sequence([BufferStore(sums, nothing, [row]), around_all(loops[1:], added)]))


def _total(loop: Any, store: Any, initial: Any, sums: Any, name: str) -> Any:
    var, axis = (tvm.ir.Var(f"{prefix}{loop.loop_var.name}", loop.loop_var.ty) for prefix in ("", "v_"))
    added = type(store.value)(tirx.BufferLoad(store.buffer, store.indices), tirx.BufferLoad(sums, [axis]))
    block = SBlock(
        [IterVar(tvm.ir.Range.from_min_extent(loop.min, loop.extent), axis, _REDUCE)],
        [element(sums, [axis])],
        [element(store.buffer, store.indices)],
        name,
        BufferStore(store.buffer, added, store.indices),
        initial,
    )
    return For(var, loop.min, loop.extent, ForKind.SERIAL, SBlockRealize([var], True, block))
