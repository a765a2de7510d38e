"""The same computation with every float as float64: what is right, for programs that sum in few bits.

A schedule of a bfloat16 sum may well be more accurate than the untuned program. Only a third result tells them
apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock
from tvm.tirx.buffer import is_buffer_var

from colt.tvm.programs.arrays import Array, is_float
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.walks import mutated, walk

WIDE = "float64"
NARROW = ("float16", "bfloat16")
_SUMMED = (*NARROW, "float32")
_BITS = {"bfloat16": 8, "float16": 11, "float32": 24}
_MOST = 0.5
"""No bound is larger, however many terms there are."""
_EXACT_MEANING = frozenset(
    ("exp", "exp2", "exp10", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "pow", "sigmoid", "erf")
) | {"sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2"} | {
    "fabs", "floor", "ceil", "round", "nearbyint", "trunc", "fmod", "hypot", "copysign", "if_then_else", "isnan",
    "isinf", "likely",
}  # fmt: skip
"""Calls that mean the same in every float type."""
_ARITHMETIC = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod, tirx.Min, tirx.Max)
_COMPARISONS = (tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE)


@dataclass(frozen=True, slots=True)
class Sums:
    """The longest sums of a program, in its narrowest type that has any."""

    dtype: str
    terms: int

    @property
    def bound(self) -> float:
        """How far from the right value such a sum may be, relative to the largest: rounding errors add up as a random
        walk does."""
        return min(_MOST, 2.0 * math.sqrt(self.terms) * rounding(self.dtype))

    @property
    def worst(self) -> float:
        """The same if all terms have one sign: the sum stops growing once a term is less than half of its last bit."""
        held = self.terms * rounding(self.dtype)
        return max(self.bound, 1.0 - 0.5 / held) if held > 1 else self.bound

    @property
    def narrow(self) -> bool:
        """Whether the type has so few bits that the untuned program cannot be the measure."""
        return self.dtype in NARROW


class NoWideProgram(Exception):
    """The program does something that means something else in float64."""


def rounding(dtype: str) -> float:
    """The largest relative error of rounding to the type once."""
    return 2.0 ** -_BITS[dtype]


def sums(function: tirx.PrimFunc) -> Sums | None:
    """The reductions of a program over floats of at most 32 bits; ``None`` if there are none."""
    found: dict[str, int] = {}

    def block(node: Any) -> None:
        reduced = [axis.dom.extent for axis in node.iter_vars if axis.iter_type == tirx.IterVar.CommReduce]
        if not reduced or not all(isinstance(extent, tirx.IntImm) for extent in reduced):
            return
        terms = math.prod(int(extent) for extent in reduced)
        for region in node.writes:
            dtype = str(region.source.dtype)
            found[dtype] = max(found.get(dtype, 0), terms)

    walk(function.body, (SBlock, block))
    return next((Sums(dtype, found[dtype]) for dtype in ("bfloat16", "float16", "float32") if dtype in found), None)


def wide_module(function: tirx.PrimFunc) -> tvm.IRModule:
    """A module that computes what ``function`` does, all floats as float64, parameters too.

    Raises :class:`NoWideProgram` if that is not certain.
    """
    try:
        return module_of_function(_Widened(function).function)
    except (ValueError, TypeError, RuntimeError) as error:  # TVM's own, and what comes back through its walk
        raise NoWideProgram(str(error)) from None


def wide_array(array: Array) -> Array:
    """The array as that module takes it. A poisoned float is NaN still."""
    return array.astype(np.float64) if is_float(array.dtype) else array.copy()


class _Widened:
    def __init__(self, function: Any) -> None:
        self._buffers: dict[Any, Any] = {}
        for parameter in function.params:
            self._learn(parameter)
        walk(function.body, (tvm.ir.Var, self._learn))
        body = mutated(
            function.body,
            (tvm.ir.Var, lambda node, mutator: self._buffers.get(node, node)),
            (tirx.FloatImm, lambda node, mutator: tirx.FloatImm(WIDE, node.value)),
            (tirx.Cast, self._cast),
            (tvm.ir.TensorLoad, self._load),
            (tirx.BufferStore, self._store),
            (tirx.Select, self._select),
            (tvm.ir.Call, self._call),
            ((*_ARITHMETIC, *_COMPARISONS), self._binary),
        )
        parameters = [self._buffers.get(parameter, parameter) for parameter in function.params]
        self.function = tirx.PrimFunc(parameters, body, function.ret_type, function.attrs)

    def _learn(self, variable: Any) -> None:
        if variable in self._buffers:
            return
        if is_buffer_var(variable):
            if _floats(variable.dtype):
                self._buffers[variable] = variable.with_dtype(WIDE)
        elif _floats(getattr(variable.ty, "dtype", "")):
            raise ValueError(f"{variable} is a name for a float")

    def _cast(self, node: Any, mutator: Any) -> Any:
        value = mutator.mutate(node.value)
        return value.astype(WIDE if _floats(node.ty.dtype) else str(node.ty.dtype))

    def _load(self, node: Any, mutator: Any) -> Any:
        source = self._buffers.get(node.source, node.source)
        return tirx.BufferLoad(source, [mutator.mutate(index) for index in node.indices])

    def _store(self, node: Any, mutator: Any) -> Any:
        indices = [mutator.mutate(index) for index in node.indices]
        buffer = self._buffers.get(node.buffer, node.buffer)
        return tirx.BufferStore(buffer, mutator.mutate(node.value), indices)

    def _select(self, node: Any, mutator: Any) -> Any:
        return tirx.Select(*map(mutator.mutate, (node.condition, node.true_value, node.false_value)))

    def _binary(self, node: Any, mutator: Any) -> Any:
        return type(node)(mutator.mutate(node.a), mutator.mutate(node.b))

    def _call(self, node: Any, mutator: Any) -> Any:
        name = str(getattr(node.op, "name", ""))
        if name.rpartition(".")[2] not in _EXACT_MEANING:
            raise ValueError(f"{name or node.op} is called")
        arguments = [mutator.mutate(argument) for argument in node.args]
        dtype = str(node.ty.dtype)
        return tvm.ir.Call(node.op, arguments, node.attrs, ret_ty=WIDE if _floats(dtype) else dtype)


def _floats(dtype: Any) -> bool:
    name = str(dtype)
    if "float" in name and name not in (*_SUMMED, WIDE):
        raise ValueError(f"it holds {name}")
    return "float" in name
