"""Shared by all tests: no sockets but to this machine, peaks that need no measuring, and runs in haste.

Measuring peaks takes seconds and is tested on its own; everywhere else the machine's cache file is a prepared one.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from colt.machine import Peaks, detect, save_peaks
from colt.world.parts import using
from tests.helpers.hurry import HASTY
from tests.helpers.loopback_board import LoopbackBoard

if TYPE_CHECKING:
    from tests.helpers.pool_runs import PoolRuns

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def prepared_peaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, with plausible peaks for the thread counts in use."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLT_CACHE_DIR", str(folder))
        hardware = detect()
        for threads in {1, 2, hardware.cores}:
            save_peaks(hardware, Peaks(125.0, 125.0 * threads, 30.0, "copy", threads, "2026-01-01T00:00:00", False))
        yield


@pytest.fixture(autouse=True, scope="session")
def in_haste() -> Iterator[None]:
    """Runs of this process take no more time at their ends than they need, see :mod:`tests.helpers.hurry`."""
    with using(HASTY):
        yield


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
