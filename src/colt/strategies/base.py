"""The contract of a strategy, and what it may use of the task that it works for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from colt.knobs import Schedule
from colt.proposers.dispatcher import Dispatcher
from colt.search.search import Search
from colt.search.types import Proposer, Scorer, Space, Trial
from colt.util.clock import Stopwatch

Opening = tuple[Schedule, str]
"""A schedule for the root's children, and who made it."""


class Ground(Protocol):
    """What a strategy may use of a task."""

    @property
    def space(self) -> Space:
        """The schedules of the program."""
        ...

    @property
    def scorer(self) -> Scorer:
        """Predicts latencies."""
        ...

    @property
    def search(self) -> Search:
        """The shared tree and the trials."""
        ...

    @property
    def dispatcher(self) -> Dispatcher:
        """Asks the members of the pool."""
        ...

    @property
    def experts(self) -> tuple[Proposer, ...]:
        """The built-in experts: those of the pool, and those who only fill the time."""
        ...

    @property
    def watch(self) -> Stopwatch:
        """The clock of the run."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the run."""
        ...

    @property
    def trials_total(self) -> int:
        """How many trials the run has."""
        ...


class Strategy(Protocol):
    """Decides what one task measures. The main loop calls ``settle``, ``send`` and ``pick`` in turn, and measures what
    was picked; where nothing was, and answers are under way, it calls ``wait`` and begins anew."""

    def openings(self) -> Iterable[Opening]:
        """What the root's children are chosen from, before the first batch."""
        ...

    def settle(self) -> None:
        """Let the answers that have arrived take effect."""
        ...

    def send(self, count: int) -> None:
        """Ask questions for the sake of ``count`` trials."""
        ...

    def pick(self, count: int) -> list[Trial]:
        """Up to ``count`` distinct schedules to measure next; none if nothing new is found."""
        ...

    def wait(self) -> None:
        """Wait a moment for answers."""
        ...

    @property
    def under_way(self) -> bool:
        """Whether answers are under way, so that :meth:`wait` makes sense."""
        ...


@dataclass(frozen=True, slots=True)
class StrategyMaker:
    """A strategy by name, to be made for a task."""

    name: str
    """For the run's config."""
    make: Callable[[Ground], Strategy]


class Listed:
    """Measures the schedules of a source in its order and learns nothing from results. Asks nobody."""

    under_way = False

    def __init__(self, ground: Ground, source: Callable[[Ground], Iterator[Opening]]) -> None:
        self._ground = ground
        self._source = source
        self._left: Iterator[Opening] | None = None

    def openings(self) -> Iterable[Opening]:
        """None: the root's children are made one by one."""
        return ()

    def settle(self) -> None:
        """Nothing arrives."""

    def send(self, count: int) -> None:
        """Nobody is asked."""

    def pick(self, count: int) -> list[Trial]:
        """The next of the source. One by one, since of several the search would choose the order."""
        ground = self._ground
        with ground.watch("proposing"):
            self._left = self._left or self._source(ground)
            fresh = list(islice(self._left, count))
        trials: list[Trial] = []
        for opening in fresh:
            ground.search.open([opening])
            trials += ground.search.trials.pick(1)
        return trials

    def wait(self) -> None:
        """There is nothing to wait for."""
