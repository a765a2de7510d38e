"""How each strategy searches.

All share builder, runner, threads and budget; the leaders of all are verified and timed in turn with each other, so
that the luck of a ranking favours none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from colt import events
from colt.bench.config import BenchConfig, Cell, Strategy
from colt.bench.methods import construct, constructed, sampled, warm_tree, without_tree
from colt.bench.records import TrialRecord
from colt.comparison import rank_in_turn
from colt.config import SearchConfig
from colt.errors import MeasureError
from colt.events import Event
from colt.leaders import VERIFY_LIMITS, first_correct
from colt.pool import builtin
from colt.search.types import Fate
from colt.session import Plan, plan
from colt.stopwatch import Stopwatch
from colt.tuning import Method, run


@dataclass(frozen=True, slots=True)
class Task:
    """A cell to be run: everything checked, nothing started."""

    config: BenchConfig
    cell: Cell
    folder: Path
    """For whatever the search leaves itself."""

    @property
    def plan(self) -> Plan:
        """What a run of COLT's own would do."""
        config, cell = self.config, self.cell
        made = plan(cell.workload, size=config.size, trials=config.trials, seed=cell.seed, threads=config.threads)
        return replace(made, space=config.space_of(cell.strategy))


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: ``module`` is the winner, ``best_us`` its latency."""

    module: Any
    best_us: float
    trials: tuple[TrialRecord, ...]
    build_seconds: float
    timing_seconds: float
    stop_reason: str
    messages: tuple[str, ...] = ()


Search = Callable[[Task], Found]


@dataclass(slots=True)
class Trials:
    """Keeps the trials of a run in the order of measuring; a listener of its events.

    A schedule that is skipped, since its code is too large to build, is no trial. One that turns out to compute
    something else is one that failed.
    """

    seconds: Callable[[], float]
    _kept: dict[int, TrialRecord] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, events.Timed) and event.fate != Fate.SKIPPED:
            self._kept[event.trial] = TrialRecord(fate=event.fate, latency_us=event.latency_us, seconds=self.seconds())
        elif isinstance(event, events.Measured) and event.fate == Fate.WRONG:
            before = self._kept[event.trial]
            self._kept[event.trial] = TrialRecord(fate=event.fate, latency_us=None, seconds=before.seconds)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """All of them."""
        return tuple(self._kept.values())


def of_ours(
    pool: tuple[str, ...], method: Callable[[Task], Method], settings: Callable[[Task], Mapping[str, Any]]
) -> Search:
    """A strategy that is a run of COLT's own, by that pool and method, with these settings of the search."""

    def search(task: Task) -> Found:
        trials = Trials(seconds_since_start)
        config = SearchConfig.preset("default", **settings(task))
        made = replace(task.plan, pool=pool, config=config, run_dir=task.folder / "run")
        result = run(made, [trials], method(task))
        receipt = result.receipt
        latency = receipt.best or receipt.baseline
        return Found(
            result.module,
            latency.latency_us,
            trials.records,
            receipt.seconds["building"],
            receipt.seconds["timing"],
            receipt.stop_reason,
            receipt.messages,
        )

    return search


def stock(task: Task) -> Found:
    """MetaSchedule's evolutionary search."""
    from colt.tvm.evolutionary import Candidate, evolutionary_search
    from colt.tvm.measure import LocalMeasurer
    from colt.tvm.space import design_space

    made = task.plan
    program, target = made.program.module, made.target
    space = design_space(program, target, made.space)
    measured: list[Candidate] = []
    trials: list[TrialRecord] = []

    def note(candidate: Candidate) -> None:
        measured.append(candidate)
        trials.append(TrialRecord(fate=candidate.fate, latency_us=candidate.latency_us, seconds=seconds_since_start()))

    watch = Stopwatch()
    evolutionary_search(
        program,
        space,
        target,
        made.threads,
        made.budget.trials,
        task.folder,
        seed=made.seed,
        first=_first_of(task, made, space),
        watch=watch,
        on_measured=note,
    )
    ranked = sorted(
        ((one.latency_us, one.module) for one in measured if one.latency_us is not None), key=lambda pair: pair[0]
    )
    with LocalMeasurer(target, made.threads) as measurer:
        leaders = first_correct(ranked, lambda module: measurer.verify(program, module, made.seed, VERIFY_LIMITS).ok)
        if not leaders:
            raise MeasureError(f"no candidate of {len(measured)} ran and was correct")
        modules = [module for _, module in leaders]
        medians = rank_in_turn(measurer, modules, [us for us, _ in leaders])
    best = min(range(len(modules)), key=medians.__getitem__)
    return Found(
        modules[best],
        medians[best],
        tuple(trials),
        watch.seconds["building"],
        watch.seconds["timing"],
        "trials" if len(trials) >= made.budget.trials else "exhausted",
        space.messages,
    )


def _first_of(task: Task, made: Plan, space: Any) -> list[Any]:
    """TVM's schedules of what the architect constructs, if all strategies are to begin with those."""
    if not task.config.warm_start:
        return []
    from colt.tvm.peaks import hardware_with_peaks
    from colt.tvm.scorer import AnalyticalScorer, machine_of
    from colt.tvm.space import TvmSpace

    schedules = TvmSpace(made.program.module, space)
    scorer = AnalyticalScorer(schedules, machine_of(hardware_with_peaks(made.threads), made.threads))
    chosen = construct(schedules, scorer, task.config.warm_start, made.seed)
    return [schedules.scheduled(schedule) for schedule in chosen]


def seconds_since_start() -> float:
    """Since this process was started."""
    return time.time() - psutil.Process().create_time()


def _tree(task: Task) -> Mapping[str, Any]:
    """The defaults; as many openings as all strategies are to begin with, if there are such."""
    return {"root_width": task.config.warm_start} if task.config.warm_start else {}


def _list(task: Task) -> Mapping[str, Any]:
    """Nothing is concluded from values of nodes."""
    return {"rollouts": 0, "cost_model": "off"}


SEARCHES: dict[Strategy, Search] = {
    Strategy.STOCK: stock,
    Strategy.RANDOM: of_ours(("scout",), lambda task: without_tree(sampled(task.config.warm_start)), _list),
    Strategy.MCTS: of_ours(("scout",), lambda task: warm_tree(task.config.warm_start), _tree),
    Strategy.ARCHITECT: of_ours(("architect",), lambda task: without_tree(constructed), _list),
    Strategy.COLT: of_ours(builtin.DEFAULT, lambda task: warm_tree(task.config.warm_start), _tree),
}
