"""What is said to bound a program comes from what was measured."""

from __future__ import annotations

from dataclasses import fields

import pytest

from colt.machine import Peaks, Rates
from colt.run.bounds import what_bounds

RATES = Rates(**({item.name: 1.0 for item in fields(Rates)} | {"launch_us": 3.0}))
PEAKS = Peaks(bandwidth_gbs=50.0, rates=RATES)


@pytest.mark.parametrize(
    ("latency_us", "moved", "threads", "peaks", "said"),
    [
        (5.0, 1000, 2, PEAKS, "starting 2 takes 3 µs"),
        (7.0, 1000, 2, PEAKS, ""),
        (5.0, 1000, 1, PEAKS, ""),
        (5.0, 1000, 2, Peaks(), ""),
        (100.0, 2_500_000, 2, PEAKS, "at 25 GB/s, and the memory has 50 here"),
        (100.0, 2_400_000, 2, PEAKS, ""),
    ],
)
def test_threads_and_memory_bound_a_program(latency_us, moved, threads, peaks, said) -> None:
    found = what_bounds(latency_us, moved, threads, peaks)
    assert said in found
    assert bool(said) == bool(found)
