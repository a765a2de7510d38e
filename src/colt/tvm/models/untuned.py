"""A plain schedule for programs that nobody tunes, whose sizes may be open: all threads, and vectors where they fit.

Each block stays in loops of its own. The outer loops are one loop for the threads. The innermost loop is one over
results rather than terms, where it has a size that vectors divide, so that a sum keeps a few vectors of results at a
time.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import relax, s_tir
from tvm.tirx import IntImm, PrimFunc

from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.refusals import TVM_ERRORS

_SPATIAL, _REDUCE = 0, 2
"""Kinds of iters: over results, over terms."""
_LANES = (64, 32, 16, 8)
"""How many results are computed side by side: the first of these that divides their number."""
_LEAST = 1 << 12
"""Blocks of fewer iterations stay on one thread."""


def on_all_threads(module: tvm.IRModule) -> tuple[tvm.IRModule, int]:
    """The module with a plain schedule of each function over tensors, and how many blocks TVM refuses one for, which
    stay as they are. So does what only reshapes, which becomes a view."""
    functions, left = dict(module.functions.items()), 0
    for variable, function in functions.items():
        if isinstance(function, PrimFunc) and not relax.analysis.has_reshape_pattern(function):
            functions[variable], refused = _scheduled(function)
            left += refused
    return tvm.IRModule(functions, attrs=module.attrs), left


def _scheduled(function: PrimFunc) -> tuple[PrimFunc, int]:
    module = tvm.IRModule({"main": function})  # held here: TVM changes in place what nobody else holds
    schedule = s_tir.Schedule(module, debug_mask=0, error_render_level="fast")
    try:
        blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    except TVM_ERRORS:
        return function, 1
    refused = 0
    for block in blocks:
        try:
            _schedule(schedule, block)
        except TVM_ERRORS:
            refused += 1
    return schedule.mod["main"], refused


def _schedule(schedule: Any, block: Any) -> None:
    """Schedule a block that has a loop for each iter; leave others."""
    loops = loops_by_iter(schedule, block)
    kinds = [int(axis.iter_type) for axis in schedule.get(block).iter_vars]
    if loops is None or not set(kinds) <= {_SPATIAL, _REDUCE} or _SPATIAL not in kinds:
        return
    extents = [_extent(schedule, loop) for loop in loops]
    if all(extents) and math.prod(filter(None, extents)) < _LEAST:
        return
    results = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
    terms = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _REDUCE]
    innermost = extents[loops.index(results[-1])]
    lanes = next((one for one in _LANES if innermost and innermost % one == 0), 0)
    if not lanes:
        schedule.reorder(*results, *terms)
        schedule.parallel(schedule.fuse(*(results[:-1] or results)))
        return
    vectors, lane = schedule.split(results[-1], [None, lanes])
    schedule.reorder(*results[:-1], vectors, *terms, lane)
    schedule.parallel(schedule.fuse(*results[:-1], vectors))
    schedule.vectorize(lane)
    if terms:
        schedule.decompose_reduction(block, terms[0])


def _extent(schedule: Any, loop: Any) -> int | None:
    """The loop's iterations; ``None`` if they are open."""
    extent = schedule.get(loop).extent
    return int(extent) if isinstance(extent, IntImm) else None
