"""The tuner: ranks some tens of neighbours by the scorer."""

from __future__ import annotations

import random

from colt.knobs import Schedule
from colt.proposers.experts.neighbourhood import mixed, neighbours, path
from colt.proposers.experts.routing import next_member
from colt.search.types import MemberSpec, Observation, Proposal, ProposalError, Scorer, Space

CANDIDATES = 48
"""How many neighbours are considered."""
SECOND_STEPS = 12
"""How many of them are two edits away: small steps in two knobs often pay only together."""


class Tuner:
    """The middle expert: local search, mixed with the best schedules so far."""

    def __init__(self, space: Space, scorer: Scorer, spec: MemberSpec) -> None:
        self.spec = spec
        self._space = space
        self._scorer = scorer

    def propose(self, observation: Observation) -> Proposal:
        """The candidates with the best predictions. Raises :class:`ProposalError` if every neighbour is known."""
        rng = random.Random(observation.seed)
        here = observation.node.schedule
        if not observation.knobs:
            transformation = self._space.random_transformation(here, rng)
            return Proposal((transformation,), next_member(observation, rng), "a sketch to begin with")
        candidates = self._candidates(observation, rng)
        if not candidates:
            raise ProposalError("every neighbour was tried")
        predicted = self._scorer.predict(candidates)
        order = sorted(range(len(candidates)), key=lambda n: (predicted[n], n))
        chosen = [candidates[n] for n in order[: observation.proposals_wanted]]
        transformations = tuple(path(here, schedule, observation.knobs) for schedule in chosen)
        return Proposal(transformations, next_member(observation, rng), "the best predicted neighbour")

    def _candidates(self, observation: Observation, rng: random.Random) -> list[Schedule]:
        here = observation.node.schedule
        near = [s for s in neighbours(here, observation.knobs) if s not in observation.known]
        rng.shuffle(near)
        near = near[: CANDIDATES - SECOND_STEPS]
        for _ in range(SECOND_STEPS if near else 0):
            steps = list(neighbours(rng.choice(near), observation.knobs))
            if steps:
                near.append(rng.choice(steps))
        for view in observation.best:
            if (view.schedule.variant, view.schedule.sketch) == (here.variant, here.sketch):
                near.append(mixed(here, view.schedule, rng))
        return [schedule for schedule in dict.fromkeys(near) if schedule not in observation.known]
