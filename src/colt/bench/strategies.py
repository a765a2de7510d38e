"""The strategies, and how each searches.

All share builder, runner, threads and budget. The leaders of each search are verified and timed in turn, so that luck
in ranking favours no strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from colt.bench.config import StrategyName
from colt.bench.methods import constructed, sampled, warm_tree, without_tree
from colt.bench.ours import of_ours
from colt.bench.stock import stock
from colt.bench.task import CellTask, Search
from colt.proposers.experts import builtin


def _tree(task: CellTask) -> Mapping[str, Any]:
    """The defaults; with a warm start, as many openings as that has schedules."""
    return {"root_width": task.config.warm_start} if task.config.warm_start else {}


def _list(task: CellTask) -> Mapping[str, Any]:
    """No rollouts and no cost model: node values are not used."""
    return {"rollouts": 0, "cost_model": "off"}


SEARCHES: dict[StrategyName, Search] = {
    StrategyName.STOCK: stock,
    StrategyName.RANDOM: of_ours(("scout",), lambda task: without_tree(sampled(task.config.warm_start)), _list),
    StrategyName.MCTS: of_ours(("scout",), lambda task: warm_tree(task.config.warm_start), _tree),
    StrategyName.ARCHITECT: of_ours(("architect",), lambda task: without_tree(constructed), _list),
    StrategyName.COLT: of_ours(builtin.DEFAULT, lambda task: warm_tree(task.config.warm_start), _tree),
}
