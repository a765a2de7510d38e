"""Which schedule wins, and what may be said of it against the untuned program.

verify     the leaders compute what the untuned program computes, or make room for the next          verify.py
rank       the correct ones are timed in turn with each other
compare    the fastest is timed in turn with the untuned program, anew, so that it was not picked    compare.py
           for the very figures that it is judged by
keep       the winner, if its median is better; whether it may be called faster is the verdict
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from colt.run.bounds import what_bounds
from colt.run.compare import ONCE_SECONDS, Comparison, compare, rank_in_turn, uncompared
from colt.run.context import Run
from colt.run.task import Task
from colt.run.verify import correct_leaders
from colt.search.types import Trial
from colt.store.receipt import Verdict
from colt.tvm.programs.program import fingerprint
from colt.util.stats import Estimate
from colt.views.describe import speedup_text


@dataclass(frozen=True, slots=True)
class Winner:
    """The fastest correct leader, with a better median than the untuned program."""

    trial: Trial
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Decision:
    """What the end of a run finds: ``untuned`` in microseconds, and a ``comparison`` if any trial was correct."""

    untuned: Estimate
    comparison: Comparison | None = None
    winner: Winner | None = None
    others: tuple[tuple[float, Trial], ...] = ()
    """The other correct leaders, fastest first, with their latencies in microseconds."""


def decide(run: Run, task: Task) -> Decision:
    """Who wins."""
    leaders = correct_leaders(run, task)
    if not leaders:
        return Decision(Estimate(task.baseline_us, None, 1))
    (tuned_us, trial), *others = by_rank(run, task, leaders)
    untuned, tuned = task.untuned, task.tvm_space.module(trial.schedule)
    if not run.plan.pace.compares:
        found = uncompared(task.baseline_us, tuned_us)
        winner = Winner(trial, found) if found.speedup.median > 1.0 else None
        return Decision(found.untuned, found, winner, tuple(others))
    found = compare(run.measurer, untuned, tuned, task.baseline_us, tuned_us, run.plan.pace, task.inputs)
    winner = Winner(trial, found) if found.speedup.median > 1.0 else None
    as_it_is = {fingerprint(untuned), fingerprint(task.program.module)}
    _explain(run, task, found, winner, fingerprint(tuned) in as_it_is)
    return Decision(found.untuned, found, winner)


def by_rank(run: Run, task: Task, leaders: list[tuple[float, Trial]]) -> list[tuple[float, Trial]]:
    """Time the leaders in turn with each other; all of them, the best median first, and that in microseconds.

    Those that left the race come after the others, with what they took in the search. At a pace that does not rank, all
    are in the order of the search.
    """
    if not run.plan.pace.ranks:
        return leaders
    modules = [task.tvm_space.module(trial.schedule) for _, trial in leaders]
    guesses = [us for us, _ in leaders]
    medians = rank_in_turn(run.measurer, modules, guesses, run.plan.pace, task.inputs, run.apart_bytes)
    ranked = sorted(zip(medians, leaders, strict=True), key=_rank)
    return [(us if math.isinf(median) else median, trial) for median, (us, trial) in ranked]


def _rank(timed: tuple[float, tuple[float, Trial]]) -> tuple[float, float, int]:
    """By the median; those that have none, because they left the race, by what they took in the search."""
    median, (us, trial) = timed
    return median, us if math.isinf(median) else 0.0, trial.id


def _explain(run: Run, task: Task, found: Comparison, winner: Winner | None, unchanged: bool) -> None:
    """Say what a figure alone would not. ``unchanged``: the fastest schedule leaves the program as it is."""
    interval = found.speedup.interval
    text = speedup_text(found.speedup.median, None if interval is None else (interval.low, interval.high))
    bound = ""
    if run.world.edition > 3:
        bound = what_bounds(found.untuned.median, task.program.min_bytes, run.plan.threads, run.hardware.peaks)
    if found.verdict is Verdict.UNDECIDED:
        run.note(
            f"the untuned program takes {found.untuned.median / 1e6:.0f} s, more than {ONCE_SECONDS:g}, "
            "and is timed in turn only once: the speed-up has no interval"
        )
    if winner is None and unchanged:
        run.note(
            "the untuned program is kept: the fastest schedule leaves it as it is, because its loops depend on each "
            "other, or what they do is hidden in a call, or it is better so" + bound
        )
    elif winner is None:
        run.note(f"no schedule is faster than the untuned program, which is kept; the fastest reaches {text}{bound}")
    elif found.verdict is Verdict.NO_DIFFERENCE:
        run.note(f"the winner is kept, but is not significantly faster than the untuned program: {text}{bound}")
