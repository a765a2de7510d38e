"""Modules that run when something of them is first used."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from colt.tvm.imports import run_on_first_use
from colt.tvm.own import kernel_command

USES_RELAX = """
import sys
import tvm
from tvm.s_tir import TensorIntrin
from colt.tvm.dots import TABLE
print(TensorIntrin.get(TABLE[0].intrinsic(True), allow_missing=True))
print("tvm.relax.expr" in sys.modules)
print(tvm.relax.BlockBuilder.__name__, "tvm.relax.expr" in sys.modules)
"""


def test_a_module_runs_when_something_of_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_late.py").write_text("print('it runs')\nvalue = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    run_on_first_use("of_late")
    import of_late

    assert capsys.readouterr().out == ""
    assert of_late.value == 3
    assert capsys.readouterr().out == "it runs\n"


def test_a_process_for_kernels_has_relax_if_it_asks_for_it_and_no_intrinsics(tmp_path: Path) -> None:
    (tmp_path / "uses_relax.py").write_text(USES_RELAX)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        kernel_command("uses_relax"), env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\nFalse\nBlockBuilder True\n"
