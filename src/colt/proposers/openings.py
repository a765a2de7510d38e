"""Openings: the schedules that the root's children are chosen from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.options import SearchConfig
from colt.proposers.experts.architect import Architect
from colt.search.types import Proposer, Space

BY_CHANCE = "sampled"
"""The proposer that random schedules are credited to."""


def openings(
    space: Space, proposers: Sequence[Proposer], config: SearchConfig, rng: random.Random
) -> Iterator[tuple[Schedule, str]]:
    """Constructed and sampled schedules of all sketches, realised, each with the name of its proposer."""
    for proposer in proposers:
        if isinstance(proposer, Architect):
            for schedule in proposer.construct(config.constructed, rng, config.near_sketches):
                yield schedule, proposer.spec.name
    for _ in range(config.sampled):
        try:
            yield space.sample(rng), BY_CHANCE
        except (IllegalEdit, Rejected):
            continue
