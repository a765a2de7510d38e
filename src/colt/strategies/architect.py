"""The best schedules that the architect constructs, best first, without a tree."""

from __future__ import annotations

import random
from collections.abc import Iterator

from colt.knobs import Schedule
from colt.proposers.experts import builtin
from colt.proposers.experts.architect import Architect
from colt.search.types import Scorer, Space
from colt.strategies.base import Ground, Listed, Opening, StrategyMaker

NAME = "architect"


def constructed(ground: Ground) -> Iterator[Opening]:
    """As many constructed schedules as the run has trials, if the architect finds so many."""
    for schedule in construct(ground.space, ground.scorer, ground.trials_total, ground.seed):
        yield schedule, NAME


def construct(space: Space, scorer: Scorer, count: int, seed: int) -> list[Schedule]:
    """Up to ``count`` schedules, best first. The first of a longer list are a shorter one."""
    (spec,) = builtin.specs((NAME,))
    return Architect(space, scorer, spec).construct(count, random.Random(seed))


ARCHITECT = StrategyMaker("list", lambda ground: Listed(ground, constructed))
