"""The scout: one random legal edit."""

from __future__ import annotations

import random

from colt.proposers.experts.routing import next_member
from colt.search.types import MemberSpec, Observation, Proposal, Space


class Scout:
    """The smallest expert: explores without an opinion."""

    def __init__(self, space: Space, spec: MemberSpec) -> None:
        self.spec = spec
        self._space = space

    def propose(self, observation: Observation) -> Proposal:
        """As many random transformations as are wanted, fewer where chance repeats itself."""
        rng = random.Random(observation.seed)
        schedule = observation.node.schedule
        drawn = [self._space.random_transformation(schedule, rng) for _ in range(observation.proposals_wanted)]
        return Proposal(tuple(dict.fromkeys(drawn)), next_member(observation, rng), "a random legal edit")
