"""COLT as a search strategy of stock MetaSchedule: ``ms.tune_tir(..., strategy=colt.tvm.SearchStrategy())``.

A thin adapter: MetaSchedule generates the design space, builds and runs; the search decides what. It keeps fields of
the tuning context, never the context itself: that would be a cycle that is never collected.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from colt import events
from colt.events import Emit
from colt.machine import detect, load_peaks
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.proposers.experts import builtin
from colt.proposers.openings import openings
from colt.search.search import Search
from colt.search.types import Proposer, Trial
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import available_cores
from colt.tvm.metaschedule.records import arguments_info
from colt.tvm.space.space import TvmSpace
from colt.util.interrupt import Interrupt

STALLED = 20
"""Batches in a row without a new schedule after which tuning ends."""


def SearchStrategy(
    pool: Sequence[str] = builtin.DEFAULT,
    *,
    config: SearchConfig | None = None,
    seed: int | None = None,
    vector_math: bool = False,
    on_event: Sequence[Emit] = (),
) -> Any:
    """A search strategy for ``ms.tune_tir`` and ``tune_relax``, with everything else of theirs unchanged.

    Parameters
    ----------
    pool
        Names of built-in experts.
    config
        The search's settings.
    seed
        The seed of the search; by default MetaSchedule's random state.
    vector_math
        Predict what candidates take if they are built with vector math, as by ``colt.tvm.Builder(vector_math=True)``;
        the candidates themselves are the same.
    on_event
        Called with every event of :mod:`colt.events`, of all tasks.

    Raises
    ------
    InputError
        The pool holds a name that is no built-in expert's.
    """
    builtin.specs(pool)
    return _Strategy(_Options(tuple(pool), config or SearchConfig(), seed, events.fan_out(on_event), vector_math))


@dataclass(frozen=True, slots=True)
class _Options:
    pool: tuple[str, ...]
    config: SearchConfig
    seed: int | None
    emit: Emit
    vector_math: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    """The fields of a tuning context that matter."""

    mod: Any
    postprocs: tuple[Any, ...]
    rand_state: int
    threads: int
    target: Any


class _Tuning:
    """The search of one task between ``pre_tuning`` and ``post_tuning``."""

    def __init__(self, task: _Task, options: _Options, max_trials: int, design_spaces: Sequence[Any]) -> None:
        hardware = detect()
        peaks = load_peaks(hardware, task.threads)
        hardware = hardware if peaks is None else replace(hardware, peaks=peaks)
        self._space = TvmSpace.given(
            task.mod, design_spaces, task.postprocs, task.target, vector_math=options.vector_math
        )
        self._arguments = arguments_info(task.mod)
        self._max_trials = max_trials
        self._batch: list[Trial] = []
        seed = options.seed if options.seed is not None else abs(task.rand_state)
        scorer = AnalyticalScorer(self._space, machine_of(hardware, task.threads))
        experts = builtin.make(options.pool, self._space, scorer)
        self._proposers: dict[str, Proposer] = {expert.spec.name: expert for expert in experts}
        specs = [expert.spec for expert in experts]
        self._search = Search(
            self._space, scorer, specs, options.config, seed=seed, trials_total=max_trials, emit=options.emit
        )
        self._search.open(openings(self._space, experts, self._search.config, random.Random(seed)))

    def next_batch(self) -> list[Any] | None:
        """Measure candidates, or ``None`` when tuning is over."""
        search = self._search
        for _ in range(STALLED):
            left = self._max_trials - search.trials.asked
            if left <= 0 or search.closed:
                return None
            self._batch = search.ask(
                min(search.config.batch_size, left),
                lambda observation: self._proposers[observation.acting.name].propose(observation),
            )
            if self._batch:
                return [
                    ms.MeasureCandidate(self._space.scheduled(trial.schedule), self._arguments) for trial in self._batch
                ]
        return None

    def take(self, results: Sequence[Any]) -> None:
        """The runner's results for the last batch, in its order."""
        told = [_trial_result(trial.id, result) for trial, result in zip(self._batch, results, strict=True)]
        self._search.tell(told)


def _trial_result(trial: int, result: Any) -> Measurement:
    seconds = [] if result.run_secs is None else [float(second) for second in result.run_secs]
    if result.error_msg is not None or not seconds or not 0 < min(seconds) <= max(seconds) < 1e9:
        return Measurement(trial, Fate.RUN_ERROR, message=str(result.error_msg or "no figure"))
    return Measurement(trial, Fate.OK, statistics.median(seconds) * 1e6, math.fsum(seconds))


@derived_object
class _Strategy(ms.search_strategy.PySearchStrategy):  # type: ignore[misc]
    """What MetaSchedule calls; initialised several times over and cloned before use."""

    def __init__(self, options: _Options) -> None:
        super().__init__()
        self._options = options
        self._task: _Task | None = None
        self._tuning: _Tuning | None = None

    def _initialize_with_tune_context(self, context: Any) -> None:
        generator = context.space_generator
        postprocs = () if generator is None or generator.postprocs is None else tuple(generator.postprocs)
        cores = context.target.attrs.get("num-cores") if context.target is not None else None
        threads = available_cores() if cores is None else int(cores)
        tunable = cores is not None and context.target.kind.name == "llvm"
        target = context.target if tunable else None
        self._task = _Task(context.mod, postprocs, int(context.rand_state), threads, target)

    def pre_tuning(
        self, max_trials: int, num_trials_per_iter: int, design_spaces: Any, database: Any, cost_model: Any
    ) -> None:
        assert self._task is not None, "MetaSchedule initialises a strategy before it tunes"
        self._tuning = _Tuning(self._task, self._options, max_trials, list(design_spaces))

    def post_tuning(self) -> None:
        self._tuning = None

    def generate_measure_candidates(self) -> list[Any] | None:
        assert self._tuning is not None, "MetaSchedule calls pre_tuning first"
        with Interrupt() as interrupt:  # a KeyboardInterrupt would cross TVM's C++ as an error without a text
            batch = self._tuning.next_batch()
            return None if interrupt.requested else batch

    def notify_runner_results(self, candidates: Any, results: Any) -> None:
        assert self._tuning is not None, "MetaSchedule calls pre_tuning first"
        self._tuning.take(list(results))

    def clone(self) -> Any:
        return _Strategy(self._options)
