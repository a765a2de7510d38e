"""Comparisons of arrays, without running anything."""

import math

import ml_dtypes
import numpy as np
import pytest

from colt.tvm.workers.arguments import Parameter, poisoned_array, random_array
from colt.tvm.workers.compare import compare, same_bytes, verdict

FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
OTHERS = ["int8", "uint8", "int16", "int32", "int64", "uint32", "bool"]


@pytest.mark.parametrize("dtype", FLOATS + OTHERS)
def test_equal_outputs_agree_and_one_other_element_does_not(dtype):
    expected = random_array(Parameter((100,), dtype), 0, 0)
    assert compare(expected, expected.copy()).ok
    found = expected.copy()
    found[17] = 1 - found[17].astype(np.float32)
    assert not compare(expected, found).ok


@pytest.mark.parametrize("dtype", FLOATS + OTHERS)
def test_an_unwritten_element_fails(dtype):
    expected = random_array(Parameter((100,), dtype), 0, 0)
    found = expected.copy()
    found[99:] = poisoned_array(Parameter((1,), dtype))
    difference = compare(expected, found)
    assert not difference.ok
    if dtype in FLOATS:
        assert "1 of 100 elements are not written" in difference.problem


def test_errors_are_relative_to_the_largest_magnitude():
    expected = np.array([1000.0, 0.001], np.float32)
    difference = compare(expected, expected + np.float32(0.05))
    assert difference.ok
    assert difference.max_abs == pytest.approx(0.05, rel=1e-2)
    assert difference.max_rel == pytest.approx(0.05 / 1000, rel=1e-2)
    assert not compare(expected / 1000, (expected + np.float32(0.5)) / 1000).ok


def test_tolerance_depends_on_the_data_type():
    def passes(dtype, error):
        return compare(np.ones(4, dtype), np.array([1, 1, 1, 1 + error], dtype)).ok

    assert passes(np.float32, 5e-5)
    assert not passes(np.float64, 5e-5)
    assert passes(np.float16, 1e-2)
    assert not passes(np.float32, 1e-2)
    assert passes(ml_dtypes.bfloat16, 3e-2)
    assert not passes(np.float16, 3e-2)


def test_nan_and_infinity_must_be_where_the_reference_has_them():
    expected = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
    assert compare(expected, expected.copy()).ok
    for place, value in [(0, np.nan), (0, np.inf), (1, 1.0), (2, -np.inf), (3, np.nan)]:
        found = expected.copy()
        found[place] = value
        assert not compare(expected, found).ok, (place, value)


def test_a_reference_without_a_finite_element_verifies_nobody():
    expected = np.full(4, np.nan, np.float32)
    assert not compare(expected, expected.copy()).ok


def test_elements_that_the_reference_leaves_alone_must_be_left_alone():
    expected = np.ones(4, np.float32)
    expected[2:] = poisoned_array(Parameter((2,), "float32"))
    assert compare(expected, expected.copy()).ok
    found = expected.copy()
    found[3] = 1.0
    assert not compare(expected, found).ok


def test_a_zero_output_must_be_zero():
    zeros = np.zeros(4, np.float32)
    assert compare(zeros, zeros.copy()).ok
    assert not compare(zeros, zeros + np.float32(1e-30)).ok


def test_the_last_piece_of_a_large_array_counts():
    expected = np.ones((1 << 20) + 5, np.float32)
    found = expected.copy()
    found[-1] = 2
    assert not compare(expected, found).ok


def test_inputs_must_not_change_by_a_bit():
    before = np.zeros(4, np.float32)
    assert same_bytes(before, before.copy()).ok
    assert not same_bytes(before, -before).ok


def test_the_verdict_shows_the_worst_output_and_every_problem():
    good = compare(np.ones(4, np.float32), np.ones(4, np.float32))
    bad = compare(np.ones(4, np.float16), np.full(4, 2, np.float16))
    changed = same_bytes(np.zeros(1, np.int8), np.ones(1, np.int8))
    result = verdict([("a", good), ("b", bad), ("c", changed)])
    assert not result.ok
    assert "b: relative error" in result.message
    assert "c: 1 bytes" in result.message
    assert verdict([("a", good)]).ok
    assert verdict([("in", same_bytes(good_array := np.ones(1), good_array)), ("a", good)]).tolerance == 1e-4
    assert math.isfinite(verdict([("b", bad)]).max_rel_error)
