"""When a run stops, and whether it goes on. Nothing else decides that, and asking changes nothing but what the user is
told, unless the run went on here with another allowance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from colt import events
from colt.events import Emit
from colt.measure.batches import trials_at_once
from colt.options import SearchConfig
from colt.plan import Plan
from colt.util.clock import Stopwatch
from colt.util.interrupt import Interrupt
from colt.world.answers import Allowance, Reason, Stop
from colt.world.world import World

DEFAULT_BATCH = SearchConfig().batch_size


class Tuned(Protocol):
    """A task, as far as stopping depends on it."""

    @property
    def charged(self) -> int:
        """Trials that count against the budget."""
        ...

    @property
    def left_over(self) -> int:
        """Trials of these that a stop kept from being measured."""
        ...

    def go_on(self, trials_total: int) -> None:
        """Go on after the run had broken off or ended, towards that many trials."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether it has nothing new to try."""
        ...

    @property
    def roofline_reached(self) -> bool:
        """Whether a verified schedule reaches the share of the roofline that was asked for."""
        ...

    @property
    def lacks_models(self) -> bool:
        """Whether it may not go on since no language model can be asked."""
        ...


class Overdrawn(Exception):
    """A run goes on with fewer trials than were charged already: ``charged``."""

    def __init__(self, charged: int) -> None:
        super().__init__(f"{charged} trials are charged already")
        self.charged = charged


class StopRule:
    """Decides when the run of these tasks stops.

    ``storage_failed`` tells whether files can't be written any more; ``go_on`` is called where the run goes on with
    another allowance, and sets :attr:`plan`.
    """

    def __init__(
        self,
        plan: Plan,
        world: World,
        watch: Stopwatch,
        interrupt: Interrupt,
        emit: Emit,
        storage_failed: Callable[[], bool],
        go_on: Callable[[Allowance], None] = lambda allowance: None,
    ) -> None:
        self.tasks: Sequence[Tuned] = ()
        self.plan = plan
        self.hosts: int | None = None
        """How many measure, where several do."""
        self._world = world
        self._watch = watch
        self._interrupt = interrupt
        self._emit = emit
        self._storage_failed = storage_failed
        self._go_on = go_on
        self._told_of_interrupt = False
        self._broke_off = False
        """Whether the run is only finished: the last batch may lack trials that were charged."""
        self._requested: str | None = None
        """Why the run was to end when that was asked last."""

    def reason(self) -> str | None:
        """Why no further batch is measured: ``roofline``, ``trials``, ``exhausted``, or as :meth:`requested`.

        It is ``records`` if nothing new was to be tried.
        """
        if self._broke_off:
            return "broken off"
        if all(task.roofline_reached for task in self.tasks):
            return "roofline"
        left_over = any(task.left_over for task in self.tasks)
        if not self.trials_left and not left_over:
            return "trials" if self.plan.budget.trials else "records"
        if not self.trials_left and self._requested is not None:
            return self._requested  # it came within the last batch
        if all(task.exhausted or task.roofline_reached for task in self.tasks):
            return "exhausted"
        return self.requested()

    @property
    def trials_left(self) -> int:
        """Trials that may still be charged, of all tasks together."""
        return max(0, self.plan.budget.trials - self._charged)

    @property
    def _charged(self) -> int:
        return sum(task.charged for task in self.tasks)

    @property
    def overlaps(self) -> bool:
        """Whether the next batch is chosen before the present one is measured, so that no host waits for the slowest:
        on several hosts, which have half of what may be in flight in each of two batches then."""
        return self.hosts is not None and self.hosts > 1 and len(self.tasks) == 1

    @property
    def whole_batch(self) -> int:
        """How many schedules a batch has; as many as suit the hosts of a fleet, unless the user has said how many."""
        size = self.plan.config.batch_size
        grows = self.plan.config.batch_growth != "off" and size == DEFAULT_BATCH
        if self.hosts is not None and grows:
            size = trials_at_once(self.hosts)
        return max(1, size // 2) if self.overlaps else size

    @property
    def batch_size(self) -> int:
        """How many schedules to measure next."""
        return min(self.whole_batch, self.trials_left)

    def requested(self) -> str | None:
        """Why the run is to end right now: ``interrupted``, ``seconds``, ``broken off``, ``pool`` or ``storage``.

        Raises :class:`Overdrawn`, as :meth:`goes_on` does.
        """
        answer = self._take("stop", self._ask, Stop())
        if answer.went_on is not None:
            self._go_on(answer.went_on)
        self._requested = self._why(answer)
        return self._requested

    def _why(self, answer: Stop) -> str | None:
        reason: str | None = answer.reason
        if reason == "interrupted" and not self._told_of_interrupt:
            self._told_of_interrupt = True
            self._emit(events.Began("stopping; finishing with the best so far (Ctrl-C again drops it)"))
        if reason == "broken off" and not self._broke_off:
            self._broke_off = True
            self._emit(events.Began("finishing with the best of what was measured until the run broke off"))
        if reason is None and self.tasks and all(task.lacks_models for task in self.tasks):
            return "pool"
        if reason is None and self._storage_failed():
            return "storage"
        return reason

    def goes_on(self, reason: str) -> bool:
        """Whether the run goes on after it has ended, in another process and with another allowance."""
        ended = Stop(reason=cast(Reason, reason))
        answer = self._take("go on", lambda: ended, ended)
        if answer.went_on is None:
            return False
        self._told_of_interrupt = self._broke_off = False
        self._requested = None
        self._go_on(answer.went_on)
        return True

    def _take(self, asked: str, ask: Callable[[], Stop], quiet: Stop) -> Stop:
        """The world's answer. What it would go on with has to be enough for what was begun, which counts."""
        offered = self._world.offered(quiet)
        if offered is not None and offered.trials < self._charged:
            raise Overdrawn(self._charged)
        return self._world.take(asked, Stop, ask, quiet=quiet)

    def _ask(self) -> Stop:
        if self._interrupt.requested:
            return Stop(reason="interrupted")
        seconds = self.plan.budget.seconds
        return Stop(reason="seconds" if seconds is not None and self._watch.total >= seconds else None)
