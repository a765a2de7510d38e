"""Which schedules of relatives are measured, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colt.knobs import Schedule
from colt.search.types import Scorer
from colt.world.answers import Lead

MOST_RELATIVES, MOST_OF_ONE = 6, 3
"""So many schedules of relatives are measured, of one program at most the latter: a bad one costs no more than that."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What is known of a program or of a relative, as a schedule of this one's space."""

    lead: Lead
    schedule: Schedule


def most_promising(adopted: Sequence[Adopted], scorer: Scorer) -> list[Adopted]:
    """What is measured, the most promising first: everything of the program itself, and a few schedules of relatives,
    of the nearest before others. ``adopted`` has the nearest first, and of each the winner.

    What the analytical model gets wrong of a schedule, it gets wrong of a relative's, too. So a schedule promises what
    is predicted of it here, times what was measured of it there over what was predicted there. Where a prediction is
    missing, as in records of older versions, the order is that of ``adopted``.
    """
    if any(one.lead.known or not one.lead.structure for one in adopted):  # the latter in older recordings
        return list(adopted)
    promised = _promised(adopted, scorer)
    by_relative: dict[str, dict[Schedule, int]] = {}
    for number in sorted(range(len(adopted)), key=promised.__getitem__):
        mine = by_relative.setdefault(adopted[number].lead.structure, {})
        if len(mine) < MOST_OF_ONE:
            mine.setdefault(adopted[number].schedule, number)
    nearest = dict.fromkeys(one.lead.structure for one in adopted)
    chosen = {adopted[n].schedule: n for name in nearest for n in by_relative.get(name, {}).values()}
    return [adopted[number] for number in sorted(list(chosen.values())[:MOST_RELATIVES], key=promised.__getitem__)]


def _promised(adopted: Sequence[Adopted], scorer: Scorer) -> list[float]:
    """What each promises, to be compared with each other."""
    if any(one.lead.predicted_us is None for one in adopted):
        return [float(number) for number in range(len(adopted))]
    predicted = scorer.predict([one.schedule for one in adopted])
    return [us * ratio for us, ratio in zip(predicted, _ratios([one.lead for one in adopted]), strict=True)]


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
