"""Comparisons of arrays, without running anything."""

import math

import ml_dtypes
import numpy as np
import pytest

from colt.tvm.workers.arguments import Parameter, poisoned_array, random_array
from colt.tvm.workers.compare import compare, compare_with_wide, same_bytes, verdict
from colt.tvm.workers.wide import Sums

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


def test_nan_in_the_same_place_is_equal():
    expected = np.full(4, np.nan, np.float32)
    assert compare(expected, expected.copy()).ok
    assert not compare(expected, np.array([np.nan, np.nan, 1, np.nan], np.float32)).ok


def summed(wide, untuned, found, dtype=ml_dtypes.bfloat16, terms=1024, whole=False):
    """The comparison of sums with what float64 gives."""
    untuned, found = np.asarray(untuned).astype(dtype), np.asarray(found).astype(dtype)
    plain = compare(untuned, found)
    return compare_with_wide(
        np.asarray(wide, np.float64), untuned, found, plain, Sums(untuned.dtype.name, terms), whole
    )


RIGHT = np.linspace(-1, 1, 1001)


def test_a_sum_in_few_bits_may_be_as_far_off_as_the_untuned_program_is():
    far = RIGHT * 1.07
    assert not compare(far.astype(ml_dtypes.bfloat16), RIGHT.astype(ml_dtypes.bfloat16)).ok
    accurate = summed(RIGHT, far, RIGHT)
    assert accurate.ok
    assert accurate.max_rel < 0.004
    assert accurate.untuned == pytest.approx(0.07, abs=0.005)
    assert summed(RIGHT, far, RIGHT * 0.93).ok
    worse = summed(RIGHT, far, RIGHT * 1.2)
    assert not worse.ok
    assert "relative error 0.2, the untuned program's is 0.07" in worse.problem


def test_a_sum_in_few_bits_may_not_be_far_off_if_the_untuned_program_is_not():
    assert not summed(RIGHT, RIGHT, RIGHT * 1.045).ok
    assert compare(RIGHT.astype(ml_dtypes.bfloat16), (RIGHT * 1.045).astype(ml_dtypes.bfloat16)).ok
    assert not summed(RIGHT, RIGHT, RIGHT * 1.01, np.float16).ok


def test_the_untuned_programs_error_excuses_no_more_than_the_terms_explain():
    assert not summed(RIGHT, RIGHT * 1.4, RIGHT * 1.3, terms=16).ok
    assert summed(RIGHT, RIGHT * 1.4, RIGHT * 1.4, terms=16).ok  # nobody can say that it is wrong
    stuck = RIGHT * 0.3  # terms of one sign: the sum has stopped growing
    assert summed(RIGHT, stuck, RIGHT * 0.4, terms=3000).ok
    assert not summed(RIGHT, stuck, RIGHT * 0.2, terms=3000).ok
    assert summed(RIGHT, RIGHT * 1.4, RIGHT * 1.3, terms=1 << 16).ok


def test_a_single_sum_may_be_near_0():
    assert summed([0.001], [0.004], [-0.002]).ok
    assert not summed([0.001], [0.004], [0.01]).ok
    assert not summed([6e4], [np.inf], [3e4], np.float16).ok


def test_few_sums_are_measured_by_what_such_sums_usually_are():
    right, untuned, found = (np.array([value]) for value in (0.001, 0.004, 0.01))
    arrays = untuned.astype(ml_dtypes.bfloat16), found.astype(ml_dtypes.bfloat16)
    plain, terms = compare(*arrays), Sums("bfloat16", 1024)
    assert not compare_with_wide(right, *arrays, plain, terms).ok
    assert compare_with_wide(right, *arrays, plain, terms, scale=1.0).ok
    assert not compare_with_wide(right, *arrays, plain, terms, scale=0.02).ok


def test_few_sums_in_float32_are_held_to_float64_if_it_is_known_how_large_they_usually_are():
    right, found = np.array([1.0], np.float32), np.array([1.00005], np.float32)
    arrays = right.astype(np.float64), right, found, compare(right, found), Sums("float32", 64)
    assert compare_with_wide(*arrays).ok
    assert not compare_with_wide(*arrays, scale=1.0).ok
    assert compare_with_wide(*arrays, scale=100.0).ok


def test_sums_of_whole_numbers_are_exact():
    whole = np.arange(100)
    assert summed(whole, whole, whole, whole=True).ok
    one_off = whole.copy()
    one_off[3] += 1
    assert summed(whole, whole, one_off).ok
    assert not summed(whole, whole, one_off, whole=True).ok


def test_what_is_finite_in_float64_may_overflow_in_the_untuned_program_only():
    right = np.array([1.0, 6e4, 2.0])
    assert summed(right, [1.0, np.inf, 2.0], right, np.float16).ok
    assert not summed(right, right, [1.0, np.inf, 2.0], np.float16).ok


def test_float32_is_compared_with_float64_only_where_it_differs():
    assert summed(RIGHT, RIGHT * 1.000001, RIGHT, np.float32).untuned is None
    doubtful = summed(RIGHT, RIGHT * 1.00005, RIGHT, np.float32)
    assert doubtful.ok
    assert doubtful.untuned == pytest.approx(5e-5, rel=0.01)
    in_fewer_bits = summed(RIGHT, RIGHT, RIGHT * 1.00005, np.float32)
    assert not in_fewer_bits.ok
    assert "the untuned program's is 3e-08" in in_fewer_bits.problem
    rescued = summed(RIGHT, RIGHT * 1.0002, RIGHT, np.float32, terms=1 << 24)
    assert rescued.ok
    assert rescued.untuned == pytest.approx(2e-4, rel=0.01)
    assert not summed(RIGHT, RIGHT, RIGHT * 1.0002, np.float32, terms=1 << 24).ok


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


def test_rounding_as_the_program_says_is_right_and_hides_nothing_larger():
    right = RIGHT.astype(np.float32)
    stated = (RIGHT * 1.002).astype(np.float32)

    def compared(found, rounded):
        found = np.asarray(found, np.float32)
        return compare_with_wide(RIGHT, right, found, compare(right, found), Sums("float32", 64), rounded=rounded)

    assert not compared(stated, None).ok
    assert compared(stated, stated).ok
    assert not compared(RIGHT * 1.004, stated).ok
    assert not compared(stated, np.full_like(stated, np.nan)).ok
    assert not compared(RIGHT * 1.2, RIGHT * 1.3).ok  # rounding explains no more than bfloat16 does
