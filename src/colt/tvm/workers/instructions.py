"""The machine instructions of one TensorIR statement, and which loops each of them depends on.

What is the same in every iteration of a loop is one instruction however often the loop is unrolled: LLVM shares it. So
each instruction carries the loops it depends on, as a set of bits, one for each loop of the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import tvm
from tvm import tirx

from colt.tvm.programs.alike import ByStructure
from colt.tvm.programs.walks import every

_DEPTH = 100
_UNIT, _OTHER = 1, 2
_BIT_OPERATIONS = (tirx.LShift, tirx.RShift, tirx.BitwiseAnd, tirx.BitwiseOr)
_ARITHMETIC = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Max, tirx.Min, tirx.Select, tirx.Cast, *_BIT_OPERATIONS)
_ROUNDING = ("floor", "ceil", "round", "trunc", "nearbyint")
_BITS = ("reinterpret", "shift_left", "shift_right", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
_INLINE = frozenset(("likely", "max", "min", "fabs", "sqrt", *_ROUNDING, *_BITS))
"""Calls that are one instruction; the others go to a library, element by element."""


class InstructionKind(Enum):
    """What the instructions do. A gather reads elements that are not side by side into one vector."""

    ARITHMETIC = "arithmetic"
    LOAD = "load"
    GATHER = "gather"
    CALL = "call"
    STORE = "store"
    OTHER = "other"


@dataclass(slots=True)
class Term:
    """``count`` times the same ``instructions``, in as many iterations of unrolled loops."""

    kind: InstructionKind
    instructions: int
    lanes: int = 1
    loops: int = -1
    """The loops that the term depends on; all of them if nothing is known."""
    count: int = 1

    @property
    def total(self) -> int:
        """Instructions in all."""
        return self.instructions * self.count


@dataclass(slots=True)
class Statement:
    """A store, or whatever else TVM counts as a step; the terms of a store end with the store itself."""

    terms: list[Term]
    steps: int = 1

    @property
    def store(self) -> Term:
        """What the statement does in the end."""
        return self.terms[-1]


@dataclass(frozen=True, slots=True)
class RegisterUse:
    """The loops that an expression depends on, and how it moves with the vectorised one: not (0), by 1, otherwise."""

    loops: int = 0
    stride: int = 0


_NONE = RegisterUse()


@dataclass(slots=True)
class Instructions:
    """Reads statements; ``uses`` says what each loop variable and block axis stands for."""

    vector_bits: int
    uses: dict[Any, RegisterUse] = field(default_factory=dict)
    _terms: list[Term] = field(default_factory=list)
    _seen: ByStructure[RegisterUse] = field(default_factory=ByStructure)
    _lanes: int = 1
    _bits: int = 32
    _vector_branch: bool = False

    def of_store(self, store: Any, lanes: int) -> Statement | None:
        """The instructions of a store in a loop vectorised by ``lanes``; ``None`` if TVM won't vectorise it."""
        self._terms, self._seen, self._lanes, self._vector_branch = [], ByStructure(), lanes, False
        self._bits = _bits(store.buffer.dtype)
        self._value(store.value, 0)
        if self._vector_branch:
            return None
        use = self._element(store.buffer, store.indices)
        self._add(InstructionKind.STORE, use)
        return Statement(self._terms)

    def index(self, expression: Any, lanes: int, depth: int = 0) -> RegisterUse:
        """How an index depends on the loops."""
        match expression:
            case tirx.IntImm():
                return _NONE
            case tirx.Var():
                return self.uses.get(expression, _NONE)
            case tirx.Add() | tirx.Sub() | tirx.Mul() | tirx.FloorDiv() | tirx.FloorMod() if depth < _DEPTH:
                left = self.index(expression.a, lanes, depth + 1)
                right = self.index(expression.b, lanes, depth + 1)
                return RegisterUse(left.loops | right.loops, _stride(expression, left.stride, right.stride, lanes))
        return self._opaque(expression)

    @contextmanager
    def scalar(self) -> Iterator[None]:
        """While inside, no loop counts as vectorised."""
        before = dict(self.uses)
        self.uses.update({variable: RegisterUse(use.loops) for variable, use in before.items() if use.stride})
        yield
        self.uses.update(before)

    def _opaque(self, expression: Any) -> RegisterUse:
        found = every(expression, tirx.Var)
        uses = [self.uses.get(variable, _NONE) for variable in found]
        return _joined(uses, _OTHER if any(use.stride for use in uses) else 0)

    def _value(self, node: Any, depth: int) -> RegisterUse:
        """Add the terms of an expression. Equal loads and calls are done once."""
        if isinstance(node, (tirx.IntImm, tirx.FloatImm)):
            return _NONE
        if isinstance(node, (tvm.ir.TensorLoad, tvm.ir.Call)) and depth < _DEPTH:
            found = self._seen.get(node)
            if found is None:
                load = isinstance(node, tvm.ir.TensorLoad)
                found = self._seen.put(node, self._load(node) if load else self._call(node, depth))
            return found
        if isinstance(node, tirx.Let) and depth < _DEPTH:
            self.uses[node.var] = self._value(node.value, depth + 1)
            return self._value(node.body, depth + 1)
        parts = _operands(node)
        if not parts or depth >= _DEPTH:
            return self._opaque(node)
        uses = [self._value(part, depth + 1) for part in parts]
        use = _joined(uses, max(use.stride for use in uses))
        if isinstance(node, _ARITHMETIC):
            self._add(InstructionKind.ARITHMETIC, use)
        return use

    def _load(self, node: Any) -> RegisterUse:
        use = self._element(node.source, node.indices)
        self._add(InstructionKind.GATHER if use.stride == _OTHER else InstructionKind.LOAD, use)
        return use

    def _call(self, node: Any, depth: int) -> RegisterUse:
        uses = [self._value(argument, depth + 1) for argument in node.args]
        use = _joined(uses, max((use.stride for use in uses), default=0))
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        if name == "if_then_else":
            self._vector_branch |= self._lanes > 1 and uses[0].stride > 0
            self._terms.append(Term(InstructionKind.OTHER, 3, 1, use.loops))
        else:
            self._add(InstructionKind.ARITHMETIC if name in _INLINE else InstructionKind.CALL, use)
        return use

    def _element(self, buffer: Any, indices: Sequence[Any]) -> RegisterUse:
        """How an element of a buffer is chosen; stride 1 if the lanes of a vector lie side by side."""
        loops = stride = 0
        innermost = True
        for extent, index in zip(reversed(getattr(buffer, "shape", ())), reversed(indices), strict=False):
            use = self.index(index, self._lanes)
            loops |= use.loops
            if use.stride:
                stride = use.stride if innermost and not stride else _OTHER
            innermost = innermost and isinstance(extent, tirx.IntImm) and int(extent) == 1
        return RegisterUse(loops, stride)

    def _add(self, kind: InstructionKind, use: RegisterUse) -> None:
        lanes = self._lanes if use.stride else 1
        each = -(-lanes * self._bits // self.vector_bits)
        if lanes > 1 and (kind is InstructionKind.GATHER or (kind is InstructionKind.STORE and use.stride == _OTHER)):
            each = 2 * lanes  # the access, and into or out of the vector
        elif lanes > 1 and kind is InstructionKind.CALL:
            each = 3 * lanes  # out of the vector, the call, into the vector
        self._terms.append(Term(kind, max(1, each), lanes, use.loops))


def _operands(node: Any) -> list[Any]:
    if isinstance(node, tirx.Select):
        return [node.condition, node.true_value, node.false_value]
    if isinstance(node, tirx.Cast):
        return [node.value]
    return [node.a, node.b] if hasattr(node, "a") and hasattr(node, "b") else []


def _stride(node: Any, left: int, right: int, lanes: int) -> int:
    if isinstance(node, (tirx.Add, tirx.Sub)):
        return min(_OTHER, left + right) if isinstance(node, tirx.Add) or not right else _OTHER
    if not left and not right:
        return 0
    aligned = left == _UNIT and isinstance(node.b, tirx.IntImm) and lanes > 0 and int(node.b) % lanes == 0
    if aligned and isinstance(node, tirx.FloorDiv):
        return 0  # all lanes of a vector fall into the same part
    return _UNIT if aligned and isinstance(node, tirx.FloorMod) else _OTHER


def _joined(uses: Sequence[RegisterUse], stride: int) -> RegisterUse:
    loops = 0
    for use in uses:
        loops |= use.loops
    return RegisterUse(loops, stride)


def _bits(dtype: Any) -> int:
    digits = re.search(r"\d+", str(dtype))
    return int(digits.group()) if digits else 32
