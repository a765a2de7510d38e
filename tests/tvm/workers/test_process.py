"""Workers start, end, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from colt.errors import MeasureError
from colt.measure.base import Fate, Job, Limits
from colt.tvm.workers import LocalMeasurer, process
from tests.helpers import measure_programs as programs

GOOD = programs.doubles
QUICK = Limits(run_seconds=1.0, total_ms=30.0, min_repeat_ms=5.0, start_seconds=30.0, drop_factor=1e6)


def fake_worker(monkeypatch, body):
    """Workers that run ``body`` instead, with ``requests`` and ``replies`` as descriptors and ``send(bytes)``."""
    prelude = (
        "import os, sys, time\nrequests, replies = map(int, sys.argv[1:])\n"
        "def send(payload): os.write(replies, len(payload).to_bytes(4, 'big') + payload)\n"
    )

    def command(requests_fd, replies_fd, *_):
        return [sys.executable, "-c", prelude + body, str(requests_fd), str(replies_fd)]

    monkeypatch.setattr(process, "_command", command)


READY = 'send(b\'{"type": "Ready"}\')\nos.read(requests, 1 << 20)\n'
REST = '"disturbed": 0, "seconds_waiting": 0, "quiet_us": 1, "references_us": [1], "host": "", "dropped": false'
TIMED = 'send(b\'{"type": "Timed", "runs_us": %s, "slowdowns": %s, ' + REST + "}')"
BUILDING = 'send(b\'{"type": "Entered", "stage": "building", "module": 0}\')\n'


def one(measurer, module=GOOD):
    (result,) = measurer.measure([Job(1, module)], None, QUICK)
    return result


def gone(pid, seconds=5.0):
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        sleep(0.02)
    return False


def test_nothing_is_left_after_close(target):
    me = psutil.Process()
    children, descriptors = set(me.children()), me.num_fds()
    measurer = LocalMeasurer(target, 2, QUICK, workers=1)
    (worker,) = set(me.children()) - children
    assert one(measurer).fate is Fate.OK
    assert one(measurer, programs.divides_by_zero).fate is Fate.CRASH
    measurer.close()
    measurer.close()
    assert set(me.children()) == children  # zombies would be among them
    assert not worker.is_running()
    assert me.num_fds() == descriptors
    with pytest.raises(MeasureError, match="closed"):
        one(measurer)


def test_what_a_worker_started_ends_with_it(target, monkeypatch, tmp_path):
    body = f"import subprocess; print(subprocess.Popen(['sleep', '60']).pid, file=open({str(tmp_path / 'pid')!r}, 'w'))"
    fake_worker(monkeypatch, body + "\n" + READY)
    with LocalMeasurer(target, 2, QUICK, workers=1) as measurer:
        measurer._pool.workers[0].await_ready()
        child = int((tmp_path / "pid").read_text())
        assert psutil.pid_exists(child)
    assert gone(child)


def test_the_constructor_does_not_wait(target):
    start = monotonic()
    with LocalMeasurer(target, 2, QUICK, workers=1):
        assert monotonic() - start < 0.3


def test_a_worker_that_never_starts_is_an_error_with_its_last_words(target, monkeypatch):
    fake_worker(monkeypatch, "sys.exit('no such library')")
    with LocalMeasurer(target, 2, QUICK, workers=1) as measurer:
        with pytest.raises(MeasureError, match=r"tried 3 times: exited with status 1\nno such library"):
            one(measurer)
        assert measurer.restarts == 3


def test_a_worker_that_is_never_ready_is_an_error(target, monkeypatch):
    fake_worker(monkeypatch, "time.sleep(60)")
    limits = Limits(start_seconds=0.2, start_attempts=2)
    with (
        LocalMeasurer(target, 2, limits, workers=1) as measurer,
        pytest.raises(MeasureError, match=r"not ready after 0\.2 s"),
    ):
        one(measurer)


@pytest.mark.parametrize(
    "answer",
    [
        "os.write(replies, b'Segfault encountered, or some other words\\n')",
        "send(b'no json')",
        "import pickle; send(pickle.dumps(0))",
        'send(b\'{"type": "Exported"}\')',
        TIMED % ("[[1.0], [2.0]]", "[1.0]"),
        TIMED % ("[[-1.0]]", "[1.0]"),
        TIMED % ("[[1.0]]", "[0.5]"),
        "while True: " + BUILDING,
    ],
    ids=["text", "no-json", "pickle", "other-answer", "two-modules", "negative", "faster-than-quiet", "endless-stages"],
)
def test_nonsense_from_a_worker_is_a_crash_of_that_trial(target, monkeypatch, answer):
    with LocalMeasurer(target, 2, QUICK, workers=1) as measurer:
        with monkeypatch.context() as patch:
            fake_worker(patch, READY + BUILDING + answer + "\ntime.sleep(60)")
            measurer._pool.workers[0].restart()
            result = one(measurer)
        assert result.fate is Fate.CRASH
        assert "nonsense" in result.message
        assert measurer.restarts == 2


def test_a_request_that_is_never_taken_up_goes_to_another_worker(target, monkeypatch):
    with monkeypatch.context() as patch:
        fake_worker(patch, READY + "sys.exit(3)")
        measurer = LocalMeasurer(target, 2, QUICK, workers=1)
        measurer._pool.workers[0].await_ready()
    with measurer:
        assert one(measurer).fate is Fate.OK
        assert measurer.restarts == 1


def test_a_thread_that_started_a_worker_may_end(target):
    """The kernel's parent-death signal goes by thread, not by process."""
    made = []

    def start():
        made.append(LocalMeasurer(target, 2, QUICK, workers=1))
        made[0]._pool.workers[0].await_ready()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with made[0] as measurer:
        sleep(0.1)
        assert one(measurer).fate is Fate.OK
        assert measurer.restarts == 0


SCRIPT = """
import sys, threading
sys.path.insert(0, {here!r})
from tests.helpers import measure_programs as programs
from colt.measure.base import Job, Limits
from colt.tvm.devices.host import resolve_target
from colt.tvm.workers import LocalMeasurer

def run():
    measurer = LocalMeasurer(resolve_target(None, 2), 2, Limits(run_seconds=60), workers=1)
    next(measurer.measure([Job(0, programs.doubles)]))
    print(measurer.pids[0], flush=True)
    next(measurer.measure([Job(1, programs.never_ends)]))

{start}
"""


@pytest.mark.parametrize(
    "start", ["run()", "threading.Thread(target=run).start()"], ids=["main-thread", "other-thread"]
)
def test_the_worker_dies_with_its_parent_even_in_an_endless_kernel(start):
    script = SCRIPT.format(here=str(Path(__file__).parents[3]), start=start)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        sleep(0.5)
        assert psutil.pid_exists(worker)
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(worker)
