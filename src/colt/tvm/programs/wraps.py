"""Indices that wrap around, ``x[(i + 5) % 31, (j + 7) % 43]``, as a choice between what lies before and after the seam.

TVM 0.27 takes such remainders for parts of one loop once the loops around them are fused, and then forgets where they
wrap: flattened, the index above becomes ``(k + 1118) % 1333``, and every element is wrong. It leaves a choice alone.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import FloorMod, IntImm, PrimFunc

from colt.tvm.programs.nests import with_axes_bound
from colt.tvm.programs.walks import mapped, mutated

_ENDLESS = 1 << 60


def wraps_chosen(func: PrimFunc) -> PrimFunc:
    """The function with such indices as choices; ``func`` itself if it has none.

    Only for remainders of what passes at most one multiple of the divisor, as rotated and reversed axes do.
    """
    analyzer, changed = with_axes_bound(func.body), False

    def chosen(node: Any) -> Any:
        nonlocal changed
        found = _chosen(node, analyzer)
        changed = changed or found is not node
        return found

    def load(node: Any, mutator: Any) -> Any:
        indices = [mapped(mutator.mutate(index), (FloorMod, chosen)) for index in node.indices]
        return tirx.BufferLoad(node.source, indices)

    body = mutated(func.body, (tvm.ir.TensorLoad, load))
    return func.with_body(body) if changed else func


def _chosen(node: Any, analyzer: Any) -> Any:
    """The remainder as a choice; ``node`` itself if it has several seams, or one that is not known."""
    if not isinstance(node.b, IntImm):
        return node
    divisor, bound = int(node.b), analyzer.const_int_bound(node.a)
    low, high = int(bound.min_value), int(bound.max_value)
    if divisor <= 0 or low <= -_ENDLESS or high >= _ENDLESS or high // divisor - low // divisor != 1:
        return node
    seam = high // divisor * divisor
    before, after = (analyzer.simplify(node.a - start) for start in (seam - divisor, seam))
    return tirx.Select(node.a < seam, before, after)
