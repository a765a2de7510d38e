"""Structures: who brought each into the tree, how fast it has become, and whether its knobs are still worth tuning.

A structure is a sketch of a variant; what it leaves open are its knobs. Whoever makes its first node has *brought* it.
With ``structure_after`` the two kinds of work are kept apart. Built-in experts tune a structure's knobs, which they
enumerate for nothing. It has *stalled* once so many trials of it have brought no gain, or experts know all neighbours
of a node: then language models are asked to change it (:func:`colt.search.policy.due_at`). What others reach in a
structure is credited to whoever brought it.

Experts move as well, where they may (``moves``). Structures are looked for on a schedule
(:meth:`colt.search.search.Search.explore`): soon after the openings, whenever another structure leads, and once the run
has stalled. They are on *probation*: every eighth trial is one of theirs, and they are tuned only near the fastest,
until one of their trials is the fastest by more than noise. Experts try many structures, of which hardly any pays, and
the model is wrong about some: what it favours most would be measured first for ever.

So their trials are dealt by successive halving (:func:`promoted`): one for each structure, the best predicted of those
kinds of moves first that were tried least, and of those that have had as many the faster half gets as many again. A
good structure with bad first knobs is not dropped at once, and a bad one costs one trial. What only adds moves to a
schedule that was measured is judged by the two (:func:`standing`), and if it pays there, it is tried on the fastest
schedule as soon as that is another.

Up to the thirteenth edition the architect brought structures where it was asked for proposals: once the run had
stalled, and before only what was predicted to be faster by far. Those that were tried least came first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from colt.knobs import Schedule

STALLED = 16
"""Trials without a gain of any structure after which a run has stalled."""
PROBATION = 8
"""One trial of so many is of a structure on probation."""
SURE = 1.5
"""A structure that is predicted to be so many times as fast as the fastest schedule is worth a trial before the run has
stalled: the model ranks structures wrongly, but seldom by that much."""
NEAR = 1.05
"""Within that factor of the fastest, a structure on probation is tuned."""
FIRST_LOOK = 8
"""Trials with a result after which structures are looked for first."""
RUNGS = (8, 4, 2, 1)
"""A structure that has had so many trials gets as many again if it is in the faster half of those that have."""
HOPELESS = 1.5
"""A structure that takes so many times as long as the fastest gets no second trial."""
Structure = tuple[str, str]
"""Variant and name of a sketch."""
NOISE = 0.02
"""Latencies that differ by a smaller share are equal: timings are repeated until they are certain to about that."""


@dataclass(slots=True)
class StructureRecord:
    """What was measured of one structure, derived from all results."""

    trials: int = 0
    """Those with a result."""
    best_us: float = math.inf
    since_gain: int = 0
    """How many of them came after the last one that was faster than all before by more than noise."""
    improvements: dict[str, int] = field(default_factory=dict)
    """How often a trial of the structure became the fastest of the run, by who proposed it."""
    led: bool = False
    """Whether one became the fastest by more than noise."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a structure on probation stands: its trials with a result, and what it is expected to reach, in
    microseconds."""

    trials: int
    us: float


def standing(us: float, before_us: float | None, best_us: float) -> float:
    """What a structure is expected to reach, in microseconds, of which a schedule took ``us``.

    ``before_us`` is what the same schedule took without the moves that make the structure, ``None`` if there is no such
    schedule or it was not measured. The moves are taken to be worth as much on the fastest schedule, which took
    ``best_us``; those that have cost time are worth nothing (``inf``).
    """
    if before_us is None or before_us == math.inf:
        return us
    return us / before_us * best_us if us < before_us else math.inf


def promoted(
    tried: Mapping[Structure, Standing], untried: Sequence[Structure], waiting: Collection[Structure], best_us: float
) -> Structure | None:
    """The structure that gets the next trial on probation, by successive halving; ``None`` if none is worth one.

    ``tried`` are all on probation that have a result, ``untried`` those that were not asked for, the most promising
    first; ``waiting`` those that have a schedule to be measured. ``best_us`` is the latency of the fastest schedule.
    """
    for rung in RUNGS:
        reached = sorted((one.us, name) for name, one in tried.items() if one.trials >= rung)
        for us, name in reached[: len(reached) // 2 if untried or len(reached) > 1 else 1]:
            if tried[name].trials < 2 * rung and name in waiting and us < HOPELESS * best_us:
                return name
    return next(iter(untried), None)


def structure_of(schedule: Schedule) -> Structure:
    """The structure of a schedule; of the untuned program too, which has no knobs."""
    return schedule.variant, schedule.sketch


def records_of(results: Iterable[tuple[Schedule, str, float]]) -> dict[Structure, StructureRecord]:
    """By structure, from all results in the order of trials: the schedule, who proposed it, and its latency in
    microseconds (``inf`` if it failed)."""
    records: dict[Structure, StructureRecord] = {}
    fastest_us = math.inf
    for schedule, by, latency_us in results:
        record = records.setdefault(structure_of(schedule), StructureRecord())
        record.trials += 1
        record.since_gain = 0 if latency_us < record.best_us * (1 - NOISE) else record.since_gain + 1
        record.best_us = min(record.best_us, latency_us)
        if latency_us < fastest_us:
            record.led = record.led or latency_us < fastest_us * (1 - NOISE)
            fastest_us = latency_us
            record.improvements[by] = record.improvements.get(by, 0) + 1
    return records


def since_gain(latencies_us: Iterable[float]) -> int:
    """How many results came after the last that was faster than all before by more than noise."""
    count, fastest_us = 0, math.inf
    for latency_us in latencies_us:
        count = 0 if latency_us < fastest_us * (1 - NOISE) else count + 1
        fastest_us = min(fastest_us, latency_us)
    return count
