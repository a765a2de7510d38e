"""What belongs to one program of a run: its space, scorer, tree, proposers, roofline and strategy."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from colt import events
from colt.errors import MeasureError
from colt.events import Event
from colt.knobs import Schedule, Transformation
from colt.measure.base import INPUTS_TO_BLAME, Fate, Inputs, Job, Limits, Measurement
from colt.proposers.desk import Desk
from colt.proposers.dispatcher import Dispatcher
from colt.proposers.experts import builtin
from colt.proposers.experts.architect import Architect
from colt.proposers.experts.explorer import Explorer
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.prompt import member_in_words, stable_text
from colt.proposers.worth import why_stop_paying
from colt.run.context import Run
from colt.run.roofline import Ceiling
from colt.run.worked import WorkedScorer, chosen, steps_of, worked
from colt.search.search import Search
from colt.search.types import Proposer, Trial
from colt.store.directory import INPUTS, PROGRAM, RECORDS, WORKLOADS, RunDirectory
from colt.store.workings import Chosen, Reckoned, Text, Trusted
from colt.store.workings import Opening as Opened
from colt.strategies.base import Opening, StrategyMaker
from colt.tvm.briefing import brief
from colt.tvm.cost.learned import CostModel
from colt.tvm.cost.scorer import AnalyticalScorer, TrustedScorer, machine_of
from colt.tvm.metaschedule.records import Records, arguments_info
from colt.tvm.programs.arrays import write_numbered
from colt.tvm.programs.export import save_module
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import Program
from colt.tvm.space.space import WITHOUT_MOVES, TvmSpace
from colt.tvm.space.timed import TimedMovingSpace, TimedScorer
from colt.tvm.workers.code_size import predicted_build_seconds
from colt.world.answers import Remembered

BASELINE_LIMITS = Limits(
    run_seconds=300.0, build_seconds=60.0, build_floor_seconds=60.0, timing_seconds=60.0, single_run_ms=50.0
)
"""The untuned program may be slow: at large sizes one run takes a minute. It is timed again at the end, in turn.
Candidates that build slowly make room for others, but there is one untuned program."""
TICKETS = 10**9
"""Tickets are numbered apart by so many, so that an answer tells which task has asked."""
LATE = ("seconds",)
"""Reasons to stop that what has to be measured anyway does not heed."""
_DRAWN_EACH_TIME = 14
"""The last edition in which structures were opened with other schedules whenever they were looked at."""
PROPOSED_STRUCTURES = 13
"""The last edition in which nobody looked for structures on a schedule: the architect proposed them."""
STALLED = 20
"""Batches in a row without a new schedule after which a space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a task begins from: schedules in the order of measuring, how many of them are ``known`` ones of this very
    program and how many of ``relatives``, and how many records were ``unusable`` here."""

    schedules: tuple[Schedule, ...] = ()
    known: int = 0
    relatives: int = 0
    unusable: int = 0
    finders: Mapping[Schedule, str] = field(default_factory=dict)
    """Who found the known ones, in an earlier run."""
    known_us: float = math.inf
    """What the fastest known one took there."""
    joins: bool = False
    """Whether they are not in the tree yet, and join what the run would begin with by itself."""


@dataclass(frozen=True, slots=True)
class LookedInside:
    """The last look at the inner loop of the fastest schedule: trials with a result by then, and its latency."""

    told: int = 0
    latency_us: float = math.inf


class Task:
    """One program of a run. What becomes of its trials lives in ``search.trials`` and nowhere else."""

    def __init__(self, run: Run, program: Program, strategy: StrategyMaker, number: int = 0, name: str = "") -> None:
        """Generate the design space and make everything that proposes, predicts and searches in it.

        ``number`` is the task's place among those of the run.
        """
        plan, watch, config = run.plan, run.watch, run.plan.config
        self.program = program
        self.name = name
        """Its folder in the run's directory; empty if the files of the run are its own."""
        self.seed = plan.seed
        self.trials_total = plan.trials_each
        self.calls = plan.calls[number] if plan.of_model else 1
        """How often a run of the model calls the program."""
        self.of_model = plan.of_model
        self.number = number
        self.form_of = plan.form_of[number] if plan.of_model else number
        """The number of the task whose program this one computes in another form; its own if it is no such form."""
        self.form_error: float | None = None
        """How far what such a form computes is off, relative to the largest value."""
        self.settled = False
        """Whether trials are better spent on other tasks."""
        self.beaten = False
        """Whether another form of the program is known to be faster by far: nothing is tried."""
        self.watch = watch
        self.ceiling = Ceiling(program, plan.device, run)
        run.emit(events.Began("generating the design space"))
        self.tvm_space = TvmSpace.generated(
            program.module, plan.target, plan.space, vector_math=not plan.exact_math, edition=run.world.edition
        )
        for message in self.tvm_space.messages:
            run.note(message)
        self.space = TimedMovingSpace(self.tvm_space, watch)
        estimate = AnalyticalScorer(self.tvm_space, machine_of(run.hardware, plan.threads))
        learned = None if config.cost_model == "off" else self._make_cost_model
        self._workings = run.workings
        self._builds_predicted = 0
        self._build_times: dict[Schedule, float] = {}
        """Predicted seconds of those that were compared with others of equal promise, some of them time and again."""
        self._run_emit = run.emit
        self._named: set[tuple[str, str]] | None = set() if run.world.names_knobs else None
        """Sketches whose knobs were named; ``None`` in runs of versions that named none."""
        self.scorer = TrustedScorer(
            estimate, learned, config.cost_model_warmup, config.cost_model_min_rank, self._trust_once
        )
        self.search = self._make_search(run)
        self._looks = 0
        """How often structures were looked for."""
        self.experts: tuple[Proposer, ...] = ()
        """The built-in experts: those of the pool, and those who only fill the time while models think."""
        self.dispatcher = self._make_dispatcher(run, TimedScorer(estimate, watch))
        self.strategy = strategy.make(self)
        self.untuned = program.untuned(run.world.edition)
        """The module that speed-ups are over."""
        self.inputs = Inputs(program.module, plan.seed, program.inputs)
        """What the program and its schedules are timed with, which is what they are verified with."""
        self.begun = Begun()
        self.remembered = Remembered(count=0)
        """What was added to the records at the end."""
        self.baseline_us = 0.0
        """The untuned program's latency in microseconds, as measured at the start."""
        self.roofline_reached = False
        """Whether a verified schedule reaches the share of the roofline at which the run is to stop."""
        self.looked_inside = LookedInside()
        self._target = plan.target
        self._stalled = 0
        self._left_over: list[Trial] = []
        """Trials that were asked for, and not measured since the run was to stop, or are next on a fleet."""
        self._jobs: dict[int, Job] = {}
        """What a fleet has begun with, by trial."""
        self._records: Records | None = None

    def _emit(self, event: Event) -> None:
        """Tell what happens in the search, and first what the knobs of a sketch are called that is new."""
        if self._named is not None and isinstance(event, events.Opened | events.Applied):
            variant, sketch = key = event.schedule.variant, event.schedule.sketch
            if event.schedule.values and key not in self._named:
                self._named.add(key)
                names = tuple(knob.name for knob in self.tvm_space.plans.find(variant, sketch).knobs)
                self._run_emit(events.Named(variant, sketch, names))
        self._run_emit(event)

    def _make_search(self, run: Run) -> Search:
        plan, scorer = run.plan, TimedScorer(self.scorer, run.watch)
        return Search(
            self.space,
            WorkedScorer(scorer, run.workings, f"predictions {self.number}"),
            plan.pool.specs,
            plan.config,
            seed=plan.seed,
            trials_total=plan.trials_each,
            build_seconds=self._build_seconds,
            emit=self._emit,
            first_ticket=self.number * TICKETS,
            work=lambda ticket: worked(run.workings, f"ticket {ticket}", self.space, scorer),
            models=[member.name for member in plan.pool.models],
            explores=plan.options.moves == "all" and self.tvm_space.edition > PROPOSED_STRUCTURES,
        )

    def _make_dispatcher(self, run: Run, scorer: TimedScorer) -> Dispatcher:
        pool = run.plan.pool
        moving = self.space if self.allows_moves and run.plan.options.moves == "all" else None
        explores = self.search.setup.explores
        members = builtin.make(pool.experts, self.space, scorer, moving, explores)
        others = [name for name in builtin.DEFAULT if name not in pool.experts] if pool.models else []
        fillers = builtin.make(others, self.space, scorer, moving, explores)
        self.experts = (*members, *fillers)
        architects = [one for one in self.experts if isinstance(one, Architect)]
        seed = run.plan.seed if self.tvm_space.edition > _DRAWN_EACH_TIME else None
        explorer = Explorer(self.space, scorer, architects[0], seed) if explores and architects else None
        calls = run.calls.line() if pool.models else None
        desk = Desk(
            {expert.spec.name: expert for expert in members},
            self._make_models(run) if pool.models else {},
            calls,
            {member.name: member.concurrency for member in pool.models},
            run.watch,
            run.said_before,
        )
        paid = [member.name for member in pool.models if not member.is_free]

        def why_stop() -> str | None:
            if run.plan.keep_paying or not paid:
                return None
            return why_stop_paying(self.search.trials, paid, self.ceiling.share(self.search.trials.best_us))

        def explore() -> None:
            if explorer is not None:
                self._explore(explorer)

        return Dispatcher(
            self.search,
            desk,
            (*fillers, *members),
            trials_total=self.trials_total,
            why_stop=why_stop,
            strict=run.plan.strict_pool,
            emit=run.emit,
            note=run.note,
            watch=run.watch,
            explore=explore,
        )

    def _make_models(self, run: Run) -> dict[str, LanguageModel]:
        plan = run.plan
        vector_math = not plan.exact_math
        briefing = brief(
            *(self.tvm_space, self.program, run.hardware, plan.threads),
            vector_math=vector_math,
            cold=run.apart_bytes is not None,
        )
        pool = [member_in_words(member) for member in plan.pool.members]
        moves = self.allows_moves and plan.options.moves != "none"
        text = stable_text(briefing, pool, moves)
        run.calls.require_same_text(text)
        return {
            one.name: LanguageModel(one.spec, pool, text, briefing, self.space, moves=moves) for one in plan.pool.models
        }

    def _make_cost_model(self) -> CostModel:
        module = self.program.module
        return CostModel(self.tvm_space, module, self._target, arguments_info(module))

    def _build_seconds(self, schedule: Schedule) -> float:
        def predict() -> Reckoned:
            with self.watch("scoring"):
                if schedule not in self._build_times:
                    self._build_times[schedule] = predicted_build_seconds(self.tvm_space.module(schedule))
                return Reckoned(self._build_times[schedule])

        self._builds_predicted += 1
        return self._workings.once(f"build seconds {self.number}.{self._builds_predicted}", Reckoned, predict).value

    def _trust_once(self, of: str, kind: type[Trusted], work: Callable[[], Trusted]) -> Trusted:
        return self._workings.once(f"{of} {self.number}", kind, work)

    def _openings(self) -> list[Opening]:
        """What the root's children are chosen from, and who made it."""
        of = f"openings {self.number}"
        known = self._workings.known(of)
        if known is None:
            found = list(self.strategy.openings())
            self._workings.keep(of, [Opened(s.variant, s.sketch, s.values, by) for s, by in found])
            return found
        opened = [one for one in known if isinstance(one, Opened)]
        return [(Schedule(one.variant, one.sketch, one.values), one.by) for one in opened]

    def _explore(self, explorer: Explorer) -> None:
        """Look for structures, if it is time to. What was found before the run broke off is not looked for again."""

        def look(fastest: Schedule, stalled: bool, rng: random.Random) -> list[Transformation]:
            self._looks += 1
            of = f"structures {self.number}.{self._looks}"
            known = self._workings.known(of)
            if known is not None:
                return [steps_of(one) for one in known if isinstance(one, Chosen)]
            found = explorer.changes(fastest, stalled, rng)
            self._workings.keep(of, [*map(chosen, found)])
            return found

        self.search.explore(look, explorer.architect.spec.name)

    # ---- before the search ----

    def take_baseline(self, run: Run, latency_us: float) -> None:
        """Take what the untuned program takes from a task that has the same."""
        self.baseline_us = latency_us
        run.emit(events.Baseline(latency_us))

    def measure_baseline(self, run: Run) -> None:
        """Time the untuned program. Raises :class:`MeasureError` if it does not run."""
        run.emit(events.Began("measuring the untuned program"))
        with run.measuring():
            (result,) = run.measurer.measure([Job(-1, self.untuned, self.inputs)], limits=BASELINE_LIMITS)
        if result.latency_us is None:
            blamed = f"; {INPUTS_TO_BLAME}" if result.fate is Fate.CRASH else ""
            raise MeasureError(f"the untuned program does not run ({result.fate}): {result.message}{blamed}")
        self.take_baseline(run, result.latency_us)

    def open(self, run: Run, constructing: bool = True) -> None:
        """Make the root's children; none if not ``constructing``."""
        if constructing:
            run.emit(events.Began("constructing openings"))
        self.search.open(self._openings() if constructing else (), self.baseline_us)

    def write_files(self, run: Run) -> None:
        """Write the untuned program, and from here on MetaSchedule's database."""
        if (directory := run.storage.directory_of(self.name)) is not None:
            with run.storage.storing():
                if not run.resumed:
                    self._write_program(directory)
                folder = directory.path
                files = folder / WORKLOADS, folder / RECORDS
                self._records = Records(*files, self.program.module, run.plan.target, follow=run.resumed)

    def _write_program(self, directory: RunDirectory) -> None:
        """The program goes last: a directory that has it can be resumed."""
        if self.program.inputs is not None and self.program.inputs.arrays:
            write_numbered(directory.path / INPUTS, self.program.inputs.arrays)
        directory.write(PROGRAM, save_module(self.program.given or self.program.module))

    # ---- the main loop's steps ----

    @property
    def allows_moves(self) -> bool:
        """Whether the run has moves at all: those of earlier editions do not."""
        return self.tvm_space.edition > WITHOUT_MOVES

    @property
    def charged(self) -> int:
        """See :class:`~colt.run.budget.Tuned`, as for the following four."""
        return self.search.trials.charged

    @property
    def left_over(self) -> int:
        return len(self._left_over)

    @property
    def lacks_models(self) -> bool:
        """Whether the pool has to have language models, and none can be asked."""
        return self.dispatcher.lacks_models

    @property
    def exhausted(self) -> bool:
        """Whether the space has nothing new to try."""
        return self.settled or self.beaten or self.search.closed or self._stalled >= STALLED

    @property
    def latency_us(self) -> float:
        """The best that is known: of a trial, or of the untuned program."""
        return min(self.baseline_us, self.search.trials.best_us)

    @property
    def is_form(self) -> bool:
        """Whether the program is another form of that of another task."""
        return self.form_of != self.number

    @property
    def spared(self) -> bool:
        """Whether nothing was tried, since another form of the program is faster."""
        return (self.beaten or self.settled) and not self.search.trials.asked

    def learn(self) -> None:
        """Let the cost model have what was measured so far."""
        with self.watch("scoring"):
            self.scorer.learn(self.search.trials.latencies)

    def note_batch(self, batch: Sequence[Trial]) -> None:
        """Count batches in a row without a schedule."""
        self._stalled = 0 if batch else self._stalled + 1

    def go_on(self, trials_total: int) -> None:
        """Go on after the run had broken off or ended, towards that many trials."""
        self.trials_total = trials_total
        self.search.aim(trials_total)
        self.dispatcher.reopen(trials_total)

    def take_left_over(self) -> list[Trial]:
        """The trials that a stop kept from being measured: the next batch if the run goes on."""
        left, self._left_over = self._left_over, []
        return left

    def expect(self, run: Run, trials: Sequence[Trial], after: Sequence[Trial]) -> None:
        """Have the hosts of a fleet begin with ``trials``, which are measured now, and with those of the next batch."""
        self._left_over = list(after)
        if not run.world.recorded:
            new = [trial for trial in (*trials, *after) if trial.id not in self._jobs]
            self._jobs |= {trial.id: self._job(trial) for trial in new}
            run.measurer.expect([self._jobs[trial.id] for trial in new])

    def measure(self, run: Run, trials: Sequence[Trial], in_time: bool = True) -> Iterator[Measurement]:
        """Measure trials one by one, until the user or the clock stops the run; only the user if not ``in_time``."""
        self._workings.flush()
        jobs = (self._jobs.pop(trial.id) if trial.id in self._jobs else self._job(trial) for trial in trials)
        best_us = self.search.trials.best_us
        measurements = run.measurer.measure(jobs, best_us if self.search.trials.latencies else None)
        for number, trial in enumerate(trials):
            if run.stop.requested() not in (None, *(() if in_time else LATE)):
                self._left_over = [*trials[number:], *self._left_over]
                return
            with run.measuring():
                done = next(measurements)
            if done.disturbed and not run.told_of_noise:
                run.told_of_noise = True
                run.note(
                    f"another load disturbs {run.plan.device.place} (at trial {done.trial}): timings wait for it to "
                    "pass, and are corrected as far as possible where it does not"
                )
            if self._records is not None and done.fate is not Fate.SKIPPED and not self._records.has(trial.id):
                with run.storage.storing():
                    self._records.add(trial.id, self.tvm_space.scheduled(trial.schedule), done.latency_us)
            seconds = done.seconds_building, done.seconds_timing
            run.emit(events.Timed(trial.id, done.fate, done.latency_us, *seconds, done.slowdown, done.host))
            yield done

    def _job(self, trial: Trial) -> Job:
        """What to measure. The program is made only if it was not measured before the run went on."""
        module = None

        def fingerprinted() -> Text:
            nonlocal module
            module = self.tvm_space.module(trial.schedule)
            return Text(fingerprint(module))

        found = self._workings.once(f"program {self.number}.{trial.id}", Text, fingerprinted)
        return Job(trial.id, module, self.inputs, found.value)

    def tell_wrong(self, run: Run, trial: Trial, message: str) -> None:
        """Tell everybody that a trial computes something else than the untuned program."""
        run.note(f"trial {trial.id} by {trial.proposed_by} computes something else: {message}")
        if self._records is not None:
            with run.storage.storing():
                self._records.fail(trial.id)
