"""Vector math in a run: on by default, off with ``exact_math``, and said in receipt, table and config."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tvm

import colt
from colt.errors import InputError
from colt.plan import plan
from colt.run.finish import Result
from colt.store.receipt import FunctionPart, MathPart, load_receipt
from colt.tvm.vector_math import FUNCTIONS, count_calls
from tests.helpers.simulated_runs import measured_by, simulated
from tests.store.test_receipt import OLD, shown

PROGRAM = """
from tvm import te

def activation():
    x, w = te.placeholder((64, 96), name="x"), te.placeholder((96, 128), name="w")
    k = te.reduce_axis((0, 96), name="k")
    dot = te.compute((64, 128), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="dot")
    out = te.compute((64, 128), lambda i, j: te.erf(dot[i, j]) * te.exp(-te.tanh(dot[i, j])), name="out")
    return te.create_prim_func([x, w, out])
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(PROGRAM)
    return f"{tmp_path}/own.py:activation"


def tune(program: str, **options: Any) -> Result:
    return colt.tune(program, trials=2, pool=["architect"], config=colt.SearchConfig(batch_size=2), **options)


@pytest.mark.real
def test_a_run_computes_in_vectors_and_says_so(program: str, tmp_path: Path) -> None:
    result = tune(program, run_dir=tmp_path / "run")
    receipt = load_receipt(tmp_path / "run")
    assert receipt.verified.ok
    assert receipt.best is not None
    assert receipt.math is not None
    assert not receipt.math.exact
    assert {name: part.max_ulp for name, part in receipt.math.replaced.items()} == {
        name: FUNCTIONS[name].max_ulp for name in ("exp", "tanh", "erf")
    }
    assert all(part.calls >= 1 for part in receipt.math.replaced.values())
    assert not count_calls(result.module)
    assert "math: in vectors exp (" in shown(receipt)
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["run"]["exact_math"] is False

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(64, 96)).astype("f") / 8, rng.normal(size=(96, 128)).astype("f")
    out = tvm.runtime.tensor(np.zeros((64, 128), "f"))
    tvm.runtime.load_module(str(tmp_path / "run" / "kernel.so"))["main"](
        tvm.runtime.tensor(x), tvm.runtime.tensor(w), out
    )
    from scipy.special import erf

    dot = x.astype("d") @ w
    np.testing.assert_allclose(out.numpy(), erf(dot) * np.exp(-np.tanh(dot)), rtol=1e-4, atol=1e-5)


def test_exact_math_leaves_the_calls(program: str, tmp_path: Path) -> None:
    with measured_by(simulated()):
        result = tune(program, exact_math=True, run_dir=tmp_path / "run")
    receipt = load_receipt(tmp_path / "run")
    assert receipt.math == MathPart(exact=True, replaced={})
    assert set(count_calls(result.module)) == {"exp", "tanh", "erf"}
    assert "math: exact, as asked" in shown(receipt)
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["run"]["exact_math"] is True


def test_the_command_line_takes_it(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from colt.cli import main
    from colt.run import loop

    asked: list[bool] = []

    def run(made: Any, listeners: Any) -> Any:
        asked.append(made.exact_math)
        raise InputError("enough")

    monkeypatch.setattr(loop, "run", run)
    monkeypatch.chdir(Path(program).parent)
    assert main(["tune", program]) == main(["tune", program, "--exact-math"]) == 2
    assert asked == [False, True]


@pytest.mark.parametrize("value", [1, 0, None, "yes"])
def test_only_true_and_false_are_accepted(value: Any) -> None:
    with pytest.raises(InputError, match=r"exact_math is .*True or False"):
        plan("matmul", exact_math=value)


def test_a_receipt_without_vector_math_says_what_it_knows() -> None:
    old = load_receipt(OLD)
    assert old.math is None
    assert "math:" not in shown(old)
    nothing = msgspec.structs.replace(old, math=MathPart(exact=False, replaced={}))
    assert "math: exact, nothing to compute in vectors" in shown(nothing)
    two = MathPart(exact=False, replaced={"log": FunctionPart(calls=1, max_ulp=1.0)})
    assert "math: in vectors log (1 call, within 1 ulp)" in shown(msgspec.structs.replace(old, math=two))
