"""Whatever a candidate does to a worker costs exactly that candidate's trial, with several workers building ahead."""

import os
import signal
import threading
from dataclasses import replace
from functools import partial
from time import monotonic, sleep

import psutil
import pytest
from tvm import te
from tvm.target import Target

from colt.errors import MeasureError
from colt.measure.base import Fate, Job, Limits
from colt.tvm.workers import LocalMeasurer
from colt.tvm.workers.messages import BuildRequest, Stage
from tests.helpers import measure_programs as programs

LIMITS = Limits(
    run_seconds=1.0, run_floor_seconds=1.0, total_ms=10.0, min_repeat_ms=1.0, drop_factor=1e6, memory_mb=900
)
WORKERS = 2


@pytest.fixture(scope="module")
def shared(target):
    with LocalMeasurer(target, 2, LIMITS, workers=WORKERS) as measurer:
        yield measurer


@pytest.fixture
def workers(shared):
    """All of them alive, none replaced yet: one that is killed while it is idle is replaced when it is next used."""
    for worker in shared._pool.workers:
        worker.request(BuildRequest(good(0)), {Stage.BUILDING: 30.0})
        worker.restarts = 0
    return shared


def good(number):
    """Programs that differ, so that none is built already."""
    return programs.elementwise("float32", lambda x: x * float(number + 2), n=64 + number)


def jobs(*faulty):
    """Good candidates with the faulty ones among them: one before, three after each."""
    modules = [good(0)]
    for number, module in enumerate(faulty):
        modules += [module, *(good(10 * number + i) for i in range(1, 4))]
    return [Job(i, module) for i, module in enumerate(modules)]


FAULTS = {
    "SIGSEGV": (programs.stores_far_away, Fate.CRASH, "SIGSEGV"),
    "SIGFPE": (programs.divides_by_zero, Fate.CRASH, "SIGFPE"),
    "SIGILL": (programs.is_no_instruction, Fate.CRASH, "SIGILL"),
    "endless-loop": (programs.never_ends, Fate.RUN_TIMEOUT, "not done running after 1 s"),
    "output-flood": (programs.floods_its_output, Fate.RUN_TIMEOUT, "not done running after 1 s"),
    "build-error": (programs.cannot_be_built, Fate.BUILD_ERROR, "Divide by zero"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_exactly_its_own_trial(workers, fault):
    module, fate, message = FAULTS[fault]
    results = list(workers.measure(jobs(module)))
    assert [result.trial for result in results] == list(range(5))
    assert [result.fate for result in results] == [Fate.OK, fate, Fate.OK, Fate.OK, Fate.OK]
    assert message in results[1].message
    assert workers.restarts == (fate is not Fate.BUILD_ERROR)


def test_running_out_of_memory_costs_exactly_its_own_trial(workers):
    results = list(workers.measure(jobs(programs.needs_a_gigabyte)))
    assert results[1].fate in (Fate.RUN_ERROR, Fate.CRASH)
    assert [result.fate for result in results if result.trial != 1] == [Fate.OK] * 4


def test_many_faults_at_once(workers):
    faulty = [module for module, _, _ in FAULTS.values()]
    results = list(workers.measure(jobs(*faulty)))
    wanted = [Fate.OK]
    for _, fate, _ in FAULTS.values():
        wanted += [fate, Fate.OK, Fate.OK, Fate.OK]
    assert [result.fate for result in results] == wanted


def test_an_output_flood_fills_no_disk(workers):
    process = psutil.Process(workers.pids[0])
    log = next(file for file in map(os.readlink, _descriptors(process)) if "deleted" in file)
    assert log  # the worker's output goes to a file without a name, which is gone with the worker
    (flood,) = workers.measure([Job(0, programs.floods_its_output)], limits=replace(LIMITS, run_seconds=3.0))
    assert flood.fate is Fate.RUN_TIMEOUT
    assert os.fstat(workers._pool.workers[0]._worker._child._log.fileno()).st_size <= 1 << 26


def _descriptors(process):
    folder = f"/proc/{process.pid}/fd"
    return [f"{folder}/{name}" for name in os.listdir(folder)]


def kill_soon(pid, seconds):
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.start()
    return timer


def test_a_worker_killed_from_outside_while_timing_costs_that_trial(workers):
    list(workers.measure(jobs()))
    endless = [Job(0, programs.never_ends), *(Job(i, good(i)) for i in range(1, 4))]
    patient = replace(LIMITS, run_seconds=30.0)
    measured = workers.measure(endless, limits=patient)
    for pid in workers.pids:
        kill_soon(pid, 1.0)
    results = list(measured)
    assert [result.fate for result in results] == [Fate.CRASH, Fate.OK, Fate.OK, Fate.OK]
    assert "SIGKILL" in results[0].message
    assert 1 <= workers.restarts <= WORKERS  # the idle one is replaced only if it had built one of the others


def deep(number):
    """Takes a second or so to build."""
    x = te.placeholder((64,), name="x")
    y = x
    for i in range(40):
        y = te.compute((64,), partial(_step, y, float(number + i)), name=f"y{i}")
    return programs.module(te.create_prim_func([x, y]))


def _step(y, factor, j):
    return te.exp(y[j]) * factor + y[63 - j]


def test_a_worker_killed_from_outside_while_building_costs_at_most_that_trial(workers):
    list(workers.measure(jobs()))
    victim = workers.pids[0]
    kill_soon(victim, 0.05)
    results = list(workers.measure([Job(i, deep(i)) for i in range(6)]))
    assert sum(result.fate is Fate.CRASH for result in results) <= 1
    assert {result.fate for result in results} <= {Fate.OK, Fate.CRASH}
    assert workers.restarts == 1


def test_an_idle_worker_that_is_killed_costs_nothing(workers):
    list(workers.measure(jobs()))
    for pid in workers.pids:
        os.kill(pid, signal.SIGKILL)
    assert [result.fate for result in workers.measure(jobs())] == [Fate.OK]


def test_a_build_crash_of_one_leaves_what_the_others_have_built(workers, monkeypatch):
    """The worker that crashes takes its kernels along: they are built again when their turn comes."""
    results = list(workers.measure([Job(0, good(20)), Job(1, programs.divides_by_zero), Job(2, good(21))]))
    assert [result.fate for result in results] == [Fate.OK, Fate.CRASH, Fate.OK]
    assert all(result.seconds_building > 0 for result in results)


def test_equal_programs_are_built_once(workers):
    first, second = (next(iter(workers.measure([Job(0, good(30))]))) for _ in range(2))
    assert first.seconds_building > 0.01
    assert second.seconds_building < first.seconds_building / 2


def test_building_ahead_is_bounded(workers):
    taken = []

    def stream():
        for i in range(100):
            taken.append(i)
            yield Job(i, good(i))

    measured = workers.measure(stream())
    next(measured)
    assert len(taken) == LIMITS.ahead * WORKERS
    measured.close()


def test_build_says_how_it_went_and_measure_uses_it(workers):
    built = workers.build([Job(7, good(40)), Job(8, programs.cannot_be_built)])
    assert [(build.job, build.fate) for build in built] == [(7, Fate.OK), (8, Fate.BUILD_ERROR)]
    assert built[0].seconds > 0
    assert "Divide by zero" in built[1].message
    (result,) = workers.measure([Job(7, good(40))])
    assert result.fate is Fate.OK
    assert result.seconds_building < built[0].seconds / 2


def test_an_interrupt_while_building_ends_the_building_and_the_measurer_lives_on(workers):
    list(workers.measure(jobs()))
    start = monotonic()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        list(workers.measure([Job(i, deep(100 + i)) for i in range(40)]))
    assert monotonic() - start < 10
    assert [result.fate for result in workers.measure(jobs(programs.divides_by_zero))].count(Fate.OK) == 4


def test_workers_that_do_not_start_again_end_the_measuring(target, monkeypatch):
    with LocalMeasurer(target, 2, replace(LIMITS, start_attempts=2), workers=WORKERS) as measurer:
        list(measurer.measure(jobs()))
        monkeypatch.setattr("sys.executable", "/bin/false")
        for pid in measurer.pids:
            os.kill(pid, signal.SIGKILL)
        sleep(0.1)
        with pytest.raises(MeasureError, match="does not start, tried 2 times"):
            list(measurer.measure([Job(i, good(50 + i)) for i in range(4)]))


def test_a_processor_that_llvm_cannot_build_for_is_no_crash_of_a_kernel():
    """LLVM ends the process: a Pentium 4 has no 64-bit code."""
    target = Target({"kind": "llvm", "mcpu": "pentium4", "num-cores": 1})
    with LocalMeasurer(target, 1, LIMITS, workers=1) as measurer:
        (result,) = measurer.measure([Job(-1, programs.doubles)])
    assert result.fate is Fate.BUILD_ERROR
    assert "LLVM ERROR" in result.message
