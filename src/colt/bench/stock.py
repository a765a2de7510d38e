"""MetaSchedule's own strategy: evolutionary search, with COLT's builder and runner."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from colt.bench.records import TrialRecord
from colt.bench.task import CellTask, Found, seconds_since_start
from colt.errors import MeasureError
from colt.knobs import EDITION
from colt.measure.base import Fate, Pace
from colt.plan import Plan
from colt.run.compare import rank_in_turn
from colt.run.verify import VERIFY_LIMITS, first_correct
from colt.strategies.architect import construct
from colt.util.clock import Stopwatch
from colt.world.parts import current


def stock(task: CellTask) -> Found:
    """Search, then verify and rank the leaders as every run of COLT does.

    Raises
    ------
    MeasureError
        No candidate ran and was correct.
    """
    plan = task.plan()
    with closing(plan.device.hold()):
        return _found(task, plan)


def _found(task: CellTask, plan: Plan) -> Found:
    from colt.tvm.metaschedule.evolutionary import Candidate, evolutionary_search
    from colt.tvm.space.space import design_space

    watch = Stopwatch()
    space = design_space(plan.program.module, plan.target, plan.space)
    measured: list[Any] = []
    trials: list[TrialRecord] = []

    def note(candidate: Candidate) -> None:
        measured.append(candidate.module)
        trials.append(TrialRecord(fate=candidate.fate, latency_us=candidate.latency_us, seconds=seconds_since_start()))

    evolutionary_search(
        plan.program.module,
        space,
        plan.target,
        plan.threads,
        plan.budget.trials,
        task.folder,
        seed=plan.seed,
        first=_first(plan, space, task.config.warm_start),
        watch=watch,
        on_measured=note,
    )
    best_us, winner = _fastest(plan, measured, trials)
    return Found(
        winner,
        best_us,
        tuple(trials),
        watch.seconds["building"],
        watch.seconds["timing"],
        "trials" if len(trials) >= plan.budget.trials else "exhausted",
        space.messages,
    )


def _fastest(plan: Plan, measured: list[Any], trials: list[TrialRecord]) -> tuple[float, Any]:
    """The latency and module of the fastest correct candidate. Wrong trials are marked in ``trials``."""
    from colt.tvm.workers import LocalMeasurer

    pace, written = current().pace, plan.program.untuned(EDITION)  # the form that is searched may differ from it
    ranked = sorted((trial.latency_us, number) for number, trial in enumerate(trials) if trial.latency_us is not None)
    with LocalMeasurer(plan.target, plan.threads, pace=pace) as measurer:

        def correct(number: int) -> bool:
            found = measurer.verify(written, measured[number], plan.seed, VERIFY_LIMITS)
            if not found.ok:
                trials[number] = trials[number].failed(Fate.WRONG)
            return found.ok

        leaders = first_correct(ranked, correct, Pace().leaders)
        if not leaders:
            raise MeasureError(f"no candidate of {len(trials)} ran and was correct")
        modules = [measured[number] for _, number in leaders]
        medians = rank_in_turn(measurer, modules, [latency_us for latency_us, _ in leaders], pace)
    best = min(range(len(modules)), key=medians.__getitem__)
    return medians[best], modules[best]


def _first(plan: Plan, space: Any, count: int) -> list[Any]:
    """The first ``count`` schedules that the architect constructs, as TVM's schedules."""
    if not count:
        return []
    from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
    from colt.tvm.devices.peaks import hardware_with_peaks
    from colt.tvm.space.space import TvmSpace

    schedules = TvmSpace(plan.program.module, space)
    scorer = AnalyticalScorer(schedules, machine_of(hardware_with_peaks(plan.threads), plan.threads))
    return [schedules.scheduled(schedule) for schedule in construct(schedules, scorer, count, plan.seed)]
