"""What TVM takes for the same program and isn't (decision 0021): structures that are refused for it.

A sum in a loop over another sum's terms begins anew in every turn of it. TVM takes that loop for one over the sum's own
terms when it sets the first value: it sets it once, before the loop. Partial sums of which some have no terms are never
set. And a block that is moved to the loops of what it reads is wrong there if it reads nothing of it, adds it up, or
reads it under a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import For, IntImm, IterVar

from colt.errors import IllegalEdit, Rejected
from colt.tvm.programs.nests import mentions, reads_memory
from colt.tvm.programs.walks import every
from colt.tvm.refusals import refused
from colt.tvm.sketches.partial import reads_under_condition


def placed_blocks(stmt: Any, loops: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every block that holds no other, as it is realised, with the loops around it, outermost first."""
    if isinstance(stmt, For):
        yield from placed_blocks(stmt.body, (*loops, stmt))
    elif isinstance(stmt, tirx.SeqStmt):
        for part in stmt:
            yield from placed_blocks(part, loops)
    elif isinstance(stmt, tirx.IfThenElse):
        yield from placed_blocks(stmt.then_case, loops)
        if stmt.else_case is not None:
            yield from placed_blocks(stmt.else_case, loops)
    elif isinstance(stmt, SBlockRealize):
        inner = list(placed_blocks(stmt.block.body, loops))
        if inner:
            yield from inner
        else:
            yield stmt, loops


@refused("what it computes cannot be told")
def require_sound(mod: Any) -> None:
    """Raise :class:`Rejected` if TVM would set the first value of some sum in the wrong place."""
    for realize, loops in placed_blocks(mod["main"].body):
        if realize.block.init is not None:
            try:
                require_own_terms(realize, loops)
            except IllegalEdit as error:
                raise Rejected(str(error)) from None


def require_own_terms(realize: Any, loops: Sequence[Any]) -> None:
    """Raise :class:`IllegalEdit` if one of the loops, around a sum, is over another sum's terms."""
    for loop in loops:
        if isinstance(loop.extent, IntImm) and int(loop.extent) == 1:
            continue
        if not _is_over_terms(realize, loop.loop_var) and _is_over_others(realize.block, loop):
            name = str(realize.block.name_hint)
            raise IllegalEdit(
                f"sum {name} is in loop {loop.loop_var.name} over another sum's terms, where TVM sets its first value "
                f"once: decompose_reduction of {name} at a loop inside comes first"
            )


def require_whole(realize: Any) -> None:
    """Raise :class:`IllegalEdit` if loops around the block go beyond what it computes."""
    if not isinstance(realize.predicate, IntImm):
        raise IllegalEdit(
            f"loops of {realize.block.name_hint} do not divide: partial sums without terms would never be set"
        )


def require_consumer(schedule: Any, block: Any, host: Any) -> None:
    """Raise :class:`IllegalEdit` unless a block can be moved to the loops of the ``host``, whose results it reads."""
    name = str(block.name_hint)
    if any(int(axis.iter_type) == IterVar.CommReduce for axis in block.iter_vars):
        raise IllegalEdit(f"{name} adds up what it reads; TVM would begin its sums at the wrong place")
    if reads_under_condition(block):
        raise IllegalEdit(f"{name} reads under a condition; TVM would leave some of its elements unwritten")
    written = [region.source for region in schedule.get(host).writes]
    if not any(region.source.same_as(buffer) for region in block.reads for buffer in written):
        told = str(schedule.get(host).name_hint)
        raise IllegalEdit(f"{name} reads nothing of what {told} computes; a producer is moved by compute_at")


def begins_with_others(block: Any) -> bool:
    """Whether the sum's first value is read from somewhere."""
    return block.init is not None and reads_memory(block.init)


def _is_over_terms(realize: Any, variable: Any) -> bool:
    pairs = zip(realize.block.iter_vars, realize.iter_values, strict=True)
    return any(int(axis.iter_type) == IterVar.CommReduce and mentions(value, variable) for axis, value in pairs)


def _is_over_others(block: Any, loop: Any) -> bool:
    others = (node for node in every(loop.body, SBlockRealize) if not node.block.same_as(block))
    return any(_is_over_terms(node, loop.loop_var) for node in others)
