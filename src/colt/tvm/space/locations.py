"""Compute locations by name: where ``sample_compute_location`` may put a block, in words that survive other edits.

TVM numbers the loops around a block's first consumer from the outside; -1 is the root and -2 stands for inlining. The
numbers shift with earlier decisions, so here a location is the name of its loop; the second loop of the same name in a
nest is ``ax0#2``. TVM does not list the legal locations, but it replaces an illegal one by the next lower legal one.
Asking from the top downwards therefore finds them all.

Not all that is legal for TVM is sound. A reduction that is computed under the loop of another one is computed again in
every turn of it. ``RewriteReductionBlock`` takes that loop for one over its own terms and sets the result once, before
the loop, so from the second turn on the terms are added to a finished sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import IntImm, IterVar

from colt.knobs import INLINE_LOCATION, ROOT_LOCATION
from colt.tvm.programs.nests import mentions
from colt.tvm.programs.walks import walk

ROOT = -1
INLINE = -2
_TOP = 2**30


@dataclass(frozen=True, slots=True)
class LoopNest:
    """The loops around a block's first consumer, from the outside; empty if there is no consumer."""

    consumer: str
    loops: tuple[str, ...]
    last: int = _TOP
    """The innermost location that is sound."""

    def name(self, index: int) -> str:
        """The name of TVM's location ``index``."""
        if index == ROOT:
            return ROOT_LOCATION
        return INLINE_LOCATION if index == INLINE else self.loops[index]

    def index(self, name: str) -> int | None:
        """TVM's number for a location; ``None`` if no loop here has that name."""
        if name == ROOT_LOCATION:
            return ROOT
        if name == INLINE_LOCATION:
            return INLINE
        return self.loops.index(name) if name in self.loops else None


def consumer_nest(schedule: Any, block: Any, sound: bool = True) -> LoopNest:
    """The nest that locations of ``block`` refer to in the schedule's present state; the schedule is not changed.

    Unless only ``sound`` locations are wanted, its last location may be any.
    """
    scratch = schedule.copy()  # asking for consumers is recorded in the trace
    consumers = scratch.get_consumers(block)
    if not consumers:
        return LoopNest("", ())
    loops: list[Any] = []
    sref = scratch.get_sref(consumers[0])
    consumer = str(sref.stmt.name_hint)
    sref = sref.parent
    while hasattr(sref.stmt, "loop_var"):
        loops.insert(0, sref.stmt)
        sref = sref.parent
    names = tuple(distinct_names([str(loop.loop_var.name) for loop in loops]))
    if not sound or not _reduces(scratch.get(block)):
        return LoopNest(consumer, names)
    repeating = (number for number, loop in enumerate(loops) if _is_over_terms(loop))
    return LoopNest(consumer, names, next(repeating, _TOP + 1) - 1)


def _reduces(block: Any) -> bool:
    return any(int(axis.iter_type) == IterVar.CommReduce for axis in block.iter_vars)


def _is_over_terms(loop: Any) -> bool:
    """Whether an axis over terms of some block follows the loop, as far as it turns more than once."""
    found: list[Any] = []

    def realize(node: Any) -> None:
        for axis, value in zip(node.block.iter_vars, node.iter_values, strict=True):
            if int(axis.iter_type) == IterVar.CommReduce and mentions(value, loop.loop_var):
                found.append(axis)

    walk(loop.body, (SBlockRealize, realize))
    return bool(found) and not (isinstance(loop.extent, IntImm) and int(loop.extent) == 1)


def distinct_names(names: list[str]) -> list[str]:
    """The names, repetitions numbered ``#2``, ``#3`` ...; the words for the root and inlining count as taken."""
    seen = {ROOT_LOCATION, INLINE_LOCATION}
    found = []
    for name in names:
        unique, count = name, 1
        while unique in seen:
            count += 1
            unique = f"{name}#{count}"
        seen.add(unique)
        found.append(unique)
    return found


def is_legal(schedule: Any, block: Any, index: int, nest: LoopNest) -> bool:
    """Whether the block can be computed at TVM's location ``index`` in the schedule's present state."""
    return index <= nest.last and _nearest(schedule, block, index) == index


def legal_indices(schedule: Any, block: Any, nest: LoopNest) -> list[int]:
    """All legal locations of the block in the schedule's present state, ascending; the schedule is not changed."""
    found: list[int] = []
    asked = nest.last
    while True:
        nearest = _nearest(schedule, block, asked)
        if found and nearest >= found[-1]:  # nothing is left below: TVM answers with the root
            break
        found.append(nearest)
        if nearest == INLINE:
            break
        asked = nearest - 1
    return found[::-1]


def _nearest(schedule: Any, block: Any, index: int) -> int:
    scratch = schedule.copy()
    scratch.sample_compute_location(block, decision=index)
    trace = scratch.trace
    return int(trace.decisions[trace.insts[-1]])
