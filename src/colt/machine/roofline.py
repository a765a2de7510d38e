"""The roofline: the most that a program can reach on a machine with these peaks, and which of them bounds it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from colt.machine.peaks import Peaks

ROUNDING = 1e-9
"""Shares beyond 1 by no more than this are 1."""


class Bound(StrEnum):
    """Which peak a program meets first."""

    FMA = "fma"
    BANDWIDTH = "bandwidth"


@dataclass(frozen=True, slots=True)
class Roofline:
    """What a program can reach at most, in 10⁹ operations a second, and what limits it to that."""

    gflops: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Work:
    """What one run of a program has to do at least.

    ``in_cache`` says that the arguments stay in the last-level cache from run to run, so that memory is no bound.
    """

    flops: float
    bytes_moved: float
    in_cache: bool = False

    def gflops(self, latency_us: float) -> float:
        """10⁹ operations a second at that latency."""
        return self.flops / latency_us / 1e3

    def roofline(self, peaks: Peaks) -> Roofline | None:
        """The FMA peak of all threads, or what memory can feed if that is less; ``None`` for peaks not measured."""
        fma, bandwidth = peaks.fma_gflops_all_threads, peaks.bandwidth_gbs
        if fma is None or bandwidth is None:
            return None
        fed = math.inf if self.in_cache or not self.bytes_moved else self.flops / self.bytes_moved * bandwidth
        return Roofline(fma, Bound.FMA) if fma <= fed else Roofline(fed, Bound.BANDWIDTH)

    def raised(self, peaks: Peaks, latency_us: float, seen_in: str) -> Peaks:
        """The peaks, raised where this work reached more at ``latency_us``.

        ``seen_in`` names the kernel, and becomes the pattern of a peak that is raised. Figures are rounded up to
        hundredths, so that the same kernel does not exceed them again.
        """
        reached = self.gflops(latency_us)
        while (roofline := self.roofline(peaks)) is not None and reached > roofline.gflops * (1 + ROUNDING):
            if roofline.bound is Bound.FMA:
                peaks = replace(peaks, fma_gflops_all_threads=_rounded_up(reached), fma_pattern=seen_in)
            else:
                seen = _rounded_up(self.bytes_moved / latency_us / 1e3)
                peaks = replace(peaks, bandwidth_gbs=seen, bandwidth_pattern=seen_in)
        return peaks


def _rounded_up(figure: float) -> float:
    return (math.floor(figure * 100) + 1) / 100
