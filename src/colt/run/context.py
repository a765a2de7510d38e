"""What all tasks of a run share: plan, world, events, clock, device, calls of language models, and the directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from colt import events
from colt.events import Emit, Event
from colt.machine import Hardware
from colt.measure.muster import Muster
from colt.options import BUDGET
from colt.plan import MADE_WITH, RUN, Plan
from colt.run import holding
from colt.run.budget import StopRule
from colt.run.calls import ModelCalls
from colt.run.clock import RunClock
from colt.run.storage import Storage
from colt.run.telling import Telling
from colt.search.types import Proposal, ProposalError
from colt.store.directory import JOURNAL, WORKINGS
from colt.store.journal import said_before
from colt.store.workings import Workings
from colt.tvm.programs.program import fingerprint
from colt.util.collecting import no_collecting
from colt.util.interrupt import Interrupt
from colt.util.text import counted
from colt.util.version import versions
from colt.util.waiting import told_of_waiting
from colt.world.answers import Allowance, Clock, Spent
from colt.world.measurer import RecordableMeasurer
from colt.world.recording import Header, Recording
from colt.world.world import Recorder, World


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
        self.clock = RunClock()
        self.watch = self.clock.watch
        self.interrupt = Interrupt()
        self.told_of_noise = False
        self.told_of_no_inner_loop = self.told_of_no_profile = False
        self.hardware: Hardware
        """The machine with its peaks as they stand: a kernel may raise them."""
        self.measurer: RecordableMeasurer
        self.fleet: Muster | None = None
        """Who measures, where several hosts do; see :meth:`call_roll`."""
        self.apart_bytes: int | None = None
        """How far calls of a model's programs are apart, see :attr:`~colt.measure.base.Limits.apart_bytes`."""
        self._stack = ExitStack()
        self._recalling = self._stack.enter_context(ExitStack())
        """What holds while the run only repeats what is recorded."""
        self.telling = Telling(listeners)
        self.world = world
        self._after = after
        self._recorder: Recorder | None = None
        if plan.run_dir is not None:
            recorder = Recorder(world, _header(plan, world), self._go_live)
            self.world = self._recorder = self._stack.enter_context(recorder)
            if after is not None:
                recorder.follow(after)
        self.calls = ModelCalls(plan, self.world, self._stack)
        self.workings = self._open_workings()
        """What the run works out itself, and has worked out before if it goes on."""
        self.storage = Storage(
            plan.run_dir,
            self.telling,
            self._recorder,
            self.workings,
            lambda: self.watch.total,
            resumed=self.resumed,
        )
        self._said = said_before(plan.run_dir / JOURNAL) if plan.run_dir is not None and after is not None else {}
        self.stop = StopRule(
            plan, self.world, self.watch, self.interrupt, self.emit, self.storage.has_failed, self._go_on
        )

    def _open_workings(self) -> Workings:
        if self.plan.run_dir is None:
            return Workings()
        head = _header(self.plan, self.world)
        recorded = None if self._after is None else lambda: self.world.recorded
        workings = Workings(self.plan.run_dir / WORKINGS, repr(head), recorded)
        self._stack.callback(workings.close)
        if workings.left_out:
            self.telling.tell_watching(workings.left_out)
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
        with told_of_waiting(self.telling.waits, instead=False):
            self._enter_device()

    def _enter_device(self) -> None:
        plan, world = self.plan, self.world
        held = holding.hold(plan, world)
        if held is not None:
            self._stack.callback(held.close)
            self.clock.leave_out(held)
            self.calls.go_on(plan, self.watch.total)
        seen = holding.look(plan, world, () if held is None else held.notes)
        self.hardware = seen.hardware
        for message in seen.notes:
            self.note(message)
        self.apart_bytes = holding.bytes_apart(plan, self.hardware)
        measurer = holding.measurer(plan, world, self.hardware, self.apart_bytes, self._reading)
        self.measurer = self._stack.enter_context(measurer)
        self.call_roll()
        if self.fleet is not None and self.fleet.measuring:
            names = [host.name for host in self.fleet.measuring]
            self.note(f"measuring on {counted(len(names), 'host')}: {', '.join(names)}")

    def _reading(self) -> Clock | None:
        """Where the time has gone, for the recording; whoever keeps none has no use for it."""
        return None if self._recorder is None else self.clock.reading()

    def emit(self, event: Event) -> None:
        """Pass an event to everybody who listens."""
        self.telling.emit(event)

    def note(self, message: str) -> None:
        """Tell the user, now and in the receipt."""
        self.telling.note(message)

    # ---- measuring ----

    def call_roll(self) -> None:
        """Find out who measures, where several hosts do: batches grow with them. The user is told who has gone."""
        self.fleet = self.measurer.muster()
        if self.fleet is not None:
            for text in self.measurer.news:
                self.telling.note_news(text)
            self.stop.hosts = max(1, len(self.fleet.measuring))

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time as measuring, and pass on what the measurer remarks."""
        with self.clock.measuring(self.measurer):
            yield
        for remark in self.measurer.take_remarks():
            self.note(remark)

    # ---- from the first file to the last answer ----

    def begin(self, strategy: str) -> None:
        """Claim the directory and write from here on: nothing that can be found wrong with the input is left to find.

        From here on Ctrl-C ends the run with what it has found; before, there is nothing to keep.
        """
        if self.plan.run_dir is not None:
            made: dict[str, object] = {}
            if not self.resumed:
                made = {**self.plan.to_config(strategy), MADE_WITH: versions()}
            self.storage.begin(made, self._stack)
        self.world.live(lambda: self._stack.enter_context(self.interrupt))

    def said_before(self, ticket: int, name: str) -> Proposal | ProposalError | None:
        """What an expert has answered to a ticket in the recorded part of a resumed run: it need not think again."""
        return self._said.get((ticket, name)) if self.world.recorded else None

    def _go_live(self) -> None:
        """The recorded part of a resumed run is over: time goes on from where it was then."""
        self._recalling.close()
        before = self._after.clock if self._after is not None else None
        if before is not None:
            self.clock.go_on(before)
        self.calls.go_on(self.plan, self.watch.total)
        self.storage.go_live()
        if self.fleet is not None and (names := self.measurer.hosts_here):
            text = f"going on with {counted(len(names), 'host')}: {', '.join(names)}"
            self.telling.tell_early(text)
            self.measurer.add_news(text)

    def _go_on(self, allowance: Allowance) -> None:
        """From here on the run may take something else."""
        self.plan = self.stop.plan = self.plan.allowing(allowance)
        self.calls.go_on(self.plan, self.watch.total)
        if not self.world.recorded:
            self.storage.change(RUN, {name: getattr(self.plan.options, name) for name in BUDGET})
        self.emit(events.WentOn(allowance.trials))
        for task in self.stop.tasks:
            task.go_on(self.plan.trials_each)

    def spent(self, proposers: Mapping[str, float]) -> Spent:
        """Wall seconds: all, by activity, and by proposer. Asked last, when only the receipt is left to write."""
        return self.world.take("time spent", Spent, lambda: self.clock.spent(proposers))
