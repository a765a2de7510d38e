"""The parts of one run, tied together: space, scorer, pool, measurer, records, clocks.

:mod:`colt.run.loop` drives them; this module builds them from a plan (:mod:`colt.plan`).
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import InitVar, dataclass, field
from types import TracebackType
from typing import Self

from colt import events
from colt.errors import MeasureError
from colt.events import Emit, Event
from colt.knobs import Schedule
from colt.measure.base import Fate, Job, Limits, Measurement, Measurer, Verification
from colt.plan import Plan
from colt.proposers.experts import builtin
from colt.proposers.openings import openings
from colt.run.consulting import Consulting
from colt.run.roofline import Ceiling
from colt.search.search import Search
from colt.search.types import Observation, Proposal, Proposer, Trial
from colt.store.directory import JOURNAL, PROGRAM, RECORDING, RECORDS, WORKLOADS, RunDirectory
from colt.store.journal import Journal
from colt.tvm.cost.learned import CostModel
from colt.tvm.cost.scorer import AnalyticalScorer, TrustedScorer, machine_of
from colt.tvm.devices.assumed import assumed_hardware
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.metaschedule.records import Records, arguments_info
from colt.tvm.programs.export import save_module
from colt.tvm.space.space import TvmSpace
from colt.tvm.space.timed import TimedScorer, TimedSpace
from colt.tvm.workers import LocalMeasurer
from colt.tvm.workers.code_size import predicted_build_seconds
from colt.tvm.workers.rpc import require_board
from colt.util.clock import Stopwatch
from colt.util.interrupt import Interrupt
from colt.world.answers import Looked, Spent, Stop
from colt.world.recordable import RecordableMeasurer
from colt.world.world import Live, Recorder, World

TRIAL_LIMITS = Limits()
"""Trials are timed until they can be ranked; the leaders are timed again, in turn, at the end."""
BASELINE_LIMITS = Limits(run_seconds=300.0, build_seconds=60.0, timing_seconds=60.0, single_run_ms=50.0)
"""The untuned program may be slow: at large sizes one run takes a minute. It is timed again at the end, in turn."""


@dataclass(slots=True)
class Run:
    """A running job. Enter it to start the worker and claim the run directory; leaving ends and closes everything."""

    plan: Plan
    listeners: InitVar[Sequence[Emit]] = ()
    outside: World = field(default_factory=Live)
    """Who answers what the plan does not; recorded if the run has a directory."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    interrupt: Interrupt = field(default_factory=Interrupt)
    messages: list[str] = field(default_factory=list)
    verifications: dict[int, Verification] = field(default_factory=dict)
    """By trial: what came of comparing it with the untuned program."""
    proposer_seconds: dict[str, float] = field(default_factory=dict)
    directory: RunDirectory | None = None
    ceiling: Ceiling = field(init=False)
    measurer: Measurer = field(init=False)
    space: TvmSpace = field(init=False)
    scorer: TrustedScorer = field(init=False)
    search: Search = field(init=False)
    seconds_building: float = 0.0
    """Wall time of building trials and the untuned program; of timing likewise."""
    seconds_timing: float = 0.0
    builds: dict[int, Measurement] = field(default_factory=dict)
    """What was measured, by trial."""
    consulting: Consulting | None = None
    """How language models are asked, if there are any in the pool."""
    _space: TimedSpace = field(init=False)
    _recorder: Recorder | None = None
    _records: Records | None = None
    _proposers: Mapping[str, Proposer] = field(default_factory=dict)
    _feeders: Sequence[Proposer] = ()
    """Built-in experts outside the pool, who fill the time."""
    _measured: dict[Schedule, float] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _listeners: list[Emit] = field(init=False)
    _early: list[Event] = field(default_factory=list)
    _told_of_interrupt: bool = False
    _told_of_noise: bool = False
    _refusal: str = ""
    """Why the last schedule that could not be made could not be made."""

    def __post_init__(self, listeners: Sequence[Emit]) -> None:
        self._listeners = list(listeners)
        if self.plan.run_dir is not None:
            self.outside = self._recorder = self._stack.enter_context(Recorder(self.outside))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    # ---- starting ----

    def _start(self) -> None:
        plan = self.plan
        with self.watch("starting"):
            self.emit(events.Began("looking at the hardware"))
            seen = self.outside.take(f"hardware, {plan.threads} threads", Looked, self._look)
            for message in seen.notes:
                self.note(message)
            self.ceiling = Ceiling(plan.program, plan.threads, seen.hardware, self.note, self.outside)
            self.measurer = self._stack.enter_context(RecordableMeasurer(self.outside, self._make_measurer))
            self.emit(events.Began("generating the design space"))
            self.space = TvmSpace.generated(
                plan.program.module, plan.target, plan.space, vector_math=not plan.exact_math
            )
            for message in self.space.messages:
                self.note(message)
            self._make_search()

    def _look(self) -> Looked:
        """This machine with its peaks, or what is assumed of the board, which is seen to be there."""
        plan = self.plan
        if plan.board is not None:
            require_board(plan.board)
            return Looked(hardware=assumed_hardware(plan.target), notes=plan.assumptions)
        with warnings.catch_warnings(record=True) as warned:
            hardware = hardware_with_peaks(plan.threads)
        return Looked(hardware=hardware, notes=tuple(str(warning.message) for warning in warned))

    def _make_measurer(self) -> Measurer:
        plan, peak = self.plan, self.ceiling.hardware.peaks.fma_gflops_all_threads
        return LocalMeasurer(plan.target, plan.threads, TRIAL_LIMITS, peak_gflops=peak, board=plan.board)

    def claim_directory(self, method: str) -> None:
        """Write from here on: nothing that can be found wrong with the input is left to find."""
        plan = self.plan
        if plan.run_dir is None:
            return
        self.directory = RunDirectory.create(plan.run_dir, plan.to_config(method))
        folder = self.directory.path
        journal = self._stack.enter_context(Journal(folder / JOURNAL))
        for event in self._early:
            journal(event)
        self._listeners.append(journal)
        if self._recorder is not None:
            self._recorder.open(folder / RECORDING)
        self.directory.write(PROGRAM, save_module(plan.program.module))
        self._records = Records(folder / WORKLOADS, folder / RECORDS, plan.program.module, plan.target)

    def emit(self, event: Event) -> None:
        """Pass an event to everybody who listens; the journal gets the first ones when it is opened."""
        if isinstance(event, events.FellBack) and event.what == "transformation":
            self._refusal = event.reason
        if self.directory is None:
            self._early.append(event)
        for listener in self._listeners:
            listener(event)

    def _make_search(self) -> None:
        plan = self.plan
        self._space = space = TimedSpace(self.space, self.watch)
        estimate = AnalyticalScorer(self.space, machine_of(self.ceiling.hardware, plan.threads))
        config = plan.config
        self.scorer = TrustedScorer(
            estimate,
            self._cost_model if config.cost_model == "auto" else None,
            config.cost_model_warmup,
            config.cost_model_min_rank,
        )
        timed = TimedScorer(estimate, self.watch)
        experts = builtin.make(plan.pool.experts, space, timed)
        self._proposers = {expert.spec.name: expert for expert in experts}
        self.search = Search(
            space,
            TimedScorer(self.scorer, self.watch),
            plan.pool.specs,
            config,
            seed=plan.seed,
            trials_total=plan.budget.trials,
            build_seconds=self._build_seconds,
            emit=self.emit,
        )
        if plan.pool.models:
            self._feeders = builtin.make(
                [name for name in builtin.DEFAULT if name not in plan.pool.experts], space, timed
            )
            self.consulting = self._stack.enter_context(
                Consulting(self, self._space, self._proposers, [*self._feeders, *experts])
            )

    def _build_seconds(self, schedule: Schedule) -> float:
        with self.watch("scoring"):
            return predicted_build_seconds(self.space.module(schedule))

    def _cost_model(self) -> CostModel:
        module = self.plan.program.module
        return CostModel(self.space, module, self.plan.target, arguments_info(module))

    def note(self, message: str) -> None:
        """Tell the user, now and in the receipt."""
        self.messages.append(message)
        self.emit(events.Noted(message))

    # ---- the run ----

    def measure_baseline(self) -> float:
        """The untuned program's latency in microseconds. Raises :class:`MeasureError` if it does not run."""
        self.emit(events.Began("measuring the untuned program"))
        with self._measuring():
            (result,) = self.measurer.measure([Job(-1, self.plan.program.module)], limits=BASELINE_LIMITS)
        if result.latency_us is None:
            raise MeasureError(f"the untuned program does not run ({result.fate}): {result.message}")
        self.emit(events.Baseline(result.latency_us))
        # Only now is there something that Ctrl-C should not lose.
        self.outside.live(lambda: self._stack.enter_context(self.interrupt))
        return result.latency_us

    def openings(self) -> list[tuple[Schedule, str]]:
        """What the root's children are chosen from."""
        self.emit(events.Began("constructing openings"))
        with self.watch("proposing"):
            proposers = [*self._proposers.values(), *self._feeders]
            return list(openings(self._space, proposers, random.Random(self.plan.seed)))

    def ask(self, count: int) -> list[Trial]:
        """Up to so many distinct schedules to measure next."""
        if self.consulting is not None:
            return self.consulting.asking.ask(count)
        return self.search.ask(count, self.propose)

    def propose(self, observation: Observation) -> Proposal:
        """Ask the acting model."""
        before = self.watch.total
        try:
            with self.watch("proposing"):
                return self._proposers[observation.acting.name].propose(observation)
        finally:
            name = observation.acting.name
            self.proposer_seconds[name] = self.proposer_seconds.get(name, 0.0) + self.watch.total - before

    @property
    def best_us(self) -> float:
        """The least latency that was measured; infinite if none was."""
        return min(self._measured.values(), default=math.inf)

    def measure(self, trials: Sequence[Trial]) -> Iterator[Measurement]:
        """Measure trials one by one until the user or the clock stops the run; record each."""
        jobs = (Job(trial.id, self.space.module(trial.schedule)) for trial in trials)
        measurements = self.measurer.measure(jobs, min(self._measured.values(), default=None))
        for trial in trials:
            if self.stop_requested() is not None:
                return
            with self._measuring():
                done = next(measurements)
            self._tell_of_noise(done)
            self.builds[trial.id] = done
            if self._records is not None and done.fate is not Fate.SKIPPED:
                self._records.add(trial.id, self.space.scheduled(trial.schedule), done.latency_us)
            if done.latency_us is not None:
                self._measured[trial.schedule] = done.latency_us
            spent = done.seconds_building, done.seconds_timing
            self.emit(events.Timed(trial.id, done.fate, done.latency_us, *spent, done.slowdown))
            yield done

    def mark_wrong(self, trial: Trial, message: str) -> None:
        """The trial computes something else than the untuned program: its latency is worth nothing."""
        self.note(f"trial {trial.id} by {trial.proposed_by} computes something else: {message}")
        self._measured.pop(trial.schedule, None)
        if self._records is not None:
            self._records.fail(trial.id)
        self.search.tell([Measurement(trial.id, Fate.WRONG, None, math.inf, message)])

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Count the time as measuring, and what of it is building and timing."""
        building, timing = self.measurer.seconds_building, self.measurer.seconds_timing
        with self.watch("measuring"):
            yield
        for remark in self.measurer.take_remarks():
            self.note(remark)
        self.seconds_building += self.measurer.seconds_building - building
        self.seconds_timing += self.measurer.seconds_timing - timing

    def _tell_of_noise(self, done: Measurement) -> None:
        """Say it once, and how bad it was in the receipt."""
        if done.disturbed and not self._told_of_noise:
            self._told_of_noise = True
            where = "this machine" if self.plan.board is None else "the board"
            self.note(
                f"another load disturbs {where} (at trial {done.trial}): timings wait for it to pass, "
                "and are corrected as far as possible where it does not"
            )

    def explain_nothing(self) -> None:
        """Say why, if not one schedule could be made."""
        if self.search.trials.asked == 0 and self._refusal:
            self.note(f"no schedule of this program could be made: {self._refusal}")

    def learn(self) -> None:
        """Let the cost model have what was measured so far."""
        with self.watch("scoring"):
            self.scorer.learn(self._measured)

    def stop_requested(self) -> str | None:
        """``interrupted``, ``seconds``, or ``pool`` if the run is to end now."""
        reason = self.outside.take("stop", Stop, self._stop, quiet=Stop()).reason
        if reason == "interrupted" and not self._told_of_interrupt:
            self._told_of_interrupt = True
            self.emit(events.Began("stopping; finishing with the best so far (Ctrl-C again drops it)"))
        if reason is None and self.consulting is not None and self.consulting.given_up:
            return "pool"
        return reason

    def _stop(self) -> Stop:
        if self.interrupt.requested:
            return Stop(reason="interrupted")
        seconds = self.plan.budget.seconds
        return Stop(reason="seconds" if seconds is not None and self.watch.total >= seconds else None)

    def spent(self) -> Spent:
        """Wall seconds so far: all, by activity, and by proposer. Asked last, when nothing is left but the receipt."""
        return self.outside.take("time spent", Spent, self._spent)

    def _spent(self) -> Spent:
        watch = self.watch
        return Spent(total=watch.total, activities=dict(watch.seconds), proposers=dict(self.proposer_seconds))


def fate_counts(results: Iterable[Measurement]) -> dict[str, int]:
    """How many trials met each fate; fates that did not occur count 0."""
    counts = {fate.value: 0 for fate in Fate}
    for result in results:
        counts[result.fate.value] += 1
    return counts
