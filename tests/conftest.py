"""Shared by all tests: no sockets but to this machine, peaks that need no measuring, no records, runs in
haste, and two tiers.

Measuring peaks takes seconds and is tested on its own; everywhere else the machine's cache file is a prepared one.
A test is *fast* unless it or its module is marked as *real*, as all in ``tests/tvm`` are; a fast one that starts a
worker, measures peaks or builds a kernel fails.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tvm

from colt.machine import DOT_INSTRUCTIONS, Peaks, Quiet, Rates, detect, save_peaks
from colt.tvm.devices import peaks
from colt.tvm.workers import process
from colt.util.collecting import no_collecting
from colt.world.parts import using
from tests.helpers.hurry import FULL, HASTY, open_with_few, think
from tests.helpers.loopback_board import LoopbackBoard
from tests.helpers.quick_stacks import quicken

if TYPE_CHECKING:
    from tests.helpers.pool_runs import PoolRuns

RATES = Rates(
    latency=4.0,
    add_latency=3.0,
    window=150.0,
    store=2.0,
    broadcast=1.0,
    division=10.0,
    loop=0.3,
    l2_gbs=100.0,
    l3_gbs=24.0,
    l2_jump=1.0,
    l3_jump=5.0,
    dram_jump=5.0,
    launch_us=4.0,
    dots=tuple((name, 1.0) for name in DOT_INSTRUCTIONS),
)
quicken()
os.environ.setdefault("TVM_THREAD_POOL_SPIN_COUNT", process.SPINS)  # as in workers: before TVM makes a pool
LOOPBACK = ("127.", "::1", "localhost")
TESTS = Path(__file__).parent
REAL_FOLDER = TESTS / "tvm"
LONGEST = (
    "models/test_layouts.py",
    "tvm/workers/test_board.py",
    "cli/test_process.py",
    "tvm/workers/test_boards.py",
    "bench/test_run.py",
    "views/test_in_browser.py",
    "run/test_board_job.py",
    "run/test_replay.py",
    "test_recordings.py",
    "run/test_pool_faults.py",
    "tvm/sketches/test_structured.py",
    "tvm/space/test_fuzz.py",
    "run/test_pool_tuning.py",
    "models/test_forms.py",
    "run/test_broken.py",
    "tvm/workers/test_faults.py",
    "bench/test_model.py",
    "tvm/metaschedule/test_builder_runner.py",
    "run/test_resume.py",
    "tvm/programs/test_operators.py",
    "tvm/briefing/test_prompt_round_trip.py",
    "tvm/test_any_program.py",
    "tvm/models/test_layouts.py",
)
"""The files that take longest, longest first: from 40 to 240 seconds each, beside others on two processors."""


@pytest.fixture(autouse=True, scope="session")
def prepared_peaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, with plausible peaks and rates for the thread counts in use."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLT_CACHE_DIR", str(folder))
        hardware = detect()
        for threads in {1, 2, hardware.cores}:
            measured = Peaks(
                125.0, 125.0 * threads, 30.0, "copy", threads, "2026-01-01T00:00:00", rates=RATES, quiet=Quiet(1.1, 0.0)
            )
            save_peaks(hardware, measured)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_records() -> Iterator[None]:
    """Neither tests nor what they start use the records of whoever runs them; tests of records name a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLT_RECORDS", "off")
        yield


@pytest.fixture(autouse=True, scope="session")
def in_haste() -> Iterator[None]:
    """Runs of this process take no more time than they need, see :mod:`tests.helpers.hurry`."""
    with using(HASTY), pytest.MonkeyPatch.context() as patch:
        think(patch)
        open_with_few(patch)
        yield


@pytest.fixture
def thinking_fully(monkeypatch: pytest.MonkeyPatch) -> None:
    """The architect thinks as it does for users."""
    think(monkeypatch, FULL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is not marked as real is fast. Several processes take long files first: short ones fill the end up, and none
    is left alone with a long one."""
    for item in items:
        if REAL_FOLDER in item.path.parents:
            item.add_marker("real")
        elif item.get_closest_marker("real") is None:
            item.add_marker("fast")
    if hasattr(config, "workerinput"):
        tests, first = Counter(item.path for item in items), [TESTS / name for name in LONGEST]

        def place(item: pytest.Item) -> tuple[int, bool, int, Path]:
            rank = first.index(item.path) if item.path in first else len(first)
            return rank, item.get_closest_marker("real") is None, tests[item.path], item.path

        items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """What is imported and collected stays: nothing is gained by looking for cycles among it."""
    with no_collecting():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test, those of its module included."""
    _tier.real = item.get_closest_marker("real") is not None


class _Tier:
    """Whether the test that is running is real."""

    real = True


_tier = _Tier()


@pytest.fixture(autouse=True, scope="session")
def nothing_real_in_fast_tests() -> Iterator[None]:
    """Starting a worker, measuring peaks and building kernels fail in tests that are not marked as real."""
    with pytest.MonkeyPatch.context() as patch:
        for place, name in ((process.WorkerProcess, "__init__"), (peaks, "measure_peaks"), (tvm.tirx, "build")):
            patch.setattr(place, name, _only_in_real_tests(getattr(place, name)))
        yield


def _only_in_real_tests(real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*positional: Any, **named: Any) -> Any:
        assert _tier.real, f"{real.__qualname__} in a test that is not marked as real"
        return real(*positional, **named)

    return guarded


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C works in the background too, where shells have it ignored by what they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test connects to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def loopback_board() -> Iterator[LoopbackBoard]:
    """A tracker with one board, both on this machine."""
    pytest.importorskip("tornado", reason="TVM's tracker needs it")
    with LoopbackBoard() as board:
        yield board


OWN_PROGRAM = '''
"""A program of the user's own: a matmul with a bias and a ReLU."""
from tvm import te


def layer(m=64, n=96, k=128):
    a, b, c = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B"), te.placeholder((n,), name="bias")
    r = te.reduce_axis((0, k), name="k")
    dot = te.compute((m, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="dot")
    out = te.compute((m, n), lambda i, j: te.max(dot[i, j] + c[j], 0.0), name="out")
    return te.create_prim_func([a, b, c, out])
'''


@pytest.fixture
def pool_runs(tmp_path: Path, own_program: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PoolRuns]:
    """Whole runs with language models and a key, on a quick machine, see :mod:`tests.helpers.pool_runs`."""
    pytest.importorskip("openai")
    from tests.helpers.chat_members import KEY
    from tests.helpers.pool_runs import KEY_VARIABLE, PoolRuns, quick_machine

    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with using(quick_machine()), PoolRuns(tmp_path, own_program) as runs:
        yield runs


@pytest.fixture
def own_program(tmp_path: Path) -> str:
    """``file.py:name`` of a small program that is no built-in workload."""
    path = tmp_path / "own_program.py"
    path.write_text(OWN_PROGRAM)
    return f"{path}:layer"
