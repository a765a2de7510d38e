"""A candidate passes only if it leaves in its parameters what the untuned program leaves there."""

import pytest

from colt.errors import MeasureError
from colt.measure.base import Limits
from tests.helpers import measure_programs as programs


def test_a_correct_schedule_passes(measurer):
    result = measurer.verify(programs.matmul(128), programs.scheduled_matmul(128), seed=3)
    assert result.ok
    assert 0 <= result.max_rel_error < 1e-6
    assert result.tolerance == 1e-4
    assert result.message == ""


def test_a_wrong_kernel_fails(measurer):
    result = measurer.verify(programs.matmul(128), programs.matmul_missing_a_term(128))
    assert not result.ok
    assert 1e-3 < result.max_rel_error < 1
    result = measurer.verify(programs.doubles, programs.elementwise("float32", lambda x: x * 2.001))
    assert not result.ok
    assert result.max_rel_error == pytest.approx(5e-4, rel=1e-2)
    assert "relative error" in result.message


def test_an_unwritten_element_fails(measurer):
    result = measurer.verify(programs.doubles, programs.doubles_all_but_one)
    assert not result.ok
    assert "1 of 64 elements are not written" in result.message


def test_writing_an_input_fails(measurer):
    result = measurer.verify(programs.doubles, programs.doubles_and_clears)
    assert not result.ok
    assert "parameter 0 (input)" in result.message
    assert "parameter 1" not in result.message


def test_in_place_programs(measurer):
    assert measurer.verify(programs.doubles_in_place, programs.doubles_in_place).ok
    wrong = measurer.verify(programs.doubles_in_place, programs.triples_in_place)
    assert not wrong.ok
    assert "parameter 0 (written)" in wrong.message
    assert "parameter 1" not in wrong.message  # the signs are right


@pytest.mark.parametrize(
    ("dtype", "out"),
    [("float64", None), ("float16", None), ("float16", "float32"), ("bfloat16", "float32"), ("int8", "int32")],
)
def test_data_types(measurer, dtype, out):
    result = measurer.verify(programs.matmul(64, dtype, out), programs.scheduled_matmul(64, dtype, out))
    assert result.ok, result


def test_bfloat16_outputs(measurer):
    twice = programs.elementwise("bfloat16", lambda x: x + x)
    assert measurer.verify(twice, programs.elementwise("bfloat16", lambda x: x * 2)).ok
    assert not measurer.verify(twice, programs.elementwise("bfloat16", lambda x: x * 3)).ok


def test_booleans(measurer):
    positive = programs.elementwise("float32", lambda x: x > 0, out="bool")
    assert measurer.verify(positive, positive).ok
    assert not measurer.verify(positive, programs.elementwise("float32", lambda x: x > 0.1, out="bool")).ok


def test_other_parameters_fail(measurer):
    result = measurer.verify(programs.matmul(16), programs.matmul(32))
    assert not result.ok
    assert "parameters" in result.message


def test_a_candidate_that_dies_fails_and_the_worker_comes_back(measurer):
    reference = programs.elementwise("int32", lambda x: x + 1, n=256)
    result = measurer.verify(reference, programs.divides_by_zero)
    assert not result.ok
    assert "SIGFPE" in result.message
    assert measurer.verify(reference, reference).ok


def test_a_candidate_that_hangs_fails(measurer):
    reference = programs.elementwise("int32", lambda x: x + 1)
    result = measurer.verify(reference, programs.never_ends, limits=Limits(reference_seconds=0.5))
    assert not result.ok
    assert "run-timeout" in result.message


@pytest.mark.parametrize("reference", [programs.divides_by_zero, programs.cannot_be_built], ids=["dies", "no-build"])
def test_a_reference_that_does_not_run_is_the_callers_problem(measurer, reference):
    with pytest.raises(MeasureError, match="untuned program"):
        measurer.verify(reference, programs.elementwise("int32", lambda x: x + 1))


@pytest.mark.alone
def test_the_reference_runs_once_per_seed(measurer):
    reference, candidate = programs.matmul(512), programs.scheduled_matmul(512)

    def seconds_running(seed):
        before = measurer.seconds_timing
        assert measurer.verify(reference, candidate, seed).ok
        return measurer.seconds_timing - before

    first, again, other = seconds_running(1), seconds_running(1), seconds_running(2)
    assert again < first / 2
    assert again < other / 2


def test_a_scheduled_program_can_be_the_reference(measurer):
    """It reads its output back, so that cannot be poisoned; the comparison holds all the same."""
    assert measurer.verify(programs.scheduled_matmul(64), programs.matmul(64)).ok
    assert not measurer.verify(programs.scheduled_matmul(64), programs.matmul_missing_a_term(64)).ok
