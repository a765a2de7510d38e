"""The parts that a live run is made of. Users' runs have the defaults; tests and other front ends hand in their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from colt.measure.base import Limits, Measurer, Pace
from colt.proposers.language.retry import RetryPolicy

MakeMeasurer = Callable[[Limits, float | None], Measurer]
"""Makes a measurer from the limits of trials and the device's FMA peak in GFLOPS, if it is known."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything about a live run that is neither the plan's nor the user's to say."""

    measurer: MakeMeasurer | None = None
    """``None`` is the device's own."""
    pace: Pace = field(default_factory=Pace)
    """How long the end of a run takes, and how long a timing waits for a quiet machine."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(total_s=60.0))
    """When a request to a language model is made again. A run has better things to do than to wait a minute longer."""
    grace_s: float = 1.0
    """How long an HTTP library may overrun the time-out of a request."""
