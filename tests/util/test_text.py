"""Texts and latencies as people read them."""

from __future__ import annotations

import msgspec
import pytest

from colt.util.text import in_us, shown, why


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


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    total: int


class Outer(msgspec.Struct):
    inner: Inner


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "it has no inner"),
        ('{"inner": {}}', "inner has no total"),
        ('{"inner": {"total": "x"}}', "inner.total is of the kind str, not int"),
        ('{"inner": {"total": 1, "more": 2}}', "inner has a field more, which is not known"),
        ("{nonsense", "it is not JSON: object keys must be strings (byte 1)"),
        ('{"inner"', "it ends too early"),
    ],
)
def test_errors_of_json_are_told_in_words(content: str, said: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as caught:
        msgspec.json.decode(content, type=Outer)
    assert why(caught.value) == said


def test_errors_of_files_have_no_numbers_and_others_their_first_line() -> None:
    assert why(PermissionError(13, "Permission denied", "/a/b")) == "Permission denied"
    assert why(ValueError("one\ntwo")) == "one"
    assert why(ValueError()) == "ValueError"
