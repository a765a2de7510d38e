"""A contender, and how it is run and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, TypeVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from colt.bench.contenders.messages import Lap
from colt.machine.queueing import QueueWatch

Array = NDArray[Any]
LONG_SECONDS = 1.0
"""A first run shorter than this does not count in its lap: caches and thread pools are the previous contender's."""


T = TypeVar("T")


class Draw(Protocol):
    """Runs a function with newly drawn addresses, as far as that is possible within a process."""

    def __call__(self, run: Callable[[], T], /) -> T:
        """Return or raise what ``run`` returns or raises."""
        ...


def same_addresses(run: Callable[[], T], /) -> T:
    """Run a function without drawing new addresses."""
    return run()


@dataclass(frozen=True, slots=True)
class Contender:
    """``call`` computes once, ``fetch`` makes an array of its result, and ``draw`` runs each lap."""

    call: Callable[[], Any]
    fetch: Callable[[Any], Array]
    draw: Draw = same_addresses


Maker = Callable[[], Contender]
"""Builds or compiles a contender; raises :class:`NotApplicable`, or whatever the library raises."""


def load_array(path: str) -> Array:
    """An array of a file. NumPy has no name for bfloat16, the one type of 2 bytes that it gives back as bytes."""
    array: Array = np.load(path)
    return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array


class NotApplicable(Exception):
    """The peer does not support this workload."""


def first_runs(contender: Contender) -> tuple[Array, float]:
    """The contender's output, and the microseconds of its second run: some libraries compile in the first."""

    def run() -> tuple[Array, float]:
        output = contender.fetch(contender.call())
        started = perf_counter()
        contender.call()
        return output, (perf_counter() - started) * 1e6

    return contender.draw(run)


def lap(contender: Contender, seconds: float) -> Lap:
    """Run the contender for about this long, at least once."""

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
                return Lap(passed / runs * 1e6, watch.share())

    return contender.draw(run)
