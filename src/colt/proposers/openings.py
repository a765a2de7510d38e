"""Openings: the schedules that the root's children are chosen from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.proposers.experts.architect import Architect
from colt.search.types import Proposer, Space

SAMPLED = 48
"""How many random schedules are drawn, over all sketches."""
CONSTRUCTED = 12
"""How many schedules the architect constructs, if it is in the pool."""
BY_CHANCE = "sampled"
"""The proposer that random schedules are credited to."""


def openings(space: Space, proposers: Sequence[Proposer], rng: random.Random) -> Iterator[tuple[Schedule, str]]:
    """Constructed and sampled schedules of all sketches, realised, each with the name of its proposer."""
    for proposer in proposers:
        if isinstance(proposer, Architect):
            for schedule in proposer.construct(CONSTRUCTED, rng):
                yield schedule, proposer.spec.name
    for _ in range(SAMPLED):
        try:
            yield space.sample(rng), BY_CHANCE
        except (IllegalEdit, Rejected):
            continue
