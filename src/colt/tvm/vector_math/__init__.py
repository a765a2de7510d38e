"""Vector math: transcendental functions as polynomials, which run in vectors, in place of a library call per element.

>>> mod = colt.tvm.VectorMath(target)(sch.mod)  # a TVM pass, for a program that is scheduled already
>>> lib = tvm.tirx.build(mod, target=target)

LLVM breaks ``tirx.exp`` of a vector up into calls of ``expf``, and TVM leaves statements with ``tirx.erf`` in scalar
loops. :func:`rewrite` replaces them by straight-line code of arithmetic and bit operations that stock TVM compiles for
any CPU. ``functions`` lists the functions that are replaced, and the largest error of each replacement.
:func:`with_reciprocals` replaces quotients by what stays the same throughout a loop.
"""

from __future__ import annotations

from typing import Any

from tvm.ir.transform import module_pass

from colt.tvm.vector_math.functions import FUNCTIONS, Function, replaced_by
from colt.tvm.vector_math.quotients import QUOTIENT, QUOTIENT_ULP, count_quotients, reciprocals, with_reciprocals
from colt.tvm.vector_math.rewrite import count_calls, rewrite, rewriting, scales_on, vectors_on

__all__ = [
    "VectorMath",
    "rewrite",
    "rewriting",
    "reciprocals",
    "with_reciprocals",
    "count_calls",
    "count_quotients",
    "replaced_by",
    "scales_on",
    "vectors_on",
    "FUNCTIONS",
    "Function",
    "QUOTIENT",
    "QUOTIENT_ULP",
]


def VectorMath(target: Any = None) -> Any:
    """:func:`with_reciprocals` and :func:`rewrite` as a pass, for ``tvm.transform.Sequential``.

    The code runs on any CPU, or with a ``target``, of :class:`tvm.target.Target`, is made of instructions that it has.
    """
    scales, vectors = (False, frozenset[int]()) if target is None else (scales_on(target), vectors_on(target))
    return module_pass(
        lambda mod, context: rewrite(with_reciprocals(mod), scales, vectors), opt_level=0, name="colt.VectorMath"
    )
