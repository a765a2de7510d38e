"""Which task is tuned next.

Programs that have nothing to do with each other get equally many trials. Those of one model get them where the model's
time is: after a first batch for each, the next goes to the task from which a trial may be expected to save most. A task
can save what lies between its latency and its roofline, as often as the model calls it, and it is the less likely to
the longer it has found nothing. (Ansor, arXiv 2006.06762, section 6, follows such a gradient for every program.)

A program may have several forms, of which the model needs the fastest. Each can save what lies between the fastest and
its own roofline: so the slower ones get their first batch, and no more if they cannot catch up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from colt.plan import Plan
from colt.run.finish import CLOSE
from colt.run.task import Begun, Task

SETTLED = 0.002
"""A task that could save less than this share of the model's time is not tuned further."""
BEST_SHARE = 0.9
"""The share of the roofline that schedules reach at best."""
UNKNOWN_GAP = 0.2
"""What a call of a program without a roofline may still lose, as a share of its latency."""
PROMISING = 1.5
"""A form whose roofline is so many times above that of another is not tried."""


def worth_trying(plan: Plan, limits_us: Sequence[float | None]) -> list[int]:
    """The numbers of the programs to tune: all but other forms whose roofline is far above the least of the program's
    forms. ``limits_us`` are microseconds at the rooflines, as far as these are known."""
    numbers = range(len(limits_us))
    if not plan.of_model:
        return list(numbers)
    least: dict[int, float] = {}
    for number, limit in enumerate(limits_us):
        least[plan.form_of[number]] = min(limit or math.inf, least.get(plan.form_of[number], math.inf))
    return [n for n in numbers if plan.form_of[n] == n or (limits_us[n] or 0.0) <= PROMISING * least[plan.form_of[n]]]


def next_task(tasks: Sequence[Task]) -> Task:
    """The task to tune next, of those that still have something to try; the first of equals."""
    left = [task for task in tasks if not (task.exhausted or task.roofline_reached)]
    if len(tasks) == 1 or not tasks[0].of_model:
        return min(left, key=lambda task: task.charged)
    untried = [task for task in left if not task.charged]
    if untried:
        return max(untried, key=lambda task: (task.calls * task.baseline_us, -reach_us(task)))
    fastest = _fastest(tasks)
    return max(left, key=lambda task: saving_per_trial(task, fastest[task.form_of]))


def settle(tasks: Sequence[Task]) -> None:
    """Leave out the tasks of a model that could hardly save anything of its time any more. Other forms of a program
    save nothing where they can hardly be faster than the fastest, if they are not tried yet."""
    parts = [task for task in tasks if task.of_model]  # none in most runs, which may have thousands of trials
    fastest = _fastest(parts)
    whole_us = sum(task.calls * fastest[task.form_of] for task in parts if not task.is_form)
    tried = {task.form_of for task in parts if task.charged}
    for task in parts:
        task.settled = task.form_of in tried and task.calls * gain_us(task, fastest[task.form_of]) < SETTLED * whole_us


def leave_beaten(tasks: Sequence[Task], unknown: bool = False) -> None:
    """Leave out the forms of a model's programs that were much slower than another when both were tuned before;
    ``unknown`` ones as well, if another is known."""
    fastest: dict[int, float] = {}
    for task in tasks:
        fastest[task.form_of] = min(task.begun.known_us, fastest.get(task.form_of, math.inf))
    for task in tasks:
        slower = CLOSE * fastest[task.form_of] < task.begun.known_us
        task.beaten = slower and (unknown or task.begun.known_us < math.inf)
        if task.beaten:
            task.begun = Begun()


def _fastest(tasks: Sequence[Task]) -> dict[int, float]:
    """Microseconds that a call of each program takes in its fastest form, by the number that the forms have in
    common."""
    found: dict[int, float] = {}
    for task in tasks:
        found[task.form_of] = min(task.latency_us, found.get(task.form_of, math.inf))
    return found


def saving_per_trial(task: Task, fastest_us: float) -> float:
    """Microseconds of the model that one more trial may be expected to save, at a guess."""
    return task.calls * gain_us(task, fastest_us) / (1 + task.search.trials.since_best)


def gain_us(task: Task, fastest_us: float) -> float:
    """Microseconds that a call may gain over the fastest form of the program, which may be this one."""
    return max(0.0, fastest_us - reach_us(task))


def reach_us(task: Task) -> float:
    """Microseconds that a call of the program takes at best; of one without a roofline a guess."""
    share = task.ceiling.share(task.latency_us)
    if share is None:
        return (1 - UNKNOWN_GAP) * task.latency_us if task.charged else 0.0
    return min(1.0, share / BEST_SHARE) * task.latency_us
