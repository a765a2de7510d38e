"""Measuring with a real worker: good candidates get a figure, bad ones cost only themselves."""

import os
import signal
import threading
from dataclasses import replace
from time import monotonic

import numpy as np
import psutil
import pytest
import tvm

from colt.errors import MeasureError
from colt.measure.base import ExportError, Fate, Job, Limits, Pair
from colt.tvm.workers import LocalMeasurer
from tests.helpers import measure_programs as programs

pytestmark = pytest.mark.alone

QUICK = Limits(run_seconds=1.0, total_ms=30.0, min_repeat_ms=5.0, drop_factor=1e6)  # nobody is dropped
GOOD = programs.scheduled_matmul(128)


def measure(measurer, *modules, best_us=None, limits=QUICK):
    jobs = [Job(i, module) for i, module in enumerate(modules)]
    return list(measurer.measure(jobs, best_us, limits))


def worker_of(measurer):
    return psutil.Process(measurer.pids[0])


def test_good_candidates_get_their_median(measurer):
    slow, fast = measure(measurer, programs.matmul(256), programs.scheduled_matmul(256))
    assert (slow.trial, fast.trial) == (0, 1)
    for result in (slow, fast):
        assert result.fate is Fate.OK
        assert len(result.runs_us) >= 3
        assert result.latency_us == pytest.approx(np.median(result.runs_us) / result.slowdown)
        assert result.interval_us.contains(result.latency_us)
        assert result.seconds_building > 0
        assert result.seconds_timing > result.latency_us / 1e6
    # 2 * 256**3 operations at 0.3 to 500 GFLOPS; the schedule is worth far more than noise
    assert 67 < fast.latency_us < slow.latency_us / 2 < 60_000
    assert measurer.seconds_building >= slow.seconds_building + fast.seconds_building
    assert measurer.seconds_timing == pytest.approx(slow.seconds_timing + fast.seconds_timing)
    assert measurer.restarts == 0


def test_a_far_slower_candidate_is_dropped(measurer):
    (result,) = measure(measurer, programs.matmul(256), best_us=100.0, limits=replace(QUICK, drop_factor=1.5))
    assert result.fate is Fate.DROPPED
    assert len(result.runs_us) <= 3
    assert result.latency_us > 150


def test_limits_may_be_without_limit(measurer):
    (result,) = measure(measurer, GOOD, best_us=1e9, limits=replace(QUICK, drop_factor=1e300, run_seconds=1e300))
    assert result.fate is Fate.OK


def test_results_arrive_one_by_one(measurer):
    started = []

    def jobs():
        for i in range(3):
            started.append(i)
            yield Job(i, GOOD)

    results = measurer.measure(jobs(), None, QUICK)
    assert started == []
    assert next(results).trial == 0
    assert started == [0]
    results.close()
    assert measure(measurer, GOOD)[0].fate is Fate.OK


@pytest.mark.parametrize(
    ("module", "name"),
    [(programs.divides_by_zero, "SIGFPE"), (programs.stores_far_away, "SIGSEGV")],
    ids=["SIGFPE", "SIGSEGV"],
)
def test_a_crash_costs_only_its_trial(measurer, module, name):
    before, crash, after = measure(measurer, GOOD, module, GOOD)
    assert [before.fate, crash.fate, after.fate] == [Fate.OK, Fate.CRASH, Fate.OK]
    assert name in crash.message
    assert crash.latency_us is None
    assert crash.runs_us == ()
    assert measurer.restarts == 1


def test_a_hang_costs_only_its_trial(measurer):
    start = monotonic()
    hang, after = measure(measurer, programs.never_ends, GOOD)
    assert hang.fate is Fate.RUN_TIMEOUT
    assert 1.0 <= hang.seconds_timing < 2.0
    assert after.fate is Fate.OK
    assert monotonic() - start < 10


def test_once_a_best_is_known_a_hang_is_cut_short(measurer):
    (hang,) = measure(
        measurer,
        programs.never_ends,
        best_us=100.0,
        limits=replace(QUICK, run_seconds=60, run_floor_seconds=0.3, drop_factor=3),
    )
    assert hang.fate is Fate.RUN_TIMEOUT
    assert 0.3 <= hang.seconds_timing < 1.0


def test_a_build_that_is_predicted_to_be_slow_is_skipped(measurer, monkeypatch):
    monkeypatch.setattr(measurer._builds.build_time, "predict", lambda size: 11.0)
    (skipped,) = measure(measurer, GOOD, limits=replace(QUICK, build_seconds=10.0))
    assert skipped.fate is Fate.SKIPPED
    assert "predicted to take 11 s, more than 10 s" in skipped.message
    assert skipped.seconds_building == 0
    assert skipped.predicted_build_seconds == 11.0


def test_a_slow_build_costs_only_its_trial(measurer, monkeypatch):
    monkeypatch.setattr(measurer._builds.build_time, "predict", lambda size: 0.001)
    (slow,) = measure(measurer, programs.scheduled_matmul(64), limits=replace(QUICK, build_seconds=0.005))
    assert slow.fate is Fate.BUILD_TIMEOUT
    assert slow.seconds_building >= 0.005
    assert measure(measurer, GOOD)[0].fate is Fate.OK


def test_what_is_foreseen_is_compared_by_all_workers_and_answered_at_once(target, monkeypatch):
    """Of each reference all candidates by one worker; broken ones cost only themselves, and kernels are kept."""
    small, large = programs.matmul(64), programs.matmul(128)
    pairs = [
        *(Pair(small, one) for one in (programs.scheduled_matmul(64), programs.matmul_missing_a_term(64))),
        *(Pair(large, one) for one in (GOOD, programs.divides_by_zero)),
        Pair(programs.cannot_be_built, GOOD),
    ]
    with LocalMeasurer(target, 2, QUICK, workers=2) as two:
        two.foresee(pairs)
        assert two.seconds_building > 0
        assert {two._builds.builder_of(one) for one in (small, large)} <= {0, 1}
        restarts, spent = two.restarts, two.seconds_building
        two.foresee(pairs)
        assert two.seconds_building == spent, "nothing is compared twice"
        with monkeypatch.context() as patch:
            patch.setattr(two, "_request", None)
            assert [two.verify(pair.reference, pair.candidate).ok for pair in pairs[:4]] == [True, False, True, False]
            with pytest.raises(MeasureError, match="nothing to verify with"):
                two.verify(pairs[4].reference, pairs[4].candidate)
        assert two.verify(small, pairs[0].candidate).ok, "an answer is given once; the next is found anew"
        assert measure(two, GOOD)[0].fate is Fate.OK
        assert two.restarts == restarts


def test_nothing_is_timed_while_another_worker_starts(target):
    """One that is replaced after a fault loads TVM for a second or two, on a core that the kernel needs."""
    program = programs.scheduled_matmul(64)
    with LocalMeasurer(target, 2, Limits(min_repeat_ms=1.0), workers=2) as two:
        (result,) = two.measure([Job(0, program)])
        assert result.fate is Fate.OK
        for other in two._pool.workers:
            other.restart()
            two.interleave([program], 1)
            assert all(worker._ready for worker in two._pool.workers)


def test_what_another_measurer_has_built_is_timed(measurer, target):
    modules = [GOOD, programs.scheduled_matmul(256)]
    with LocalMeasurer(target, 1, workers=1) as builder:
        built = list(builder.libraries([Job(number, module) for number, module in enumerate(modules)]))
    assert [build.fate for build, _ in built] == [Fate.OK] * 2
    jobs = [Job(number, modules[number], library=library) for number, (_, library) in enumerate(built)]
    results = list(measurer.measure(jobs, limits=QUICK))
    assert [result.fate for result in results] == [Fate.OK] * 2
    (broken,) = measurer.measure([Job(3, programs.scheduled_matmul(64), library=b"no library")], limits=QUICK)
    assert broken.fate is Fate.BUILD_ERROR


def test_a_build_error_leaves_the_worker_alive(measurer):
    error, after = measure(measurer, programs.cannot_be_built, GOOD)
    assert error.fate is Fate.BUILD_ERROR
    assert "Divide by zero" in error.message
    assert after.fate is Fate.OK
    assert measurer.restarts == 0


def test_a_module_without_a_single_main_is_a_build_error(measurer):
    two = tvm.IRModule({"main": GOOD["main"], "other": GOOD["main"].with_attr("global_symbol", "other")})
    (result,) = measure(measurer, two)
    assert result.fate is Fate.BUILD_ERROR
    assert "one PrimFunc main" in result.message


def test_what_kernels_print_does_not_disturb_the_protocol(measurer):
    printed, after = measure(measurer, programs.prints, GOOD)
    assert [printed.fate, after.fate] == [Fate.OK, Fate.OK]


def test_a_candidate_that_wants_too_much_memory_fails(target):
    with LocalMeasurer(target, 2, Limits(memory_mb=900), workers=1) as measurer:
        greedy, after = measure(measurer, programs.needs_a_gigabyte, GOOD)
    assert greedy.fate in (Fate.RUN_ERROR, Fate.CRASH)
    assert after.fate is Fate.OK


def test_a_worker_killed_while_idle_costs_no_trial(measurer):
    measure(measurer, GOOD)
    os.kill(worker_of(measurer).pid, signal.SIGKILL)
    assert measure(measurer, GOOD)[0].fate is Fate.OK
    assert measurer.restarts == 1


def test_a_worker_killed_at_work_costs_that_trial(measurer):
    measure(measurer, GOOD)
    threading.Timer(0.3, os.kill, (worker_of(measurer).pid, signal.SIGKILL)).start()
    killed, after = measure(measurer, programs.never_ends, GOOD, limits=replace(QUICK, run_seconds=30))
    assert killed.fate is Fate.CRASH
    assert "SIGKILL" in killed.message
    assert after.fate is Fate.OK


def test_an_interrupt_of_the_parent_does_not_mix_up_answers(measurer):
    measure(measurer, GOOD)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        measure(measurer, programs.matmul(512), limits=replace(QUICK, min_repeats=10))
    (after,) = measure(measurer, GOOD)
    assert after.fate is Fate.OK
    assert after.latency_us < 20_000  # not that of the matmul


def test_the_worker_ignores_interrupts(measurer):
    measure(measurer, GOOD)
    os.kill(worker_of(measurer).pid, signal.SIGINT)
    assert measure(measurer, GOOD)[0].fate is Fate.OK
    assert measurer.restarts == 0


def test_programs_that_update_a_parameter_find_the_same_inputs_each_time(measurer):
    once = replace(QUICK, single_run_ms=1e-6)
    results = measure(measurer, programs.runs_only_once, programs.runs_only_once, limits=once)
    assert [result.fate for result in results] == [Fate.OK, Fate.OK]
    (twice,) = measure(measurer, programs.runs_only_once)
    assert twice.fate is Fate.CRASH


def test_interleaving_times_each_module_each_round(measurer):
    slow, fast = measurer.interleave([programs.matmul(256), programs.scheduled_matmul(256)], 4, QUICK)
    assert len(slow) == len(fast) == 4
    assert max(fast) < min(slow)


def test_interleaving_with_a_module_that_fails_says_which(measurer):
    with pytest.raises(MeasureError, match="program 1: build-error while building"):
        measurer.interleave([GOOD, programs.cannot_be_built], 2, QUICK)


def test_an_exported_kernel_computes_the_same(measurer, tmp_path):
    path = tmp_path / "kernel.so"
    measurer.export(programs.scheduled_matmul(64), path)
    a, b = np.random.default_rng(0).standard_normal((2, 64, 64), dtype=np.float32)
    c = tvm.runtime.tensor(np.zeros((64, 64), np.float32))
    tvm.runtime.load_module(str(path))["main"](tvm.runtime.tensor(a), tvm.runtime.tensor(b), c)
    np.testing.assert_allclose(c.numpy(), a @ b, rtol=1e-4, atol=1e-4)
    assert os.listdir(tmp_path) == ["kernel.so"]


def test_a_failed_export_leaves_the_old_file_alone(measurer, tmp_path):
    path = tmp_path / "kernel.so"
    path.write_text("old")
    with pytest.raises(ExportError, match="Divide by zero"):
        measurer.export(programs.cannot_be_built, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kernel.so"]
    with pytest.raises(ExportError, match="not written"):
        measurer.export(GOOD, tmp_path / "missing" / "kernel.so")


def test_export_without_a_compiler_says_so(measurer, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ExportError, match="C compiler"):
        measurer.export(GOOD, tmp_path / "kernel.so")
