"""Latencies as people read them."""

from __future__ import annotations

import pytest

from colt.util.text import in_us


@pytest.mark.parametrize(
    ("latency_us", "shown"),
    [(0.0047, "0.00470"), (0.5, "0.500"), (9.876, "9.88"), (10.0, "10.0"), (1234.56, "1,234.6"), (float("inf"), "inf")],
)
def test_short_latencies_keep_their_digits(latency_us: float, shown: str) -> None:
    assert in_us(latency_us) == shown
