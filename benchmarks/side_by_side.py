"""Timing several callables in turn, so that they share the machine's noise. Shared by the benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

PAUSE_SECONDS = 0.02
"""Between blocks: thread pools of one library spin for a while after a call and would slow the next."""


def interleaved_us(calls: Sequence[Callable[[], object]], rounds: int = 15, block_seconds: float = 0.05) -> list[float]:
    """Median latency of each callable in microseconds, over ``rounds`` blocks taken in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, seen in zip(calls, times, strict=True):
            time.sleep(PAUSE_SECONDS)
            call()
            runs, started = 0, time.perf_counter()
            while time.perf_counter() - started < block_seconds:
                call()
                runs += 1
            seen.append((time.perf_counter() - started) / runs * 1e6)
    return [statistics.median(seen) for seen in times]
