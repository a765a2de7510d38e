"""The loops of a schedule's blocks that still have loops of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm.s_tir.stmt import SBlockRealize


def loops_by_iter(schedule: Any, block: Any) -> list[Any] | None:
    """The loop that drives each iter; ``None`` if the block does not have exactly one loop per iter.

    Loops and iters may be in different order, for example after a reduction has been split.
    """
    loops = schedule.get_loops(block)
    if not loops:
        return None
    body = schedule.get(loops[-1]).body
    if not isinstance(body, SBlockRealize) or len(body.iter_values) != len(loops):
        return None
    found = []
    for value in body.iter_values:
        loop = next((rv for rv in loops if value.same_as(schedule.get(rv).loop_var)), None)
        if loop is None:
            return None
        found.append(loop)
    return found


def fuse_all(schedule: Any, loops: Sequence[Any]) -> Any:
    """The loops as one; ``None`` if there are none."""
    return schedule.fuse(*loops) if len(loops) > 1 else next(iter(loops), None)


def is_plain(schedule: Any) -> bool:
    """Whether the program is a sequence of blocks, each in its own loops, one per iter, and none inside another."""
    scratch = schedule.copy()
    return all(
        loops_by_iter(scratch, block) is not None and not scratch.get_child_blocks(block)
        for block in scratch.get_child_blocks(scratch.get_sblock("root"))
    )
