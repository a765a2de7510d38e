"""COLT's own strategies, as methods of :mod:`colt.run.loop`.

They differ only in what they measure. Space, scorer, workers, and the verifying and ranking of leaders are those of
every run.
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
"""A space counts as empty after this many samples in a row without a schedule."""

Source = Callable[[Run], Iterator[tuple[Schedule, str]]]


def warm_tree(first: int) -> Method:
    """The tree, with the ``first`` constructed schedules as openings; the usual openings if that is 0."""
    if not first:
        return TREE
    return Method(lambda session: islice(constructed(session), first), TREE.ask, f"tree, {first} constructed first")


def without_tree(source: Source) -> Method:
    """Measures the schedules of a source in its order and learns nothing from the results. Usable for one run."""
    stream: Iterator[tuple[Schedule, str]] | None = None

    def ask(session: Run, count: int) -> list[Trial]:
        nonlocal stream
        with session.watch("proposing"):
            stream = stream or source(session)
            fresh = list(islice(stream, count))
        trials: list[Trial] = []
        for opening in fresh:  # one by one: given several, the search would choose the order
            session.search.open([opening])
            trials += session.search.trials.pick(1)
        return trials

    return Method(lambda session: (), ask, "list")


def sampled(first: int) -> Source:
    """The ``first`` constructed schedules, then random ones: any sketch, any legal values."""
    return lambda session: chain(islice(constructed(session), first), _sampled(session))


def constructed(session: Run) -> Iterator[tuple[Schedule, str]]:
    """The architect's best schedules, best first: as many as the run has trials, or all that the architect finds."""
    for schedule in construct(session.space, session.scorer, session.plan.budget.trials, session.plan.seed):
        yield schedule, ARCHITECT


def construct(space: Space, scorer: Scorer, count: int, seed: int) -> list[Schedule]:
    """Up to ``count`` schedules that the architect constructs, best first. A smaller count gives the first of them."""
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
