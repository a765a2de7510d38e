"""What does not change during a search."""

from __future__ import annotations

from dataclasses import dataclass

from colt.events import Emit
from colt.options import SearchConfig
from colt.search.pool import Pool
from colt.search.types import Scorer, Space


@dataclass(frozen=True, slots=True)
class Setup:
    """Whom and what the steps of a search need beside the tree. Of the pool only the members' records change."""

    space: Space
    scorer: Scorer
    pool: Pool
    config: SearchConfig
    emit: Emit
    seed: int = 0
    trials_total: int | None = None
