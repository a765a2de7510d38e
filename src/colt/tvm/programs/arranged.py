"""Nests that no schedule rule looks into, with what is independent in them outside and what vectors can do inside.

A nest becomes a block over its independent rows (:mod:`colt.tvm.programs.rows`), which schedules spread over threads.
What a row does is arranged here, once and for all: sums go to the lanes of vectors (``lanes``), and rows that do one
step after the other go side by side (``strips``). Such a block says so: no vectors run across its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, For, PrimFunc

from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.hoisting import with_common_loop_outside
from colt.tvm.programs.lanes import sums_in_lanes
from colt.tvm.programs.lowering import Lowered
from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import (
    ARRANGED,
    chain,
    in_root,
    is_guarded,
    is_nested,
    is_plain_loop,
    mentions,
    nests_of,
    sequence,
    statements,
)
from colt.tvm.programs.peeling import first_turns_apart
from colt.tvm.programs.rows import Part, block_of_rows, initial_of, is_hidden, opened, within
from colt.tvm.programs.running import Running
from colt.tvm.programs.strips import Strips, with_var
from colt.tvm.programs.totals import Total
from colt.tvm.programs.walks import every, mapped

Wanted = Callable[[Any], bool]
"""Which nests are to be arranged."""


def rows_arranged(func: PrimFunc) -> PrimFunc:
    """The function with such nests as blocks over independent rows; ``func`` itself if there are none."""
    return _all_arranged(func, is_hidden)


def nested_rows_arranged(func: PrimFunc) -> PrimFunc:
    """The same, and so are nests with blocks inside of blocks, and blocks under conditions between loops."""
    return _all_arranged(func, lambda stmt: is_hidden(stmt) or is_nested(stmt) or is_guarded(stmt))


def _all_arranged(func: PrimFunc, wanted: Wanted) -> PrimFunc:
    func = in_root(func)
    stmts = nests_of(func)
    if not stmts:
        return func
    outer = func.body.block
    nests: list[Any] = []
    allocated: list[Any] = []
    for number, stmt in enumerate(stmts):
        others = [*stmts[:number], *stmts[number + 1 :]]
        parts, buffers = opened(stmt)
        own = [one for one in (*outer.alloc_buffers, *buffers) if not any(mentions(other, one) for other in others)]
        found = [
            _arranged(part, wanted, [one for one in own if _only_in(part, parts, one)], allocated) for part in parts
        ]
        if not any(found) or (len(parts) > 1 and not all(found)):
            nests.append(stmt)  # statements that no block holds cannot be scheduled
            continue
        allocated += buffers
        nests += [nest for one in found for nest in one or [stmt]]
    if len(nests) == len(stmts) and all(new.same_as(old) for new, old in zip(nests, stmts, strict=True)):
        return func
    body = sequence(nests)
    left = [one for one in (*outer.alloc_buffers, *allocated) if not _is_in_block(body, one) and mentions(body, one)]
    return func.with_body(SBlockRealize([], True, with_block(outer, body=body, alloc_buffers=left)))


def _only_in(part: Any, parts: Sequence[Any], buffer: Any) -> bool:
    return len(parts) == 1 or not any(mentions(one.stmt, buffer) for one in parts if one is not part)


def _is_in_block(body: Any, buffer: Any) -> bool:
    """Whether some block has the buffer for itself."""
    return any(one.same_as(buffer) for block in every(body, SBlock) for one in block.alloc_buffers)


def _arranged(part: Any, wanted: Wanted, scratch: Sequence[Any], allocated: list[Any]) -> list[Any] | None:
    """The nest as blocks over its independent loops; ``None`` if it need not or cannot be. ``scratch``: buffers that
    nothing else uses. ``allocated`` collects those that are needed."""
    stmt, name = (part.stmt, part.name) if isinstance(part, Part) else (part, None)
    if not isinstance(stmt, For) or not (name or wanted(stmt)):
        return None
    found = _rows(stmt, scratch, lambda plain: plain)
    if found is not None and not found.independent:
        found = _rows(stmt, scratch, first_turns_apart)
    if found is None:
        return None
    name = name or found.name or "rows"
    running = None if found.independent else Running.of(first_turns_apart(found.row))
    if running is not None:
        allocated.extend(running.buffers)
        parts = [_rows(one, [], lambda plain: plain) for one in running.parts]
        return [nest for one in parts if one is not None for nest in _blocks(name, one)]
    total = None if found.independent else Total.of(stmt, name)
    rows = None if total is None else _rows(total.rows, [], lambda plain: plain)
    if total is None or rows is None:
        return _blocks(name, found)
    allocated.append(total.buffer)
    return [*_blocks(f"{name}_rows", rows), total.nest]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Independent loops, what they touch, the buffers that each of their turns has for itself, and what a turn does."""

    name: str
    independent: list[Any]
    accesses: Accesses
    private: list[Any]
    row: Any


def _rows(stmt: Any, scratch: Sequence[Any], form: Callable[[Any], Any]) -> _Rows | None:
    """The rows of the nest, brought into another ``form`` before it is looked at; ``None`` if it cannot be."""
    lowered = Lowered()
    plain = with_common_loop_outside(form(lowered.mutate(stmt)))
    private = [*lowered.buffers, *(one for one in scratch if _is_set_in(plain, one))]
    independent, accesses = _independent(plain, private)
    if lowered.refused or accesses is None:
        return None
    initial, body = initial_of(chain(plain), independent, stmt)
    if initial is not None:
        row = sequence([initial, within(chain(plain), independent, body)])
        return _Rows(lowered.name, independent, accesses, private, row)
    plain = with_common_loop_outside(form(Lowered(sets_first=True).mutate(stmt)))
    independent, accesses = _independent(plain, private)
    assert accesses is not None, "it touches what it touched before"
    row = within(chain(plain), independent, chain(plain)[-1].body if chain(plain) else plain)
    return _Rows(lowered.name, independent, accesses, private, row)


def _independent(plain: Any, private: Sequence[Any]) -> tuple[list[Any], Accesses | None]:
    """Those of the outer loops whose turns are independent of each other."""
    accesses = Accesses.of(plain, private)
    found: list[Any] = []
    for loop in chain(plain) if accesses is not None else ():
        fixed = [one.loop_var for one in found]
        if is_plain_loop(loop) and accesses is not None and accesses.told_apart_by(loop, fixed):
            found.append(loop)
    return found, accesses


def _is_set_in(plain: Any, buffer: Any) -> bool:
    """Whether the buffer has one element, and each turn of the outer loops sets it before anything else."""
    loops = chain(plain)
    body = loops[-1].body if loops else plain
    first = next((one for one in statements(body) if mentions(one, buffer)), None)
    one_element = all(int(extent) == 1 for extent in buffer.ty.shape)
    sets = isinstance(first, BufferStore) and first.buffer.same_as(buffer) and not mentions(first.value, buffer)
    return bool(one_element and sets)


def _blocks(name: str, rows: _Rows) -> list[Any]:
    """The row as a block, several rows at a time where that pays; the rows that are left over have one of their own."""
    independent, accesses, private = rows.independent, rows.accesses, rows.private
    row, lanes = sums_in_lanes(first_turns_apart(rows.row))
    strips = Strips.of(row, independent[-1]) if independent and not lanes else None
    if strips is None:
        found = block_of_rows(name, independent, accesses, [*private, *lanes], row)
        return [_marked(found) if private or lanes else found]
    outer = independent[:-1]
    together, buffers = strips.side_by_side(row, private)
    found = block_of_rows(name, [*outer, strips.loop], accesses, buffers, together)
    if not strips.left:
        return [_marked(found)]
    copies = [with_var(one, tvm.ir.Var(str(one.loop_var.name), one.loop_var.ty)) for one in outer]
    changed = {one.loop_var: copy.loop_var for one, copy in zip(outer, copies, strict=True)}
    rest, buffers = strips.rest(substituted(row, changed), private)
    last = block_of_rows(f"{name}_rest", [*copies, strips.rest_loop], accesses, buffers, rest)
    return [_marked(found), _marked(last)]


def _marked(nest: Any) -> Any:
    """The nest whose block has its vectors inside."""

    def realize(node: Any) -> Any:
        block = with_block(node.block, annotations={ARRANGED: 1})
        return SBlockRealize(node.iter_values, node.predicate, block)

    return mapped(nest, (SBlockRealize, realize))
