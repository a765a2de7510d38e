"""The functions that are replaced, their replacements, and the replacements' errors and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from colt.tvm.vector_math.error_function import erf
from colt.tvm.vector_math.exponential import exp, exp2, sigmoid, tanh
from colt.tvm.vector_math.logarithm import log
from colt.tvm.vector_math.root import rsqrt
from colt.tvm.vector_math.straight_line import StraightLine


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one float32; ``name`` is TVM's name after ``tirx.``.

    ``expand`` writes its code for a variable. ``max_ulp`` bounds the error in units of the last place of the float32
    result, for every argument: subnormal results, overflow, zeros of either sign, infinities and NaN are right.
    ``slots`` is the time that an element-wise loop takes for one vector, in vector multiply-adds.
    """

    name: str
    max_ulp: float
    slots: float
    expand: Callable[[StraightLine, Any], Any]


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        each.name: each
        for each in (
            Function("exp", 1.2, 10.0, exp),
            Function("exp2", 1.2, 9.0, exp2),
            Function("log", 1.0, 21.0, log),
            Function("sigmoid", 2.5, 15.0, sigmoid),
            Function("tanh", 2.7, 13.0, tanh),
            Function("erf", 2.2, 21.0, erf),
            Function("rsqrt", 1.5, 13.0, rsqrt),
        )
    }
)
