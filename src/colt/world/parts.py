"""The parts that a live run is made of.

Users' runs have the defaults. Tests hand in others: :func:`using` does so for all runs that begin within it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from colt.measure.base import Limits, Measurer, Pace
from colt.proposers.desk import Calls
from colt.proposers.language.retry import RetryPolicy

MakeMeasurer = Callable[[Limits, float | None], Measurer]
"""Makes a measurer from the limits of trials and the device's FMA peak in GFLOPS, if it is known."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything about a live run that is neither the plan's nor the user's to say."""

    measurer: MakeMeasurer | None = None
    """``None`` is the device's own."""
    calls: Callable[[], Calls] | None = None
    """Makes the calls of language models; ``None`` asks the endpoints."""
    pace: Pace = field(default_factory=Pace.usual)
    """How long the end of a run takes, and how long a timing waits for a quiet machine."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(total_s=60.0))
    """When a request to a language model is made again. A run has better things to do than to wait a minute longer."""
    grace_s: float = 1.0
    """How long an HTTP library may overrun the time-out of a request."""


_CURRENT: ContextVar[Parts | None] = ContextVar("parts", default=None)


def current() -> Parts:
    """The parts of a run that begins now and is told nothing else."""
    return _CURRENT.get() or Parts()


@contextmanager
def using(parts: Parts) -> Iterator[None]:
    """Have the runs that this thread begins within be made of these parts."""
    token = _CURRENT.set(parts)
    try:
        yield
    finally:
        _CURRENT.reset(token)
