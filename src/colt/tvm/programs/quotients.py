"""Quotients that are the same for all that an axis takes, such as ``i // 64`` for 64 elements.

A reshape is written with the indices of any reshape: ``y[b, i, j] = x[0, ((j // 64 + i) // 197 + b) % 12,
(j // 64 + i) % 197, j % 64]`` only sets a first axis of 1 apart. Where quotients are known, ``x[0, b, i, j]`` is left.
Then it is known which rows of ``x`` a tile of ``y`` needs, and blocks are computed together that could not be.
"""

from __future__ import annotations

from typing import Any

from tvm.tirx import Add, FloorDiv, FloorMod, IntImm, PrimFunc

from colt.tvm.programs.nests import with_axes_bound
from colt.tvm.programs.walks import mapped

_ENDLESS = 1 << 60


def quotients_resolved(func: PrimFunc) -> PrimFunc:
    """The function with numbers for such quotients, and remainders without them; ``func`` itself if it has none."""
    analyzer, changed = with_axes_bound(func.body), False

    def quotient(node: Any) -> Any:
        nonlocal changed
        found = _only_quotient(node, analyzer)
        changed = changed or found is not None
        return node if found is None else IntImm(str(node.ty), found)

    def remainder(node: Any) -> Any:
        nonlocal changed
        found = _only_quotient(node, analyzer)
        changed = changed or found is not None
        return node if found is None else node.a - found * int(node.b) if found else node.a

    body = mapped(func.body, (FloorDiv, quotient), (FloorMod, remainder), (Add, _without_zero))
    return func.with_body(body) if changed else func


def _only_quotient(node: Any, analyzer: Any) -> int | None:
    """The quotient, if all that its dividend takes has the same one."""
    if not isinstance(node.b, IntImm) or int(node.b) <= 0:
        return None
    bound, divisor = analyzer.const_int_bound(node.a), int(node.b)
    low, high = int(bound.min_value), int(bound.max_value)
    if low <= -_ENDLESS or high >= _ENDLESS or low // divisor != high // divisor:
        return None
    return low // divisor


def _without_zero(node: Any) -> Any:
    for zero, other in ((node.a, node.b), (node.b, node.a)):
        if isinstance(zero, IntImm) and int(zero) == 0:
            return other
    return node
