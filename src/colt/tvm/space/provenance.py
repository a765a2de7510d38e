"""Where the loops of a replayed trace come from: which block, which iter, and which part of which tile.

A trace says how loops were split, fused and reused for other blocks; a replay says which loop of the program each
random variable ends up as, and which iter a block's loop drives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from colt.tvm.refusals import TVM_ERRORS
from colt.tvm.space.replay import Replayer
from colt.tvm.space.traces import Step, TraceView, Var, read_trace
from colt.tvm.space.variables import variables


@dataclass(frozen=True, slots=True)
class AxisPart:
    """A loop, or one of several loops that were fused into one.

    It runs over all or part of ``iter`` of ``block``: over part ``part`` of the tile that instruction ``tile`` samples,
    or over ``extent`` iterations. If neither is given, it runs over what the other loops over the iter leave.
    """

    block: str
    iter: str
    tile: int | None = None
    part: int = 0
    extent: int | None = None


Provenance = Mapping[Any, tuple[AxisPart, ...]]
"""The parts that each loop variable runs over."""


def trace_loops(replayer: Replayer, trace: Any, moved: bool = False) -> tuple[Any, Provenance]:
    """Replay ``trace`` with its own decisions; return the schedule and where its loops come from.

    ``moved``: loops may be split again and again, each time into numbers and what they leave.
    """
    view = read_trace(trace)
    watcher = _Watcher(view)
    schedule = replayer.replay(trace, 1, watcher.watch)
    pieces = _pieces(view, watcher.drives, moved)
    found: dict[Any, tuple[AxisPart, ...]] = {}
    instructions = schedule.trace.insts
    for number, step in enumerate(view.steps):
        if step.kind in ("GetLoops", "Split", "Fuse"):
            for var, rv in zip(step.outputs, instructions[number].outputs, strict=True):
                loop = _loop(schedule, rv)
                if loop is not None and pieces.get(var):
                    found.setdefault(loop.loop_var, pieces[var])
                    if step.kind != "GetLoops":  # a split or fusion knows more
                        found[loop.loop_var] = pieces[var]
    return schedule, found


class _Watcher:
    """Notes which iter of which block each loop drives when the trace asks for a block's loops."""

    def __init__(self, view: TraceView) -> None:
        self._view = view
        self.drives: dict[Var, tuple[str, str]] = {}

    def watch(self, number: int, schedule: Any, live: Any, decision: Any) -> Any:
        step = self._view.steps[number]
        if step.kind == "GetLoops":
            name, drives = loop_iters(schedule, live[0])
            for var, iter_ in zip(step.outputs, drives, strict=True):
                if iter_ is not None:
                    self.drives[var] = (name, iter_)
        return decision


def loop_iters(schedule: Any, block: Any) -> tuple[str, list[str | None]]:
    """The block's name and, for each loop around it from the outside, the first iter that the loop drives, if any."""
    sref = schedule.get_sref(block)
    stmt = sref.stmt
    loops: list[Any] = []
    sref = sref.parent
    while hasattr(sref.stmt, "loop_var"):
        loops.insert(0, sref.stmt)
        sref = sref.parent
    realize = _realize(loops[-1].body if loops else None, stmt)
    if realize is None:
        return str(stmt.name_hint), [None] * len(loops)
    used = [variables(value) for value in realize.iter_values]
    names = [str(iter_.var.name) for iter_ in stmt.iter_vars]
    return str(stmt.name_hint), [
        next(
            (name for name, found in zip(names, used, strict=True) if any(loop.loop_var.same_as(v) for v in found)),
            None,
        )
        for loop in loops
    ]


def _realize(body: Any, block: Any) -> Any:
    parts = list(body) if isinstance(body, tirx.SeqStmt) else [body]
    return next((part for part in parts if isinstance(part, SBlockRealize) and part.block.same_as(block)), None)


def _pieces(view: TraceView, drives: Mapping[Var, tuple[str, str]], moved: bool) -> dict[Var, tuple[AxisPart, ...]]:
    found: dict[Var, tuple[AxisPart, ...]] = {var: (AxisPart(*names),) for var, names in drives.items()}
    for step in view.steps:
        if step.kind == "Split":
            origin = found.get(step.inputs[0], ())
            for loop, factor in zip(step.outputs, _factors(step, origin if moved else ()), strict=True):
                found[loop] = (_part(view, origin[0], factor),) if len(origin) == 1 else ()
        elif step.kind == "Fuse":
            parts = [found.get(loop, ()) for loop in step.inputs]
            found[step.outputs[0]] = tuple(piece for part in parts for piece in part) if all(parts) else ()
    return found


def _factors(step: Step, origin: Sequence[AxisPart]) -> Sequence[Any]:
    """The factors of a split. What numbers leave of a loop with a number of turns is a number as well."""
    factors = [*step.inputs[1:]]
    whole = origin[0].extent if len(origin) == 1 else None
    numbers = [factor for factor in factors if isinstance(factor, int)]
    if whole is None or len(numbers) < len(factors) - 1:
        return factors
    return [-(-whole // math.prod(numbers)) if factor is None else factor for factor in factors]


def _part(view: TraceView, origin: AxisPart, factor: Any) -> AxisPart:
    if factor is None:
        return replace(origin, tile=None, extent=None)
    if not isinstance(factor, Var):
        return replace(origin, tile=None, extent=int(factor))
    made = view.makers[factor]
    return replace(origin, tile=made.step, part=made.slot, extent=None)


def _loop(schedule: Any, rv: Any) -> Any:
    try:
        stmt = schedule.get(rv)
    except TVM_ERRORS:  # it no longer exists
        return None
    return stmt if hasattr(stmt, "loop_var") else None
