"""What a task has found goes into the records: the winner, and a few fast schedules that differ from it.

A store that cannot be written costs a note, never the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from colt.errors import ColtError
from colt.records.record import MOST_TRACE, Origin, StockForm, StoredRecord, words_of
from colt.records.store import Store
from colt.run.context import Run
from colt.run.decide import Winner
from colt.run.recall import record_key
from colt.run.task import Task
from colt.search.openings import most_diverse
from colt.search.types import Trial
from colt.tvm.metaschedule.stock import stock_forms
from colt.tvm.space.adopt import block_names
from colt.world.answers import Remembered

MOST_KEPT = 8
WITHIN = 2.0
"""Schedules slower than the fastest by more than this factor are not kept."""
_LONGEST = 200


def remember(run: Run, task: Task, winner: Winner | None) -> None:
    """Add what was found, if records are kept and there is a winner."""
    if run.plan.records is None or winner is None:
        return
    asked = f"add to records: trial {winner.trial.id} of {task.program.name}"
    task.remembered = run.world.take(asked, Remembered, lambda: _add(run, task, winner))
    if task.remembered.failure is not None:
        run.note(f"nothing was added to the records: {task.remembered.failure}")


def _add(run: Run, task: Task, winner: Winner) -> Remembered:
    path = run.plan.records
    assert path is not None
    trials = list(_kept(task, winner))
    try:
        predicted = task.scorer.analytical.predict([trial.schedule for _, trial in trials])
        scheduled = [task.tvm_space.scheduled(trial.schedule) for _, trial in trials]
        module, forms = stock_forms(task.program.module, run.plan.target, scheduled)
        records = [
            _record(run, task, *one, us, form, winner) for one, us, form in zip(trials, predicted, forms, strict=True)
        ]
        Store(path).put(records, {forms[0].program: module}, create=run.plan.may_make_records)
    except (ColtError, OSError) as error:
        return Remembered(count=0, failure=str(error))
    return Remembered(count=len(records))


def _kept(task: Task, winner: Winner) -> Iterator[tuple[float, Trial]]:
    """Latencies in microseconds, and trials: the winner, then the fastest of each kind."""
    yield winner.comparison.tuned.median, winner.trial
    ranked = task.search.trials.ranked()
    fast = {t.schedule: (us, t) for us, t in ranked if us <= WITHIN * ranked[0][0] and t.id != winner.trial.id}
    for schedule in most_diverse(list(fast), MOST_KEPT - 1):
        yield fast[schedule]


def _record(
    run: Run, task: Task, latency_us: float, trial: Trial, predicted_us: float, form: StockForm, winner: Winner
) -> StoredRecord:
    schedule, space = trial.schedule, task.tvm_space
    names = [knob.name for knob in space.plans.find(schedule.variant, schedule.sketch).knobs]
    interval = winner.comparison.tuned.interval if trial.id == winner.trial.id else None
    verified = task.search.trials.verification(trial.id)
    return StoredRecord(
        name=task.program.name[:_LONGEST],
        key=record_key(run, task),
        latency_us=latency_us,
        predicted_us=predicted_us,
        interval_us=None if interval is None else (interval.low, interval.high),
        verified=verified is not None and verified.ok,
        machine=run.hardware.fingerprint(),
        cpu=run.hardware.cpu[:_LONGEST],
        origin=_origin(run, task, trial),
        words=words_of(schedule, names, block_names(space)),
        stock=form if len(form.trace) <= MOST_TRACE else None,
    )


def _origin(run: Run, task: Task, trial: Trial) -> Origin:
    return Origin(
        by=task.begun.finders.get(trial.schedule, trial.proposed_by)[:_LONGEST],
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=_run_name(run.plan.run_dir)[:_LONGEST],
        trials=task.search.trials.asked,
        seconds=round(run.watch.total, 3),
        usd=float(sum(call.spent.spending().usd for call in task.dispatcher.desk.calls)),
    )


def _run_name(path: Path | None) -> str:
    """The name of the run's directory; a run that is finished later is written to a hidden folder in it first."""
    if path is None:
        return ""
    absolute = path.absolute()
    return next((each.name for each in (absolute, *absolute.parents) if not each.name.startswith(".")), "")
