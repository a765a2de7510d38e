"""Sketches that TVM gets wrong: a consumer that pads, computed at the loops of what it pads.

Multi-level tiling may move a consumer to its producer's loops (``reverse_compute_at``). TVM then computes those of its
elements that read the producer, and takes the others for done. A consumer that reads it under a condition, because it
pads or joins, has others as well: they stay unwritten.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.s_tir.stmt import SBlock
from tvm.tirx import BufferStore, IfThenElse

from colt.tvm.programs.walks import every, walk

_MOVES = "ReverseComputeAt"
_CHOICE = "if_then_else"


def reads_in_part(mod: Any) -> bool:
    """Whether a block of the program reads under a condition what another has computed."""
    written = {store.buffer for store in every(mod["main"].body, BufferStore)}
    return bool(_read_in_part(mod["main"].body) & written)


def moves_in_part(mod: Any, trace: Any) -> bool:
    """Whether the sketch moves such a block to the loops of another."""
    schedule = s_tir.Schedule(mod, debug_mask=0, error_render_level="fast")
    found: list[Any] = []

    def look(instruction: Any, live: Any, attributes: Any, decision: Any) -> Any:
        if str(instruction.kind.name) == _MOVES and reads_under_condition(schedule.get(live[0])):
            found.append(instruction)
        return decision

    trace.apply_to_schedule(schedule, remove_postproc=True, decision_provider=look)
    return bool(found)


def reads_under_condition(block: Any) -> bool:
    """Whether the block loads something under a condition."""
    return bool(_read_in_part(block))


def _read_in_part(node: Any) -> set[Any]:
    """The buffers that are loaded from under a condition."""
    found: set[Any] = set()

    def load(inner: Any) -> None:
        found.add(inner.source)

    def guarded(*parts: Any) -> None:
        for part in parts:
            if part is not None:
                walk(part, (tvm.ir.TensorLoad, load))

    def call(inner: Any) -> None:
        if str(getattr(inner.op, "name", "")).endswith(_CHOICE):
            guarded(*inner.args[1:])

    rules = (
        (tvm.ir.Call, call),
        (tirx.Select, lambda inner: guarded(inner.true_value, inner.false_value)),
        (IfThenElse, lambda inner: guarded(inner.then_case, inner.else_case)),
    )
    walk(node.body if isinstance(node, SBlock) else node, *rules)
    return found
