"""The architect: constructs schedules of any sketch by descending the scorer over knob values, and changes structures
where tuning has stalled, or where another one is predicted to be faster by far.

It scores values by the hundreds, in a fraction of a second, and realises only the best in the space. Its effort is
counted in predictions, not in seconds, so that runs are reproducible.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Knob, Schedule, Sketch
from colt.proposers.experts.neighbourhood import neighbours, path, random_values, replaced
from colt.proposers.experts.routing import next_member
from colt.search.openings import most_diverse, of_near_sketches
from colt.search.structures import SURE
from colt.search.types import MemberSpec, MovingSpace, Observation, Proposal, ProposalError, Scorer, Space

OPENING_PREDICTIONS = 2000
"""Predictions for the openings, over all sketches."""
PROPOSAL_PREDICTIONS = 100
"""Predictions for one proposal."""
SAMPLES = 24
"""How many random schedules of a sketch show whether it is worth a descent."""
SKETCHES = 6
"""How many sketches are descended in."""
SKETCHES_SAMPLED = 8
"""How many sketches are sampled for each one descended in; a program may have hundreds."""
FIRST_SKETCHES = 8
"""How many of the first sketches are always sampled: a space lists the most promising first."""
MOVING, EARLY = 0.5, 0.25
"""How often it changes a structure, where it may; the latter before the run has stalled."""
MOVED = 3
"""How many structures are made for one proposal."""
BEARABLE = 1.1
"""A structure is worth a trial if it is predicted to take at most so many times as long as the fastest schedule: the
model does not know what some changes are good for, such as prefetches."""
BEAM = 6
"""How many schedules a descent continues from."""


class Architect:
    """The largest expert. It is deterministic for one seed and one version of the scorer."""

    def __init__(self, space: Space, scorer: Scorer, spec: MemberSpec, moving: MovingSpace | None = None) -> None:
        """``moving``: the same space, if the architect may change structures."""
        self.spec = spec
        self._moving = moving
        self._space = space
        self._scorer = scorer
        self._knobs: dict[tuple[str, str], tuple[Knob, ...]] = {}

    def propose(self, observation: Observation) -> Proposal:
        """The best schedules, new to the tree, that a descent from the node and the leaders finds.

        Raises :class:`ProposalError` if nothing new is found.
        """
        rng = random.Random(observation.seed)
        here = observation.node.schedule
        changed = self._changed(observation, rng)
        if changed:
            transformations = tuple(path(here, s, self._knobs_of(s)) for s in changed[: observation.proposals_wanted])
            return Proposal(transformations, next_member(observation, rng), "another structure of the fastest")
        starts = [view.schedule for view in (observation.node, *observation.best) if view.schedule.values]
        starts += self._promising_samples(rng, SAMPLES // 4, 1)
        ranked = [s for _, s in self.descend(starts, PROPOSAL_PREDICTIONS) if s not in observation.known]
        if not ranked:
            raise ProposalError("the descent found nothing new")
        chosen = most_diverse(ranked[:64], observation.proposals_wanted)
        transformations = tuple(path(here, s, self._knobs_of(s)) for s in chosen)
        return Proposal(transformations, next_member(observation, rng), "the best that the model of the machine finds")

    def _changed(self, observation: Observation, rng: random.Random) -> list[Schedule]:
        """Schedules of other structures than the fastest schedule's, new to the tree, the best predicted first.

        They keep its values, which measurements have chosen; new knobs get the best predicted of some values.
        """
        if self._moving is None or not observation.best:
            return []
        often, factor = (MOVING, BEARABLE) if observation.stalled else (EARLY, 1 / SURE)
        if rng.random() >= often:
            return []
        fastest = observation.best[0].schedule
        suggested = self._moving.suggested_moves(fastest)
        made: dict[Schedule, None] = {}
        for moves in rng.sample(suggested, min(MOVED, len(suggested))):
            with suppress(IllegalEdit, Rejected):
                made[self._space.apply(fastest, moves, rng).schedule] = None
        chosen = [self.with_new_knobs(schedule, fastest, rng) for schedule in made]
        bound, *predicted = self._scorer.predict([fastest, *chosen])
        order = sorted(range(len(chosen)), key=lambda number: (predicted[number], number))
        bearable = (chosen[number] for number in order if predicted[number] <= factor * bound)
        return [schedule for schedule in bearable if schedule not in observation.known]

    def with_new_knobs(self, schedule: Schedule, before: Schedule, rng: random.Random) -> Schedule:
        """The schedule with the best predicted of some values for those knobs that ``before`` has not."""
        known = {knob.name for knob in self._knobs_of(before)} if before.values else set()
        new = {number: knob for number, knob in enumerate(self._knobs_of(schedule)) if knob.name not in known}
        drawn = {schedule: None}
        for _ in range(SAMPLES if new else 0):
            other = schedule
            for number, knob in new.items():
                other = replaced(other, number, knob.sample(rng))
            drawn[other] = None
        predicted = self._scorer.predict([*drawn])
        return min(zip(predicted, range(len(drawn)), drawn, strict=True))[2]

    def construct(self, count: int, rng: random.Random, near: float = 1.0) -> list[Schedule]:
        """Up to ``count`` realised schedules for the openings, best first and diverse, the best of each sketch among
        them that is predicted within the factor ``near`` of the best of all."""
        starts = self._promising_samples(rng, SAMPLES, SKETCHES)
        ranked = self.descend(starts, OPENING_PREDICTIONS)
        made: dict[Schedule, None] = {}
        for schedule in of_near_sketches(ranked, 3 * count, near):
            try:
                made[self._space.realise(schedule).schedule] = None
            except (IllegalEdit, Rejected):
                continue
            if len(made) == count:
                break
        return list(made)

    def _promising_samples(self, rng: random.Random, samples: int, keep: int) -> list[Schedule]:
        """The best of ``samples`` random schedules of each of the ``keep`` most promising sketches."""
        sketches: Sequence[Sketch] = self._space.sketches
        numbers: Sequence[int] = range(len(sketches))
        if len(sketches) > SKETCHES_SAMPLED * keep:
            first = range(min(FIRST_SKETCHES, SKETCHES_SAMPLED * keep))
            others = rng.sample(range(len(first), len(sketches)), SKETCHES_SAMPLED * keep - len(first))
            numbers = [*first, *sorted(others)]
        best: list[tuple[float, int, Schedule]] = []
        for sketch in (sketches[number] for number in numbers):
            drawn = [random_values(sketch, rng) for _ in range(samples)]
            predicted = self._scorer.predict(drawn)
            number = min(range(len(drawn)), key=predicted.__getitem__)
            best.append((predicted[number], len(best), drawn[number]))
        return [schedule for _, _, schedule in sorted(best)[:keep]]

    def descend(self, starts: Iterable[Schedule], predictions: int) -> list[tuple[float, Schedule]]:
        """Beam search over single-knob neighbours from each start in turn. Returns all scored schedules and their
        predictions, best first."""
        scores: dict[Schedule, float] = {}
        starts = list(dict.fromkeys(starts))
        for number, start in enumerate(starts):
            limit = len(scores) + (predictions - len(scores)) // (len(starts) - number)
            self._beam(start, limit, scores)
        return [(scores[schedule], schedule) for schedule in sorted(scores, key=lambda schedule: scores[schedule])]

    def _beam(self, start: Schedule, limit: int, scores: dict[Schedule, float]) -> None:
        beam = [start]
        self._score(beam, scores)
        expanded: set[Schedule] = set()
        while len(scores) < limit:
            fresh = [schedule for schedule in beam if schedule not in expanded]
            if not fresh:
                return
            expanded.update(fresh)
            near = [n for schedule in fresh for n in neighbours(schedule, self._knobs_of(schedule))]
            near = [schedule for schedule in dict.fromkeys(near) if schedule not in scores]
            self._score(near[: limit - len(scores)], scores)
            pool = dict.fromkeys(s for s in (*beam, *near) if s in scores)
            beam = sorted(pool, key=lambda schedule: scores[schedule])[:BEAM]

    def _score(self, schedules: Sequence[Schedule], scores: dict[Schedule, float]) -> None:
        scores.update(zip(schedules, self._scorer.predict(schedules), strict=True))

    def _knobs_of(self, schedule: Schedule) -> tuple[Knob, ...]:
        """The knobs of the schedule's sketch, with the locations that were legal when it was first met."""
        key = (schedule.variant, schedule.sketch)
        if key not in self._knobs:
            self._knobs[key] = self._space.knobs(schedule)
        return self._knobs[key]
