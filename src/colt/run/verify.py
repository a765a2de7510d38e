"""The fastest trials, each compared with the untuned program before anything is said of its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from colt.knobs import Schedule
from colt.measure.base import Limits, Measurement, Pair
from colt.run.context import Run
from colt.run.task import Task
from colt.search.types import Trial
from colt.tvm.programs.source import Program

Candidate = TypeVar("Candidate")

MOST_COMPARED = 15
"""At most so many of the fastest are compared at the end: a comparison builds, runs, and takes memory."""
FORM_OFF = 1e-4
"""Other forms of a program may be off by so much, relative to the largest value: more than other orders of its sums."""
VERIFY_LIMITS = Limits(build_seconds=60.0)
"""The untuned program may take longer to build than a candidate may."""


def is_correct(run: Run, task: Task, trial: Trial) -> bool:
    """Whether the trial computes what the untuned program computes, on random inputs; compared once.

    A trial that does not counts as wrong from then on. Raises :class:`MeasureError` if the untuned program fails.
    """
    trials = task.search.trials
    found = trials.verification(trial.id)
    if found is None:
        pair = _pair(run, task, trial.schedule)
        found = run.measurer.verify(pair.reference, pair.candidate, pair.seed, VERIFY_LIMITS, pair.given)
        if not found.ok:
            task.tell_wrong(run, trial, found.message)
        trials.judge(trial.id, found)
    return found.ok


def _pair(run: Run, task: Task, schedule: Schedule) -> Pair:
    return Pair(task.program.module, task.tvm_space.module(schedule), run.plan.seed, task.program.inputs)


def foresee_known(run: Run, tasks: Sequence[Task]) -> None:
    """Have compared ahead, several at a time, what is known of a model: other forms of its programs with what was
    written, and schedules from records with the programs that they begin."""
    forms = (_form_pair(run, task.program) for task in tasks if task.is_form)
    leads = (_pair(run, task, schedule) for task in tasks for schedule in task.begun.schedules)
    _foresee(run, chain(forms, leads))


def foresee_leaders(run: Run, tasks: Sequence[Task]) -> None:
    """Have the leaders of all tasks compared ahead, several at a time."""
    _foresee(run, (_pair(run, task, trial.schedule) for task in tasks for trial in _unverified(run, task)))


def _foresee(run: Run, pairs: Iterable[Pair]) -> None:
    with run.watch("verifying"):
        run.measurer.foresee(pairs, VERIFY_LIMITS)


def _form_pair(run: Run, program: Program) -> Pair:
    return Pair(program.given, program.module, run.plan.seed, program.inputs)


def _unverified(run: Run, task: Task) -> list[Trial]:
    """Those of the leaders that were not compared before."""
    trials = task.search.trials
    fastest = [trial for _, trial in trials.ranked()[: run.plan.pace.leaders]]
    return [trial for trial in fastest if trials.verification(trial.id) is None]


def form_to_tune(run: Run, program: Program) -> Program:
    """The program in its normal form, or as the user wrote it where that computes something else.

    Schedules are compared with what is tuned, so that has to be compared with what the user wrote first. Raises
    :class:`MeasureError` if the program does not run.
    """
    if program.given is None:
        return program
    found = run.measurer.verify(program.given, program.module, run.plan.seed, VERIFY_LIMITS, program.inputs)
    if found.ok:
        return program
    run.note(
        f"{program.name} is tuned as it is written: the form that more schedules can be made for computes something "
        f"else on random inputs ({found.message})"
    )
    return replace(program, module=program.given, given=None)


def error_of_form(run: Run, program: Program) -> float | None:
    """How far another form of a program is off on random inputs, relative to the largest value; ``None`` if further
    than may be. Raises :class:`MeasureError` if one of them does not run."""
    pair = _form_pair(run, program)
    found = run.measurer.verify(pair.reference, pair.candidate, pair.seed, VERIFY_LIMITS, pair.given)
    if found.max_rel_error > FORM_OFF:
        run.note(f"{program.name} is left out: {found.message}")
        return None
    return found.max_rel_error


def check_leader(run: Run, task: Task, results: Sequence[Measurement]) -> None:
    """Compare whichever of these new results would lead, before anybody is told that it does."""
    with run.watch("verifying"):
        ranked = task.search.trials.ranked()
        best_us = ranked[0][0] if ranked else math.inf
        timed = sorted((one.latency_us, one.trial) for one in results if one.latency_us is not None)
        for latency_us, number in timed:
            if latency_us >= best_us or is_correct(run, task, task.search.trials.trial(number)):
                return


def confirm_roofline(run: Run, task: Task) -> None:
    """Find out whether the fastest correct trial reaches the share of the roofline at which the run is to stop.

    A peak that turns out to be too low is raised before it can stop the run.
    """
    wanted = run.plan.budget.until_roofline
    if wanted is None:
        return
    for latency_us, trial in task.search.trials.ranked():
        if (task.ceiling.share(latency_us) or 0.0) < wanted:
            return
        with run.watch("verifying"):
            correct = is_correct(run, task, trial)
        if correct:
            task.ceiling.admit(latency_us)
            task.roofline_reached = (task.ceiling.share(latency_us) or 0.0) >= wanted
            return


def first_correct(
    ranked: Sequence[tuple[float, Candidate]], correct: Callable[[Candidate], bool], leaders: int
) -> list[tuple[float, Candidate]]:
    """The first ``leaders`` that are correct of what is ranked, fastest first.

    A wrong one leaves its place to the next in rank, as far as :data:`MOST_COMPARED`.
    """
    found: list[tuple[float, Candidate]] = []
    for latency_us, candidate in ranked[:MOST_COMPARED]:
        if correct(candidate):
            found.append((latency_us, candidate))
        if len(found) == leaders:
            break
    return found


def correct_leaders(run: Run, task: Task) -> list[tuple[float, Trial]]:
    """Up to :attr:`~colt.measure.base.Pace.leaders` correct trials, fastest first, with latencies in microseconds."""
    trials = task.search.trials
    correct = first_correct(trials.ranked(), lambda trial: is_correct(run, task, trial), run.plan.pace.leaders)
    if not correct and not trials.ranked() and not trials.verifications and not task.spared:
        run.note("no schedule could be timed; the untuned program is kept")
    elif trials.verifications and not correct:
        compared = len(trials.verifications)
        run.note(f"all {compared} schedules that were compared compute something else; the untuned program is kept")
    return correct
