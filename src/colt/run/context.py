"""What all tasks of a run share: plan, world, events, clock, device, calls of language models, and the directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from colt import events
from colt.errors import ReplayError, StorageError
from colt.events import Emit, Event
from colt.machine import Hardware, Quiet
from colt.measure.base import Limits, Measurer
from colt.measure.muster import Muster
from colt.options import BUDGET
from colt.plan import MADE_WITH, RUN, Plan
from colt.proposers.desk import Calls
from colt.proposers.language.calls import Charge
from colt.proposers.language.findings import recall
from colt.proposers.language.money import Ledger, Spending
from colt.proposers.shared_calls import SharedCalls
from colt.run.budget import StopRule
from colt.search.types import Proposal, ProposalError
from colt.store.directory import JOURNAL, RECORDING, REMARKS, WORKINGS, RunDirectory
from colt.store.journal import Journal, said_before
from colt.store.receipt import FoundPart
from colt.store.workings import Workings
from colt.tvm.programs.program import fingerprint
from colt.util.clock import Stopwatch
from colt.util.collecting import no_collecting
from colt.util.files import read_file, sync
from colt.util.interrupt import Interrupt
from colt.util.streams import remarks_since, remarks_so_far
from colt.util.text import counted
from colt.util.version import versions
from colt.util.waiting import told_of_waiting
from colt.world.answers import Allowance, Clock, Endpoints, Looked, Spent, StableText
from colt.world.calls import RecordableCalls
from colt.world.measurer import RecordableMeasurer
from colt.world.recording import Header, Recording
from colt.world.world import Recorder, World

TRIAL_LIMITS = Limits()
"""Trials are timed until they can be ranked; the leaders are timed again, in turn, at the end."""
QUEUEING = "queueing"
"""The activity of a run that is kept waiting by others' work on its hosts; one that is not has none of that name."""

COLD_CACHES = 2
"""Weights of so many times the last-level cache leave nothing in it of those before."""


def limits_on(quiet: Quiet | None) -> Limits:
    """The limits of trials on a machine that is known to be so steady; the usual ones if that is not known."""
    if quiet is None:
        return TRIAL_LIMITS
    return replace(TRIAL_LIMITS, noise_threshold=quiet.slowdown_threshold, noise_queued=quiet.queued_threshold)


def _header(plan: Plan, world: World) -> Header:
    """Whose answers a recording has."""
    return Header(
        program=" ".join(fingerprint(program.given or program.module) for program in plan.programs),
        target=str(plan.target),
        allowance=plan.allowance,
        versions=versions(),
        edition=world.edition,
        names_knobs=world.names_knobs,
    )


class Run:
    """A running job. Enter it to look at the hardware and start the workers; leaving closes everything."""

    def __init__(
        self, plan: Plan, world: World, listeners: Sequence[Emit] = (), after: Recording | None = None
    ) -> None:
        """``after`` is the recording of a run that goes on in its own directory."""
        self.plan = plan
        self.resumed = after is not None
        """Whether a run goes on in its own directory."""
        self.watch = Stopwatch()
        self.interrupt = Interrupt()
        self.messages: list[str] = []
        """What the user was told."""
        self.directory: RunDirectory | None = None
        self.queued_s = 0.0
        """Seconds in which others' work kept the run from measuring, for which its own clock stands still."""
        self.told_of_noise = False
        self.told_of_no_inner_loop = self.told_of_no_profile = False
        self.seconds_building = 0.0
        """Wall time of building trials and untuned programs; of timing likewise."""
        self.seconds_timing = 0.0
        self.hardware: Hardware
        """The machine with its peaks as they stand: a kernel may raise them."""
        self.measurer: RecordableMeasurer
        self.fleet: Muster | None = None
        """Who measures, where several hosts do; see :meth:`call_roll`."""
        self.apart_bytes: int | None = None
        """How far calls of a model's programs are apart, see :attr:`~colt.measure.base.Limits.apart_bytes`."""
        self._calls: SharedCalls | None = None
        """The calls of language models, once a task has opened them."""
        self.found: Mapping[str, FoundPart] = {}
        """What ``colt pool check`` found last of the endpoints, by model."""
        self.storage_failure: StorageError | None = None
        """Why the run's files are not written any more, if they are not."""
        self._stack = ExitStack()
        self._recalling = self._stack.enter_context(ExitStack())
        """What holds while the run only repeats what is recorded."""
        self._hold_notes: tuple[str, ...] = ()
        self._watching = tuple(listeners)
        """Who is told what concerns this process alone; the journal is that of the whole run."""
        self._listeners = list(listeners)
        self._told_early = ""
        """What of the news about hosts whoever watches was told before they were taken."""
        self._early: list[Event] = []
        """Events before there is a journal."""
        self._journal: Journal | None = None
        self._recorder: Recorder | None = None
        self._remarks = remarks_so_far()
        self._ledger = Ledger(plan.ceilings)
        self._live = False
        """Whether a resumed run has used its recording up."""
        self.world = world
        if plan.run_dir is not None:
            recorder = Recorder(world, _header(plan, world), self._go_live)
            self.world = self._recorder = self._stack.enter_context(recorder)
            if after is not None:
                recorder.follow(after)
        self._after = after
        self.workings = self._open_workings()
        """What the run works out itself, and has worked out before if it goes on."""
        self._said = said_before(plan.run_dir / JOURNAL) if plan.run_dir is not None and after is not None else {}
        self.stop = StopRule(plan, self.world, self.watch, self.interrupt, self.emit, self._check_storage, self._go_on)

    def _open_workings(self) -> Workings:
        if self.plan.run_dir is None:
            return Workings()
        head = _header(self.plan, self.world)
        recorded = None if self._after is None else lambda: self.world.recorded
        workings = Workings(self.plan.run_dir / WORKINGS, repr(head), recorded)
        self._stack.callback(workings.close)
        if workings.left_out:
            self._tell_watching(workings.left_out)
        return workings

    def __enter__(self) -> Self:
        try:
            if self.world.recorded:  # a whole tree comes into being, without a pause
                self._recalling.enter_context(no_collecting())
            with self.watch("starting"):
                self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.emit(events.Began("looking at the hardware"))
        with told_of_waiting(self._waits, instead=False):
            self._enter_device()

    def _enter_device(self) -> None:
        device = self.plan.device
        if self.world.parts.measurer is None:
            self._hold_device()
        seen = self.world.take(f"hardware, {self.plan.threads} threads", Looked, self._look)
        self.hardware = seen.hardware
        for message in seen.notes:
            self.note(message)
        parts, peaks = self.world.parts, self.hardware.peaks
        most = COLD_CACHES * self.hardware.last_level_cache.bytes
        self.apart_bytes = min(self.plan.weight_bytes, most) or None
        limits = replace(limits_on(peaks.quiet), apart_bytes=self.apart_bytes)
        peak = peaks.of_reference

        def make() -> Measurer:
            if parts.measurer is not None:
                return parts.measurer(limits, peak)
            return device.measurer(limits, peak_gflops=peak, pace=self.plan.pace)

        fleet = self.plan.options.fleet is not None or self.plan.options.boards > 1
        measurer = RecordableMeasurer(self.world, make, fingerprint, self._clock, fleet)
        self.measurer = self._stack.enter_context(measurer)
        self.call_roll()
        if self.fleet is not None and self.fleet.measuring:
            names = [host.name for host in self.fleet.measuring]
            self.note(f"measuring on {counted(len(names), 'host')}: {', '.join(names)}")

    def _hold_device(self) -> None:
        """Have the device to measure on, as far as anything is measured. That it was waited for counts apart."""
        hold = self.world.live(self.plan.device.hold)
        if hold is not None:
            self._stack.callback(hold.close)
            self._hold_notes = hold.notes
            self.watch.leave_out(hold.waited_s)
            self._ledger.go_on(self.plan.ceilings, self.watch.total)
            self.queued_s = hold.before_s + hold.waited_s

    def _clock(self) -> Clock | None:
        """Where the time has gone, for the recording; whoever keeps none has no use for it."""
        if self._recorder is None:
            return None
        seconds = {name: round(value, 3) for name, value in self._activities().items()}
        return Clock(total=round(self.watch.total, 3), activities=seconds)

    def _activities(self) -> dict[str, float]:
        """Seconds by activity. What the run was kept waiting is one if it was, and no part of what its clock shows."""
        return {**self.watch.seconds, **({QUEUEING: self.queued_s} if self.queued_s else {})}

    def _look(self) -> Looked:
        hardware, notes = self.plan.device.look()
        return Looked(hardware=hardware, notes=(*self._hold_notes, *notes))

    # ---- telling ----

    def emit(self, event: Event) -> None:
        """Pass an event to everybody who listens."""
        self._pass_on(event, self._listeners)

    def _pass_on(self, event: Event, listeners: Sequence[Emit]) -> None:
        """Pass an event to some of them, and to the journal once there is one."""
        if self._journal is None:
            self._early.append(event)
        for listener in listeners:
            listener(event)

    def note(self, message: str) -> None:
        """Tell the user, now and in the receipt."""
        self.messages.append(message)
        self.emit(events.Noted(message))

    def _tell_watching(self, message: str) -> None:
        for listener in self._watching:
            listener(events.Noted(message))

    def _waits(self, text: str) -> None:
        for listener in self._watching:
            listener(events.Began(text))

    # ---- asking language models ----

    def open_calls(self) -> Calls:
        """One more task's calls of language models. All tasks share the endpoints and one ledger."""
        if self._calls is None:
            models = self.plan.pool.models
            recalled = self.world.take("endpoints", Endpoints, lambda: Endpoints(found=recall(models)))
            self.found = recalled.found
            calls = RecordableCalls(
                self.world,
                self._make_calls,
                self.plan.calls_at_once,
                compare=self.world.same_words,
                charge=self._ledger.charge,
            )
            self._calls = SharedCalls(calls)
        return self._calls.line()

    def require_same_text(self, text: str) -> None:
        """Raise :class:`ReplayError` if the recorded run's prompts began with another text."""
        recorded = self.world.take("stable text", StableText, lambda: StableText(text=text)).text
        if self.world.same_words and recorded != text:
            raise ReplayError("the text that every prompt begins with is another one")

    def _make_calls(self) -> Calls:
        plan, parts = self.plan, self.world.parts
        if parts.calls is not None:
            return parts.calls()
        from colt.proposers.language.chat_calls import ChatCalls  # needs the extra ``models``
        from colt.proposers.language.client import CallTiming, ChatClient

        timing = CallTiming(grace_s=parts.grace_s)
        clients = [
            ChatClient(one, self._ledger, retry=parts.retry, seed=plan.seed, timing=timing) for one in plan.pool.models
        ]

        def set_aside(ticket: int, worst: Spending) -> None:
            self.world.set_aside(ticket, Charge.of(worst))

        return self._stack.enter_context(ChatCalls(clients, plan.calls_at_once, set_aside))

    # ---- measuring ----

    def call_roll(self) -> None:
        """Find out who measures, where several hosts do: batches grow with them. The user is told who has gone."""
        self.fleet = self.measurer.muster()
        if self.fleet is not None:
            for text in self.measurer.news:
                self._note_news(text)
            self.stop.hosts = max(1, len(self.fleet.measuring))

    def _note_news(self, text: str) -> None:
        """Note what is new about hosts; what whoever watches was told already is new to the journal."""
        if text != self._told_early:
            self.note(text)
            return
        self._told_early = ""
        self.messages.append(text)
        self._pass_on(events.Noted(text), self._listeners[len(self._watching) :])

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time as measuring, and what of it is building and timing; pass on what the measurer remarks."""
        building, timing = self.measurer.seconds_building, self.measurer.seconds_timing
        with self.watch("measuring"):
            yield
        for remark in self.measurer.take_remarks():
            self.note(remark)
        self.seconds_building += self.measurer.seconds_building - building
        self.seconds_timing += self.measurer.seconds_timing - timing

    # ---- writing ----

    def begin(self, strategy: str) -> None:
        """Claim the directory and write from here on: nothing that can be found wrong with the input is left to find.

        From here on Ctrl-C ends the run with what it has found; before, there is nothing to keep.
        """
        if self.plan.run_dir is not None:
            self.directory = self._claim(self.plan.run_dir, strategy)
            self._keep_files(self.directory.path)
            self._stack.callback(self._keep_remarks, self.directory)
        self.world.live(lambda: self._stack.enter_context(self.interrupt))

    def _claim(self, path: Path, strategy: str) -> RunDirectory:
        if self.resumed:
            return RunDirectory(path)
        directory = RunDirectory.create(path, {**self.plan.to_config(strategy), MADE_WITH: versions()})
        self._stack.enter_context(RunDirectory.locked(path))
        return directory

    def _keep_files(self, folder: Path) -> None:
        assert self._recorder is not None
        with self.storing():
            self._recorder.open(folder / RECORDING)
            journal = self._stack.enter_context(Journal(folder / JOURNAL, follow=self.resumed))
            sync(folder)
            self._journal = journal
            if not self.resumed:
                self.workings.go_live()
            for event in self._early:
                journal(event)
            if self._live:
                journal.go_live(self.watch.total)
            self._listeners.append(journal)

    def _keep_remarks(self, directory: RunDirectory) -> None:
        """Write down what TVM has remarked, if anything."""
        if remarks := remarks_since(self._remarks):
            path = directory.path / REMARKS
            with self.storing():
                before = read_file(path) if self.resumed and path.is_file() else b""
                directory.write(REMARKS, before + remarks)

    # ---- going on ----

    def said_before(self, ticket: int, name: str) -> Proposal | ProposalError | None:
        """What an expert has answered to a ticket in the recorded part of a resumed run: it need not think again."""
        return self._said.get((ticket, name)) if self.world.recorded else None

    def _go_live(self) -> None:
        """The recorded part of a resumed run is over: time goes on from where it was then."""
        self._live = True
        self._recalling.close()
        clock = self._after.clock if self._after is not None else None
        if clock is not None:
            before = dict(clock.activities)
            self.queued_s += before.pop(QUEUEING, 0.0)
            self.watch.go_on(clock.total, before)
        self._ledger.go_on(self.plan.ceilings, self.watch.total)
        self.workings.go_live()
        if self._journal is not None:
            self._journal.go_live(self.watch.total)
        if self.fleet is not None and (names := self.measurer.hosts_here):
            text = f"going on with {counted(len(names), 'host')}: {', '.join(names)}"
            self._tell_watching(text)
            self._told_early = text
            self.measurer.add_news(text)

    def _go_on(self, allowance: Allowance) -> None:
        """From here on the run may take something else."""
        self.plan = self.stop.plan = self.plan.allowing(allowance)
        self._ledger.go_on(self.plan.ceilings, self.watch.total)
        if not self.world.recorded and self.directory is not None:
            with self.storing():
                self.directory.change(RUN, {name: getattr(self.plan.options, name) for name in BUDGET})
        self.emit(events.WentOn(allowance.trials))
        for task in self.stop.tasks:
            task.go_on(self.plan.trials_each)

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Write files of the run within. A write that fails is told, and ends the run at the next safe point."""
        try:
            yield
        except OSError as error:
            self._storage_failed(error)

    def _check_storage(self) -> bool:
        """Whether a file of the run can't be written any more; journal and recording do not raise when that happens."""
        for file in (self._journal, self._recorder, self.workings):
            if file is not None and file.failure is not None:
                self._storage_failed(file.failure)
        return self.storage_failure is not None

    def _storage_failed(self, error: OSError) -> None:
        """Write nothing more: what is there is that of a run that broke off here, and goes on as one.

        Raises :class:`StorageError` where a run that goes on has not come to anything new yet.
        """
        if self.storage_failure is None:
            for file in (self._journal, self._recorder, self.workings):
                if file is not None:
                    file.stop(error)
            name = error.filename or self.plan.run_dir
            self.storage_failure = StorageError(f"{name} cannot be written: {error.strerror or error}")
            if self.resumed and self.world.recorded:
                raise self.storage_failure
            self.note(f"{self.storage_failure}; the run ends with the best so far")

    def directory_of(self, task: str) -> RunDirectory | None:
        """Where files of a task are written, if any still are: its folder, or the run's if the task has no name."""
        if self.directory is None or self._check_storage():
            return None
        path = self.directory.path / task
        with self.storing():
            path.mkdir(exist_ok=True)
        return RunDirectory(path)

    def write(self, task: str, name: str, content: bytes) -> None:
        """Write a file of a task completely or not at all, if files still are. What is recorded was written before."""
        if self.resumed and self.world.recorded:
            return
        if (directory := self.directory_of(task)) is not None:
            with self.storing():
                directory.write(name, content)

    # ---- the end ----

    def spent(self, proposers: Mapping[str, float]) -> Spent:
        """Wall seconds: all, by activity, and by proposer. Asked last, when only the receipt is left to write."""

        def answer() -> Spent:
            total = self.watch.total + self.queued_s
            return Spent(total=total, activities=self._activities(), proposers=dict(proposers))

        return self.world.take("time spent", Spent, answer)
