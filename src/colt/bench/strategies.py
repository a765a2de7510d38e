"""Which strategies there are, and how each searches.

All share builder, runner, threads and budget. The leaders of all are verified and timed in turn with each other, so
that no strategy profits from the luck of a ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from colt.bench.config import StrategyName
from colt.bench.ours import of_ours
from colt.bench.stock import stock
from colt.bench.task import CellTask, Search
from colt.proposers.experts import builtin
from colt.strategies.architect import ARCHITECT
from colt.strategies.random import random_search
from colt.strategies.tree import warm_tree


def _tree(task: CellTask) -> Mapping[str, Any]:
    """The defaults, with as many openings as all strategies begin with, if they share any."""
    return {"root_width": task.config.warm_start} if task.config.warm_start else {}


def _list(task: CellTask) -> Mapping[str, Any]:
    """Nothing is concluded from values of nodes."""
    return {"rollouts": 0, "cost_model": "off"}


SEARCHES: dict[StrategyName, Search] = {
    StrategyName.STOCK: stock,
    StrategyName.RANDOM: of_ours(("scout",), lambda task: random_search(task.config.warm_start), _list),
    StrategyName.MCTS: of_ours(("scout",), lambda task: warm_tree(task.config.warm_start), _tree),
    StrategyName.ARCHITECT: of_ours(("architect",), lambda task: ARCHITECT, _list),
    StrategyName.COLT: of_ours(builtin.DEFAULT, lambda task: warm_tree(task.config.warm_start), _tree),
}
