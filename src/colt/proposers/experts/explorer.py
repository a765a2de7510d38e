"""The explorer: finds structures that are worth trials, on a schedule of the search's own.

It makes all that is suggested for the fastest schedule, and for the untuned program what sketches can be made of once
operands are packed there, and keeps what is predicted to be about as fast. What only adds moves to the fastest schedule
keeps its knobs: one trial beside that of the schedule itself tells what the moves are worth. What has other knobs is
opened with several schedules that a descent of the model finds, since its first knobs say little of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule, Transformation
from colt.moves import ApplySketch, Move, show_moves
from colt.proposers.experts.architect import Architect
from colt.proposers.experts.neighbourhood import path
from colt.search.openings import most_diverse
from colt.search.structures import Structure, structure_of
from colt.search.types import MovingSpace, Scorer

BEARABLE = 1.1
"""A structure is worth a trial if it is predicted to take at most so many times as long as the fastest schedule: the
model does not know what some changes are good for, such as prefetches, and exaggerates what code size costs."""
DESPERATE = 1.25
"""The same once the run has stalled."""
MOST = 24
"""Structures that are opened at a time, the best predicted."""
OPENED = 4
"""Schedules of one that has other knobs than the fastest schedule."""
DESCENT = 200
"""Predictions for these."""


@dataclass(frozen=True, slots=True)
class Explorer:
    """Looks for structures with an architect's means, which must not propose any itself.

    ``seed``: a structure is opened with the same schedules whenever it is looked at. Up to the fourteenth edition
    (``None``) others were drawn each time.
    """

    space: MovingSpace
    scorer: Scorer
    architect: Architect
    seed: int | None = 0

    def changes(self, fastest: Schedule, stalled: bool, rng: random.Random) -> list[Transformation]:
        """What to do with the fastest schedule, or with the untuned program where it begins with a jump, those of the
        best predicted structure first.

        ``stalled``: the run has found nothing faster for long.
        """
        (fastest_us,) = self.scorer.predict([fastest])
        bound_us = fastest_us * (DESPERATE if stalled else BEARABLE)
        found: dict[Structure, tuple[float, list[Transformation]]] = {}
        for base, moves in self._suggested(fastest):
            drawn = rng if self.seed is None else random.Random(f"{self.seed}/{base.sketch}/{show_moves(moves)}")
            with suppress(IllegalEdit, Rejected):
                made = self.space.apply(base, moves, drawn).schedule
                if structure_of(made) not in found:
                    found[structure_of(made)] = self._opened(base, moves, made, bound_us, drawn)
        best = sorted(found.values(), key=lambda one: one[0])
        return [steps for us, opened in best[:MOST] if us <= bound_us for steps in opened]

    def _suggested(self, fastest: Schedule) -> Iterator[tuple[Schedule, tuple[Move, ...]]]:
        """What is suggested, each with the schedule that it is made on."""
        untuned = self.space.untuned
        sketched = (moves for moves in self.space.suggested_moves(untuned) if isinstance(moves[-1], ApplySketch))
        yield from ((untuned, moves) for moves in sketched)
        yield from ((fastest, moves) for moves in self.space.suggested_moves(fastest))

    def _opened(
        self, base: Schedule, moves: tuple[Move, ...], made: Schedule, bound_us: float, rng: random.Random
    ) -> tuple[float, list[Transformation]]:
        """The least prediction of the structure, and how to make schedules of it; none if it is not worth a trial."""
        knobs = self.space.knobs(made)
        if [knob.name for knob in knobs] == [knob.name for knob in self.space.knobs(base)] and base.values:
            return self.scorer.predict([made])[0], [moves]
        ranked = self.architect.descend([self.architect.with_new_knobs(made, base, rng)], DESCENT)
        least_us = ranked[0][0]
        chosen: Sequence[Schedule] = ()
        if least_us <= bound_us:
            chosen = most_diverse([schedule for _, schedule in ranked[:64]], OPENED)
        return least_us, [path(base, schedule, knobs) for schedule in chosen]
