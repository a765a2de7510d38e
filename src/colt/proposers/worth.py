"""Whether calls of language models are still worth their price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from colt.search.trials import Trials
from colt.util.text import in_us

WINDOW = 16
"""How many of the latest trials of models are compared with as many free ones."""
NEAR_ROOFLINE = 0.95
"""From this share of the roofline on, no gain is left that would be worth a call."""


@dataclass(frozen=True, slots=True)
class TimedTrial:
    """A trial with a latency in microseconds, ``inf`` if it failed; ``led`` if it was the fastest so far."""

    latency_us: float
    led: bool


def why_stop_paying(trials: Trials, models: Sequence[str], share: float | None) -> str | None:
    """Why no more calls are made, in words; ``None`` while they are worth it.

    ``models`` are those that cost money; ``share`` is the fastest schedule's share of the roofline. Models have lost
    their advantage when, of the latest :data:`WINDOW` trials of each side, the best free one is as fast as the models'
    best, and none of the models' was the fastest of the run when it was measured. A trial is theirs if they have a
    share in it: what experts reach in a model's structure keeps the calls paid.
    """
    if share is not None and NEAR_ROOFLINE <= share <= 1:  # more than all of it is a timing gone wrong
        return f"the fastest schedule reaches {share:.0%} of the roofline"
    paid: list[TimedTrial] = []
    free: list[TimedTrial] = []
    best_us = math.inf
    for result in trials.results:
        latency_us = math.inf if result.latency_us is None else result.latency_us
        side = paid if not trials.credited(result.trial).isdisjoint(models) else free
        side.append(TimedTrial(latency_us, latency_us < best_us))
        best_us = min(best_us, latency_us)
    if len(paid) < WINDOW or len(free) < WINDOW or any(one.led for one in paid[-WINDOW:]):
        return None
    best_paid, best_free = (min(one.latency_us for one in side[-WINDOW:]) for side in (paid, free))
    if best_paid < best_free:
        return None
    return (
        f"of the latest {WINDOW} schedules each, the free proposals' best takes {in_us(best_free)}, "
        f"the models' best {in_us(best_paid)}"
    )
