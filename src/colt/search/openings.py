"""Which openings the root gets: good by the scorer, and different in what matters most."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from colt.knobs import Schedule


def most_diverse(ranked: Sequence[Schedule], width: int) -> list[Schedule]:
    """Up to ``width`` schedules of ``ranked`` (best first): the best of each kind, then the second best, and so on.

    A scorer that is a little wrong is wrong about a whole kind at once, so that the best few schedules by it say
    little more than the best one.
    """
    rounds: dict[Hashable, int] = {}
    order = []
    for place, schedule in enumerate(ranked):
        kind = kind_of(schedule)
        rounds[kind] = rounds.get(kind, 0) + 1
        order.append((rounds[kind], place))
    return [ranked[place] for _, place in sorted(order)[:width]]


def kind_of(schedule: Schedule) -> Hashable:
    """Variant, and the innermost parts of the tiles of most levels, those of spatial loops: the register tile."""
    tiles = [value for value in schedule.values if isinstance(value, tuple)]
    levels = max((len(tile) for tile in tiles), default=0)
    return (schedule.variant, tuple(tile[-1] for tile in tiles if len(tile) == levels))
