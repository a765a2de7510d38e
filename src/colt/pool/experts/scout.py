"""The scout: one random legal edit."""

from __future__ import annotations

import random

from colt.pool.experts.routing import next_model
from colt.search.types import ModelSpec, Observation, Proposal, Space


class Scout:
    """The smallest expert: explores without an opinion."""

    def __init__(self, space: Space, spec: ModelSpec) -> None:
        self.spec = spec
        self._space = space

    def propose(self, observation: Observation) -> Proposal:
        """As many random transformations as are wanted."""
        rng = random.Random(observation.seed)
        schedule = observation.node.schedule
        transformations = tuple(
            self._space.random_transformation(schedule, rng) for _ in range(observation.proposals_wanted)
        )
        return Proposal(transformations, next_model(observation, rng), "a random legal edit")
