"""Which task is tuned next.

Programs that have nothing to do with each other get equally many trials. Those of one model get them where the model's
time is: after a first batch for each, the next goes to the task from which a trial may be expected to save most. A task
can save what lies between its latency and its roofline, as often as the model calls it, and it is the less likely to
the longer it has found nothing. (Ansor, arXiv 2006.06762, section 6, follows such a gradient for every program.)
"""

from __future__ import annotations

from collections.abc import Sequence

from colt.run.task import Task

SETTLED = 0.002
"""A task that could save less than this share of the model's time is not tuned further."""
BEST_SHARE = 0.9
"""The share of the roofline that schedules reach at best."""
UNKNOWN_GAP = 0.2
"""What a call of a program without a roofline may still lose, as a share of its latency."""


def next_task(tasks: Sequence[Task]) -> Task:
    """The task to tune next, of those that still have something to try; the first of equals."""
    left = [task for task in tasks if not (task.exhausted or task.roofline_reached)]
    if len(tasks) == 1 or not tasks[0].of_model:
        return min(left, key=lambda task: task.charged)
    untried = [task for task in left if not task.charged]
    if untried:
        return max(untried, key=lambda task: task.calls * task.baseline_us)
    return max(left, key=saving_per_trial)


def settle(tasks: Sequence[Task]) -> None:
    """Leave out the tasks of a model that could hardly save anything of its time any more."""
    parts = [task for task in tasks if task.of_model]  # none in most runs, which may have thousands of trials
    whole_us = sum(task.calls * task.latency_us for task in parts)
    for task in parts:
        task.settled = task.charged > 0 and task.calls * gap_us(task) < SETTLED * whole_us


def saving_per_trial(task: Task) -> float:
    """Microseconds of the model that one more trial may be expected to save, at a guess."""
    return task.calls * gap_us(task) / (1 + task.search.trials.since_best)


def gap_us(task: Task) -> float:
    """Microseconds that a call of the program may still lose."""
    share = task.ceiling.share(task.latency_us)
    part = UNKNOWN_GAP if share is None else 1 - share / BEST_SHARE
    return max(0.0, part * task.latency_us)
