"""Outputs are what is expected, or they are not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from colt.models.judge import verified
from colt.models.manifest import ComparedPart


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32"])
def test_whole_numbers_have_to_be_the_same(dtype: str) -> None:
    """Also where float64 cannot tell one from the next."""
    most = int(np.iinfo(dtype).max)
    expected = np.array([0, most - 1], dtype)
    assert verified([expected.copy()], [expected], "NumPy").ok
    verdict = verified([np.array([0, most], dtype)], [expected], "NumPy")
    assert not verdict.ok
    assert verdict.worst > 0


@pytest.mark.parametrize("mark", [-1e9, float(np.finfo("float32").min), -np.inf])
def test_marks_of_masked_scores_hide_nothing(mark: float) -> None:
    expected = np.linspace(-3, 3, 64, dtype="float32")
    expected[5] = mark
    assert verified([expected * np.float32(1 - 1e-5)], [expected], "NumPy").ok
    off, elsewhere = expected.copy(), expected.copy()
    off[60] += 0.1
    elsewhere[5] = mark / 2 if np.isfinite(mark) else 0
    for found in (off, elsewhere):
        verdict = verified([found], [expected], "NumPy")
        assert not verdict.ok
        assert verdict.worst > 0.01


def test_errors_are_relative_to_the_largest_value() -> None:
    expected = np.array([1e-3, 2.0, 0.0], "float32")
    found = expected + np.array([0.0, 0.0, 1e-3], "float32")
    assert verified([found], [expected], "NumPy").errors == pytest.approx((5e-4,))
    assert verified([found * 0], [expected * 0], "NumPy").errors == (0.0,)


def test_an_output_of_another_type_or_shape_is_named() -> None:
    """Its numbers may be right, and their error be 0."""
    right = np.arange(6, dtype="int64")
    for found, said in (
        ([right, right.astype("float32")], "output 2 is float32[6], not int64[6]"),
        ([right.reshape(2, 3), right], "output 1 is int64[2, 3], not int64[6]"),
        ([right], "1 output, not 2"),
    ):
        verdict = verified(found, [right, right], "NumPy")
        assert not verdict.ok
        assert verdict.in_words == said


def test_an_error_that_is_infinite_can_be_kept() -> None:
    """JSON has no number for it."""
    expected = np.array([1.0, 2.0], "float32")
    verdict = verified([np.array([1.0, np.nan], "float32"), expected], [expected, expected], "NumPy")
    assert verdict.errors == (None, 0.0)
    assert verdict.in_words == "error inf of 0.001 allowed"
    assert msgspec.json.decode(verdict.to_json(), type=ComparedPart) == verdict
