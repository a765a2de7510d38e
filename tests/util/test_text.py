"""Texts and latencies as people read them."""

from __future__ import annotations

import pytest

from colt.util.text import in_us, shown


@pytest.mark.parametrize(
    ("latency_us", "text"),
    [(0.0047, "0.00470"), (0.5, "0.500"), (9.876, "9.88"), (10.0, "10.0"), (1234.56, "1,234.6"), (float("inf"), "inf")],
)
def test_short_latencies_keep_their_digits(latency_us: float, text: str) -> None:
    assert in_us(latency_us) == f"{text} µs"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("matmul × 2, 矩阵, naïve", "matmul × 2, 矩阵, naïve"),
        ("a\u202eb", "a\\u202eb"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("soft\u00adhyphen", "soft\\xadhyphen"),
        ("filler\u3164", "filler\\u3164"),
        ("\x1b[31m\x9b\x7f", "\\x1b[31m\\x9b\\x7f"),
        ("half \udcff", "half \\udcff"),
        ("no\u00a0break", "no\\xa0break"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, seen: str) -> None:
    assert shown(text) == seen
    assert shown(seen) == seen


def test_lines_stay_where_they_may() -> None:
    assert shown("a\tb\nc\rd", lines=True) == "a\tb\nc\\rd"
