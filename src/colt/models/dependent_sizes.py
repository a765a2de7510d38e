"""Sizes that follow from others, written as ``2*batch`` or ``length + 1``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def dependent_size(text: str, sizes: Mapping[str, int]) -> int | None:
    """The size that ``text`` is for these sizes, by name; ``None`` if it is no sum or product of them."""
    names = sorted(map(re.escape, sizes), key=len, reverse=True)
    written = re.sub("|".join(names), lambda found: str(sizes[found[0]]), text) if names else text
    try:
        return _value(ast.parse(written.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None


def _value(node: ast.expr) -> int:
    """Raises :class:`ValueError` for what is no arithmetic of whole numbers."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError(ast.dump(node))
