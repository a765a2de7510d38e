"""Processes of COLT's own get TVM without PyTorch, whether it is installed or not: here is one that tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from colt.measure.base import Limits
from colt.tvm.devices.fleet import SIDE
from colt.tvm.devices.host import resolve_target
from colt.tvm.workers.supervisor import Supervisor
from tests.helpers.hurry import COLT

IMPORTED = "import pathlib\npathlib.Path({place!r}).touch()\nraise ImportError('it is of no use here')\n"
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
