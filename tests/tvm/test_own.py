"""Processes of COLT's own get TVM without PyTorch, whether it is installed or not: here is one that tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from colt.measure.base import Fate, Job, Limits
from colt.tvm.devices.fleet import SIDE
from colt.tvm.devices.host import resolve_target
from colt.tvm.workers import LocalMeasurer
from colt.tvm.workers.supervisor import Supervisor
from colt.util.process import Child
from tests.helpers import measure_programs as programs
from tests.helpers.hurry import COLT

IMPORTED = "import pathlib\npathlib.Path({place!r}).touch()\nraise ImportError('it is of no use here')\n"
LEFT_OUT = (
    "tvm.relax.expr.",
    "tvm.topi.",
    "tvm.s_tir.tensor_intrin.",
    "tvm.runtime.disco.session.",
    "cuda.bindings.driver.",
    "colt.tvm.sketches.",
    "colt.tvm.workers.local.",
)
"""Of no use to a worker, and half of what its start would take."""
AFTERWARDS = """
from colt.tvm.own import leave_torch_out
leave_torch_out()
import tvm
try:
    import torch
except ImportError as error:
    print(error)
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once a process started from now on has looked PyTorch up and found it."""
    place = tmp_path / "imported"
    package = tmp_path / "packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(IMPORTED.format(place=str(place)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    return place


def ran(arguments: Sequence[str]) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


def test_one_of_the_users_has_it(imported: Path) -> None:
    ran([sys.executable, "-c", "import colt.tvm, tvm"])
    assert imported.exists()


def test_the_command_line_has_it_not(imported: Path) -> None:
    assert "matmul" in ran([*COLT, "workloads"])
    assert not imported.exists()


def test_nor_has_a_worker(imported: Path) -> None:
    worker = Supervisor(resolve_target(None, 1), 1, Limits())
    worker.await_ready()
    worker.close()
    assert not imported.exists()


def test_nor_has_the_actor_of_a_host(imported: Path) -> None:
    """Ray starts that, or whatever runs the cluster."""
    code = f"from colt.fleet.host import HostActor\nprint(HostActor('a', {SIDE!r}).report().decode())"
    assert '"versions"' in ran([sys.executable, "-P", "-c", code])
    assert not imported.exists()


def test_whoever_asks_for_it_afterwards_finds_it(imported: Path) -> None:
    assert ran([sys.executable, "-c", AFTERWARDS]) == "it is of no use here\n"


def test_a_worker_does_without_what_schedules_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it has built, timed and verified kernels; and it does not import the parent's side of itself."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    monkeypatch.setattr(Child, "forget_words", lambda child: None)
    with LocalMeasurer(resolve_target(None, 1), 1, Limits(total_ms=10.0, min_repeat_ms=1.0), workers=1) as measurer:
        (result,) = measurer.measure([Job(0, programs.scheduled_matmul(32))])
        assert result.fate is Fate.OK
        assert measurer.verify(programs.matmul(32), programs.scheduled_matmul(32)).ok
        said = measurer._pool.workers[0]._worker._child.last_words(1 << 24)
    names = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    assert {"tvm", "colt.tvm.workers.verify"} <= set(names)
    assert [name for name in names if f"{name}.".startswith(LEFT_OUT)] == []
