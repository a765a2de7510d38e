"""Indices of a program that its loops alone do not keep inside of what they index, and the conditions they are under.

The program is read as it runs: which loops are around an access, and which conditions have to be true before it is
reached, be they of statements, of blocks, or inside an expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import IntImm

from colt.tvm.programs.accesses import scalars
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import reads_memory
from colt.tvm.programs.walks import walk
from colt.tvm.programs.witness import Ends, bounded, called, ends_of, set_ends

_REDUCE = 2
_HUGE = (1 << 31) - 1
_NOT_READ = ("address_of", "tvm_access_ptr", "assume")
"""Calls whose arguments are named, not read."""
_LEAVING = ("ret", "thread_return", "break_loop", "continue_loop")
_LEAVING_STATEMENTS = (tirx.AssertStmt, tirx.Break, tirx.Continue, tirx.Return)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that may lie outside of where it has to."""

    verb: str
    """What is done with it: ``reads`` and ``writes`` a buffer, or ``takes``, if it is the value of an axis."""
    target: Any
    """The buffer or the axis."""
    block: str
    indices: tuple[Any, ...]
    """As they are written."""
    dimension: int
    accepted: Ends
    value: Any
    """The index by the loops alone."""
    axes: Mapping[Any, Any]
    """The variables of the index, by the loops alone."""
    loops: Mapping[Any, Ends]
    conditions: tuple[Any, ...]
    """Those that it is under, by the loops alone."""

    @property
    def index(self) -> Any:
        """The one that is in doubt, as it is written."""
        return self.indices[self.dimension]


def doubts(func: tirx.PrimFunc) -> list[Doubt]:
    """All of them, in program order. None of a function that may end early: what comes after may never run."""
    reader = _Reader(func.params)
    reader.read(func.body)
    return [] if reader.ends_early else reader.doubts


class _Reader:
    """Follows the program. Buffers that are views of others are left out: their shapes bind nobody."""

    def __init__(self, params: Sequence[Any]) -> None:
        self.doubts: list[Doubt] = []
        self.ends_early = False
        self._buffers = set(params)
        self._values: dict[Any, Any] = {}
        """The values of axes and of names for values, by the loops alone."""
        self._loops: dict[Any, Ends] = {}
        self._conditions: list[Any] = []
        self._block = ""
        self._analyzer = bounded({})
        self._rules = (
            (tvm.ir.TensorLoad, lambda node: self._access("reads", node.source, node.indices)),
            (tirx.BufferStore, lambda node: self._access("writes", node.buffer, node.indices)),
            (tirx.For, self._loop),
            (SBlockRealize, self._realize),
            (tirx.IfThenElse, self._branch),
            (tirx.While, self._endless),
            (tirx.AllocBuffer, lambda node: self._buffers.add(node.buffer)),
            (tirx.Bind, lambda node: self._bind(node.var, node.value)),
            (tirx.Let, self._let),
            (tirx.Select, lambda node: self._either(node.condition, node.true_value, node.false_value)),
            (tirx.And, lambda node: self._either(node.a, node.b, None)),
            (tirx.Or, lambda node: self._either(node.a, None, node.b)),
            (tvm.ir.Call, self._call),
            *((kind, self._leaving) for kind in _LEAVING_STATEMENTS),
        )

    def read(self, node: Any) -> None:
        if isinstance(node, IntImm | tvm.ir.Var):  # which most are: a walk finds nothing there
            return
        walk(node, *self._rules, pre=True)

    # ---- what is under conditions ----

    @contextmanager
    def _under(self, *conditions: Any) -> Iterator[None]:
        before = len(self._conditions)
        self._conditions += [self._by_loops(one) for one in conditions if not isinstance(one, IntImm) or not int(one)]
        yield
        del self._conditions[before:]

    def _either(self, condition: Any, true: Any, false: Any) -> Any:
        """Only one of two is reached. (TVM makes a branch of a ``Select`` that reads memory.)"""
        self.read(condition)
        for part, asked in ((true, condition), (false, tirx.Not(condition))):
            if part is not None:
                with self._under(asked):
                    self.read(part)
        return tvm_ffi.WalkResult.SKIP

    def _branch(self, node: Any) -> Any:
        return self._either(node.condition, node.then_case, node.else_case)

    def _call(self, node: Any) -> Any:
        name = called(node)
        if name == "if_then_else":
            return self._either(*node.args)
        self.ends_early |= name in _LEAVING
        return tvm_ffi.WalkResult.SKIP if name in _NOT_READ else None

    def _endless(self, node: Any) -> Any:
        """How often the body runs, if at all, is not known."""
        self.read(node.condition)
        return tvm_ffi.WalkResult.SKIP

    def _leaving(self, node: Any) -> None:
        self.ends_early = True

    # ---- what has a value ----

    def _by_loops(self, value: Any) -> Any:
        if isinstance(value, tvm.ir.Var):
            return self._values.get(value, value)
        return value if isinstance(value, IntImm) else substituted(value, self._values)

    def _bind(self, variable: Any, value: Any) -> None:
        if isinstance(variable.ty, tvm.ir.PrimType):
            self._set(variable, value, ends_of(self._analyzer, value))

    def _set(self, variable: Any, value: Any, ends: Ends) -> None:
        """What was read from memory keeps its name: memory may hold something else where the name is used."""
        placed = self._by_loops(value)
        self._values[variable] = variable if reads_memory(placed) else placed
        set_ends(self._analyzer, variable, ends)

    def _let(self, node: Any) -> Any:
        self.read(node.value)
        self._bind(node.var, node.value)
        self.read(node.body)
        return tvm_ffi.WalkResult.SKIP

    def _loop(self, node: Any) -> Any:
        """A loop whose ends depend on others is as wide as it ever is. One whose ends are read from memory may never
        turn. It is left out, as is one in steps of more than 1."""
        self.read(node.min)
        self.read(node.extent)
        variable, constant = node.loop_var, isinstance(node.min, IntImm) and isinstance(node.extent, IntImm)
        least, turns = ends_of(self._analyzer, node.min), ends_of(self._analyzer, node.extent)
        low, high = max(least[0], -_HUGE), min(least[1] + turns[1] - 1, _HUGE)
        unknown = any(reads_memory(self._by_loops(end)) for end in (node.min, node.extent))
        if low > high or unknown or (node.step is not None and not _is(node.step, 1)):
            return tvm_ffi.WalkResult.SKIP
        self._values.pop(variable, None)
        self._loops[variable] = low, high
        set_ends(self._analyzer, variable, (low, high))
        inside = () if constant else (variable >= node.min, variable < node.min + node.extent)
        with self._under(*inside):
            self.read(node.body)
        del self._loops[variable]
        return tvm_ffi.WalkResult.SKIP

    def _realize(self, node: Any) -> Any:
        """A block. It is initialised in the first iteration of what it reduces."""
        outer, block = self._block, node.block
        self._block = str(block.name_hint)
        self._buffers.update(block.alloc_buffers)
        for part in (*node.iter_values, node.predicate):
            self.read(part)
        with self._under(node.predicate):
            for axis, value in zip(block.iter_vars, node.iter_values, strict=True):
                self._axis(axis, value)
            if block.init is not None:
                reduced = [axis for axis in block.iter_vars if int(axis.iter_type) == _REDUCE]
                with self._under(*(tirx.EQ(axis.var, axis.dom.min) for axis in reduced)):
                    self.read(block.init)
            self.read(block.body)
        self._block = outer
        return tvm_ffi.WalkResult.SKIP

    def _axis(self, axis: Any, value: Any) -> None:
        ends = ends_of(self._analyzer, value)
        if isinstance(axis.dom.min, IntImm) and isinstance(axis.dom.extent, IntImm):
            domain = int(axis.dom.min), int(axis.dom.min) + int(axis.dom.extent) - 1
            self._require("takes", axis.var, (value,), 0, domain)
            ends = domain
        self._set(axis.var, value, ends)

    # ---- what has to be inside ----

    def _access(self, verb: str, buffer: Any, indices: Sequence[Any]) -> None:
        if buffer not in self._buffers:
            return
        for number, extent in enumerate(buffer.ty.shape):
            if isinstance(extent, IntImm):
                self._require(verb, buffer, indices, number, (0, int(extent) - 1))

    def _require(self, verb: str, target: Any, indices: Sequence[Any], number: int, accepted: Ends) -> None:
        index = indices[number]
        low, high = ends_of(self._analyzer, index)
        if (accepted[0] <= low and high <= accepted[1]) or not _is_plain(index):
            return
        value, axes = self._by_loops(index), {one: self._by_loops(one) for one in scalars(index)}
        what = (verb, target, self._block, tuple(indices), number, accepted, value, axes)
        self.doubts.append(Doubt(*what, dict(self._loops), tuple(self._conditions)))


def _is(value: Any, number: int) -> bool:
    return isinstance(value, IntImm) and int(value) == number


def _is_plain(value: Any) -> bool:
    """Whether it is a whole number, not a vector of some."""
    return str(value.ty).lstrip("u") in ("int8", "int16", "int32", "int64")
