"""Programs that no sketch schedules, or not the whole of: a plain schedule, if it is right and faster in the model.

Such are programs of types or forms that are not tuned, those of which no schedule was faster than the untuned program,
and those whose winner leaves long loops to one thread. TVM's own code of some operators has threads already, which are
not there any more when such a program is tuned: then it is as it was imported that it competes with its winner.
What the rule makes is called with the arguments of a call in the model, and compared with what the model's own function
has left of them. Those that are right are timed in the model like all other schedules (``fitting.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colt.models.fitting import BuiltModel
from colt.models.judge import verified
from colt.models.tuning import TunedTasks
from colt.run.finish import Runner
from colt.tvm.models.assembly import recomputed
from colt.tvm.models.library import Sample, ready
from colt.tvm.models.tasks import ModelTask
from colt.tvm.models.untuned import has_open_sizes, on_one_thread, with_plain_schedule
from colt.tvm.refusals import TVM_ERRORS
from colt.util.text import named_line

RULE, AS_IMPORTED = "rule", ""
"""Who proposed a plain schedule, and what was imported."""
SLOW_SECONDS = 0.05
"""A program that takes longer as it was imported, and more than twice as long as with a plain schedule, is not timed
beside it."""


@dataclass(frozen=True, slots=True)
class Contest:
    """The schedules that may go into the model, by the task's key, first the one to begin with; and what else there is
    to say."""

    of_each: Mapping[str, Sequence[Runner]]
    notes: tuple[str, ...] = ()


def with_plain_schedules(
    tasks: Sequence[ModelTask],
    tuned: TunedTasks,
    build: Callable[[Mapping[str, Any]], BuiltModel],
    inputs: Sequence[Any],
    target: Any,
) -> Contest:
    """The schedules that tuning has found, and plain ones of programs that have none, or none of which all is on all
    threads. ``build`` makes a model of one module for each key; ``inputs`` are those to run it with."""
    found = tuned.contenders
    plain = dict(_plain(tasks, tuned, found))
    if not plain:
        return Contest(found)
    begun = build({key: runners[0].module for key, runners in found.items() if key not in plain})
    places = {task.functions[0]: task for task in tasks if task.key in plain}
    samples = begun.library.sampled(places.keys(), *map(ready, inputs))
    of_each, notes = dict[str, Sequence[Runner]](found), list[str]()
    for name, sample in samples.items():
        task = places[name]
        runner, before = plain[task.key], found.get(task.key)
        try:
            seconds = _seconds(runner, task, sample, target)
        except _Unusable as why:
            notes.append(f"the plain schedule of {task.name} is not used: {why}")
            continue
        if before is not None:
            of_each[task.key] = [*before, runner]
        elif sample.seconds > max(SLOW_SECONDS, 2 * seconds):
            of_each[task.key] = [runner]
        else:
            of_each[task.key] = [_as_imported(task), runner]
    return Contest(of_each, tuple(notes))


def _plain(
    tasks: Sequence[ModelTask], tuned: TunedTasks, found: Mapping[str, Sequence[Runner]]
) -> Iterator[tuple[str, Runner]]:
    """By the task's key, where it is another than what there is and leaves less to one thread."""
    for task in tasks:
        winner = next(iter(found.get(task.key, ())), None)
        runs = winner is not None or task.key in tuned.left or task.key in tuned.results
        if not runs or has_open_sizes(task.module["main"]):
            continue
        left = on_one_thread((task.module if winner is None else winner.module)["main"])
        if not left:
            continue
        scheduled = with_plain_schedule(task.module)
        if on_one_thread(scheduled["main"]) < left:
            by = AS_IMPORTED if scheduled.same_as(task.module) else RULE
            yield task.key, Runner(scheduled, math.inf, by)


def _as_imported(task: ModelTask) -> Runner:
    return Runner(task.module, math.inf, AS_IMPORTED)


class _Unusable(Exception):
    """A schedule does not go into the model; the text says why."""


def _seconds(runner: Runner, task: ModelTask, sample: Sample, target: Any) -> float:
    """How long a call takes. Raises :class:`_Unusable` if TVM cannot compile it, or if it computes something else."""
    try:
        outputs, seconds = recomputed(runner.module, sample, task.inputs, target)
    except TVM_ERRORS as error:
        raise _Unusable(f"TVM cannot compile it: {named_line(error)}") from None
    verdict = verified(outputs, [one.numpy() for one in sample.after[task.inputs :]], "")
    if not verdict.ok:
        raise _Unusable(f"it computes something else: {verdict.in_words}")
    return seconds
