"""A space and a scorer that time their work."""

from __future__ import annotations

import random
from collections.abc import Sequence

from colt.knobs import Knob, Schedule, Sketch, Transformation
from colt.moves import Move
from colt.search.types import AppliedSchedule, MovingSpace, Scorer, Space
from colt.util.clock import Stopwatch


class TimedSpace:
    """A space whose work is counted as ``realising``."""

    def __init__(self, space: Space, watch: Stopwatch) -> None:
        self._space = space
        self._watch = watch
        self.sketches: Sequence[Sketch] = space.sketches
        self.untuned = space.untuned

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        """See :class:`~colt.search.types.Space`, for the methods below too."""
        with self._watch("realising"):
            return self._space.knobs(schedule)

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        with self._watch("realising"):
            return self._space.sample(rng, sketch)

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        with self._watch("realising"):
            return self._space.apply(schedule, transformation, rng)

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        with self._watch("realising"):
            return self._space.realise(schedule)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return self._space.perturb(schedule, rng)

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        with self._watch("realising"):
            return self._space.random_transformation(schedule, rng)


class TimedMovingSpace(TimedSpace):
    """The same of a space whose structures can be changed."""

    def __init__(self, space: MovingSpace, watch: Stopwatch) -> None:
        super().__init__(space, watch)
        self._moving = space

    def random_moves(self, schedule: Schedule, rng: random.Random, count: int) -> tuple[Move, ...]:
        """See :class:`~colt.search.types.MovingSpace`."""
        with self._watch("realising"):
            return self._moving.random_moves(schedule, rng, count)

    def suggested_moves(self, schedule: Schedule) -> Sequence[tuple[Move, ...]]:
        """See :class:`~colt.search.types.MovingSpace`."""
        with self._watch("realising"):
            return self._moving.suggested_moves(schedule)


class TimedScorer:
    """A scorer whose work is counted as ``scoring``."""

    def __init__(self, scorer: Scorer, watch: Stopwatch) -> None:
        self._scorer = scorer
        self._watch = watch

    @property
    def version(self) -> str:
        return self._scorer.version

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        with self._watch("scoring"):
            return self._scorer.predict(schedules)
