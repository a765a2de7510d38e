"""What does not change during a search."""

from __future__ import annotations

from collections.abc import Collection
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
    models: Collection[str] = ()
    """The members that are language models."""
    explores: bool = False
    """Whether structures are looked for on a schedule (:meth:`colt.search.search.Search.explore`)."""

    @property
    def structure_after(self) -> int:
        """Trials without a gain after which a structure has stalled; 0 if work is not dealt by that."""
        return self.config.structure_after if self.models else 0
