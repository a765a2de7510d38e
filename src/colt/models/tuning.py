"""The tasks of a model in one run, each in all its forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from colt.errors import InputError, StorageError
from colt.models.options import CompileOptions
from colt.options import TuneOptions
from colt.plan import Plan, checked_model
from colt.run.finish import CLOSE, Result, Runner
from colt.run.loop import run
from colt.run.resume import to_the_end
from colt.store.directory import RECORDING
from colt.store.receipt import Receipt
from colt.tvm.forms import winograd_forms
from colt.tvm.models.tasks import ModelTask
from colt.tvm.programs.source import Program, load_program
from colt.util.text import first_line

MOST_TIMED = 3
"""So many schedules of a program are timed in the model at most, of all its forms together."""


@dataclass(frozen=True, slots=True)
class TunedTasks:
    """What became of the tasks, by their keys: results of the run, one for each form of a program, that in which it is
    written first; and why others were left as they are."""

    results: Mapping[str, list[Result]]
    left: Mapping[str, str]

    @property
    def contenders(self) -> dict[str, list[Runner]]:
        """The schedules that may go into the model, by the task's key: the winner first."""
        found = {key: sorted(_runners(results), key=_latency) for key, results in self.results.items()}
        return {
            key: [one for one in runners if one.latency_us <= CLOSE * runners[0].latency_us][:MOST_TIMED]
            for key, runners in found.items()
            if runners
        }

    def receipts(self) -> Iterator[Receipt]:
        """Those of all forms of all programs."""
        return (result.receipt for results in self.results.values() for result in results)

    @property
    def storage_failure(self) -> StorageError | None:
        """Why files of the run are missing, if a write failed."""
        results = (result for of_task in self.results.values() for result in of_task)
        return next((one.storage_failure for one in results if one.storage_failure is not None), None)

    def result_of(self, key: str, form: str) -> Result | None:
        """The result of a task in that form; in the form in which it is written if it was not run in that one."""
        results = self.results.get(key, [])
        return next((one for one in results if one.form == form), next(iter(results), None))


def _runners(results: Iterable[Result]) -> Iterator[Runner]:
    for result in results:
        if (best := result.best) is not None:
            yield Runner(result.module, best.latency_us, best.proposed_by, result.form)
            yield from result.runners_up


def _latency(runner: Runner) -> float:
    return runner.latency_us


@dataclass(frozen=True, slots=True)
class Forms:
    """A task as the programs that compute it, that in which it is written first."""

    task: ModelTask
    programs: tuple[Program, ...]

    @classmethod
    def of(cls, task: ModelTask, options: CompileOptions) -> Forms:
        """Raises :class:`InputError` if it cannot be tuned."""
        program = replace(load_program(task.module), name=task.name)
        return cls(task, (program, *(winograd_forms(program) if options.winograd else ())))


def tune_tasks(name: str, tasks: Sequence[ModelTask], weights: int, options: CompileOptions) -> TunedTasks:
    """Tune all programs that can be tuned, in one run. ``weights`` is what those of the model take, in bytes."""
    given, left = list[Forms](), dict[str, str]()
    for task in tasks:
        try:
            given.append(Forms.of(task, options))
        except InputError as error:
            left[task.key] = first_line(error)
    if not given:
        return TunedTasks({}, left)
    wanted = options.tune_options(sum(len(one.programs) for one in given))
    return TunedTasks(results_of(name, given, weights, wanted), left)


def results_of(name: str, given: Sequence[Forms], weights: int, wanted: TuneOptions) -> dict[str, list[Result]]:
    """The results of one run of all these programs, by the task's key. If an earlier run of the same in that directory
    has broken off, it goes on."""
    of = [one.task.key for one in given for _ in one.programs]
    found: dict[str, list[Result]] = {}
    for result in _run(partial(plan_of, name, given, weights), wanted):
        found.setdefault(of[result.number], []).append(result)
    return found


def plan_of(name: str, given: Sequence[Forms], weights: int, options: TuneOptions) -> Plan:
    """The plan of that run. Raises :class:`InputError`."""
    programs, calls, form_of = list[Program](), list[int](), list[int]()
    for one in given:
        form_of += [len(programs)] * len(one.programs)
        calls += [one.task.calls] * len(one.programs)
        programs += one.programs
    return checked_model(name, programs, calls, options, weight_bytes=weights, form_of=form_of)


def _run(checked: partial[Plan], wanted: TuneOptions) -> list[Result]:
    folder = None if wanted.run_dir is None else Path(wanted.run_dir)
    if folder is None or not (folder / RECORDING).is_file():
        return run(checked(options=wanted), wanted.on_event)
    plan = checked(options=replace(wanted, run_dir=None))
    return to_the_end(replace(plan, run_dir=folder), on_event=wanted.on_event)
