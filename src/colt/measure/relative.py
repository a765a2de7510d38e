"""Latencies of several hosts of one kind, made comparable.

Two machines of one model are not equally fast: one is warmer, another has a busy neighbour. So a reference kernel is
timed beside each candidate, on the same host. What a candidate takes over what the reference takes there is much the
same on all hosts. Times what the reference takes on the first host it is a latency again: the candidate's on the first
host. All latencies of a run are told like that, so that they can be ranked, whoever has measured them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from colt.measure.base import LEAST_US, MOST_US, Measurement

UNLIKE = 1.5
"""Hosts whose reference kernels differ by more than this factor are of different kinds, whatever they are called: what
is fast on one says little about the other."""
INCREDIBLE = 10.0
"""Beside a candidate no reference kernel is faster or slower by more than this factor than on the first host. It leaves
room for other loads, beside which the reference may have been timed when that host joined."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the reference kernel takes on the first host of a run, in microseconds."""

    host: str
    us: float

    def told(self, latency_us: float, beside_us: float) -> float:
        """What a kernel takes on the first host that takes ``latency_us`` where the reference takes ``beside_us``."""
        return latency_us * self.us / beside_us

    def felt(self, latency_us: float, beside_us: float) -> float:
        """The inverse: a latency of the first host as it is where the reference takes ``beside_us``."""
        return latency_us * beside_us / self.us

    def why_unlike(self, host: str, beside_us: float) -> str | None:
        """Why a host on which the reference takes so long is of another kind than the first; ``None`` if it is not."""
        if host == self.host or 1 / UNLIKE <= beside_us / self.us <= UNLIKE:
            return None
        return (
            f"{host} is not used: its reference kernel takes {beside_us:.0f} µs, that of {self.host} {self.us:.0f} µs; "
            f"hosts of one kind differ by a factor of {UNLIKE:g} at most"
        )

    def is_credible(self, latencies_us: Iterable[float], beside_us: float | None) -> bool:
        """Whether a host can have measured these latencies where its reference takes ``beside_us``: as they are told
        they have to be latencies again."""
        if beside_us is None:
            return True
        return 1 / INCREDIBLE <= beside_us / self.us <= INCREDIBLE and all(
            LEAST_US <= self.told(us, beside_us) <= MOST_US for us in latencies_us
        )

    def of(self, measurement: Measurement) -> Measurement:
        """The same measurement in latencies of the first host; as it is if nothing was timed."""
        beside_us, latency_us = measurement.reference_us, measurement.latency_us
        if beside_us is None or latency_us is None:
            return measurement
        runs_us = tuple(self.told(us, beside_us) for us in measurement.runs_us)
        return replace(measurement, latency_us=self.told(latency_us, beside_us), runs_us=runs_us)
