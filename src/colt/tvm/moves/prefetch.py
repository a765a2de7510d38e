"""Prefetches: what a loop reads some turns later is asked for, a cache line at a time.

In a schedule they are annotations of the loop, which stock TVM passes over. A pass over the scheduled program makes
instructions of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferLoad, Evaluate, For, IntImm, PrimFunc

from colt.errors import IllegalEdit
from colt.tvm.dots.shims import IMPORT
from colt.tvm.moves.names import constant
from colt.tvm.programs.arguments import DTYPE_BYTES
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import sequence
from colt.tvm.programs.program import with_changed_bodies
from colt.tvm.programs.walks import every, mapped, walk
from colt.tvm.space.variables import variables

ANNOTATION = "colt.prefetch."
"""Before the buffer's name. The value is how many turns ahead."""
MOST_AHEAD = 4096
MOST_LINES = 32
"""Lines asked for in one turn."""
LINE = 64
PREFETCH = "colt_prefetch"
PREFETCH_IR = f"""
define i32 @{PREFETCH}(ptr %place) #0 {{
  call void asm sideeffect "prefetcht0 ($0)", "r"(ptr %place) #1
  ret i32 0
}}
attributes #0 = {{ alwaysinline nounwind willreturn memory(inaccessiblemem: readwrite) }}
attributes #1 = {{ nounwind willreturn memory(inaccessiblemem: readwrite) }}
"""


def require_prefetchable(loop: Any, buffer: str, ahead: int) -> None:
    """Raise :class:`IllegalEdit` unless the loop reads the buffer at places that can be told so many turns ahead."""
    if not 1 <= ahead <= MOST_AHEAD:
        raise IllegalEdit(f"prefetches are 1 to {MOST_AHEAD} turns ahead, not {ahead}")
    if constant(loop.extent) < 2:
        raise IllegalEdit(f"loop {loop.loop_var.name} has no later turns of a known number")
    if not list(_lines(loop, buffer, ahead)):
        raise IllegalEdit(
            f"loop {loop.loop_var.name} reads no more of {buffer[:80]!r} from turn to turn, or more than {MOST_LINES} "
            "lines in each"
        )


def with_prefetches(mod: Any) -> Any:
    """The module with instructions in place of the annotations; ``mod`` itself if it has none."""
    return with_changed_bodies(mod, prefetches)


def prefetches(function: PrimFunc, body: Any) -> Any:
    """What :func:`with_prefetches` changes."""

    def loop(node: For) -> Any:
        notes = node.annotations.items() if node.annotations else ()
        asked = {str(name): value for name, value in notes if str(name).startswith(ANNOTATION)}
        if not asked:
            return node
        lines = [line for name, ahead in asked.items() for line in _lines(node, name[len(ANNOTATION) :], int(ahead))]
        kept = {str(name): value for name, value in node.annotations.items() if str(name) not in asked}
        if lines:
            kept[IMPORT] = str(kept.get(IMPORT, "")) + PREFETCH_IR
        body = sequence([*map(_instruction, lines), node.body])
        return For(node.loop_var, node.min, node.extent, node.kind, body, node.thread_binding, kept, node.step)

    return mapped(body, (For, loop))


def _instruction(place: Any) -> Any:
    return Evaluate(tirx.call_extern("int32", PREFETCH, tirx.address_of(place)))


def _lines(loop: Any, buffer: str, ahead: int) -> Iterator[Any]:
    """One element of each cache line of the buffer that the loop's body reads so many turns later; none if these are
    too many, or do not move with the loop."""
    seen: set[str] = set()
    found: list[Any] = []
    for load, bound in _loads(loop.body, buffer):
        indices = [substituted(index, bound) for index in load.indices]
        if not any(loop.loop_var.same_as(one) for index in indices for one in variables(index)):
            continue
        places = list(_places(loop, load.source, indices))
        if not places:
            return
        for place in places:
            moved = [_later(*one, loop, ahead) for one in zip(place, load.source.ty.shape, strict=True)]
            if str(moved) not in seen:
                seen.add(str(moved))
                found.append(BufferLoad(load.source, moved))
    if len(found) <= MOST_LINES:
        yield from found


def _later(index: Any, extent: Any, loop: Any, ahead: int) -> Any:
    """The index so many turns later, be it in the loop's next round, but within the buffer."""
    if not any(loop.loop_var.same_as(one) for one in variables(index)):
        return tvm.sym.Analyzer().simplify(index)
    later = loop.loop_var + IntImm(str(loop.loop_var.ty), ahead)
    moved = tvm.sym.Analyzer().simplify(substituted(index, {loop.loop_var: later}))
    moved = tirx.min(moved, extent - 1)
    return moved if _stride(index, loop.loop_var) > 0 else tirx.max(moved, IntImm(str(moved.ty), 0))


def _loads(body: Any, buffer: str) -> Iterator[tuple[Any, dict[Any, Any]]]:
    """The loads from the buffer, each with what the axes of its block are bound to."""
    found: list[tuple[Any, dict[Any, Any]]] = []

    def realize(node: Any) -> None:
        bound = {axis.var: value for axis, value in zip(node.block.iter_vars, node.iter_values, strict=True)}

        loads = every(node.block.body, tvm.ir.TensorLoad)
        found.extend((load, bound) for load in loads if str(load.source.name) == buffer)

    walk(body, (SBlockRealize, realize))
    yield from found


def _places(loop: Any, source: Any, indices: list[Any]) -> Iterator[list[Any]]:
    """The indices of one element of each line, for one turn of the loop."""
    used = {one for index in indices for one in variables(index)}
    moving = [one for one in every(loop.body, For) if one.loop_var in used]
    elements = max(1, LINE // DTYPE_BYTES.get(str(source.ty.dtype), LINE))
    counts = [_steps(one, indices, elements) for one in moving]
    if any(not steps for steps in counts) or math.prod(map(len, counts)) > MOST_LINES:
        return
    chosen: list[dict[Any, Any]] = [{}]
    for one, steps in zip(moving, counts, strict=True):
        dtype = str(one.loop_var.ty)
        chosen = [{**each, one.loop_var: IntImm(dtype, step)} for each in chosen for step in steps]
    for each in chosen:
        yield [substituted(index, each) for index in indices]


def _steps(loop: Any, indices: list[Any], elements: int) -> list[int]:
    """The turns of an inner loop at which another line is begun; none if they cannot be told."""
    extent = constant(loop.extent)
    if extent < 1:
        return []
    if any(loop.loop_var.same_as(one) for index in indices[:-1] for one in variables(index)):
        return list(range(extent))
    step = _stride(indices[-1], loop.loop_var)
    return list(range(0, extent, max(1, elements // step))) if step > 0 else []


def _stride(index: Any, variable: Any) -> int:
    """By how much the index grows with the variable; 0 if that is not the same everywhere."""
    linear = list(tvm.sym.detect_linear_equation(index, [variable]))
    return constant(linear[0]) if linear else 0
