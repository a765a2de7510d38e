"""A plain schedule for programs that no sketch schedules, or whose sizes are open: all threads, and vectors that fit.

Each block stays in loops of its own. The outer loops are one loop for the threads. The innermost loop is one over
results rather than terms, where it has a size that vectors divide, so that a sum keeps a few vectors of results at a
time. That is done only where every turn of the loops is certain to write elements of its own, whatever the block says
of its axes; a block of which that is not certain, or that TVM refuses it for, stays as it is. Of what TVM's library
sorts, each thread has some of the rows.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import relax, s_tir
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, IfThenElse, IntImm, IterVar, PrimFunc, SeqStmt, While
from tvm_ffi import structural_equal

from colt.tvm.models.calls_by_rows import with_rows_on_all_threads
from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.loops import loops_by_iter
from colt.tvm.programs.nests import in_root, nests_of, with_nests
from colt.tvm.programs.walks import every
from colt.tvm.refusals import TVM_ERRORS

_SPATIAL, _REDUCE = int(IterVar.DataPar), int(IterVar.CommReduce)
"""Kinds of iters: over results, over terms."""
_LANES = (64, 32, 16, 8)
"""How many results are computed side by side: the first of these that divides their number."""
_LEAST = 1 << 12
"""Blocks of fewer iterations stay on one thread."""
_LONG = 1 << 15
"""Loops of fewer turns, in vectors if they have some, are none that a thread is not left alone with."""
_NARROW = ("bfloat", "float8", "float6", "float4")
"""How the names of types begin that TVM takes apart into others, and cannot where a vector of them is one number."""
_PACKED = "packed"
"""What TVM's names of calls have in them that go to its library, such as that of sorting."""


def on_all_threads(module: tvm.IRModule) -> tuple[tvm.IRModule, int]:
    """The module with a plain schedule of each function over tensors, and how many of their blocks stay on one thread
    all the same. What only reshapes stays as it is, and becomes a view."""
    functions, left = dict(module.functions.items()), 0
    for variable, function in functions.items():
        if isinstance(function, PrimFunc) and not relax.analysis.has_reshape_pattern(function):
            functions[variable] = plainly_scheduled(function)
            left += on_one_thread(functions[variable])
    return tvm.IRModule(functions, attrs=module.attrs), left


def plainly_scheduled(function: PrimFunc) -> PrimFunc:
    """The function with a plain schedule of each block that one can be made of; itself if there is none."""
    written = in_root(function)
    module = tvm.IRModule({"main": written})  # held here: TVM changes in place what nobody else holds
    schedule = s_tir.Schedule(module, debug_mask=0, error_render_level="fast")
    try:
        blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    except TVM_ERRORS:
        return function
    for block in blocks:
        tried = schedule.copy()
        try:
            _schedule(tried, block)
        except TVM_ERRORS:
            continue
        schedule = tried
    scheduled = schedule.mod["main"]
    scheduled = with_nests(scheduled, [with_rows_on_all_threads(nest) for nest in nests_of(scheduled)])
    return function if structural_equal(scheduled, written) else scheduled


def with_plain_schedule(module: tvm.IRModule) -> tvm.IRModule:
    """The program with that of its function; itself if there is none."""
    scheduled = plainly_scheduled(module["main"])
    return module if scheduled.same_as(module["main"]) else tvm.IRModule({"main": scheduled})


def on_one_thread(function: PrimFunc) -> int:
    """How many of the function's nests of loops are run by one thread alone, although they are long."""
    return sum(not _is_parallel(nest) and _iterations(nest) >= _LONG for nest in nests_of(in_root(function)))


def has_open_sizes(function: PrimFunc) -> bool:
    """Whether sizes of the function's arguments are known in a call only."""
    return not all(isinstance(size, IntImm) for one in function.params for size in getattr(one.ty, "shape", ()))


def _is_parallel(nest: Any) -> bool:
    loops = [loop for loop in every(nest, For) if int(loop.kind) == int(ForKind.PARALLEL)]
    return any(not isinstance(loop.extent, IntImm) or int(loop.extent) > 1 for loop in loops)


def _iterations(node: Any) -> float:
    """How many statements are carried out, one for a vector; infinitely many if that is not known."""
    if isinstance(node, For):
        if int(node.kind) == int(ForKind.VECTORIZED):
            return _iterations(node.body)
        turns = int(node.extent) if isinstance(node.extent, IntImm) else math.inf
        return turns * _iterations(node.body) if turns else 0
    if isinstance(node, SeqStmt):
        return sum(map(_iterations, node.seq))
    if isinstance(node, IfThenElse):
        return max(_iterations(node.then_case), 0 if node.else_case is None else _iterations(node.else_case))
    if isinstance(node, SBlockRealize):
        return _iterations(node.block.body)
    if getattr(node, "body", None) is not None and not isinstance(node, While):
        return _iterations(node.body)
    calls = every(node, tvm.ir.Call)
    return math.inf if isinstance(node, While) or any(_PACKED in _name(call) for call in calls) else 1


def _name(call: Any) -> str:
    return str(getattr(call.op, "name", ""))


def _schedule(schedule: Any, block: Any) -> None:
    """Schedule a block that has a loop for each iter, and elements of its own in each turn of those over results; leave
    others."""
    loops = loops_by_iter(schedule, block)
    found = schedule.get(block)
    kinds = [int(axis.iter_type) for axis in found.iter_vars]
    if loops is None or not set(kinds) <= {_SPATIAL, _REDUCE} or _SPATIAL not in kinds:
        return
    if any(int(schedule.get(loop).kind) != int(ForKind.SERIAL) for loop in loops) or not _has_own_results(found):
        return
    extents = [_extent(schedule, loop) for loop in loops]
    if all(extents) and math.prod(filter(None, extents)) < _LEAST:
        return
    results = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
    terms = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _REDUCE]
    innermost = extents[loops.index(results[-1])]
    lanes = next((one for one in _LANES if innermost and innermost % one == 0), 0)
    if not lanes or not _fits_vectors(found):
        schedule.reorder(*results, *terms)
        schedule.parallel(schedule.fuse(*(results[:-1] or results)))
        return
    vectors, lane = schedule.split(results[-1], [None, lanes])
    schedule.reorder(*results[:-1], vectors, *terms, lane)
    schedule.parallel(schedule.fuse(*results[:-1], vectors))
    schedule.vectorize(lane)
    if terms:
        schedule.decompose_reduction(block, terms[0])


def _has_own_results(block: Any) -> bool:
    """Whether no two turns of the block's axes over results touch the same element of what it writes."""
    accesses = Accesses.of([block.body, block.init], list(block.alloc_buffers))
    axes = [axis for axis in block.iter_vars if int(axis.iter_type) == _SPATIAL]
    many = [axis.var for axis in axes if not (isinstance(axis.dom.extent, IntImm) and int(axis.dom.extent) == 1)]
    return accesses is not None and bool(accesses.written) and all(map(accesses.separated_by, many))


def _fits_vectors(block: Any) -> bool:
    """Whether the block is one store, of types that TVM has vectors of wherever they occur."""
    if not isinstance(block.body, BufferStore):
        return False
    values = [block.body.value, *every([block.body, block.init], tvm.ir.TensorLoad)]
    return not any(str(value.ty).startswith(_NARROW) for value in values)


def _extent(schedule: Any, loop: Any) -> int | None:
    """The loop's iterations; ``None`` if they are open."""
    extent = schedule.get(loop).extent
    return int(extent) if isinstance(extent, IntImm) else None
