"""Random schedules: any sketch, any legal values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, islice

from colt.errors import IllegalEdit, Rejected
from colt.proposers.openings import BY_CHANCE
from colt.strategies.architect import constructed
from colt.strategies.base import Ground, Listed, Opening, StrategyMaker

MISSES = 1000
"""Samples in a row without a schedule after which a space counts as empty."""


def sampled(ground: Ground) -> Iterator[Opening]:
    """Random schedules without end, unless the space is empty."""
    rng = random.Random(ground.seed)
    misses = 0
    while misses < MISSES:
        try:
            yield ground.space.sample(rng), BY_CHANCE
            misses = 0
        except (IllegalEdit, Rejected):
            misses += 1


def random_search(constructed_first: int = 0) -> StrategyMaker:
    """Random schedules after so many constructed ones."""

    def source(ground: Ground) -> Iterator[Opening]:
        return chain(islice(constructed(ground), constructed_first), sampled(ground))

    return StrategyMaker("list", lambda ground: Listed(ground, source))
