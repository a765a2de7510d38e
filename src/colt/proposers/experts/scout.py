"""The scout: random legal edits, and now and then random moves."""

from __future__ import annotations

import random

from colt.knobs import Schedule, Transformation
from colt.proposers.experts.routing import next_member
from colt.search.types import MemberSpec, MovingSpace, Observation, Proposal, Space

MOVING = 0.2
"""How often it moves, where it may."""
MOST_MOVES = 3


class Scout:
    """The smallest expert: it explores at random."""

    def __init__(self, space: Space, spec: MemberSpec, moving: MovingSpace | None = None) -> None:
        """``moving``: the same space, if the scout may change structures."""
        self.spec = spec
        self._moving = moving
        self._space = space

    def propose(self, observation: Observation) -> Proposal:
        """As many random transformations as are wanted; fewer if some are drawn twice."""
        rng = random.Random(observation.seed)
        schedule = observation.node.schedule
        drawn = [self._draw(schedule, rng) for _ in range(observation.proposals_wanted)]
        return Proposal(tuple(dict.fromkeys(drawn)), next_member(observation, rng), "a random legal edit")

    def _draw(self, schedule: Schedule, rng: random.Random) -> Transformation:
        if self._moving is not None and rng.random() < MOVING:
            moves = self._moving.random_moves(schedule, rng, rng.randint(1, MOST_MOVES))
            if moves:
                return moves
        return self._space.random_transformation(schedule, rng)
