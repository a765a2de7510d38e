"""Outputs are what is expected, or they are not."""

from __future__ import annotations

import numpy as np
import pytest

from colt.models.judge import verified


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32"])
def test_whole_numbers_have_to_be_the_same(dtype: str) -> None:
    """Also where float64 cannot tell one from the next."""
    most = int(np.iinfo(dtype).max)
    expected = np.array([0, most - 1], dtype)
    assert verified([expected.copy()], [expected], "NumPy").ok
    verdict = verified([np.array([0, most], dtype)], [expected], "NumPy")
    assert not verdict.ok
    assert verdict.errors[0] > 0


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
        assert verdict.errors[0] > 0.01


def test_errors_are_relative_to_the_largest_value() -> None:
    expected = np.array([1e-3, 2.0, 0.0], "float32")
    found = expected + np.array([0.0, 0.0, 1e-3], "float32")
    assert verified([found], [expected], "NumPy").errors == pytest.approx((5e-4,))
    assert verified([found * 0], [expected * 0], "NumPy").errors == (0.0,)
