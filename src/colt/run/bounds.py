"""What keeps schedules from being faster than a program as it is written, as far as measured figures tell."""

from __future__ import annotations

from colt.machine import Peaks

NEAR_BANDWIDTH = 0.5
"""A program that moves its arguments at this share of the memory's bandwidth, or faster, is bound by it."""


def what_bounds(latency_us: float, moved_bytes: int, threads: int, peaks: Peaks) -> str:
    """The end of a sentence on a program that takes ``latency_us`` on one thread and moves so many bytes; empty if
    nothing of what was measured bounds it."""
    launch_us = None if peaks.rates is None else peaks.rates.launch_us
    saved_us = latency_us * (1 - 1 / threads)
    if launch_us is not None and threads > 1 and saved_us <= launch_us:
        return f": it takes {latency_us:.2g} µs on one thread, and starting {threads} takes {launch_us:.2g} µs here"
    moved = moved_bytes / latency_us / 1e3
    if peaks.bandwidth_gbs is not None and moved >= NEAR_BANDWIDTH * peaks.bandwidth_gbs:
        return f": it moves its arguments at {moved:.3g} GB/s, and the memory has {peaks.bandwidth_gbs:.3g} here"
    return ""
