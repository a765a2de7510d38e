"""The main job: tune a program, on one screen.

plan       check everything that the user asked for                                  planning.py
openings   the root's children: constructed and sampled schedules
ask        the paper's loop over the shared tree gives a batch of schedules          search/search.py
           while language models are thinking, with what built-in experts propose    asking.py
measure    a worker builds and times them; crashes and hangs cost one trial each     tvm/measure/
check      what would lead is compared with the untuned program first               leaders.py
tell       the tree is valued by what came back
finish     leaders verified, timed in turn with the untuned program, exported        finish.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from colt import events
from colt.events import Emit
from colt.knobs import Schedule
from colt.plan import Plan
from colt.run.context import Run
from colt.run.finish import Result, finish
from colt.run.verify import check_leader, roofline_reached
from colt.search.types import Trial
from colt.world.world import Live, World

STALLED = 20
"""Batches in a row without a new schedule after which the space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a run decides what to measure: everything else is the same for every method."""

    openings: Callable[[Run], Iterable[tuple[Schedule, str]]]
    """What the root's children are chosen from, each with who made it."""
    ask: Callable[[Run, int], list[Trial]]
    """Up to so many distinct schedules to measure next; none if nothing new is found."""
    name: str
    """For the run's config."""


TREE = Method(Run.openings, Run.ask, "tree")
"""The paper's search over the shared tree."""


def run(plan: Plan, on_event: Sequence[Emit] = (), method: Method = TREE, outside: World | None = None) -> Result:
    """Carry a plan out. ``outside`` answers what the plan does not; live if left out. Raises as :func:`colt.tune`."""
    with Run(plan, on_event, outside or Live()) as session:
        baseline_us = session.measure_baseline()
        session.claim_directory(method.name)
        search = session.search
        search.open(method.openings(session), baseline_us)
        session.emit(events.Began("searching"))
        stalled = 0
        while (stop := _stop_reason(session, stalled)) is None:
            session.learn()
            left = plan.budget.trials - search.trials.charged
            with session.watch("searching"):
                batch = method.ask(session, min(plan.config.batch_size, left))
            stalled = 0 if batch else stalled + 1
            results = list(session.measure(batch))
            with session.watch("verifying"):
                check_leader(session, results)
            with session.watch("searching"):
                search.tell(results)
        session.explain_nothing()
        return finish(session, baseline_us, stop)


def _stop_reason(session: Run, stalled: int) -> str | None:
    if roofline_reached(session):
        return "roofline"
    if session.search.trials.charged >= session.plan.budget.trials:
        return "trials"
    if session.search.closed or stalled >= STALLED:
        return "exhausted"
    return session.stop_requested()
