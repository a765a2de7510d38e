"""A task's dear works, done once: what is known of them from before the run broke off is looked up instead.

worked          the space and the scorer for what one ticket's answer brings: all of it is known, or nothing
WorkedScorer    a scorer whose predictions are known by the order of asking
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Knob, Schedule, Sketch, Transformation
from colt.moves import Move, read_move, show_move
from colt.search.types import AppliedSchedule, Scorer, Space
from colt.store.workings import AnyResult, Carried, Chosen, Predicted, Refused, Workings


@contextmanager
def worked(workings: Workings, of: str, space: Space, scorer: Scorer) -> Iterator[tuple[Space, Scorer]]:
    """The space and the scorer to do a work with. Raises :class:`~colt.errors.ReplayError` if it goes otherwise than is
    known of it."""
    known = workings.known(of)
    if known is not None:
        memory = _Known(workings, of, space, scorer.version, known)
        yield memory, memory
        memory.require_end()
        return
    notes = _Noted(space, scorer)
    yield notes, notes
    workings.keep(of, notes.done)


def chosen(steps: Transformation) -> Chosen:
    """A transformation as it is kept."""
    jumps = [(step.variant, step.sketch) for step in steps if isinstance(step, Jump)]
    edits = tuple((step.knob, step.value) for step in steps if isinstance(step, Edit))
    moves = tuple(show_move(step) for step in steps if isinstance(step, Move))
    return Chosen(edits, jumps[0] if jumps else None, moves)


def steps_of(kept: Chosen) -> Transformation:
    """The transformation that was kept."""
    jumps = () if kept.jump is None else (Jump(*kept.jump),)
    return (*jumps, *map(read_move, kept.moves), *(Edit(knob, value) for knob, value in kept.edits))


class WorkedScorer:
    """Predictions, numbered as they are asked for."""

    def __init__(self, scorer: Scorer, workings: Workings, name: str) -> None:
        self._scorer = scorer
        self._workings = workings
        self._name = name
        self._asked = 0

    @property
    def version(self) -> str:
        """See :class:`~colt.search.types.Scorer`, for the method below too."""
        return self._scorer.version

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        self._asked += 1
        of = f"{self._name}.{self._asked}"
        found = self._workings.once(of, Predicted, lambda: Predicted(tuple(self._scorer.predict(schedules))))
        if len(found.latencies) != len(schedules):
            raise self._workings.wrong(of)
        return list(found.latencies)


class _Noted:
    """A space and a scorer that note what they give."""

    def __init__(self, space: Space, scorer: Scorer) -> None:
        self.done: list[AnyResult] = []
        self._space = space
        self._scorer = scorer
        self.sketches: Sequence[Sketch] = space.sketches
        self.untuned = space.untuned

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        return self._space.knobs(schedule)

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        return self._space.sample(rng, sketch)

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        return self._space.realise(schedule)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return self._space.perturb(schedule, rng)

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        try:
            applied = self._space.apply(schedule, transformation, rng)
        except (IllegalEdit, Rejected) as error:
            self.done.append(Refused("illegal" if isinstance(error, IllegalEdit) else "rejected", str(error)))
            raise
        made = applied.schedule
        self.done.append(Carried(made.variant, made.sketch, made.values, applied.notes, applied.structure))
        return applied

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        found = self._space.random_transformation(schedule, rng)
        self.done.append(chosen(found))
        return found

    @property
    def version(self) -> str:
        return self._scorer.version

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        latencies = self._scorer.predict(schedules)
        self.done.append(Predicted(tuple(latencies)))
        return latencies


class _Known:
    """A space and a scorer that give what is known, in the order in which it was given.

    What would be rolled out is not needed: the predictions are known.
    """

    def __init__(self, workings: Workings, of: str, space: Space, version: str, known: tuple[AnyResult, ...]) -> None:
        self.version = version
        self.sketches: Sequence[Sketch] = space.sketches
        self.untuned = space.untuned
        self.knobs, self.sample, self.realise = space.knobs, space.sample, space.realise
        self._workings = workings
        self._of = of
        self._left = iter(known)

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return schedule

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        found = next(self._left, None)
        if isinstance(found, Carried):
            return AppliedSchedule(Schedule(found.variant, found.sketch, found.values), found.notes, found.structure)
        if isinstance(found, Refused):
            raise IllegalEdit(found.why) if found.how == "illegal" else Rejected(found.why)
        raise self._workings.wrong(self._of)

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        found = next(self._left, None)
        if not isinstance(found, Chosen):
            raise self._workings.wrong(self._of)
        return steps_of(found)

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        found = next(self._left, None)
        if not isinstance(found, Predicted) or len(found.latencies) != len(schedules):
            raise self._workings.wrong(self._of)
        return list(found.latencies)

    def require_end(self) -> None:
        if next(self._left, None) is not None:
            raise self._workings.wrong(self._of)
