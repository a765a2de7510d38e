"""The code that a scheduled program becomes, read off its TensorIR before anything is lowered.

The walk follows TVM's UnrollLoop pass. That pass counts the steps (stores and evaluated calls) below each loop, inside
out. A serial loop is unrolled if nothing below it stayed a loop, its extent times the steps is at most
``pragma_auto_unroll_max_step`` and no more than eight loops below it were unrolled before; a loop marked unrolled
always is. Without ``pragma_unroll_explicit`` both stay loops, as LLVM ignores TVM's hint. Vectorised loops and loops of
one iteration are gone by then, and statements that TVM can't vectorise have become serial loops.

Reading never fails on an unusual program, it only gets coarser: what is unknown counts as one instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from colt.tvm.workers.instructions import InstructionKind, Instructions, RegisterUse, Statement, Term

_MAX_STEP = "pragma_auto_unroll_max_step"
_EXPLICIT = "pragma_unroll_explicit"
_MAX_UNROLLED_DEPTH = 8
_MAX_NESTING = 100


@dataclass(slots=True)
class UnrolledNest:
    """A loop that stays a loop, with the statements and loops in its body after unrolling."""

    extent: int
    """-1 if it is not constant."""
    loop: int
    """The loop's bit, see :mod:`colt.tvm.workers.instructions`; 0 for the program."""
    unrollable: bool
    statements: list[Statement] = field(default_factory=list)
    nests: list[UnrolledNest] = field(default_factory=list)
    copies: int = 1
    """How often it occurs in the body of the loop around it."""

    def repeat(self, times: int, loop: int) -> None:
        """Unroll in the body a loop that was around it."""
        for statement in self.statements:
            statement.steps *= times
            for term in statement.terms:
                if term.loops & loop:
                    term.count *= times
        for nest in self.nests:
            nest.copies *= times

    def every(self, copies: int = 1) -> Iterator[tuple[int, UnrolledNest]]:
        """This loop and all below it, each with how often it occurs in the program."""
        copies *= self.copies
        yield copies, self
        for nest in self.nests:
            yield from nest.every(copies)

    @property
    def terms(self) -> Iterator[Term]:
        """The terms of the statements directly in the body."""
        return (term for statement in self.statements for term in statement.terms)

    @property
    def instructions(self) -> int:
        """Instructions directly in the body."""
        return sum(term.total for term in self.terms)

    @property
    def all_instructions(self) -> int:
        """Instructions of the loop and of all below it: of the whole program, before LLVM unrolls anything itself."""
        return sum(copies * nest.instructions for copies, nest in self.every())

    @property
    def all_steps(self) -> int:
        """Stores and evaluated calls that TVM's lowering leaves in the loop and all below it."""
        return sum(copies * part.steps for copies, nest in self.every() for part in nest.statements)


def read_code(module: tvm.IRModule, vector_bits: int = 512) -> UnrolledNest:
    """The program as loops that stay loops and straight code between them."""
    program = UnrolledNest(1, 0, unrollable=False)
    for _, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc):
            part = _Walk(vector_bits).visit(function.body, _Scope())
            program.statements += part.body.statements
            program.nests += part.body.nests
    return program


@dataclass(frozen=True, slots=True)
class _Scope:
    """What holds at a statement: the vectorised extent around it, and the pass's settings."""

    lanes: int = 1
    max_step: int = 0
    explicit: bool = True
    depth: int = 0

    def annotated(self, key: str, value: Any) -> _Scope:
        number = _integer(value)
        if number is None:
            return self
        if key == _MAX_STEP:
            return replace(self, max_step=number)
        return replace(self, explicit=bool(number)) if key == _EXPLICIT else self


@dataclass(slots=True)
class _Part:
    """Code, with what the pass counts: steps, and loops around them that were unrolled or stayed."""

    body: UnrolledNest = field(default_factory=lambda: UnrolledNest(1, 0, unrollable=False))
    steps: int = 0
    unrolled: int = 0
    rolled: int = 0

    def append(self, other: _Part) -> None:
        self.body.statements += other.body.statements
        self.body.nests += other.body.nests
        self.steps += other.steps
        self.unrolled = max(self.unrolled, other.unrolled)
        self.rolled = max(self.rolled, other.rolled)


class _Walk:
    def __init__(self, vector_bits: int) -> None:
        self._instructions = Instructions(vector_bits)
        self._loops = 0

    def visit(self, stmt: Any, scope: _Scope) -> _Part:
        scope = replace(scope, depth=scope.depth + 1)
        if scope.depth > _MAX_NESTING:
            return _other(stmt)
        match stmt:
            case tirx.For():
                return self._for(stmt, scope)
            case tirx.SeqStmt():
                return self._sequence(stmt.seq, scope)
            case SBlockRealize():
                return self._block(stmt, scope)
            case tirx.BufferStore():
                return self._store(stmt, scope)
            case tirx.IfThenElse():
                return self._guarded(stmt.condition, (stmt.then_case, stmt.else_case), scope)
            case tirx.AttrStmt():
                return self.visit(stmt.body, scope.annotated(str(stmt.attr_key), stmt.value))
            case tirx.While():
                return self.visit(stmt.body, scope)
            case tirx.AllocBuffer() | tirx.DeclBuffer():
                return _Part()
        return _other(stmt)

    def _sequence(self, stmts: Any, scope: _Scope) -> _Part:
        part = _Part()
        for stmt in stmts:
            if stmt is not None:
                part.append(self.visit(stmt, scope))
        return part

    def _block(self, realize: Any, scope: _Scope) -> _Part:
        block, uses = realize.block, self._instructions.uses
        for axis, value in zip(block.iter_vars, realize.iter_values, strict=False):
            uses[axis.var] = self._instructions.index(value, scope.lanes)
        return self._guarded(realize.predicate, (block.init, block.body), scope)

    def _guarded(self, condition: Any, stmts: Any, scope: _Scope) -> _Part:
        """Statements under a condition, which are not vectorised if it differs between the lanes."""
        if scope.lanes > 1 and self._instructions.index(condition, scope.lanes).stride:
            return self._scalar(lambda one: self._sequence(stmts, one), scope)
        return self._sequence(stmts, scope)

    def _store(self, store: Any, scope: _Scope) -> _Part:
        statement = self._instructions.of_store(store, scope.lanes)
        if statement is None:
            return self._scalar(lambda one: self._store(store, one), scope)
        return _Part(UnrolledNest(1, 0, False, [statement]), steps=1)

    def _scalar(self, visit: Callable[[_Scope], _Part], scope: _Scope) -> _Part:
        loops = 0
        for use in self._instructions.uses.values():
            loops |= use.loops if use.stride else 0
        with self._instructions.scalar():
            part = visit(replace(scope, lanes=1))
        return _looped(part, scope.lanes, loops, tirx.ForKind.SERIAL, scope)

    def _for(self, loop: Any, scope: _Scope) -> _Part:
        number = _integer(loop.extent)
        extent, kind = -1 if number is None else number, int(loop.kind)
        for key, value in loop.annotations.items():
            scope = scope.annotated(str(key), value)
        if extent == 1:
            self._instructions.uses[loop.loop_var] = RegisterUse()
            inside = self.visit(loop.body, scope)
            # A loop of one iteration stays a loop for the pass if it is annotated.
            return _looped(inside, 1, 0, kind, scope) if loop.annotations else inside
        bit = 1 << self._loops
        self._loops += 1
        vector = kind == tirx.ForKind.VECTORIZED and extent > 0
        self._instructions.uses[loop.loop_var] = RegisterUse(bit, int(vector))
        if vector:
            return self.visit(loop.body, replace(scope, lanes=scope.lanes * extent))
        return _looped(self.visit(loop.body, scope), extent, bit, kind, scope)


def _looped(part: _Part, extent: int, loop: int, kind: int, scope: _Scope) -> _Part:
    """The part in a loop: unrolled, or as the body of a loop that stays."""
    small = part.rolled == 0 and part.unrolled <= _MAX_UNROLLED_DEPTH and extent * part.steps <= scope.max_step
    unroll = extent >= 0 and (kind == tirx.ForKind.UNROLLED or (kind == tirx.ForKind.SERIAL and small))
    if unroll:
        part.steps *= extent
        part.unrolled += 1
    else:
        part.rolled += 1
    if unroll and scope.explicit:
        part.body.repeat(extent, loop)
        return part
    nest = UnrolledNest(extent, loop, kind != tirx.ForKind.PARALLEL, part.body.statements, part.body.nests)
    return replace(part, body=UnrolledNest(1, 0, False, nests=[nest]))


def _other(stmt: Any) -> _Part:
    step = int(isinstance(stmt, tirx.Evaluate))
    return _Part(UnrolledNest(1, 0, False, [Statement([Term(InstructionKind.OTHER, 1)], step)]), steps=step)


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, tirx.IntImm)) else None
