"""What a program asks of the values that it computes with: the stores in order, and what each of them demands.

An index lies within its axis, a divisor is not 0, a logarithm is of something positive, a shift is not too far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize

from colt.tvm.programs.intervals import TINY, Expression, Known, interval
from colt.tvm.programs.walks import walk


@dataclass(frozen=True, slots=True)
class Demand:
    """That a value lies between two numbers, ends included; ``index``: as an index of an axis."""

    value: Expression
    low: float
    high: float
    index: bool
    guarded: bool = False
    """Whether a condition of the program decides if it is needed."""

    def holds(self, known: Known) -> bool:
        """Whether it is met, as far as is known; also if nothing is."""
        found = interval(self.value, known)
        return found is None or (self.low <= found[0] and found[1] <= self.high)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored to a buffer; ``initial``: as the initial value of a reduction."""

    buffer: Any
    value: Expression
    initial: bool
    own: Expression
    """A load of what is stored to."""


_NAMES: Mapping[Any, str] = {
    tirx.Add: "add",
    tirx.Sub: "sub",
    tirx.Mul: "mul",
    tirx.Div: "div",
    tirx.Mod: "truncmod",
    tirx.FloorDiv: "floordiv",
    tirx.FloorMod: "floormod",
    tirx.Min: "min",
    tirx.Max: "max",
}
_ABOVE_ZERO = ("log", "log2", "log10", "rsqrt")
_LOGARITHMS = ("log", "log2", "log10", "log1p")
_UNIT = ("asin", "acos")


class Reader:
    """Stores in the order of the program, what they demand, and loops."""

    def __init__(self, parameters: Mapping[Any, int]) -> None:
        self.stores: list[Stored] = []
        self.demands: list[Demand] = []
        self.loops: dict[Any, tuple[Expression, Expression]] = {}
        self._parameters = parameters
        self._values: dict[Any, Expression] = {}
        self._guarded = 0
        self._seen: set[Demand] = set()

    def read(self, statement: Any, initial: bool = False) -> None:
        """Add what the statement stores and demands; ``initial``: it is the initial value of a reduction."""

        def store(node: Any) -> None:
            buffer = self._name(node.buffer)
            indices = self._indices(node.buffer, node.indices)
            own = Expression("load", indices, buffer, _is_float(node.buffer.dtype))
            self.stores.append(Stored(buffer, self._expression(node.value), initial, own))

        def loop(node: Any) -> None:
            self.loops[node.loop_var] = self._expression(node.min), self._expression(node.extent)

        def realize(node: Any) -> None:
            for axis, value in zip(node.block.iter_vars, node.iter_values, strict=True):
                self._values[axis.var] = self._expression(value)

        def block(node: Any) -> tvm_ffi.WalkResult:
            if node.init is not None:
                self.read(node.init, initial=True)
            self.read(node.body)
            return tvm_ffi.WalkResult.SKIP

        def branch(node: Any) -> tvm_ffi.WalkResult:
            self._expression(node.condition)
            with self._guard():
                self.read(node.then_case, initial)
                if node.else_case is not None:
                    self.read(node.else_case, initial)
            return tvm_ffi.WalkResult.SKIP

        rules = (
            (tirx.BufferStore, store),
            (tirx.For, loop),
            (SBlockRealize, realize),
            (SBlock, block),
            (tirx.IfThenElse, branch),
        )
        walk(statement, *rules, pre=True)

    @contextmanager
    def _guard(self) -> Any:
        self._guarded += 1
        yield
        self._guarded -= 1

    def _name(self, buffer: Any) -> Any:
        return self._parameters.get(buffer, buffer)

    def _indices(self, buffer: Any, indices: Any) -> tuple[Expression, ...]:
        found = tuple(map(self._expression, indices))
        for index, extent in zip(found, buffer.shape, strict=False):
            if isinstance(extent, tirx.IntImm):
                self._demand(index, 0.0, float(int(extent) - 1), index=True)
        return found

    def _demand(self, value: Expression, low: float, high: float = math.inf, index: bool = False) -> None:
        """Ask for it; of what a condition guards only indices and whole divisors are asked for."""
        if self._guarded and value.floats:
            return
        demand = Demand(value, low, high, index, self._guarded > 0)
        if demand not in self._seen:
            self._seen.add(demand)
            self.demands.append(demand)

    def _expression(self, node: Any) -> Expression:
        if isinstance(node, tirx.IntImm | tirx.FloatImm):
            return Expression("constant", what=float(node.value), floats=isinstance(node, tirx.FloatImm))
        if isinstance(node, tvm.ir.TensorLoad):
            indices = self._indices(node.source, node.indices)
            return Expression("load", indices, self._name(node.source), _is_float(node.ty.dtype))
        if isinstance(node, tvm.ir.Var):
            return self._values.get(node, Expression("loop", what=node))
        floats = _is_float(getattr(node.ty, "dtype", ""))
        if isinstance(node, tirx.Cast):
            value = self._expression(node.value)
            return Expression("whole" if value.floats and not floats else "same", (value,), floats=floats)
        if isinstance(node, tirx.Select):
            return self._either(node.condition, node.true_value, node.false_value, floats)
        if isinstance(node, tvm.ir.Call):
            return self._call(node, floats)
        name = next((name for kind, name in _NAMES.items() if isinstance(node, kind)), None)
        if name is None:  # comparisons, logic, and what is rare
            parts = tuple(self._expression(getattr(node, part)) for part in ("a", "b") if hasattr(node, part))
            if isinstance(node, tirx.LShift | tirx.RShift):
                self._demand(parts[1], 0.0, float(np.iinfo(str(node.ty.dtype).partition("x")[0]).bits - 1))
            is_truth = parts and str(node.ty.dtype) == "bool"
            return Expression("truth" if is_truth else "unknown", parts)
        name = "truncdiv" if name == "div" and not floats else name
        one, other = self._expression(node.a), self._expression(node.b)
        if name in ("div", "floordiv", "floormod", "truncdiv", "truncmod"):
            self._demand(other, TINY if floats else 1.0)
        return Expression(name, (one, other), floats=floats)

    def _either(self, condition: Any, true: Any, false: Any, floats: bool) -> Expression:
        asked = self._expression(condition)
        with self._guard():
            return Expression("either", (asked, self._expression(true), self._expression(false)), floats=floats)

    def _call(self, node: Any, floats: bool) -> Expression:
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        if name == "if_then_else":
            condition, true, false = node.args
            return self._either(condition, true, false, floats)
        if name in ("address_of", "tvm_access_ptr"):
            return Expression("unknown", floats=floats)
        parts = tuple(self._expression(argument) for argument in node.args if isinstance(argument, tvm.ir.Expr))
        if parts and parts[0].floats:
            self._demand_of_call(name, parts)
        return Expression("log" if name in _LOGARITHMS[1:3] else name, parts, floats=floats)

    def _demand_of_call(self, name: str, parts: tuple[Expression, ...]) -> None:
        if name in _ABOVE_ZERO:
            self._demand(parts[0], TINY)
        elif name == "log1p":
            self._demand(parts[0], math.nextafter(-1.0, 0.0))
        elif name == "sqrt":
            self._demand(parts[0], 0.0)
        elif name in _UNIT:
            self._demand(parts[0], -1.0, 1.0)
        elif name == "atanh":
            self._demand(parts[0], math.nextafter(-1.0, 0.0), math.nextafter(1.0, 0.0))
        elif name == "pow":
            exponent = parts[1]
            if exponent.op != "constant" or exponent.what % 1 or exponent.what < 0:
                self._demand(parts[0], TINY)


def _is_float(dtype: Any) -> bool:
    return "float" in str(dtype)
