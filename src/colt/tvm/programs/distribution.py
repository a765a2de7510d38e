"""Loops that hold several statements, taken apart: each statement gets loops of its own, and becomes a block.

People write a softmax or a product as one block, with loops and scratch values inside, or put several blocks under one
loop. No schedule rule looks into these. Loops may be taken apart if statements share nothing but what they touch in the
same turns. A scratch value that every turn sets anew gets an element for each turn. What comes out are blocks as a user
of TE would have them; where that cannot be proved, or would gain nothing, the nest stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import tvm
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, For, IntImm, IterVar, PrimFunc, SeqStmt, decl_buffer

from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.accumulation import is_reduction
from colt.tvm.programs.naming import buffers_of, replaced, substituted, with_block
from colt.tvm.programs.nests import (
    PlainNest,
    around,
    in_root,
    is_nested,
    is_plain_loop,
    mentions,
    nests_of,
    region,
    sequence,
    with_nests,
)
from colt.tvm.programs.untiled import plain_loops
from colt.tvm.programs.walks import every, walk
from colt.util.text import distinct_names

_SPATIAL, _REDUCE = 0, 2


def statements_apart(func: PrimFunc) -> PrimFunc:
    """The function with such nests as one nest for each statement; ``func`` itself if there are none."""
    return _apart(func, nested=False)


def statements_and_blocks_apart(func: PrimFunc) -> PrimFunc:
    """The same, also of a single statement in blocks inside of blocks, and of sums into scratch values of blocks."""
    return _apart(func, nested=True)


def _apart(func: PrimFunc, nested: bool) -> PrimFunc:
    func = in_root(func)
    stmts = nests_of(func)
    names = [str(buffer.name) for buffer in buffers_of(func)]
    nests: list[Any] = []
    added: list[Any] = []
    for number, stmt in enumerate(stmts):
        others = [*stmts[:number], *stmts[number + 1 :]]
        scratch = [one for one in func.body.block.alloc_buffers if not any(mentions(other, one) for other in others)]
        taken = [*names, *(str(one.name) for one in added)]
        forms = _Nest.forms(stmt, scratch) if nested else [_Nest.of(stmt, scratch)]
        for found in forms:
            parts = None if found is None else found.apart(taken)
            if found is not None and parts is not None:
                nests += parts
                added += found.allocated
                break
        else:
            nests.append(stmt)
    if len(nests) == len(stmts) and all(new.same_as(old) for new, old in zip(nests, stmts, strict=True)):
        return func
    changed = with_nests(func, nests, added)
    outer = changed.body.block
    used = [one for one in outer.alloc_buffers if mentions(outer.body, one)]
    return changed.with_body(SBlockRealize([], True, with_block(outer, alloc_buffers=used)))


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A store, or a block without loops inside, and the loops around it."""

    loops: tuple[Any, ...]
    stmt: Any
    name: str
    has_axes: bool
    """Whether it is from a block that says what its loops are."""

    @property
    def block(self) -> Any:
        """The block; ``None`` if it is a store."""
        return self.stmt.block if isinstance(self.stmt, SBlockRealize) else None

    @property
    def nest(self) -> Any:
        """The statement in its loops."""
        return _around(self.loops, self.stmt)

    @property
    def plain(self) -> Any:
        """The nest without its block: the initial value and the body, as far as what they touch is concerned."""
        if self.block is None:
            return self.nest
        pairs = zip(self.block.iter_vars, self.stmt.iter_values, strict=True)
        body = sequence([one for one in (self.block.init, self.block.body) if one is not None])
        return _around(self.loops, substituted(body, {var.var: value for var, value in pairs}))


@dataclass(slots=True)
class _Nest:
    """The statements of a nest in order, and the buffers that only they use."""

    leaves: list[_Leaf]
    scratch: list[Any]
    allocated: list[Any]
    """What is to be allocated outside."""

    @classmethod
    def of(cls, stmt: Any, scratch: Sequence[Any], alone: bool = False, sums_open: bool = False) -> _Nest | None:
        """The nest; ``None`` if it is a single block that needs nothing, or holds what is not plain.

        ``alone``: a single statement will do. ``sums_open``: what a sum is set to is a statement of its own.
        """
        plain = PlainNest.of(stmt)
        if plain is not None and isinstance(plain.block.body, BufferStore):
            return None
        allocated: list[Any] = []
        try:
            leaves = list(_leaves(stmt, (), allocated, sums_open))
        except _NotPlain:
            return None
        return cls(leaves, [*scratch, *allocated], allocated) if len(leaves) > 1 or alone else None

    @classmethod
    def forms(cls, stmt: Any, scratch: Sequence[Any]) -> Iterator[_Nest | None]:
        """The nest in all forms that may be taken apart, the one to be preferred first."""
        nested = is_nested(stmt)
        yield cls.of(stmt, scratch, alone=nested)
        if nested:
            yield cls.of(stmt, scratch, alone=True, sums_open=True)

    def apart(self, names: Sequence[str]) -> list[Any] | None:
        """A nest for each statement; ``None`` if they cannot be taken apart, or it would gain nothing."""
        self._widen(names)
        if not all(_meet_in_same_turns(first, second) for first, second in combinations(self.leaves, 2)):
            return None
        found = [_as_block(leaf) for leaf in self.leaves]
        parts = [one for one in found if one is not None]
        together = len({leaf.loops for leaf in self.leaves}) == 1 and not any(leaf.has_axes for leaf in self.leaves)
        return parts if len(parts) == len(found) and not together else None

    def _widen(self, names: Sequence[str]) -> None:
        """Give each scratch value that every turn sets anew an element for each turn."""
        for buffer in self.scratch:
            users = [leaf for leaf in self.leaves if mentions(leaf.nest, buffer)]
            loops = _common(users)
            if not users or any(leaf.block is not None for leaf in users) or not _sets(users[0], buffer, loops):
                continue
            missing = _not_told_apart(users, buffer, loops)
            if not missing:
                continue
            wide = _wider(buffer, missing, [*names, *(str(one.name) for one in self.allocated)])
            self.leaves = [replace(leaf, stmt=_widened(leaf.stmt, buffer, wide, missing)) for leaf in self.leaves]
            self.allocated = [one for one in self.allocated if not one.same_as(buffer)] + [wide]


class _NotPlain(Exception):
    """A statement that cannot be moved to loops of its own."""


def _leaves(
    stmt: Any,
    loops: tuple[Any, ...],
    allocated: list[Any],
    sums_open: bool,
    name: str = "",
    has_axes: bool = False,
) -> Iterator[_Leaf]:
    if isinstance(stmt, For) and is_plain_loop(stmt):
        yield from _leaves(stmt.body, (*loops, stmt), allocated, sums_open, name, has_axes)
    elif isinstance(stmt, SeqStmt):
        for one in stmt.seq:
            yield from _leaves(one, loops, allocated, sums_open, name, has_axes)
    elif isinstance(stmt, SBlockRealize):
        yield from _leaves_of_block(stmt, loops, allocated, sums_open)
    elif isinstance(stmt, BufferStore):
        yield _Leaf(loops, stmt, name, has_axes)
    else:
        raise _NotPlain


def _leaves_of_block(realize: Any, loops: tuple[Any, ...], allocated: list[Any], sums_open: bool) -> Iterator[_Leaf]:
    """A reduction is a leaf, unless ``sums_open``; any other block is opened."""
    block, name = realize.block, str(realize.block.name_hint)
    always = isinstance(realize.predicate, IntImm) and int(realize.predicate) == 1
    if not always or list(block.match_buffers) or dict(block.annotations):
        raise _NotPlain
    values = {var.var: value for var, value in zip(block.iter_vars, realize.iter_values, strict=True)}
    if block.init is not None and sums_open:
        before = _set_before(realize, loops)
        yield from _leaves(substituted(block.init, values), before, allocated, sums_open, f"{name}_init", True)
    elif block.init is not None:
        inner = every(block.body, (For, SBlock))
        if inner or list(block.alloc_buffers):
            raise _NotPlain
        yield _Leaf(loops, realize, name, True)
        return
    allocated.extend(block.alloc_buffers)
    body = substituted(block.body, values)
    yield from _leaves(body, loops, allocated, sums_open, name, bool(values))


def _set_before(realize: Any, loops: tuple[Any, ...]) -> tuple[Any, ...]:
    """The loops in whose turns a sum is set: those outside of the ones that reduce, which are the innermost."""
    pairs = list(zip(realize.block.iter_vars, realize.iter_values, strict=True))
    sums = [value for var, value in pairs if int(var.iter_type) == _REDUCE]
    others = [value for var, value in pairs if int(var.iter_type) != _REDUCE]
    reducing = [any(mentions(value, loop.loop_var) for value in sums) for loop in loops]
    first = reducing.index(True) if any(reducing) else len(loops)
    inner = loops[first:]
    if not all(reducing[first:]) or any(mentions(value, loop.loop_var) for value in others for loop in inner):
        raise _NotPlain
    if len(inner) != len(sums) or not all(any(value.same_as(loop.loop_var) for value in sums) for loop in inner):
        raise _NotPlain
    return loops[:first]


def _common(leaves: Sequence[_Leaf]) -> tuple[Any, ...]:
    """The loops around all of them."""
    found: list[Any] = []
    for level in zip(*(leaf.loops for leaf in leaves), strict=False):
        if not all(loop.same_as(level[0]) for loop in level):
            break
        found.append(level[0])
    return tuple(found)


def _meet_in_same_turns(first: _Leaf, second: _Leaf) -> bool:
    """Whether both touch the same element of what one of them writes only in the same turns of their common loops."""
    accesses = Accesses.of(sequence([first.plain, second.plain]))
    if accesses is None:
        return False
    shared = [one for one in accesses.written if mentions(first.nest, one) and mentions(second.nest, one)]
    loops = _common([first, second])
    return all(not _not_told_apart([first, second], buffer, loops) for buffer in shared)


def _not_told_apart(leaves: Sequence[_Leaf], buffer: Any, loops: Sequence[Any]) -> list[Any]:
    """Those of the loops whose turns may touch the same element of the buffer."""
    accesses = Accesses.of(sequence([leaf.plain for leaf in leaves]))
    if accesses is None:
        return list(loops)
    fixed: list[Any] = []
    left = []
    for loop in loops:
        if accesses.tells_apart(buffer, loop, fixed):
            fixed.append(loop.loop_var)
        else:
            left.append(loop)
    return left


def _sets(leaf: _Leaf, buffer: Any, loops: Sequence[Any]) -> bool:
    """Whether the statement sets the whole buffer, in each turn of these loops, without a look at what it holds."""
    store = leaf.stmt
    if not isinstance(store, BufferStore) or not store.buffer.same_as(buffer) or mentions(store.value, buffer):
        return False
    extents = {loop.loop_var: int(loop.extent) for loop in leaf.loops[len(loops) :]}
    own = [index for index in store.indices if isinstance(index, tvm.ir.Var) and index in extents]
    if len(set(own)) != len(own):
        return False
    shape = [int(extent) for extent in buffer.ty.shape]
    return all(extent == 1 or extents.get(index) == extent for index, extent in zip(store.indices, shape, strict=True))


def _wider(buffer: Any, loops: Sequence[Any], names: Sequence[str]) -> Any:
    shape = [*(loop.extent for loop in loops), *_kept(buffer, buffer.ty.shape)]
    return decl_buffer(shape, str(buffer.ty.dtype), distinct_names([f"{buffer.name}_rows"], names)[0])


def _kept(buffer: Any, indices: Sequence[Any]) -> list[Any]:
    """The indices of dimensions of more than one element."""
    return [index for index, extent in zip(indices, buffer.ty.shape, strict=True) if int(extent) > 1]


def _widened(stmt: Any, buffer: Any, wide: Any, loops: Sequence[Any]) -> Any:
    """The statement with an element of ``wide`` for each turn of the loops, in place of ``buffer``."""
    turns = [loop.loop_var for loop in loops]
    return replaced(stmt, {buffer: lambda indices: (wide, [*turns, *_kept(buffer, indices)])})


def _as_block(leaf: _Leaf) -> Any:
    """The statement as a block in loops of its own; ``None`` if its turns depend on each other in no known way."""
    fresh = {loop.loop_var: tvm.ir.Var(str(loop.loop_var.name), loop.loop_var.ty) for loop in leaf.loops}
    if leaf.block is not None:
        nest = substituted(leaf.nest, fresh)
        return nest if PlainNest.of(nest) is not None else plain_loops(nest)
    store, accesses = leaf.stmt, Accesses.of(leaf.nest)
    if accesses is None:
        return None
    reducing = [loop.loop_var for loop in _not_told_apart([leaf], store.buffer, leaf.loops)]
    axes = {loop.loop_var: tvm.ir.Var(f"v_{loop.loop_var.name}", loop.loop_var.ty) for loop in leaf.loops}
    iters = [
        IterVar(
            tvm.ir.Range.from_min_extent(loop.min, loop.extent),
            axes[loop.loop_var],
            _REDUCE if loop.loop_var in reducing else _SPATIAL,
        )
        for loop in leaf.loops
    ]
    reads = [region(buffer, indices) for buffer, all_ in accesses.indices.items() for indices in all_]
    block = SBlock(
        iters,
        [substituted(one, axes) for one in reads if not one.source.same_as(store.buffer)],
        [substituted(region(store.buffer, list(store.indices)), axes)],
        leaf.name or "block",
        substituted(store, axes),
    )
    nest = _around(leaf.loops, SBlockRealize([loop.loop_var for loop in leaf.loops], True, block))
    return substituted(nest, fresh) if _is_regular(nest, bool(reducing)) else None


def _is_regular(nest: Any, reducing: bool) -> bool:
    """Whether schedule rules can take the block: one that reads nothing of what it writes but the element itself. A
    single statement is no nest, and stays where it is."""
    found = PlainNest.of(nest)
    if found is None:
        return False
    if reducing:
        return is_reduction(found)
    store = found.block.body
    own: list[Any] = []

    def load(node: Any) -> None:
        if node.source.same_as(store.buffer):
            own.append(all(a.same_as(b) for a, b in zip(node.indices, store.indices, strict=True)))

    walk(store.value, (tvm.ir.TensorLoad, load))
    return all(own)


def _around(loops: Sequence[Any], stmt: Any) -> Any:
    for loop in reversed(loops):
        stmt = around(loop, stmt)
    return stmt
