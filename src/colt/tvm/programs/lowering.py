"""Blocks as the plain statements that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import For, IfThenElse, IntImm

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import chain, sequence, statements
from colt.tvm.programs.walks import mutated

_REDUCE = 2


class Lowered:
    """Turns blocks into plain statements; remembers the first block's name and the buffers that blocks allocate.

    ``sets_first``: the result of a reduction is set before its loops where they are the innermost ones, and not under
    a condition in the first turn.
    """

    def __init__(self, sets_first: bool = False) -> None:
        self.buffers: list[Any] = []
        self.name = ""
        self.refused = False
        self._rules: list[Any] = [(SBlockRealize, self._realize)]
        if sets_first:
            self._rules.append((For, self._loop))

    def mutate(self, stmt: Any) -> Any:
        """The statement without blocks."""
        return mutated(stmt, *self._rules)

    def _realize(self, realize: Any, mutator: Any) -> Any:
        block = realize.block
        self._take(block)
        body = self.mutate(block.body)
        pairs = list(zip(block.iter_vars, realize.iter_values, strict=True))
        if block.init is not None:
            first = [value.equal(var.dom.min) for var, value in pairs if int(var.iter_type) == _REDUCE]
            body = sequence([_if(first, self.mutate(block.init)), *statements(body)])
        body = substituted(body, {var.var: value for var, value in pairs})
        return _if([realize.predicate], body)

    def _take(self, block: Any) -> None:
        self.name = self.name or str(block.name_hint)
        self.refused = self.refused or bool(list(block.match_buffers)) or bool(dict(block.annotations))
        self.buffers += block.alloc_buffers

    def _loop(self, loop: Any, mutator: Any) -> Any:
        loops = chain(loop)
        realize = loops[-1].body
        if not isinstance(realize, SBlockRealize) or not reduces(realize, loops):
            return mutator.default_mutate(loop)
        self._take(realize.block)
        values = {var.var: value for var, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)}
        body = self.mutate(substituted(realize.block.body, values))
        return sequence([self.mutate(substituted(realize.block.init, values)), around_all(loops, body)])


def reduces(realize: Any, loops: Sequence[Any]) -> bool:
    """Whether these loops drive the reduced axes of the block, and no other."""
    block = realize.block
    pairs = zip(block.iter_vars, realize.iter_values, strict=True)
    sums = [value for var, value in pairs if int(var.iter_type) == _REDUCE]
    driven = all(any(value.same_as(loop.loop_var) for value in sums) for loop in loops)
    return block.init is not None and driven and len(sums) == len(loops) and is_one(realize.predicate)


def around_all(loops: Sequence[Any], body: Any) -> Any:
    """The loops around another body."""
    for loop in reversed(loops):
        body = For(loop.loop_var, loop.min, loop.extent, loop.kind, body, None, loop.annotations, loop.step)
    return body


def _if(conditions: Sequence[Any], stmt: Any) -> Any:
    open_ = [one for one in conditions if not is_one(one)]
    return IfThenElse(tirx.all(*open_), stmt, None) if open_ else stmt


def is_one(condition: Any) -> bool:
    """Whether the condition always holds."""
    return isinstance(condition, IntImm) and int(condition) == 1
