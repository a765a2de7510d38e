"""Straight-line code over float32 vectors, written operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

from colt.tvm.programs.walks import walk

SIGN = -(2**31)
"""The sign bit of a float32."""
MAGNITUDE = 2**31 - 1
"""The other bits."""


SCALING = {
    16: ("llvm.x86.avx512.mask.scalef.ps.512", "int16", (4,)),
    8: ("llvm.x86.avx512.mask.scalef.ps.256", "int8", ()),
    4: ("llvm.x86.avx512.mask.scalef.ps.128", "int8", ()),
}
"""By the number of elements: LLVM's name of ``x * 2^n`` for whole ``n`` that are floats, the type of its mask, and what
else it takes: 4 stands for the usual rounding."""

Steps = list[tuple[Any, Any]]
"""Variables and their values, in the order in which they are computed."""


class StraightLine:
    """Writes code for ``lanes`` elements at a time; a value that is used several times has a name.

    The names are appended to ``steps`` and become lets (:func:`close`). TVM and LLVM keep these, so nothing is computed
    twice. Neither reorders float arithmetic, but LLVM rounds ``a * b + c`` once instead of twice if the target has an
    instruction for it: code written here has to be right both ways.
    """

    def __init__(self, lanes: int, steps: Steps, scales: bool = False, by_floats: bool = False) -> None:
        """``scales``: the target multiplies by powers of two in one instruction. ``by_floats``: and so many lanes by
        powers of floats."""
        suffix = f"x{lanes}" if lanes > 1 else ""
        self.float_type, self._integer = f"float32{suffix}", f"int32{suffix}"
        self._steps = steps
        self.scales = scales
        self.by_floats = by_floats
        self._lanes = lanes

    def let(self, name: str, value: Any) -> Any:
        """A variable that holds the value."""
        variable = tirx.Var(name, str(value.ty))
        self._steps.append((variable, value))
        return variable

    def number(self, value: float) -> Any:
        """The same float in all lanes. Operators also take plain numbers."""
        return tirx.const(value, self.float_type)

    def bits(self, x: Any) -> Any:
        """The floats' bits, as integers."""
        return tirx.reinterpret(self._integer, x)

    def floats(self, bits: Any) -> Any:
        """The inverse of :meth:`bits`."""
        return tirx.reinterpret(self.float_type, bits)

    def at_most(self, limit: float, x: Any) -> Any:
        """The smaller of the two; NaN for NaN, since TVM's ``Min(a, b)`` is ``b`` unless ``a < b``."""
        return tirx.Min(self.number(limit), x)

    def at_least(self, limit: float, x: Any) -> Any:
        """The larger of the two; NaN for NaN."""
        return tirx.Max(self.number(limit), x)

    def negative(self, integer: Any) -> Any:
        """A mask for :meth:`choose`, set where the integer is below 0 (the sign bit of a float is set)."""
        return integer >> 31

    def choose(self, mask: Any, true_value: Any, false_value: Any) -> Any:
        """``true_value`` where the mask is set, ``false_value`` elsewhere.

        TVM's own ``Select`` does not suit code like this: simplifying it takes exponential time if its operands are
        lets, and in the false branch of ``x > 0`` TVM assumes ``x <= 0``, which does not hold for NaN.
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
        """``|magnitude|`` with the sign of ``x``, which may be a signed zero."""
        return self.floats((self.bits(magnitude) & MAGNITUDE) | (self.bits(x) & SIGN))

    def scaled(self, x: Any, exponent: Any) -> Any:
        """``x * 2^exponent``, rounded once; for targets that do it in one instruction."""
        return tirx.call_llvm_pure_intrin(self.float_type, "llvm.ldexp", x, exponent)

    def scaled_by_float(self, x: Any, exponent: Any) -> Any:
        """``x * 2^exponent`` for a whole exponent that is a float, rounded once; for lanes and targets that can."""
        name, mask, others = SCALING[self._lanes]
        further = [tirx.const(-1, mask), *(tirx.const(other, "int32") for other in others)]
        return tirx.call_llvm_pure_intrin(self.float_type, name, x, exponent, x, *further)

    def polynomial(self, x: Any, coefficients: Sequence[float]) -> Any:
        """The polynomial at ``x`` by Horner's rule; the constant coefficient comes first."""
        result = self.number(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = result * x + coefficient
        return result


def close(steps: Steps, result: Any) -> Any:
    """The result with its steps as lets around it; no let is inside the value of another."""
    for variable, value in reversed(steps):
        result = tirx.Let(variable, value, result)
    return result


class Leaves:
    """Counts loads and free variables in expressions whose names are all replaced by their values."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}
        self._of: dict[Any, int] = {}

    def learn(self, steps: Sequence[tuple[Any, Any]]) -> None:
        """Note the values of names."""
        self._values.update(steps)

    def count(self, value: Any) -> int:
        """The leaves of an expression, each as often as it occurs."""
        found = 0

        def load(node: Any) -> Any:
            nonlocal found
            found += 1
            return tvm_ffi.WalkResult.SKIP

        def variable(node: Any) -> None:
            nonlocal found
            found += self._of_name(node)

        walk(value, (tvm.ir.TensorLoad, load), (tirx.Var, variable), pre=True)
        return found

    def _of_name(self, variable: Any) -> int:
        if variable not in self._values:
            return 1
        if variable not in self._of:
            self._of[variable] = self.count(self._values[variable])
        return self._of[variable]
