"""One contender at work, and how it is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from colt.bench.contenders.messages import Lap
from colt.machine.queueing import QueueWatch

Array = NDArray[Any]
LONG_SECONDS = 1.0
"""A shorter run comes before a lap and is not counted: caches and thread pools are those of whoever ran before."""


T = TypeVar("T")


class Draw(Protocol):
    """Runs something where addresses are drawn anew, as far as that can be done within a process."""

    def __call__(self, run: Callable[[], T], /) -> T:
        """What ``run`` returns or raises."""
        ...


def as_it_is(run: Callable[[], T], /) -> T:
    """In the process as it is."""
    return run()


@dataclass(frozen=True, slots=True)
class Contender:
    """``call`` computes once; ``fetch`` makes an array of what it gave; every lap has a ``draw`` of its own."""

    call: Callable[[], Any]
    fetch: Callable[[Any], Array]
    draw: Draw = as_it_is


Maker = Callable[[], Contender]
"""Builds or compiles a contender; raises whatever goes wrong, and :class:`NotApplicable`."""


class NotApplicable(Exception):
    """The peer has nothing of its own for this workload."""


def first_runs(contender: Contender) -> tuple[Array, float]:
    """What it computes, and how many microseconds the second run takes: some compile in the first."""

    def run() -> tuple[Array, float]:
        output = contender.fetch(contender.call())
        started = perf_counter()
        contender.call()
        return output, (perf_counter() - started) * 1e6

    return contender.draw(run)


def lap(contender: Contender, seconds: float) -> Lap:
    """Run it for so long, at least once."""

    def run() -> Lap:
        started = perf_counter()
        contender.call()
        if perf_counter() - started >= LONG_SECONDS:
            return Lap((perf_counter() - started) * 1e6, 0.0)
        watch, runs, started = QueueWatch(), 0, perf_counter()
        while True:
            contender.call()
            runs += 1
            passed = perf_counter() - started
            if passed >= seconds:
                return Lap(passed / runs * 1e6, watch.shares().most)

    return contender.draw(run)
