"""Inputs of the user's, from where they are given to what a run keeps of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colt
from colt.knobs import EDITION
from colt.measure.base import Inputs, Job
from colt.run.replay import read_plan, replay
from tests.helpers.command import refused
from tests.helpers.simulated_runs import Watched, tune_simulated

GATHER = """
from tvm import te

def gather():
    table, ids = te.placeholder((50, 64), name="table"), te.placeholder((32,), "int32", name="ids")
    return te.create_prim_func([table, ids, te.compute((32, 64), lambda i, j: table[ids[i], j] * 2.0, name="out")])
"""
DRAWN = """
def colt_inputs(rng):
    return {"ids": rng.integers(0, 50, 32).astype("int32"), "table": (0.5, 1.5)}
"""
RANGES = "\ncolt_inputs = {'ids': (7, 9)}\n"


class Listening(Watched):
    """Notes what candidates are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Any] = []

    def measure(self, jobs: Any, *rest: Any, **options: Any) -> Any:
        def heard() -> Any:
            for job in jobs:
                assert isinstance(job, Job)
                self.inputs.append(job.inputs)
                yield job

        return super().measure(heard(), *rest, **options)

    def verify(self, *rest: Any, **options: Any) -> Any:
        self.inputs.append(Inputs(rest[0], rest[2], rest[4]))
        return super().verify(*rest, **options)

    def interleave(self, modules: Any, rounds: int, limits: Any = None, inputs: Any = None) -> Any:
        self.inputs.append(inputs)
        return super().interleave(modules, rounds, limits, inputs)


def own(folder: Path, beside: str = "") -> str:
    (folder / "own.py").write_text(GATHER + beside)
    return f"{folder}/own.py:gather"


def test_verification_and_all_timing_have_the_same_inputs(tmp_path: Path) -> None:
    measurer = Listening()
    result = tune_simulated(own(tmp_path, DRAWN), measurer, seed=3)
    given = {id(one.given) for one in measurer.inputs}
    assert len(given) == 1
    assert {one.seed for one in measurer.inputs} == {3}
    assert {int(one.untuned is measurer.inputs[0].untuned) for one in measurer.inputs} == {1}
    assert measurer.inputs[0].given.names == ("ids", "table")
    assert result.receipt.verified.given == ("ids", "table")
    assert {"verify", "interleave"} <= set(measurer.calls)


def test_a_run_keeps_what_was_given_and_replays_without_the_users_file(tmp_path: Path) -> None:
    tune_simulated(own(tmp_path, DRAWN), run_dir=tmp_path / "run")
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    (tmp_path / "own.py").unlink()
    found = read_plan(tmp_path / "run", EDITION).program.inputs
    assert found is not None
    expected = np.random.default_rng(0).integers(0, 50, 32).astype("int32")
    np.testing.assert_array_equal(found.arrays[1], expected)
    assert (found.ranges[0].low, found.ranges[0].high) == (0.5, 1.5)
    assert replay(tmp_path / "run").identical


def test_a_run_without_inputs_keeps_none(tmp_path: Path) -> None:
    result = tune_simulated(own(tmp_path), run_dir=tmp_path / "run")
    assert not (tmp_path / "run" / "inputs.npz").exists()
    assert "[inputs]" not in (tmp_path / "run" / "config.toml").read_text()
    assert result.receipt.verified.given == ()


def test_what_is_given_to_the_run_comes_before_what_the_file_says(tmp_path: Path) -> None:
    measurer = Listening()
    tune_simulated(own(tmp_path, RANGES), measurer, inputs={"table": (0, 1)})
    assert measurer.inputs[0].given.names == ("table",)
    assert tune_simulated(own(tmp_path, RANGES)).receipt.verified.given == ("ids",)


def test_damaged_inputs_of_a_run_are_refused(tmp_path: Path) -> None:
    tune_simulated(own(tmp_path, DRAWN), run_dir=tmp_path / "run")
    stored = tmp_path / "run" / "inputs.npz"
    np.savez(stored, **{"1": np.full(32, 50, "int32")})
    with pytest.raises(colt.InputError, match="input ids holds 50"):
        replay(tmp_path / "run")
    stored.unlink()
    assert "inputs.npz cannot be read" in refused("replay", str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ("\ndef colt_inputs(rng):\n    return {'idz': 1}\n", "'idz' is no input of the program"),
        ("\ndef colt_inputs(rng):\n    return 1 / 0\n", "colt_inputs(rng) fails, line 9: ZeroDivisionError"),
        ("\ndef colt_inputs():\n    return {}\n", "colt_inputs(rng) fails"),
        ("\ncolt_inputs = {'ids': (0, 50)}\n", "accepted are 0 to 49"),
    ],
)
def test_a_file_that_says_what_does_not_fit_is_refused(beside: str, words: str, tmp_path: Path) -> None:
    said = refused("tune", own(tmp_path, beside), "--run", str(tmp_path / "run"))
    assert words in said
    assert not (tmp_path / "run").exists()


def test_a_file_on_the_command_line_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", ids=np.full(32, 50, "int32"))
    said = refused("tune", own(tmp_path), "--inputs", str(tmp_path / "inputs.npz"), "--run", str(tmp_path / "run"))
    assert "input ids holds 50" in said
    assert "not a file" in refused("tune", own(tmp_path), "--inputs", str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_the_functions_for_inputs_are_no_programs(tmp_path: Path) -> None:
    said = refused("tune", own(tmp_path, DRAWN).removesuffix("gather") + "other")
    assert "gather" in said
    assert "colt_inputs" not in said


@pytest.mark.real
def test_a_program_that_random_inputs_crash_is_tuned_with_the_users(tmp_path: Path) -> None:
    """What divides is the result of an extern function, so COLT cannot derive that it must not be 0."""
    (tmp_path / "own.py").write_text(HASHED)
    with pytest.raises(colt.MeasureError, match=r"--inputs FILE\.npz"):
        colt.tune(f"{tmp_path}/own.py:hashed", trials=2)
    (tmp_path / "own.py").write_text(HASHED + "\ncolt_inputs = {'count': (1, 9)}\n")
    result = colt.tune(f"{tmp_path}/own.py:hashed", trials=2, run_dir=tmp_path / "run")
    assert result.receipt.verified.ok
    assert json.loads((tmp_path / "run" / "receipt.json").read_text())["verified"]["given"] == ["count"]
    assert replay(tmp_path / "run").identical


HASHED = """
from tvm import te, tirx

def hashed():
    total, count = te.placeholder((64,), "int32", name="total"), te.placeholder((64,), "int32", name="count")
    size = te.compute((64,), lambda i: tirx.call_pure_extern("int32", "abs", count[i] * 1), name="size")
    quotients = te.compute((64,), lambda i: tirx.truncdiv(total[i], size[i]), name="out")
    return te.create_prim_func([total, count, quotients])
"""
