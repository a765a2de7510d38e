"""Sums of neighbouring elements beside each other: the same sums, each in the order in which it was written.

The loop along rows of the result becomes the innermost one, inside of the loops of the sum, so that LLVM makes vectors
of it. As a sum is usually written, it goes down a column of the weights, which takes up to fifty times longer.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import tvm
from tvm import s_tir, tirx

from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.refusals import TVM_ERRORS


def in_rows(module: tvm.IRModule) -> tvm.IRModule:
    """The program with its sums so. Those stay as they are that add along rows, or whose loops cannot be exchanged."""
    schedule = s_tir.Schedule(module, debug_mask=0, error_render_level="fast")
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        with suppress(*TVM_ERRORS):
            if order := _order(schedule, block):
                schedule.reorder(*order)
    return schedule.mod


def _order(schedule: Any, block: Any) -> list[Any]:
    """The loops of a block's sum, and then that along a row of the result; none if it is no such sum."""
    node, loops = schedule.get(block), loops_by_iter(schedule, block)
    if loops is None or not node.writes or not node.writes[0].region:
        return []
    of_iter = dict(zip((axis.var for axis in node.iter_vars), loops, strict=True))
    summed = [of_iter[a.var] for a in node.iter_vars if a.iter_type == tirx.IterVar.CommReduce]
    row = of_iter.get(node.writes[0].region[-1].min)
    return [*summed, row] if summed and row is not None else []
