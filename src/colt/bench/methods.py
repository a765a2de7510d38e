"""What the strategies that are COLT's own measure, as methods of :mod:`colt.run.loop`.

They differ in nothing else: space, scorer, workers, verifying and ranking the leaders are those of every run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import chain, islice

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.proposers.experts import builtin
from colt.proposers.experts.architect import Architect
from colt.proposers.openings import BY_CHANCE
from colt.run.context import Run
from colt.run.loop import TREE, Method
from colt.search.types import Scorer, Space, Trial

ARCHITECT = "architect"
_MISSES = 1000
"""Samples in a row that may give no schedule, before a space counts as empty."""

Source = Callable[[Run], Iterator[tuple[Schedule, str]]]


def warm_tree(first: int) -> Method:
    """The tree; its openings are so many constructed schedules, or what they are in every run if that is 0."""
    if not first:
        return TREE
    return Method(lambda session: islice(constructed(session), first), TREE.ask, f"tree, {first} constructed first")


def without_tree(source: Source) -> Method:
    """The schedules of a source, measured in its order: nothing is learnt from what was measured. For one run."""
    stream: Iterator[tuple[Schedule, str]] | None = None

    def ask(session: Run, count: int) -> list[Trial]:
        nonlocal stream
        with session.watch("proposing"):
            stream = stream or source(session)
            fresh = list(islice(stream, count))
        trials: list[Trial] = []
        for opening in fresh:  # one by one: of several the search would choose the order
            session.search.open([opening])
            trials += session.search.trials.pick(1)
        return trials

    return Method(lambda session: (), ask, "list")


def sampled(first: int) -> Source:
    """Constructed schedules, ``first`` of them, and then random ones: any sketch, any legal values."""
    return lambda session: chain(islice(constructed(session), first), _sampled(session))


def constructed(session: Run) -> Iterator[tuple[Schedule, str]]:
    """The best that the architect constructs, best first: as many as the run has trials, if it finds so many."""
    for schedule in construct(session.space, session.scorer, session.plan.budget.trials, session.plan.seed):
        yield schedule, ARCHITECT


def construct(space: Space, scorer: Scorer, count: int, seed: int) -> list[Schedule]:
    """Up to ``count`` schedules that the architect constructs, best first; fewer are the first of more."""
    (spec,) = builtin.specs((ARCHITECT,))
    return Architect(space, scorer, spec).construct(count, random.Random(seed))


def _sampled(session: Run) -> Iterator[tuple[Schedule, str]]:
    rng = random.Random(session.plan.seed)
    misses = 0
    while misses < _MISSES:
        try:
            yield session.space.sample(rng), BY_CHANCE
            misses = 0
        except (IllegalEdit, Rejected):
            misses += 1
