"""Expressions that have the same hash and are not equal."""

from __future__ import annotations

import pytest
from tvm import te, tirx
from tvm.ir import Var

from colt.tvm.programs import alike
from colt.tvm.programs.alike import ByStructure
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.skeleton import read_skeleton
from colt.tvm.workers.code_size import predicted_build_seconds


def test_equal_expressions_are_one() -> None:
    x, y = Var("x", "int32"), Var("y", "int32")
    found = ByStructure[int]()
    found.put(tirx.Add(x, y), 1)
    assert found.get(tirx.Add(x, y)) == 1
    assert found.get(tirx.Add(y, x)) is None
    assert found.get(tirx.Add(x, Var("y", "int32"))) is None


def test_what_differs_is_told_apart_whatever_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a block computes, and how long it takes to build, do not depend on addresses."""
    x = te.placeholder((64, 4), name="x")
    y = te.compute((64,), lambda i: te.exp(x[i, 0]) * x[i, 1] + x[i, 2] * x[i, 3] - te.exp(x[i, 1]), name="y")
    module = module_of_tensors([x, y])
    expected = [block.work for block in read_skeleton(module, (), ()).blocks], predicted_build_seconds(module)
    monkeypatch.setattr(alike, "structural_hash", lambda _: 0)
    found = [block.work for block in read_skeleton(module, (), ()).blocks], predicted_build_seconds(module)
    assert found == expected
    assert (expected[0][0].fused, expected[0][0].calls) == (2, 2)
