"""Loops whose iterations run in parallel although they write the same elements.

A race shows in the results on some machines and on some days. So it is read off the program, not waited for.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, PrimFunc

from colt.tvm.programs.walks import every, walk


def race(function: PrimFunc) -> str | None:
    """The first such loop, in words; ``None`` if there is none.

    It adds up terms of one sum, or stores to elements of a parameter that do not depend on it. What only one iteration
    at a time can see, since nothing outside of the loop touches it, does not count.
    """
    everywhere = _accesses(function.body)
    found: list[str] = []

    def loop(node: Any) -> None:
        alone = isinstance(node.extent, tirx.IntImm) and int(node.extent) <= 1
        if node.kind == ForKind.PARALLEL and not alone and not found:
            inside = _accesses(node.body)
            shared = {buffer for buffer in inside if buffer in function.params or everywhere[buffer] > inside[buffer]}
            written = _written_together(node, shared, frozenset(function.params))
            if written is not None:
                found.append(
                    f"iterations of the parallel loop {node.loop_var.name} write the same elements of {written}"
                )

    walk(function.body, (For, loop), pre=True)
    return found[0] if found else None


def _accesses(statement: Any) -> Counter[Any]:
    """How often each buffer is loaded from and stored to."""
    found: Counter[Any] = Counter()
    walk(
        statement,
        (tvm.ir.TensorLoad, lambda node: found.update([node.source])),
        (BufferStore, lambda node: found.update([node.buffer])),
    )
    return found


def _written_together(loop: Any, shared: set[Any], parameters: frozenset[Any]) -> str | None:
    """The name of a buffer that several iterations of the loop write the same elements of."""
    depending = {loop.loop_var}
    found: list[str] = []

    def realize(node: Any) -> None:
        for axis, value in zip(node.block.iter_vars, node.iter_values, strict=True):
            if not _depends(value, depending):
                continue
            depending.add(axis.var)
            if axis.iter_type == tirx.IterVar.CommReduce:
                found.extend(str(region.source.name) for region in node.block.writes if region.source in shared)

    def store(node: Any) -> None:
        if node.buffer in parameters and not any(_depends(index, depending) for index in node.indices):
            found.append(str(node.buffer.name))

    def inner(node: Any) -> None:
        if _depends(node.min, depending) or _depends(node.extent, depending):
            depending.add(node.loop_var)

    walk(loop.body, (SBlockRealize, realize), (For, inner), (BufferStore, store), pre=True)
    return found[0] if found else None


def _depends(value: Any, variables: set[Any]) -> bool:
    return any(var in variables for var in every(value, tvm.ir.Var))
