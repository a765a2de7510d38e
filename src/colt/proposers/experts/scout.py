"""The scout: random legal edits and, where tuning has stalled, random moves that are predicted to do no harm."""

from __future__ import annotations

import random
from contextlib import suppress

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule, Transformation
from colt.proposers.experts.routing import next_member
from colt.search.types import MemberSpec, MovingSpace, Observation, Proposal, Scorer, Space

MOVING = 0.05
"""How often it moves, where it may: of what it draws hardly anything is of use."""
MOST_MOVES = 3


class Scout:
    """The smallest expert: it explores at random."""

    def __init__(self, space: Space, scorer: Scorer, spec: MemberSpec, moving: MovingSpace | None = None) -> None:
        """``moving``: the same space, if the scout may change structures."""
        self.spec = spec
        self._moving = moving
        self._space = space
        self._scorer = scorer

    def propose(self, observation: Observation) -> Proposal:
        """As many random transformations as are wanted; fewer if some are drawn twice."""
        rng = random.Random(observation.seed)
        schedule = observation.node.schedule
        drawn = [self._draw(observation, schedule, rng) for _ in range(observation.proposals_wanted)]
        return Proposal(tuple(dict.fromkeys(drawn)), next_member(observation, rng), "a random legal edit")

    def _draw(self, observation: Observation, schedule: Schedule, rng: random.Random) -> Transformation:
        if self._moving is not None and observation.stalled and rng.random() < MOVING:
            moves = self._moving.random_moves(schedule, rng, rng.randint(1, MOST_MOVES))
            if moves and self._is_harmless(schedule, moves, rng):
                return moves
        return self._space.random_transformation(schedule, rng)

    def _is_harmless(self, schedule: Schedule, moves: Transformation, rng: random.Random) -> bool:
        """Whether what the moves make is predicted to be no slower."""
        with suppress(IllegalEdit, Rejected):
            before, after = self._scorer.predict([schedule, self._space.apply(schedule, moves, rng).schedule])
            return after <= before
        return False
