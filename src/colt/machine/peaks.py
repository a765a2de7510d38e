"""Measured peaks of a machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from colt.machine.quiet import Quiet
from colt.machine.rates import Rates

FMA_LOOP = "FMA loop"
"""What the kernel is called that measures FMA peaks."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most that kernels have been seen to reach on this machine; ``None`` until measured.

    Giga is 10⁹; an FMA counts as two operations. ``bandwidth_gbs`` is the memory's, to and from all threads, of
    arrays too large for the caches, with ``bandwidth_pattern`` the kind of traffic that reached it.
    """

    fma_gflops_1_thread: float | None = None
    fma_gflops_all_threads: float | None = None
    bandwidth_gbs: float | None = None
    bandwidth_pattern: str | None = None
    threads: int | None = None
    measured_at: str | None = None
    """UTC, ISO 8601."""
    disturbed: bool = False
    """Other programs took processor time meanwhile, so that the true peaks may be higher."""
    fma_pattern: str = FMA_LOOP
    """What reached ``fma_gflops_all_threads``."""
    rates: Rates | None = None
    """What instructions and caches take; ``None`` until measured."""
    quiet: Quiet | None = None
    """How steady the machine is while nothing else runs; ``None`` until measured."""

    @property
    def of_reference(self) -> float | None:
        """The FMA peak of all threads if the loop that measures peaks has reached it; ``None`` if another kernel has
        reached more. What that loop takes says how quiet the machine is."""
        return self.fma_gflops_all_threads if self.fma_pattern == FMA_LOOP else None

    @property
    def measured(self) -> bool:
        """Whether all three peaks are known."""
        return None not in (self.fma_gflops_1_thread, self.fma_gflops_all_threads, self.bandwidth_gbs)

    def at_least(self, seen: Peaks) -> Peaks:
        """The higher of both for every figure: a peak is the most that was ever seen."""
        higher = self
        if (seen.fma_gflops_1_thread or 0.0) > (self.fma_gflops_1_thread or 0.0):
            higher = replace(higher, fma_gflops_1_thread=seen.fma_gflops_1_thread)
        if (seen.fma_gflops_all_threads or 0.0) > (self.fma_gflops_all_threads or 0.0):
            all_threads = seen.fma_gflops_all_threads
            higher = replace(higher, fma_gflops_all_threads=all_threads, fma_pattern=seen.fma_pattern)
        if (seen.bandwidth_gbs or 0.0) > (self.bandwidth_gbs or 0.0):
            higher = replace(higher, bandwidth_gbs=seen.bandwidth_gbs, bandwidth_pattern=seen.bandwidth_pattern)
        return higher

    @classmethod
    def from_record(cls, record: object) -> Peaks:
        """Measured peaks from JSON. Without ``fma_pattern`` the FMA loop reached them. ``rates`` and ``quiet`` may be
        missing.

        Raises
        ------
        ValueError
            A field is missing, unknown, or not plausible.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(record, dict) or set(record) | _LATER != names:
            raise ValueError(f"peaks are not an object with the fields {', '.join(sorted(names))}")
        values: dict[str, Any] = {"fma_pattern": cls().fma_pattern, "rates": None, "quiet": None, **record}
        if values["rates"] is not None:
            values["rates"] = Rates.from_record(values["rates"])
        if values["quiet"] is not None:
            values["quiet"] = Quiet.from_record(values["quiet"])
        for name in ("fma_gflops_1_thread", "fma_gflops_all_threads", "bandwidth_gbs"):
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}, not a number above 0")
        threads = values["threads"]
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is {threads!r}, not an integer of at least 1")
        for name in ("bandwidth_pattern", "measured_at", "fma_pattern"):
            if not isinstance(values[name], str):
                raise ValueError(f"{name} is {values[name]!r}, not a text")
        if not isinstance(values["disturbed"], bool):
            raise ValueError(f"disturbed is {values['disturbed']!r}, not true or false")
        return cls(**values)


_LATER = {"fma_pattern", "rates", "quiet"}
"""Fields that files of earlier versions do not have."""
