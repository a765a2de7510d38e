"""Straight-line code over float32 vectors, written operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

SIGN = -(2**31)
"""The sign bit of a float32."""
MAGNITUDE = 2**31 - 1
"""The other bits."""


Steps = list[tuple[Any, Any]]
"""Variables and what they stand for, in the order in which they are computed."""


class StraightLine:
    """Writes code for ``lanes`` elements at a time, in which a value that is used several times has a name.

    The names go to the end of ``steps`` and become lets (:func:`close`), which TVM and LLVM keep, so that nothing is
    computed twice. Neither of them reorders float arithmetic, but LLVM may round ``a * b + c`` once instead of twice,
    and does where the target has an instruction for it: code written here has to be right both ways.
    """

    def __init__(self, lanes: int, steps: Steps) -> None:
        suffix = f"x{lanes}" if lanes > 1 else ""
        self.float_type, self._integer = f"float32{suffix}", f"int32{suffix}"
        self._steps = steps

    def let(self, name: str, value: Any) -> Any:
        """A variable that holds the value."""
        variable = tirx.Var(name, str(value.ty))
        self._steps.append((variable, value))
        return variable

    def number(self, value: float) -> Any:
        """The same float in all lanes. Operators take plain numbers as well."""
        return tirx.const(value, self.float_type)

    def bits(self, x: Any) -> Any:
        """The floats' bits, as integers."""
        return tirx.reinterpret(self._integer, x)

    def floats(self, bits: Any) -> Any:
        """The inverse of :meth:`bits`."""
        return tirx.reinterpret(self.float_type, bits)

    def at_most(self, limit: float, x: Any) -> Any:
        """The smaller one; NaN for NaN, since TVM's ``Min(a, b)`` is ``b`` unless ``a < b``."""
        return tirx.Min(self.number(limit), x)

    def at_least(self, limit: float, x: Any) -> Any:
        """The larger one; NaN for NaN."""
        return tirx.Max(self.number(limit), x)

    def negative(self, integer: Any) -> Any:
        """A mask for :meth:`choose`: where the integer is below 0, or the sign bit of a float's bits is set."""
        return integer >> 31

    def choose(self, mask: Any, true_value: Any, false_value: Any) -> Any:
        """One float or the other.

        TVM's own ``Select`` is not for code like this: the time to simplify those whose operands are lets grows
        exponentially, and in the false branch of ``x > 0`` TVM takes ``x <= 0`` to be true, which NaN is not.
        """
        mask = self.let("mask", mask)
        return self.floats((self.bits(true_value) & mask) | (self.bits(false_value) & ~mask))

    def magnitude(self, x: Any) -> Any:
        """``|x|``."""
        return self.floats(self.bits(x) & MAGNITUDE)

    def minus_magnitude(self, x: Any) -> Any:
        """``-|x|``."""
        return self.floats(self.bits(x) | SIGN)

    def with_sign(self, magnitude: Any, x: Any) -> Any:
        """``|magnitude|`` with the sign of ``x``, that of zeros included."""
        return self.floats((self.bits(magnitude) & MAGNITUDE) | (self.bits(x) & SIGN))

    def polynomial(self, x: Any, coefficients: Sequence[float]) -> Any:
        """By Horner's rule; the constant coefficient comes first."""
        result = self.number(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = result * x + coefficient
        return result


def close(steps: Steps, result: Any) -> Any:
    """The result with the steps that lead to it, as lets around it; none is inside the value of another."""
    for variable, value in reversed(steps):
        result = tirx.Let(variable, value, result)
    return result


class Leaves:
    """Counts loads and free variables in expressions, once all names are replaced by what they stand for."""

    def __init__(self) -> None:
        self._of: dict[Any, int] = {}

    def learn(self, steps: Sequence[tuple[Any, Any]]) -> None:
        """Take in what names stand for."""
        for variable, value in steps:
            self._of[variable] = self.count(value)

    def count(self, value: Any) -> int:
        """The leaves of an expression, each as often as it occurs."""
        found = 0

        def load(node: Any) -> Any:
            nonlocal found
            found += 1
            return tvm_ffi.WalkResult.SKIP

        def variable(node: Any) -> None:
            nonlocal found
            found += self._of.get(node, 1)

        tvm_ffi.structural_walk(value, ((tvm.ir.TensorLoad, load), (tirx.Var, variable)), order="pre")
        return found
