"""Kernels on a board, through a real tracker and server on this machine: what holds locally holds there."""

import os
import signal
import statistics
import tarfile
import threading
from dataclasses import replace
from time import monotonic, sleep

import pytest
import tvm
from tvm import rpc

from colt.errors import InputError, MeasureError
from colt.measure.base import ExportError, Fate, Job, Limits
from colt.tvm.devices.assumed import resolve_board_target
from colt.tvm.workers import Board, LocalMeasurer
from colt.tvm.workers.board import BoardLost
from colt.tvm.workers.rpc import Connection, require_board
from tests.helpers import measure_programs as programs
from tests.helpers.loopback_board import end, free_port

QUICK = Limits(run_seconds=1.0, total_ms=30.0, min_repeat_ms=5.0, drop_factor=100.0, connect_seconds=40.0)
GOOD = programs.scheduled_matmul(128)
FOREIGN = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 4}


def board_of(loopback_board, key=None):
    return Board("127.0.0.1", loopback_board.port, key or loopback_board.key)


@pytest.fixture(scope="module")
def remote(target, loopback_board):
    with LocalMeasurer(target, 2, QUICK, workers=1, board=board_of(loopback_board)) as measurer:
        yield measurer


def measure(measurer, *modules, best_us=None, limits=QUICK):
    return list(measurer.measure([Job(i, module) for i, module in enumerate(modules)], best_us, limits))


def restarts_during(measurer, action):
    before = measurer.restarts
    result = action()
    return measurer.restarts - before, result


@pytest.mark.alone
def test_a_board_gives_the_figures_that_the_same_machine_gives_locally(remote, measurer):
    modules = programs.matmul(256), programs.scheduled_matmul(256)
    there, here = measure(remote, *modules), measure(measurer, *modules)
    for far, near in zip(there, here, strict=True):
        assert (far.fate, near.fate) == (Fate.OK, Fate.OK)
        assert len(far.runs_us) >= 3
        assert far.interval_us.contains(far.latency_us)
        assert 0.3 < min(far.runs_us) / min(near.runs_us) < 3  # medians suffer from other loads
    assert min(there[1].runs_us) < min(there[0].runs_us) / 2
    assert remote.take_remarks() == []  # the number of threads could be set


def test_a_short_kernel_is_timed_without_the_network(remote):
    (result,) = measure(remote, programs.doubles, limits=replace(QUICK, cold_ms=1e-6, drop_factor=1e-6), best_us=1.0)
    assert result.fate is Fate.DROPPED
    assert result.latency_us < 20


def test_candidates_are_verified_there(remote):
    assert remote.verify(programs.matmul(64), programs.scheduled_matmul(64)).ok
    wrong = remote.verify(programs.matmul(64), programs.matmul_missing_a_term(64))
    assert not wrong.ok
    assert "relative error" in wrong.message
    assert not remote.verify(programs.doubles, programs.doubles_and_clears).ok


def test_a_program_that_updates_a_parameter_is_run_just_once_to_verify_it(remote):
    assert remote.verify(programs.doubles_in_place, programs.doubles_in_place).ok
    assert not remote.verify(programs.doubles_in_place, programs.triples_in_place).ok


def test_a_crash_costs_only_its_trial_and_neither_board_nor_worker(remote):
    action = lambda: measure(remote, GOOD, programs.divides_by_zero, programs.stores_far_away, GOOD)  # noqa: E731
    restarts, (before, *crashes, after) = restarts_during(remote, action)
    assert [crash.fate for crash in crashes] == [Fate.CRASH, Fate.CRASH]
    assert all("on the board" in crash.message for crash in crashes)
    assert (before.fate, after.fate) == (Fate.OK, Fate.OK)
    assert restarts == 0


def test_an_endless_kernel_costs_only_its_trial_and_the_board_is_soon_free(remote):
    start = monotonic()
    endless, after = measure(remote, programs.never_ends, GOOD)
    assert endless.fate is Fate.RUN_TIMEOUT
    assert after.fate is Fate.OK
    assert monotonic() - start < 25


def test_a_worker_that_is_killed_leaves_the_board_usable(remote):
    measure(remote, GOOD)
    threading.Timer(0.5, os.kill, (remote.pids[0], signal.SIGKILL)).start()
    killed, after = measure(remote, programs.never_ends, GOOD, limits=replace(QUICK, run_seconds=3))
    assert killed.fate is Fate.CRASH
    assert after.fate is Fate.OK


def test_programs_are_timed_in_turn_there(remote):
    slow, fast = remote.interleave([programs.matmul(256), programs.scheduled_matmul(256)], 4, QUICK)
    assert len(slow) == len(fast) == 4
    assert statistics.median(fast) < statistics.median(slow)
    with pytest.raises(MeasureError, match="program 1: crash while running"):
        remote.interleave([GOOD, programs.divides_by_zero], 2, QUICK)


def test_a_build_error_is_found_here(remote):
    error, after = measure(remote, programs.cannot_be_built, GOOD)
    assert error.fate is Fate.BUILD_ERROR
    assert after.fate is Fate.OK


def test_several_workers_build_and_one_talks_to_the_board(target, loopback_board, remote):
    measure(remote, GOOD)
    remote._pool.workers[0].restart()  # gives the board back
    modules = [programs.scheduled_matmul(n) for n in (32, 64, 96)]
    with LocalMeasurer(target, 2, QUICK, workers=2, board=board_of(loopback_board)) as measurer:
        results = measure(measurer, *modules, GOOD)
        kernels = os.listdir(measurer._folder.name)
        assert [result.fate.timed for result in results] == [True] * 4
        assert len([name for name in kernels if name.endswith(".tar")]) == 5  # the reference kernel too
        folder = measurer._folder.name
    assert not os.path.exists(folder)


def test_a_board_that_stays_busy_is_an_error(target, loopback_board, remote):
    remote._pool.workers[0].restart()
    other = rpc.connect_tracker("127.0.0.1", loopback_board.port).request(loopback_board.key)
    limits = replace(QUICK, connect_seconds=4.0)
    with (
        LocalMeasurer(target, 2, limits, workers=1, board=board_of(loopback_board)) as measurer,
        pytest.raises(MeasureError, match=r"no board with key 'box' was free .* within 2\.8 s"),
    ):
        measure(measurer, GOOD, limits=limits)
    del other


def test_a_board_that_goes_away_in_the_middle_is_an_error(target, loopback_board):
    doomed = loopback_board.start_server("doomed")
    with LocalMeasurer(target, 2, QUICK, workers=1, board=board_of(loopback_board, "doomed")) as measurer:
        assert measure(measurer, GOOD)[0].fate is Fate.OK
        threading.Timer(0.5, end, (doomed,)).start()
        with pytest.raises(MeasureError, match="no board with key 'doomed'"):
            measure(measurer, programs.never_ends, GOOD, limits=replace(QUICK, run_seconds=20))


def test_a_board_that_comes_back_costs_no_trial(target, loopback_board):
    first = loopback_board.start_server("phoenix")
    with LocalMeasurer(target, 2, QUICK, workers=1, board=board_of(loopback_board, "phoenix")) as measurer:
        assert measure(measurer, GOOD)[0].fate is Fate.OK
        end(first)
        while "phoenix" in loopback_board.known_keys():
            sleep(0.05)
        loopback_board.start_server("phoenix")
        assert measure(measurer, GOOD)[0].fate is Fate.OK
        assert measurer.restarts == 0


def test_what_is_wrong_with_the_address_is_said(loopback_board):
    with pytest.raises(BoardLost, match=r"no board with key 'nobody', only \['box'"):
        require_board(board_of(loopback_board, "nobody"))
    with pytest.raises(BoardLost, match="cannot be reached"):
        require_board(Board("127.0.0.1", free_port(), "box"))
    start = monotonic()
    with pytest.raises(BoardLost, match=r"no RPC tracker|cannot be reached"):
        require_board(Board("127.0.0.1", server_port(loopback_board), "box"))
    assert monotonic() - start < 10


def server_port(loopback_board):
    tracker = rpc.connect_tracker("127.0.0.1", loopback_board.port)
    return next(server["addr"][1] for server in tracker.summary()["server_info"] if server["key"] == "server:box")


def test_a_measurer_without_a_tracker_is_an_error(target):
    with (
        LocalMeasurer(target, 2, QUICK, workers=1, board=Board("127.0.0.1", free_port(), "box")) as measurer,
        pytest.raises(MeasureError, match="cannot be reached"),
    ):
        measure(measurer, GOOD)


class Silent:
    """A session of a TVM without the functions that set threads."""

    def get_function(self, name):
        raise AttributeError(name)


def test_a_board_whose_threads_cannot_be_set_is_remarked_upon():
    connection = Connection.__new__(Connection)
    connection.remarks, connection._session = [], Silent()
    connection._set_threads(3)
    assert connection.remarks == ["the board's TVM does not let its number of threads be set; 3 were asked for"]


def test_kernels_for_another_architecture_are_built_and_written_as_objects(tmp_path):
    found = resolve_board_target(FOREIGN, None)
    assert (found.threads, found.assumptions) == (4, ())
    board = Board("127.0.0.1", 1, "none")
    with LocalMeasurer(found.target, found.threads, QUICK, workers=1, board=board) as measurer:
        (built,) = measurer.build([Job(0, GOOD)])
        assert built.fate is Fate.OK
        with pytest.raises(ExportError, match=r"aarch64 cannot be linked here; write it as a \.tar"):
            measurer.export(GOOD, tmp_path / "kernel.so")
        measurer.export(GOOD, tmp_path / "kernel.tar")
    with tarfile.open(tmp_path / "kernel.tar") as objects:
        header = objects.extractfile("lib0.o").read(20)
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64


def test_objects_are_linked_where_they_are_loaded(measurer, tmp_path):
    measurer.export(programs.doubles, tmp_path / "kernel.tar")
    assert tvm.runtime.load_module(str(tmp_path / "kernel.tar"))["main"] is not None


@pytest.mark.parametrize(
    ("address", "key", "said"),
    [
        ("host", "k", "HOST:PORT"),
        ("host:0", "k", "HOST:PORT"),
        ("host:99999", "k", "HOST:PORT"),
        (":9190", "k", "HOST:PORT"),
        ("host:port", "k", "HOST:PORT"),
        (9190, "k", "HOST:PORT"),
        (None, "k", "HOST:PORT"),
        ("host:9190", None, "the key that"),
        ("host:9190", "", "the key that"),
        ("host:9190", "two words", "without blanks"),
    ],
)
def test_addresses_that_are_none(address, key, said):
    with pytest.raises(InputError, match=said):
        Board.parse(address, key)


def test_addresses():
    assert Board.parse(None, None) is None
    assert Board.parse("pi.local:9190", "pi") == Board("pi.local", 9190, "pi")
    six = Board.parse("[::1]:9190", "pi")
    assert six == Board("::1", 9190, "pi")
    assert str(six) == "[::1]:9190, key pi"
