"""Kernels are timed in several layouts of memory, each with threads and workspaces of its own."""

import os
import threading
import time

import numpy as np
import psutil
import pytest
import tvm
from tvm.script import tirx as T

from colt.machine.queueing import QueueWatch, queued_seconds
from colt.tvm.workers import LocalMeasurer
from colt.tvm.workers.kernel import LocalKernel
from colt.tvm.workers.layout import Layouts

N = 1 << 18


@T.prim_func(s_tir=True)
def copies(A: T.Buffer((4, N), "float32"), B: T.Buffer((4, N), "float32")):
    T.func_attr({"global_symbol": "main", "tirx.noalias": True})
    for i in T.parallel(4):
        with T.sblock("rows"):
            row = T.sblock_alloc_buffer((N,))
            for j in range(N):
                row[j] = A[i, j] + T.float32(1.0)
            for j in range(N):
                B[i, j] = row[N - 1 - j]


@pytest.fixture
def layouts(monkeypatch):
    monkeypatch.setenv("TVM_NUM_THREADS", "2")
    monkeypatch.setenv("TVM_BIND_THREADS", "1")  # as in workers
    monkeypatch.setenv("TVM_THREAD_POOL_SPIN_COUNT", "1000")
    made = Layouts()
    yield made
    made.change()


def test_calls_run_in_one_thread_until_the_layout_changes(layouts):
    first = [layouts.run(threading.get_native_id) for _ in range(2)]
    layouts.change()
    second = layouts.run(threading.get_native_id)
    assert first[0] == first[1] != threading.get_native_id()
    assert second not in {threading.get_native_id()}
    assert sorted(layouts.crews()) == [1, 2]
    assert all(caller in crew for caller, crew in zip((first[0], second), layouts.crews().values(), strict=True))


def test_what_a_call_raises_is_raised(layouts):
    with pytest.raises(ZeroDivisionError):
        layouts.run(lambda: 1 // 0)


def test_the_threads_of_a_pool_are_kept_off_each_others_cores(layouts):
    layouts.run(lambda: None)
    (crew,) = layouts.crews().values()
    cores = [os.sched_getaffinity(thread) for thread in crew]
    assert len(cores) == 2
    assert sum(len(one) for one in cores) == len(set().union(*cores))


def assert_ends(condition):
    """Threads end a moment after their pool, on a busy machine a long one."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_every_repeat_has_a_layout_of_its_own_and_leaves_nothing_behind(layouts, target):
    kernel = LocalKernel(tvm.IRModule({"main": copies}), target, layouts)
    arguments = [tvm.runtime.tensor(np.ones((4, N), np.float32)) for _ in range(2)]
    bound = kernel.bind(arguments)
    assert len(bound.repeated(2, 5)) == 5
    assert len(layouts.crews()) == 5
    layouts.change()
    theirs = {thread for crew in layouts.crews().values() for thread in crew}
    assert len(theirs) >= 5
    assert_ends(lambda: theirs.isdisjoint(queued_seconds()))
    bound.run()
    bound.once()
    assert len(layouts.crews()) == 6
    np.testing.assert_array_equal(arguments[1].numpy(), 2.0)


def test_what_ended_layouts_have_waited_is_not_forgotten(layouts, monkeypatch):
    """A thread that runs is told to have queued half of a second in each call."""
    told = iter(range(1000))
    real = queued_seconds
    monkeypatch.setattr("colt.tvm.workers.layout.queued_seconds", lambda: dict.fromkeys(real(), next(told) / 2))
    monkeypatch.setattr("colt.machine.queueing.monotonic", iter([0.0, 10.0]).__next__)
    watch = QueueWatch(layouts.crews)
    for _ in range(3):
        layouts.run(lambda: None)
        layouts.change()
    assert watch.share() == pytest.approx(3 * 0.5 / 10)


def test_each_repeat_says_what_its_thread_has_waited_after_the_run_that_is_not_counted(layouts, target, monkeypatch):
    kernel = LocalKernel(tvm.IRModule({"main": copies}), target, layouts)
    arguments = [tvm.runtime.tensor(np.ones((4, N), np.float32)) for _ in range(2)]
    bound, warm, waits = kernel.bind(arguments), [], iter([7.0, 7.0, 8.0, 8.02])

    def waited():
        warm.append(arguments[1].numpy()[0, 0] == 2.0)
        return next(waits)

    monkeypatch.setattr("colt.tvm.workers.kernel.waited_seconds", waited)
    first, second = bound.repeated(100, 2)
    assert all(warm)
    assert first.waited_us == 0.0
    assert 0.0 < second.waited_us <= 200.0
    assert second.alone_us == second.us - second.waited_us


def test_workers_bind_their_threads_whatever_the_process_that_starts_them_does(target, monkeypatch):
    """A process that has loaded a whole model leaves its own unbound, and says so in its environment."""
    monkeypatch.setenv("TVM_BIND_THREADS", "0")
    with LocalMeasurer(target, 2, workers=1) as measurer:
        assert psutil.Process(measurer.pids[0]).environ()["TVM_BIND_THREADS"] == "1"
