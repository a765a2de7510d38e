"""The variables of an expression, and how it moves with one."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from colt.tvm.programs.nests import mentions
from colt.tvm.programs.walks import every


def variables(expression: Any) -> list[Any]:
    """All occurrences of variables, in the order of a walk."""
    return every(expression, tirx.Var)


def moves_by_one(expression: Any, variable: Any) -> bool:
    """Whether the expression is the variable, with nothing but something else added to it."""
    if isinstance(expression, tirx.Var):
        return bool(expression.same_as(variable))
    if not isinstance(expression, tirx.Add | tirx.Sub):
        return False
    left, right = mentions(expression.a, variable), mentions(expression.b, variable)
    if left and not right:
        return moves_by_one(expression.a, variable)
    return isinstance(expression, tirx.Add) and right and not left and moves_by_one(expression.b, variable)
