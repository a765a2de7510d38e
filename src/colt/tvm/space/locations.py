"""Compute locations by name: where ``sample_compute_location`` may put a block, in words that survive other edits.

TVM numbers the loops around a block's first consumer from the outside; -1 is the root and -2 stands for inlining. The
numbers shift with earlier decisions, so here a location is the name of its loop; the second loop of the same name in a
nest is ``ax0#2``. TVM does not list the legal locations, but it replaces an illegal one by the next lower legal one.
Asking from the top downwards therefore finds them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from colt.knobs import INLINE_LOCATION, ROOT_LOCATION

ROOT = -1
INLINE = -2
_TOP = 2**30


@dataclass(frozen=True, slots=True)
class LoopNest:
    """The loops around a block's first consumer, from the outside; empty if there is no consumer."""

    consumer: str
    loops: tuple[str, ...]

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


def consumer_nest(schedule: Any, block: Any) -> LoopNest:
    """The nest that locations of ``block`` refer to in the schedule's present state; the schedule is not changed."""
    scratch = schedule.copy()  # asking for consumers is recorded in the trace
    consumers = scratch.get_consumers(block)
    if not consumers:
        return LoopNest("", ())
    names = []
    sref = scratch.get_sref(consumers[0])
    consumer = str(sref.stmt.name_hint)
    sref = sref.parent
    while hasattr(sref.stmt, "loop_var"):
        names.append(str(sref.stmt.loop_var.name))
        sref = sref.parent
    return LoopNest(consumer, tuple(distinct_names(names[::-1])))


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


def is_legal(schedule: Any, block: Any, index: int) -> bool:
    """Whether the block can be computed at TVM's location ``index`` in the schedule's present state."""
    return _nearest(schedule, block, index) == index


def legal_indices(schedule: Any, block: Any) -> list[int]:
    """All legal locations of the block in the schedule's present state, ascending; the schedule is not changed."""
    found: list[int] = []
    asked = _TOP
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
