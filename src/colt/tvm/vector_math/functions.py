"""The functions that are replaced, their replacements, and the replacements' errors and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tvm import tirx

from colt.tvm.vector_math.error_function import erf
from colt.tvm.vector_math.exponential import exp, exp2, sigmoid, tanh
from colt.tvm.vector_math.logarithm import log
from colt.tvm.vector_math.root import rsqrt
from colt.tvm.vector_math.straight_line import StraightLine

_NAMESPACE = "tirx."
_TYPES = ("float32", "float16")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one float32; ``name`` is TVM's name after ``tirx.``.

    ``expand`` writes its code for a variable. ``max_ulp`` bounds the error in units of the last place of the float32
    result, for every argument: subnormal results, overflow, zeros of either sign, infinities and NaN are right.
    ``slots`` is the time that an element-wise loop takes for one vector, in vector multiply-adds. ``scales``: the code
    multiplies by a power of two, see :attr:`StraightLine.scales`.
    """

    name: str
    max_ulp: float
    slots: float
    expand: Callable[[StraightLine, Any], Any]
    scales: bool = False


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        each.name: each
        for each in (
            Function("exp", 1.2, 10.0, exp, scales=True),
            Function("exp2", 1.2, 9.0, exp2, scales=True),
            Function("log", 1.0, 21.0, log),
            Function("sigmoid", 2.5, 15.0, sigmoid, scales=True),
            Function("tanh", 2.7, 13.0, tanh),
            Function("erf", 2.2, 21.0, erf),
            Function("rsqrt", 1.5, 13.0, rsqrt),
        )
    }
)


def replaced_by(call: Any) -> Function | None:
    """The function that replaces a call, regardless of where the call is; ``None`` if the call stays."""
    name = str(getattr(call.op, "name", ""))
    found = FUNCTIONS.get(name.removeprefix(_NAMESPACE)) if name.startswith(_NAMESPACE) else None
    if found is None or str(call.ty).partition("x")[0] not in _TYPES:
        return None
    return None if isinstance(call.args[0], tirx.FloatImm) else found
