"""The main job, on one screen.

open      look at the hardware; generate each program's space, time it untuned, construct openings   task.py
recall    what is known of the program, or of relatives, is measured first                           recall.py
ask       language models get questions about the shared tree, experts answer at once                strategies/
measure   a worker builds and times the batch while language models think                            measure/
check     a schedule that would lead is compared with the untuned program first                      verify.py
tell      the tree is revalued, the scorer learns                                                    search/
finish    leaders are verified, timed in turn with the untuned program, exported and remembered      finish.py

A run that is resumed is the same job: it takes recorded answers as far as they reach, and goes on after its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from colt import events
from colt.errors import InputError, MeasureError
from colt.events import Emit
from colt.plan import Plan
from colt.run.context import Run
from colt.run.finish import Result, finish
from colt.run.inside import look_inside
from colt.run.recall import measure_leads, recall
from colt.run.roofline import Ceiling
from colt.run.scheduler import leave_beaten, next_task, settle, worth_trying
from colt.run.task import Task
from colt.run.verify import (
    check_leader,
    confirm_roofline,
    error_of_form,
    foresee_known,
    foresee_leaders,
    form_to_tune,
)
from colt.search.types import Trial
from colt.strategies.base import StrategyMaker
from colt.strategies.tree import TREE
from colt.tvm.programs.source import Program
from colt.tvm.programs.suited import suited
from colt.world.recording import Recording
from colt.world.world import Live, World

CONSTRUCTED = 2
"""Schedules that are measured of a model's program for which there was no time."""


def run(
    plan: Plan,
    listeners: Sequence[Emit] = (),
    *,
    strategy: StrategyMaker = TREE,
    world: World | None = None,
    after: Recording | None = None,
) -> list[Result]:
    """Tune all programs of the plan. Whatever the plan does not decide comes from ``world``, live if left out.

    ``after`` is the recording of a run that goes on in its own directory, which the caller has locked.

    Raises
    ------
    InputError
        Something asked for is not usable.
    MeasureError
        An untuned program does not build or run, no worker starts, or the board is not to be had.
    """
    world = world or Live()
    if not world.recorded:
        pace = world.parts.pace
        plan = replace(
            plan, pace=pace.brief() if plan.of_model else pace
        )  # the config keeps it, so that a replay has the same
    with Run(plan, world, listeners, after) as run:
        tasks = run.stop.tasks = open_tasks(run, strategy)
        run.begin(strategy.name)
        for task in tasks:
            task.write_files(run)
        if run.plan.of_model:
            run.emit(_of_model(tasks))
        for task in tasks:
            measure_leads(run, turn(run, task), next_batch)
        while True:
            run.emit(events.Began("searching"))
            while (stop := run.stop.reason()) is None:
                task = turn(run, next_task(tasks))
                task.learn()
                look_inside(run, task)
                run.call_roll()
                batch = task.take_left_over() or next_batch(run, task)
                if run.stop.overlaps:
                    begin_with_next(run, task, batch)
                results = list(task.measure(run, batch))
                check_leader(run, task, results)
                with run.watch("searching"):
                    task.search.tell(results)
                confirm_roofline(run, task)
                settle(tasks)
            for task in untried(tasks):
                construct(run, task)
            if run.plan.of_model:
                foresee_leaders(run, tasks)
            ended = [finish(run, turn(run, task), stop) for task in tasks]
            if not run.stop.goes_on(stop):
                return ended


def open_tasks(run: Run, strategy: StrategyMaker) -> list[Task]:
    """A task for each program: its untuned program timed, its root's children made."""
    programs = run.plan.programs
    names = [""] if len(programs) == 1 else [f"{number}-{one.name}" for number, one in enumerate(programs, 1)]
    with run.watch("starting"):
        worth = worth_trying(run.plan, [Ceiling(program, run.plan.device, run).limit_us for program in programs])
        opened = (_opened(run, strategy, number, names[number]) for number in worth)
        tasks = [task for task in opened if task is not None]
    if run.plan.of_model:
        there = {task.number for task in tasks}
        tasks = [task for task in tasks if task.form_of in there]
    if run.plan.from_records:
        for task in tasks:
            recall(run, turn(run, task))
        leave_beaten(tasks, unknown=True)
    if run.plan.of_model:
        tasks = _right(run, [task for task in tasks if not (task.is_form and task.beaten)])
    runnable: dict[int, Task] = {}
    for task in tasks:
        if _runs(run, turn(run, task), runnable):
            runnable[task.number] = task
    tasks = list(runnable.values())
    for task in tasks:
        _begin(run, turn(run, task))
    if not run.plan.from_records:
        leave_beaten(tasks)
    return tasks


def _opened(run: Run, strategy: StrategyMaker, number: int, name: str) -> Task | None:
    """The task of a program; ``None`` for one of a model that TVM makes no schedule of, which is as it was imported."""
    program = _to_tune(run, number)
    try:
        return Task(run, program, strategy, number, name)
    except InputError as error:
        if not run.plan.of_model:
            raise
        run.note(f"{program.name} is left as it is: {error}")
        return None


def _to_tune(run: Run, number: int) -> Program:
    """A program as it is tuned; other forms of it are as they were made."""
    program = run.plan.programs[number]
    if run.plan.of_model and run.plan.form_of[number] != number:
        return program
    return form_to_tune(run, suited(program, run.plan.target, run.world.edition))


def _right(run: Run, tasks: Sequence[Task]) -> list[Task]:
    """All tasks but those whose programs are other forms that compute something else."""
    foresee_known(run, tasks)
    with run.watch("starting"):
        for task in tasks:
            task.form_error = error_of_form(run, task.program) if task.is_form else None
    return [task for task in tasks if not task.is_form or task.form_error is not None]


def _of_model(tasks: Sequence[Task]) -> events.OfModel:
    names = {task.number: task.name for task in tasks}
    calls = tuple((task.name, task.calls) for task in tasks)
    return events.OfModel(calls, tuple((task.name, names[task.form_of]) for task in tasks if task.is_form))


def _begin(run: Run, task: Task) -> None:
    """Construct openings, and look up what is known. A model's program that is known and gets no trials needs none."""
    if run.plan.from_records:
        task.open(run, constructing=not (task.begun.schedules or task.beaten))
    else:
        task.open(run)
        recall(run, task)


def _runs(run: Run, task: Task, others: Mapping[int, Task]) -> bool:
    """Time the untuned program. One of a model that does not run is left out, any other ends the run. Another form of
    one of ``others`` has the same."""
    if task.is_form:
        if task.form_of in others:
            task.take_baseline(run, others[task.form_of].baseline_us)
        return task.form_of in others
    try:
        task.measure_baseline(run)
    except MeasureError as error:
        if not run.plan.of_model:
            raise
        run.note(f"{task.program.name} is left as it is: {error}")
        return False
    return True


def untried(tasks: Sequence[Task]) -> list[Task]:
    """The tasks of a model's programs of which no form got a trial."""
    tried = {task.form_of for task in tasks if task.search.trials.asked}
    return [task for task in tasks if task.of_model and task.form_of not in tried]


def construct(run: Run, task: Task) -> None:
    """Measure the most promising openings of a program that got no trial: no model is left with plain loops."""
    run.emit(events.Began("constructing schedules of what was not tuned"))
    results = list(task.measure(run, turn(run, task).strategy.pick(CONSTRUCTED), in_time=False))
    check_leader(run, task, results)
    with run.watch("searching"):
        task.search.tell(results)


def turn(run: Run, task: Task) -> Task:
    """Tell whose turn it is, if there are several tasks."""
    if task.name:
        run.emit(events.Turn(task.name))
    return task


def begin_with_next(run: Run, task: Task, batch: Sequence[Trial]) -> None:
    """Have a fleet begin with the batch, choose the next one, and have it go on with that."""
    task.expect(run, batch, ())
    if run.stop.trials_left:
        task.expect(run, batch, next_batch(run, task, patient=False))


def next_batch(run: Run, task: Task, most: int | None = None, patient: bool = True) -> list[Trial]:
    """What the task measures next, ``most`` schedules at most. Questions go out first, so that their answers come back
    while it is measured. Unless ``patient`` it is nothing where only answers under way would bring anything."""
    strategy, count = task.strategy, run.stop.batch_size
    if most is not None:
        count = min(count, most)
    with run.watch("searching"):
        while True:
            strategy.settle()  # answers that have arrived take effect ...
            strategy.send(count)  # ... and free slots get questions
            if strategy.under_way:
                count = max(1, min(count, run.stop.whole_batch // 2))  # fewer are welcome sooner
            batch = strategy.pick(count)
            if batch or not patient or not strategy.under_way or run.stop.requested() is not None:
                if batch or patient:
                    task.note_batch(batch)
                return batch
            strategy.wait()
