"""Where a run's wall time goes, and what of it others had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from colt.measure.base import Measurer
from colt.tvm.devices.hold import Hold
from colt.util.clock import Stopwatch
from colt.world.answers import Clock, Spent

QUEUEING = "queueing"
"""The activity of a run that is kept waiting by others' work on its hosts; one that is not has none of that name."""


class RunClock:
    """The time of a run. Its watch stands still while others' work on its hosts keeps it from measuring."""

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.queued_s = 0.0
        """Seconds in which the watch stood still for that."""
        self.seconds_building = 0.0
        """Wall time of building trials and untuned programs; of timing likewise."""
        self.seconds_timing = 0.0

    def leave_out(self, hold: Hold) -> None:
        """Have what was waited for a device be no time of the run's own."""
        self.watch.leave_out(hold.waited_s)
        self.queued_s = hold.before_s + hold.waited_s

    def go_on(self, before: Clock) -> None:
        """Go on from where the run's time was when it broke off."""
        activities = dict(before.activities)
        self.queued_s += activities.pop(QUEUEING, 0.0)
        self.watch.go_on(before.total, activities)

    @contextmanager
    def measuring(self, measurer: Measurer) -> Iterator[None]:
        """Count the time as measuring, and what of it is building and timing."""
        building, timing = measurer.seconds_building, measurer.seconds_timing
        with self.watch("measuring"):
            yield
        self.seconds_building += measurer.seconds_building - building
        self.seconds_timing += measurer.seconds_timing - timing

    @property
    def activities(self) -> dict[str, float]:
        """Seconds by activity. What the run was kept waiting is one if it was, and no part of what its watch shows."""
        return {**self.watch.seconds, **({QUEUEING: self.queued_s} if self.queued_s else {})}

    def reading(self) -> Clock:
        """Where the time has gone so far, for the recording."""
        seconds = {name: round(value, 3) for name, value in self.activities.items()}
        return Clock(total=round(self.watch.total, 3), activities=seconds)

    def spent(self, proposers: Mapping[str, float]) -> Spent:
        """All of it, by activity and by proposer, for the receipt."""
        total = self.watch.total + self.queued_s
        return Spent(total=total, activities=self.activities, proposers=dict(proposers))
