"""Observe: what the acting model is shown (design, section 3, step 2)."""

from __future__ import annotations

from itertools import islice

from colt.search.pool import Pool
from colt.search.tree import Node, Tree
from colt.search.trials import Trials
from colt.search.types import FailedProposal, MemberSpec, Observation, Progress, Space, Ticket


class Observer:
    """Gathers observations from the search's state; changes nothing."""

    def __init__(
        self,
        space: Space,
        tree: Tree,
        pool: Pool,
        trials: Trials,
        trials_total: int | None,
    ) -> None:
        self._space = space
        self._tree = tree
        self._pool = pool
        self._trials = trials
        self._trials_total = trials_total

    def observe(self, ticket: Ticket, contested: Node | None, iterations: int, seed: int) -> Observation:
        """The observation for a ticket; ``contested`` is the child that a course alteration is to better."""
        node = self._tree.nodes[ticket.node]
        ancestors = tuple(step.view() for step in islice(node.path(), 1, 3))
        return Observation(
            acting=self._pool.specs.get(ticket.acting) or MemberSpec(ticket.acting, 1.0, nominal=True),
            node=node.view(),
            ancestors=ancestors,
            knobs=self._space.knobs(node.facts.schedule),
            tried=tuple(child.view() for child in node.tried),
            best=tuple(leader.view() for leader in self._trials.leaders),
            models=tuple(record.view() for record in self._pool.records.values()),
            progress=Progress(self._trials.told, self._trials_total, iterations),
            proposals_wanted=ticket.places,
            seed=seed,
            known=self._tree.facts.keys(),
            failed=None if contested is None else FailedProposal(contested.by, contested.view()),
        )
