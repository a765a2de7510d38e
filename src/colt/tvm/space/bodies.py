"""What the body of a block does at each point: its loads, its store, and its operations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

from colt.analysis.skeleton import BlockWork, MemoryAccess, Product
from colt.tvm.dots.halves import half_of
from colt.tvm.dots.table import HALF
from colt.tvm.programs.alike import ByStructure
from colt.tvm.programs.nests import reads_memory
from colt.tvm.programs.walks import every, walk
from colt.tvm.space.affine import linear
from colt.tvm.vector_math import replaced_by

_ROUNDING = ("fabs", "floor", "ceil", "round", "trunc", "nearbyint")
_BITS = ("shift_left", "shift_right", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "reinterpret")
_SUM = 0.5
"""Operations that a sum of integers counts as; a product counts as one."""
_VECTOR_CALLS = frozenset(("likely", "max", "min", *_ROUNDING, *_BITS))
"""Calls that LLVM turns into vector instructions; the others go to libm, element by element."""


@dataclass(slots=True)
class Body:
    """The loads, the store and the operations of a block's body, per point."""

    numbers: dict[Any, int]
    vector_math: bool = False
    reads: list[MemoryAccess] = field(default_factory=list)
    write: MemoryAccess | None = None
    _multiplications: float = 0.0
    _additions: float = 0.0
    _simple: float = 0.0
    _divisions: float = 0.0
    _calls: float = 0.0
    _branches: float = 0.0
    _seen: ByStructure[bool] = field(default_factory=ByStructure)

    def visit(self, stmt: Any) -> None:
        """Take in a statement and all below it."""
        if isinstance(stmt, tirx.BufferStore):
            if self.write is None:
                self.write = self._access(stmt.buffer, stmt.indices)
            walk(stmt.value, (tvm.ir.Expr, self._expression))
        elif isinstance(stmt, tirx.Bind):
            walk(stmt.value, (tvm.ir.Expr, self._expression))
        elif isinstance(stmt, tirx.SeqStmt):
            for part in stmt:
                self.visit(part)
        elif isinstance(stmt, tirx.For):
            self.visit(stmt.body)
        elif isinstance(stmt, tirx.IfThenElse):
            self.visit(stmt.then_case)

    def begin(self, init: Any) -> bool:
        """Take in what a reduction begins with; whether that is what another block has summed."""
        loads = [] if init is None else every(init, tvm.ir.TensorLoad)
        for load in loads:
            self._load(load)
        return bool(loads)

    def work(self) -> BlockWork:
        """The operations; multiplications and additions are fused as far as they pair up."""
        fused = min(self._multiplications, self._additions)
        rest = self._multiplications + self._additions - 2 * fused
        return BlockWork(fused, self._simple + rest, self._divisions, self._calls, self._branches)

    def product(self, block: Any) -> Product | None:
        """The product that the block sums up, if it does only that: from zero, or integers from other ones."""
        store = block.body
        if not isinstance(store, tirx.BufferStore) or not _starts_from_sum(block.init, store):
            return None
        terms = (store.value.a, store.value.b) if isinstance(store.value, tirx.Add) else ()
        factors = next((term for term in terms if isinstance(term, tirx.Mul)), None)
        if factors is None or not any(_is_load(term) and term.source.same_as(store.buffer) for term in terms):
            return None
        halves = [self._half(factor) for factor in (factors.a, factors.b)]
        loads = [
            _cast_load(factor) if half is None else half[0]
            for factor, half in zip((factors.a, factors.b), halves, strict=True)
        ]
        reads = [None if load is None else self._access(load.source, load.indices) for load in loads]
        if any(read is None or read not in self.reads for read in reads) or reads[0] == reads[1]:
            return None
        first, second = (self.reads.index(read) for read in reads if read is not None)
        left, right = (str(load.ty) if half is None else HALF for load, half in zip(loads, halves, strict=True))
        iters = [half[1] for half in halves if half is not None]
        return Product((first, second), (left, right), str(factors.ty), next(iter(iters), None))

    def _half(self, factor: Any) -> tuple[Any, int] | None:
        """The load of a byte of which the factor is a half, and the number of the axis that says which; ``None`` if it
        is something else."""
        loads = every(factor, tvm.ir.TensorLoad)
        if _is_load(factor) or len(loads) != 1 or str(loads[0].ty) != "uint8":
            return None
        for variable, number in self.numbers.items():
            if tvm_ffi.structural_equal(factor, half_of(loads[0], variable)):
                return loads[0], number
        return None

    def _expression(self, node: Any) -> None:
        if self._seen.get(node):
            return  # LLVM computes a shared expression once
        self._seen.put(node, True)
        if isinstance(node, tvm.ir.TensorLoad):
            self._load(node)
        elif _is_integer_arithmetic(node):
            self._simple += 1 if isinstance(node, tirx.Mul) else _SUM  # integers have no fused multiply-add
        elif not _is_number(node):
            return
        elif isinstance(node, tirx.Mul):
            self._multiplications += 1
        elif isinstance(node, (tirx.Add, tirx.Sub)):
            self._additions += 1
        elif isinstance(node, (tirx.Max, tirx.Min, tirx.Select)) or (isinstance(node, tirx.Cast) and not _widens(node)):
            self._simple += 1
        elif isinstance(node, tirx.Div):
            self._divisions += 1
        elif isinstance(node, tvm.ir.Call):
            self._call(node)

    def _load(self, node: Any) -> None:
        access = self._access(node.source, node.indices)
        if access != self.write and access not in self.reads:
            self.reads.append(access)

    def _call(self, node: Any) -> None:
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        function = replaced_by(node) if self.vector_math else None
        if function is not None:
            self._simple += function.slots
        elif name == "if_then_else":
            self._branches += 1
        elif name in ("sqrt", "rsqrt"):
            self._divisions += 1
        elif name in _VECTOR_CALLS:
            self._simple += 1
        else:
            self._calls += 1

    def _access(self, buffer: Any, indices: Any) -> MemoryAccess:
        shape = tuple(integer(size) for size in buffer.shape)
        index = tuple(self._affine(expression) for expression in indices)
        return MemoryAccess(str(buffer.name), shape, max(1, _bits(buffer.dtype) // 8), index)

    def _affine(self, expression: Any) -> tuple[tuple[int, float], ...] | None:
        terms = linear(expression, self.numbers)
        if terms is None:
            return None
        return tuple((number, coefficient) for number, coefficient in terms.items() if coefficient)


def _starts_from_sum(init: Any, store: Any) -> bool:
    """Whether the initial value of the buffer that is summed up in is zero, or made of other integers."""
    if not isinstance(init, tirx.BufferStore) or not init.buffer.same_as(store.buffer):
        return False
    if isinstance(init.value, (tirx.IntImm, tirx.FloatImm)):
        return bool(init.value.value == 0)
    return str(init.value.ty) == "int32"


def _is_load(node: Any) -> bool:
    return isinstance(node, tvm.ir.TensorLoad)


def _cast_load(factor: Any) -> Any:
    """The load that a factor is; ``None`` if it is more than a load and a cast to a wider type."""
    load = factor.value if isinstance(factor, tirx.Cast) else factor
    if not _is_load(load):
        return None
    return load if load is factor or _bits(load.ty) < _bits(factor.ty) else None


def _is_number(node: Any) -> bool:
    """Whether the node computes a value rather than an index or a condition."""
    dtype = str(getattr(node, "ty", ""))
    return dtype.startswith(("float", "bfloat", "int8", "uint8", "int16"))


def _is_integer_arithmetic(node: Any) -> bool:
    """Whether the node adds or multiplies loaded integers, rather than being part of an index."""
    if not isinstance(node, (tirx.Add, tirx.Sub, tirx.Mul)) or str(getattr(node, "ty", "")) not in ("int32", "int64"):
        return False
    return reads_memory(node)


def _widens(cast: Any) -> bool:
    """Whether the cast widens elements as they are loaded, which costs once per load, not per use."""
    return isinstance(cast.value, tvm.ir.TensorLoad) and _bits(cast.value.ty) < _bits(cast.ty)


def _bits(dtype: Any) -> int:
    digits = re.search(r"(\d+)", str(dtype))
    return int(digits.group(1)) if digits else 32


def integer(value: Any) -> int:
    """The constant; 1 for what is none."""
    return int(value) if isinstance(value, (int, tirx.IntImm)) else 1
