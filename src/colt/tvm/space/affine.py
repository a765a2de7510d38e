"""Indices as sums of iters with coefficients."""

from __future__ import annotations

from typing import Any

from tvm import tirx


def linear(node: Any, numbers: dict[Any, int]) -> dict[int, float] | None:
    """The coefficients of the iters in an index; ``None`` if it is not (nearly) affine. A division scales them."""
    if isinstance(node, tirx.Var):
        return {numbers[node]: 1.0} if node in numbers else {}
    if isinstance(node, tirx.IntImm):
        return {}
    if isinstance(node, tirx.Cast):
        return linear(node.value, numbers)
    if isinstance(node, (tirx.Add, tirx.Sub)):
        left, right = linear(node.a, numbers), linear(node.b, numbers)
        if left is None or right is None:
            return None
        sign = 1.0 if isinstance(node, tirx.Add) else -1.0
        return {n: left.get(n, 0.0) + sign * right.get(n, 0.0) for n in {**left, **right}}
    if isinstance(node, tirx.Mul):
        left, right = node.a, node.b
        if isinstance(left, tirx.IntImm):
            left, right = right, left
        terms = linear(left, numbers)
        if terms is None or not isinstance(right, tirx.IntImm):
            return None
        return {n: c * int(right.value) for n, c in terms.items()}
    if isinstance(node, tirx.FloorDiv) and isinstance(node.b, tirx.IntImm):
        terms = linear(node.a, numbers)
        return None if terms is None else {n: c / int(node.b.value) for n, c in terms.items()}
    if isinstance(node, tirx.FloorMod) and isinstance(node.b, tirx.IntImm):
        return linear(node.a, numbers)
    return None
