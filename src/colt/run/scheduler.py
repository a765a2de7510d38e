"""Which task is tuned next."""

from __future__ import annotations

from collections.abc import Sequence

from colt.run.task import Task


def next_task(tasks: Sequence[Task]) -> Task:
    """The task with the fewest trials of those that still have something to try; the first of equals."""
    return min((task for task in tasks if not (task.exhausted or task.roofline_reached)), key=lambda task: task.charged)
