"""Which openings the root gets: the best by the scorer that differ enough from each other."""

from __future__ import annotations

from collections.abc import Sequence

from colt.knobs import Schedule

DIFFERENT = 2
"""Knobs in which two openings of one sketch must differ."""


def most_diverse(ranked: Sequence[Schedule], width: int) -> list[Schedule]:
    """Up to ``width`` schedules of ``ranked`` (best first), near-copies of better ones last, in their order."""
    chosen: list[Schedule] = []
    copies: list[Schedule] = []
    for schedule in ranked:
        near = any(distance(schedule, other) < DIFFERENT for other in chosen)
        (copies if near else chosen).append(schedule)
        if len(chosen) == width:
            break
    return (chosen + copies)[:width]


def distance(first: Schedule, second: Schedule) -> int:
    """Knobs in which two schedules differ; schedules of different sketches are far apart."""
    if (first.variant, first.sketch) != (second.variant, second.sketch):
        return len(first.values) + len(second.values)
    return sum(a != b for a, b in zip(first.values, second.values, strict=True))
