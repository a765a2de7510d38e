"""The loops of a block that still stands in loops of its own."""

from __future__ import annotations

from typing import Any

from tvm.s_tir.stmt import SBlockRealize


def loops_by_iter(schedule: Any, block: Any) -> list[Any] | None:
    """The loop that drives each iter; ``None`` if these are not one loop for each iter.

    The order of loops is not always that of iters: not after a reduction has been split, for one.
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


def is_plain(schedule: Any) -> bool:
    """Whether the program is a sequence of blocks, each in loops of its own, one for each iter."""
    scratch = schedule.copy()
    return all(
        loops_by_iter(scratch, block) is not None for block in scratch.get_child_blocks(scratch.get_sblock("root"))
    )
