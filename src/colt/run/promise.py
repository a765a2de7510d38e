"""What relatives' schedules become here, which of them are measured, and in which order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.proposers.experts.neighbourhood import neighbours
from colt.search.types import Scorer, Space
from colt.world.answers import Lead

MOST_RELATIVES, MOST_OF_ONE = 6, 3
"""So many schedules of relatives are measured, of one program at most the latter: a bad one costs no more than that."""
TIE = 1.05
"""Promises that differ by less say nothing about which schedule is faster."""
MOST_CHANGES = 3
"""So many values of a relative's schedule are changed at most."""
HOPELESS = 2.0
"""What promises to take so many times as long as what the run begins with by itself is not measured."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What is known of a program or of a relative, as a schedule of this one's space."""

    lead: Lead
    schedule: Schedule


def suited(schedule: Schedule, space: Space, scorer: Scorer) -> Schedule:
    """A relative's schedule with values changed one at a time, as long as a change is predicted to pay.

    Where extents are others, the nearest legal values may leave threads without work, or cut a register tile short; one
    value changed mostly mends that. What pays less than a tie is left as it is: there, what was measured of the
    relative says more than the analytical model.
    """
    [us] = scorer.predict([schedule])
    for _ in range(MOST_CHANGES):
        changed = _faster_neighbour(schedule, us / TIE, space, scorer)
        if changed is None:
            break
        us, schedule = changed
    return schedule


def _faster_neighbour(
    schedule: Schedule, most_us: float, space: Space, scorer: Scorer
) -> tuple[float, Schedule] | None:
    """The neighbour that is predicted to be the fastest, and what it is predicted to take: at most ``most_us``."""
    near = list(neighbours(schedule, space.knobs(schedule)))
    ranked = sorted(zip(scorer.predict(near), range(len(near)), strict=True))
    for number in (number for us, number in ranked if us <= most_us):
        try:
            found = space.realise(near[number]).schedule
        except (IllegalEdit, Rejected):
            continue
        [us] = scorer.predict([found])
        if us <= most_us:
            return us, found
    return None


def most_promising(
    adopted: Sequence[Adopted], scorer: Scorer, own_us: float | None = None, *, by_sketch: bool = True
) -> list[Adopted]:
    """What is measured, the most promising first: everything of the program itself, and a few schedules of relatives,
    of the nearest before others. ``adopted`` has the nearest first, and of each the winner.

    What the analytical model gets wrong of a schedule, it gets wrong of a relative's, too. So a schedule promises what
    is predicted of it here, times what was measured of it there over what was predicted there. Of schedules that
    promise about the same, the one that was faster there comes first. Where a prediction is missing, as in records of
    older versions, the order is that of ``adopted``.

    ``own_us`` is what is predicted of the best schedule that the run begins with by itself, and what is hopeless beside
    it is left out; ``None`` in recordings of before it mattered. ``by_sketch``: the best of each sketch comes before
    the second of any, as a model that is wrong about a schedule is wrong about its like; not so in older recordings.
    """
    if any(one.lead.known or not one.lead.structure for one in adopted):  # the latter in older recordings
        return list(adopted)
    promised = _promised(adopted, scorer)
    hopeless = math.inf
    if own_us is not None and adopted and _are_predicted(adopted):
        hopeless = HOPELESS * own_us * statistics.median(_ratios([one.lead for one in adopted]))
        promised = _ties_as_measured(promised, adopted)
    rounds = _rounds(promised, adopted) if by_sketch else [0] * len(adopted)
    order = sorted(range(len(adopted)), key=lambda number: (rounds[number], promised[number]))
    by_relative: dict[str, dict[Schedule, int]] = {}
    for number in order:
        mine = by_relative.setdefault(adopted[number].lead.structure, {})
        if len(mine) < MOST_OF_ONE and promised[number] <= hopeless:
            mine.setdefault(adopted[number].schedule, number)
    nearest = dict.fromkeys(one.lead.structure for one in adopted)
    chosen = {adopted[n].schedule: n for name in nearest for n in by_relative.get(name, {}).values()}
    return [adopted[number] for number in sorted(list(chosen.values())[:MOST_RELATIVES], key=order.index)]


def _rounds(promised: Sequence[float], adopted: Sequence[Adopted]) -> list[int]:
    """How many schedules of the same sketch promise more than each."""
    seen: dict[tuple[str, str], dict[Schedule, int]] = {}
    rounds = [0] * len(adopted)
    for number in sorted(range(len(adopted)), key=promised.__getitem__):
        schedule = adopted[number].schedule
        mine = seen.setdefault((schedule.variant, schedule.sketch), {})
        rounds[number] = mine.setdefault(schedule, len(mine))
    return rounds


def _promised(adopted: Sequence[Adopted], scorer: Scorer) -> list[float]:
    """What each promises, to be compared with each other."""
    if not _are_predicted(adopted):
        return [float(number) for number in range(len(adopted))]
    predicted = scorer.predict([one.schedule for one in adopted])
    return [us * ratio for us, ratio in zip(predicted, _ratios([one.lead for one in adopted]), strict=True)]


def _are_predicted(adopted: Sequence[Adopted]) -> bool:
    return all(one.lead.predicted_us is not None for one in adopted)


def _ties_as_measured(promised: Sequence[float], adopted: Sequence[Adopted]) -> list[float]:
    """The promises, those of a relative's schedules that tie dealt out again: the least to what was fastest there."""
    dealt = list(promised)
    group: list[int] = []
    for number in sorted(range(len(adopted)), key=lambda n: (adopted[n].lead.structure, promised[n])):
        first = group[0] if group else number
        same = adopted[first].lead.structure == adopted[number].lead.structure
        if not same or promised[number] > TIE * promised[first]:
            group = []
        group.append(number)
        fastest = sorted(group, key=lambda n: (adopted[n].lead.latency_us, n))
        for one, promise in zip(fastest, sorted(promised[n] for n in group), strict=True):
            dealt[one] = promise
    return dealt


def _ratios(leads: Sequence[Lead]) -> list[float]:
    """Measured over predicted latency of each. A winner's was measured beside other leaders, and another time than that
    of the rest; whatever it was then, none of the rest is faster."""
    least: dict[str, float] = {}
    for lead in leads:
        least[lead.structure] = min(lead.latency_us, least.get(lead.structure, lead.latency_us))
    seen = set[str]()
    ratios = []
    for lead in leads:
        us = lead.latency_us if lead.structure in seen else least[lead.structure]
        seen.add(lead.structure)
        ratios.append(us / (lead.predicted_us or us))
    return ratios
