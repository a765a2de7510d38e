"""The end of a task: the decision, the kernel, and the receipt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colt import events
from colt.errors import StorageError
from colt.measure.base import ExportError, NoLinker
from colt.run.context import Run
from colt.run.decide import Decision, decide
from colt.run.export import require_suffix
from colt.run.receipt import make_receipt
from colt.run.remember import remember
from colt.run.task import Task
from colt.store.directory import KERNEL, RECEIPT, WINNER
from colt.store.receipt import BestPart, Receipt, Verdict
from colt.tvm.programs.export import export_module, save_module
from colt.util.stats import Estimate

CLOSE = 1.25
"""A schedule that takes so many times as long as the winner alone is not faster in a model."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A correct schedule that was not much slower than the winner."""

    module: Any
    latency_us: float
    proposed_by: str
    form: str = ""
    """What the program's form is called, if it has other sums than were written."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found. ``module`` is the tuned program, or the untuned one if that has the better median."""

    receipt: Receipt
    module: Any
    target: Any
    threads: int
    run_dir: Path | None
    number: int = 0
    """The program's place among those of the run."""
    storage_failure: StorageError | None = None
    """Why files of the run are missing, if a write failed."""
    runners_up: tuple[Runner, ...] = ()
    """Other schedules of a model's program that may be faster than the winner where the model calls it."""
    form: str = ""
    """What the program's form is called, if it has other sums than were written."""
    form_error: float | None = None
    """How far such a form is off, relative to the largest value."""

    @property
    def best(self) -> BestPart | None:
        """The winner; ``None`` if nothing verified had a better median than the untuned program."""
        return self.receipt.best

    @property
    def speedup(self) -> float:
        """Over the untuned program; 1 if that is kept. Only :attr:`verdict` says whether it is significant."""
        return self.receipt.speedup

    @property
    def speedup_interval(self) -> tuple[float, float] | None:
        """95 %; ``None`` if the untuned program is kept or was timed only once."""
        return self.receipt.speedup_interval

    @property
    def verdict(self) -> Verdict:
        """Whether the fastest schedule is significantly faster than the untuned program; a text."""
        return self.receipt.verdict or Verdict.NOT_COMPARED

    def export(self, path: str | Path) -> Path:
        """Write the tuned kernel as a shared library.

        Raises
        ------
        InputError
            ``path`` ends neither in ``.so`` nor in ``.tar``.
        ExportError
            No C compiler is found, or building or linking fails.
        """
        require_suffix(Path(path))
        return export_module(self.module, self.target, self.threads, Path(path))


def finish(run: Run, task: Task, stop_reason: str) -> Result:
    """Verify, rank, compare, keep, export, and write the receipt."""
    if task.search.trials.asked == 0 and task.search.tree.refusal:
        run.note(f"no schedule of this program could be made: {task.search.tree.refusal}")
    run.emit(events.Began(events.ENDING))
    with run.watch("verifying"):
        decision = decide(run, task)
    task.ceiling.admit(min(estimate.median for estimate in _latencies(decision)), lasting=run.plan.pace.compares)
    winner = decision.winner
    module = task.untuned if winner is None else task.tvm_space.module(winner.trial.schedule)
    failure = None
    if (directory := run.storage.directory_of(task.name)) is not None:
        run.storage.write(task.name, WINNER, save_module(module))
        with run.watch("exporting"):
            if not run.plan.of_model:  # whose programs become one library
                failure = _export(run, module, directory.path)
    task.dispatcher.close()
    remember(run, task, winner)
    run.call_roll()
    receipt = make_receipt(run, task, decision, stop_reason)
    run.storage.write(task.name, RECEIPT, receipt.to_json())
    path = None if run.storage.directory is None else run.storage.directory.path / task.name
    failure = run.storage.failure or failure
    runners_up = tuple(_runners_up(task, decision))
    return Result(
        receipt=receipt,
        module=module,
        target=run.plan.target,
        threads=run.plan.threads,
        run_dir=path,
        number=task.number,
        storage_failure=failure,
        runners_up=runners_up,
        form=task.program.form,
        form_error=task.form_error,
    )


def _runners_up(task: Task, decision: Decision) -> Iterator[Runner]:
    for us, trial in decision.others:
        if decision.winner is not None and us <= CLOSE * decision.winner.comparison.tuned.median:
            yield Runner(task.tvm_space.module(trial.schedule), us, trial.proposed_by, task.program.form)


def _latencies(decision: Decision) -> list[Estimate]:
    compared = decision.comparison
    return [decision.untuned] if compared is None else [compared.untuned, compared.tuned]


def _export(run: Run, module: Any, folder: Path) -> StorageError | None:
    """Write the kernel; the error, which is told already, if it should have been possible."""
    device = run.plan.device
    try:
        run.measurer.export(module, folder / device.kernel_name)
    except ExportError as error:
        run.note(f"no {device.kernel_name}: {error}")
        return None if isinstance(error, NoLinker) else StorageError(str(error))
    if device.why_not_linked is not None:
        run.note(f"{device.kernel_name}, not {KERNEL}: {device.why_not_linked}")
    return None
