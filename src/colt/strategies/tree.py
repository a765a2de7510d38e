"""The paper's search over the shared tree."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import islice

from colt.proposers.openings import openings
from colt.search.types import Trial
from colt.strategies.architect import constructed
from colt.strategies.base import Ground, Opening, StrategyMaker


class TreeStrategy:
    """Asks the members of the pool about nodes of the tree and measures the most promising schedules.

    ``constructed_first``: the openings are so many schedules that the architect constructs, instead of constructed and
    sampled ones.
    """

    def __init__(self, ground: Ground, constructed_first: int = 0) -> None:
        self._ground = ground
        self._constructed_first = constructed_first
        self.settle = ground.dispatcher.settle
        self.send = ground.dispatcher.send
        self.wait = ground.dispatcher.wait

    @property
    def under_way(self) -> bool:
        """See :class:`~colt.strategies.base.Strategy`."""
        return self._ground.dispatcher.under_way

    def openings(self) -> Iterable[Opening]:
        """See :class:`~colt.strategies.base.Strategy`."""
        ground = self._ground
        if self._constructed_first:
            return islice(constructed(ground), self._constructed_first)
        with ground.watch("proposing"):
            return list(openings(ground.space, ground.experts, ground.search.config, random.Random(ground.seed)))

    def pick(self, count: int) -> list[Trial]:
        """Every other trial is a language model's, if there are any. Fewer trials at a time while answers are under
        way: they are welcome sooner."""
        return self._ground.dispatcher.pick(count)


TREE = StrategyMaker("tree", TreeStrategy)


def warm_tree(constructed_first: int) -> StrategyMaker:
    """The tree, with so many constructed openings; :data:`TREE` itself for 0."""
    if not constructed_first:
        return TREE
    name = f"tree, {constructed_first} constructed first"
    return StrategyMaker(name, lambda ground: TreeStrategy(ground, constructed_first))
