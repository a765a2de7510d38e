"""Measured peaks of a machine, and the roofline that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


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

    @property
    def measured(self) -> bool:
        """Whether all is known."""
        return None not in (self.fma_gflops_1_thread, self.fma_gflops_all_threads, self.bandwidth_gbs)

    def exceeded_by(self, gflops: float) -> bool:
        """Whether a kernel at ``gflops`` shows this peak to be too low, and thus void: forget it and measure again."""
        return self.fma_gflops_all_threads is not None and gflops > self.fma_gflops_all_threads

    @classmethod
    def from_record(cls, record: object) -> Peaks:
        """Measured peaks from JSON.

        Raises
        ------
        ValueError
            A field is missing, unknown, or of no plausible value.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(record, dict) or set(record) != names:
            raise ValueError(f"peaks are not an object with the fields {', '.join(sorted(names))}")
        for name in ("fma_gflops_1_thread", "fma_gflops_all_threads", "bandwidth_gbs"):
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}, not a number above 0")
        threads = record["threads"]
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is {threads!r}, not an integer of at least 1")
        for name in ("bandwidth_pattern", "measured_at"):
            if not isinstance(record[name], str):
                raise ValueError(f"{name} is {record[name]!r}, not a text")
        if not isinstance(record["disturbed"], bool):
            raise ValueError(f"disturbed is {record['disturbed']!r}, not true or false")
        return cls(**record)


def roofline_gflops(flops: float, bytes_moved: float, peaks: Peaks, *, in_cache: bool = False) -> float | None:
    """The most that a kernel can reach on all threads: the FMA peak, or what memory can feed if that is less.

    Say ``in_cache`` for arguments that stay in the last-level cache from call to call: memory does not bound those.
    ``None`` if the peaks are not measured.
    """
    if peaks.fma_gflops_all_threads is None or peaks.bandwidth_gbs is None:
        return None
    if in_cache or bytes_moved == 0:
        return peaks.fma_gflops_all_threads
    return min(peaks.fma_gflops_all_threads, flops / bytes_moved * peaks.bandwidth_gbs)


def roofline_share(
    gflops: float, flops: float, bytes_moved: float, peaks: Peaks, *, in_cache: bool = False
) -> float | None:
    """``gflops`` as a share of :func:`roofline_gflops`."""
    bound = roofline_gflops(flops, bytes_moved, peaks, in_cache=in_cache)
    return gflops / bound if bound else None
