"""Sums over rows: how many are summed side by side, and that they are right."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te
from tvm.target import Target

from colt.knobs import TileKnob
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import DesignSpace, derive, generate
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs

TARGET = Target({"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 2})
POSTPROCS = generate(space_programs.elementwise(), TARGET).postprocs


def squares_less_mean(rows: int, columns: int) -> Any:
    """``Y[i, j] = X[i, j] - sum(X[i, k] ** 2) / columns``."""
    x, k = te.placeholder((rows, columns), name="X"), te.reduce_axis((0, columns), name="k")
    total = te.compute((rows,), lambda i: te.sum(x[i, k] * x[i, k], axis=k), name="total")
    return module_of_tensors([x, te.compute((rows, columns), lambda i, j: x[i, j] - total[i] / columns, name="Y")])


def fused(mod: Any, edition: int = 12) -> TvmSpace:
    designs, messages = derive(mod, TARGET, edition=edition)
    assert messages == []
    return TvmSpace(mod, DesignSpace(tuple(designs[:1]), POSTPROCS), edition=edition)


def sides(space: TvmSpace) -> list[tuple[int, ...]]:
    """The initial tiles of a row's vectors side by side."""
    plan = space.plans[0]
    named = zip(plan.knobs, plan.first, strict=True)
    return [first for knob, first in named if isinstance(knob, TileKnob) and "_rf" in knob.name]


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (67, 80, [(1, 5)]),  # rows that cannot be put beside each other
        (2 * 67, 80, [(1, 2)]),  # two of them can
        (72, 80, []),  # enough rows side by side
        (67, 88, []),  # 11 vectors: no few of them divide a row
    ],
)
def test_rows_that_cannot_be_beside_each_other_have_several_vectors(
    rows: int, columns: int, expected: list[tuple[int, ...]]
) -> None:
    assert sides(fused(squares_less_mean(rows, columns))) == expected


def test_recorded_runs_keep_one_vector_for_each_row() -> None:
    assert sides(fused(squares_less_mean(67, 80), edition=11)) == []


@pytest.mark.parametrize(("rows", "columns"), [(67, 80), (2 * 67, 96), (3 * 67, 40)])
def test_their_sums_are_right(rows: int, columns: int) -> None:
    space, rng = fused(squares_less_mean(rows, columns)), random.Random(2)
    assert "in the lanes of vectors" in space.summaries()[0][2]
    x = np.random.default_rng(5).standard_normal((rows, columns)).astype("float32")
    for _ in range(3):
        library = tvm.tirx.build(space.module(space.sample(rng)), target=TARGET)
        out = tvm.runtime.tensor(np.zeros_like(x))
        library["main"](tvm.runtime.tensor(x), out)
        np.testing.assert_allclose(out.numpy(), x - (x.astype("float64") ** 2).mean(axis=1)[:, None], atol=1e-5)
