"""The fastest trials, each compared with the untuned program before anything is said of its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from colt.measure.base import Limits, Measurement
from colt.search.types import Trial

if TYPE_CHECKING:
    from colt.run.context import Run

Candidate = TypeVar("Candidate")

LEADERS = 5
"""How many correct schedules are timed in turn at the end."""
MOST_COMPARED = 15
"""So many of the fastest are compared at the end, whatever comes of it: a comparison builds, runs, and takes memory."""
VERIFY_LIMITS = Limits(build_seconds=60.0)
"""The untuned program may take longer to build than a candidate may."""


def is_correct(session: Run, trial: Trial) -> bool:
    """Whether the trial computes what the untuned program computes, on random inputs; compared once.

    One that does not is marked as wrong in the search. Raises :class:`MeasureError` if the untuned one does not run.
    """
    found = session.verifications.get(trial.id)
    if found is None:
        candidate = session.space.module(trial.schedule)
        found = session.measurer.verify(session.plan.program.module, candidate, session.plan.seed, VERIFY_LIMITS)
        session.verifications[trial.id] = found
        if not found.ok:
            session.mark_wrong(trial, found.message)
    return found.ok


def check_leader(session: Run, results: Sequence[Measurement]) -> None:
    """Compare whichever of these new results would lead, before anybody is told that it does."""
    ranked = session.search.trials.ranked()
    best_us = ranked[0][0] if ranked else math.inf
    timed = sorted((r.latency_us, r.trial) for r in results if r.latency_us is not None)
    for latency_us, trial in timed:
        if latency_us >= best_us or is_correct(session, session.search.trials.trial(trial)):
            return


def first_correct(
    ranked: Sequence[tuple[float, Candidate]], correct: Callable[[Candidate], bool]
) -> list[tuple[float, Candidate]]:
    """The first :data:`LEADERS` that are correct of what is ranked, fastest first.

    A wrong one leaves its place to the next in rank, as far as :data:`MOST_COMPARED`.
    """
    found: list[tuple[float, Candidate]] = []
    for latency_us, candidate in ranked[:MOST_COMPARED]:
        if correct(candidate):
            found.append((latency_us, candidate))
        if len(found) == LEADERS:
            break
    return found


def correct_leaders(session: Run) -> list[tuple[float, Trial]]:
    """Up to :data:`LEADERS` correct trials, fastest first, with their latencies in microseconds."""
    correct = first_correct(session.search.trials.ranked(), lambda trial: is_correct(session, trial))
    if session.verifications and not correct:
        compared = len(session.verifications)
        session.note(f"all {compared} schedules that were compared compute something else; the untuned program is kept")
    return correct


def roofline_reached(session: Run) -> bool:
    """Whether the fastest correct trial reaches the share of the roofline that the run is to stop at.

    A peak that turns out to be too low is raised before it can stop the run.
    """
    wanted = session.plan.budget.until_roofline
    if wanted is None:
        return False
    for latency_us, trial in session.search.trials.ranked():
        if (session.ceiling.share(latency_us) or 0.0) < wanted:
            return False
        with session.watch("verifying"):
            correct = is_correct(session, trial)
        if correct:
            session.ceiling.admit(latency_us)
            return (session.ceiling.share(latency_us) or 0.0) >= wanted
    return False
