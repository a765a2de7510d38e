"""Vectors written out: which loops are, and that they compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm.target import Target
from tvm.tirx import For, ForKind
from tvm_ffi import structural_walk

import colt.tvm
from colt.knobs import Schedule
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.space import TvmSpace
from colt.tvm.vector_math import vectors_on
from colt.tvm.vector_math.vectors import written_out

TARGET = resolve_target(None, 1)
SERVER = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})
LENGTHS = (16, 8, 4)
SCALEF = "scalef"


def pointwise(value: Callable[[Any, Any, Any, Any], Any], lanes: int = 16, dtype: str = "float32") -> Any:
    """``Y[i, j]`` is the value of a matrix, a column and the indices, in vectors of ``lanes``."""
    x, c = te.placeholder((3, 80), dtype, name="X"), te.placeholder((3,), dtype, name="C")
    y = te.compute((3, 64), lambda i, j: value(x, c, i, j), name="Y")
    schedule = s_tir.Schedule(module_of_tensors([x, c, y]))
    loop = schedule.get_loops(schedule.get_sblock("Y"))[-1]
    schedule.vectorize(schedule.split(loop, [None, lanes])[1])
    return schedule.mod


def vectors(function: Any) -> int:
    """How many loops TVM is to make vectors of."""
    found: list[Any] = []
    structural_walk(function.body, (For, found.append))
    return sum(int(one.kind) == int(ForKind.VECTORIZED) for one in found)


def run(mod: Any, target: Any, x: Any, c: Any) -> Any:
    y = tvm.runtime.tensor(np.zeros((3, 64), x.dtype))
    tvm.tirx.build(mod, target=target)["main"](tvm.runtime.tensor(x), tvm.runtime.tensor(c), y)
    return y.numpy()


VALUES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "exp": lambda x, c, i, j: te.exp(x[i, j + 3] - c[i]),
    "exp2": lambda x, c, i, j: tirx.exp2(x[i, j]) * c[i],
    "silu": lambda x, c, i, j: x[i, j] * te.sigmoid(x[i, j]),
    "nested": lambda x, c, i, j: te.exp(te.sqrt(te.exp(x[i, j]))),
    "chosen": lambda x, c, i, j: tirx.Select(x[i, j] > c[i], te.exp(x[i, j]), x[i, j + 1]),
    "of the column": lambda x, c, i, j: te.exp(x[i, j]) + te.exp(c[i]),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("lanes", LENGTHS)
@pytest.mark.parametrize("name", VALUES)
def test_a_loop_that_is_written_out_computes_the_same(name: str, lanes: int, dtype: str) -> None:
    mod = pointwise(VALUES[name], lanes, dtype)
    changed = mod["main"].with_body(written_out(mod["main"].body, LENGTHS))
    assert (vectors(mod["main"]), vectors(changed)) == (1, 0)
    rng = np.random.default_rng(1)
    x, c = rng.standard_normal((3, 80)).astype(dtype), rng.standard_normal(3).astype(dtype)
    x[0, :8] = [np.nan, np.inf, -np.inf, -200, 200, 0, -0.0, -1e4]
    plain, wide = (
        run(colt.tvm.VectorMath(Target({"kind": "llvm"}))(one), TARGET, x, c)
        for one in (mod, tvm.IRModule({"main": changed}))
    )
    np.testing.assert_array_equal(wide, plain)
    np.testing.assert_allclose(
        run(colt.tvm.VectorMath(TARGET)(mod), TARGET, x, c), plain, rtol=1e-6 if dtype == "float32" else 2e-3
    )


OTHERS = {
    "no power of two": pointwise(lambda x, c, i, j: te.log(x[i, j])),
    "too long": pointwise(VALUES["exp"], 32),
    "steps": pointwise(lambda x, c, i, j: te.exp(x[i, j // 2])),
    "another row": pointwise(lambda x, c, i, j: te.exp(x[j % 3, j])),
    "branch": pointwise(lambda x, c, i, j: tirx.if_then_else(j < 9, te.exp(x[i, j]), c[i])),
    "library": pointwise(lambda x, c, i, j: te.exp(x[i, j]) + te.cos(x[i, j])),
    "rounded": pointwise(VALUES["exp"], dtype="bfloat16"),
    "double": pointwise(VALUES["exp"], dtype="float64"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_loops_stay(name: str) -> None:
    body = OTHERS[name]["main"].body
    assert written_out(body, LENGTHS).same_as(body)


def test_only_avx512_multiplies_by_powers_of_floats() -> None:
    assert vectors_on(Target({"kind": "llvm", "mcpu": "haswell"})) == frozenset()
    assert vectors_on(SERVER) == {16, 8, 4}
    assert vectors_on(Target({"kind": "llvm", "mcpu": "knl"})) == {16}
    assert vectors_on(Target("nvidia/nvidia-a100")) == frozenset()


@pytest.mark.parametrize("lanes", LENGTHS)
def test_powers_of_floats_need_no_integers(lanes: int) -> None:
    mod = colt.tvm.VectorMath(SERVER)(pointwise(VALUES["exp"], lanes))
    code = tvm.tirx.build(mod, target=SERVER).inspect_source("asm")
    assert "vscalefps" in code
    assert "vcvtdq2ps" not in code


def test_recorded_runs_multiply_by_powers_of_integers() -> None:
    x = te.placeholder((64, 1023), name="X")
    mod = module_of_tensors([x, te.compute((64, 1023), lambda i, j: te.exp(x[i, j]), name="Y")])
    for edition, floats in ((13, False), (14, True)):
        space = TvmSpace.generated(mod, SERVER, edition=edition, vector_math=True)
        plan = space.plans[0]
        found = str(space.module(Schedule(plan.variant, plan.name, plan.first)))
        assert (SCALEF in found) is floats
        assert ("llvm.ldexp" in found) is not floats
