"""Ends of loops that no vector divides: which loops have an overlapping vector, and that results stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx
from tvm.script import tirx as T
from tvm.target import Target
from tvm.tirx import For, ForKind
from tvm_ffi import structural_walk

from colt.knobs import Schedule
from colt.tvm.programs.program import module_of_function, module_of_tensors
from colt.tvm.space.space import TvmSpace
from colt.tvm.space.tails import with_whole_tails

TARGET = Target({"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 2})
BITS = 256
ROWS = 16


def pointwise(extent: int, value: Callable[[Any, Any], Any], dtype: str = "float32") -> Any:
    """``Y[i, j]`` is the value of a matrix, a column, and the indices."""
    x, c = te.placeholder((3, 2 * extent), dtype=dtype, name="X"), te.placeholder((3,), dtype=dtype, name="C")
    return module_of_tensors([x, c, te.compute((3, extent), lambda i, j: value(x, c)(i, j), name="Y")])


def scaled(x: Any, c: Any) -> Callable[[Any, Any], Any]:
    return lambda i, j: x[i, j + 2] * c[i]


def extents(mod: Any) -> list[tuple[int, bool]]:
    """The innermost loops: their extents, and whether they are vectors."""
    found: list[Any] = []
    structural_walk(mod["main"].body, (For, found.append))
    outer = {id(one.body) for one in found}
    return sorted(
        (int(one.extent), int(one.kind) == int(ForKind.VECTORIZED))
        for one in found
        if not isinstance(one.body, For) and id(one) not in outer and not isinstance(one.body, tirx.SeqStmt)
    )


@pytest.mark.parametrize("extent", [17, 37, 1023])
def test_the_last_vector_overlaps(extent: int) -> None:
    mod = pointwise(extent, scaled)
    changed = with_whole_tails(mod, BITS)
    assert extents(changed) == [(8, True), (8, True)]
    x = np.random.default_rng(1).standard_normal((3, 2 * extent)).astype("float32")
    c = np.array([2.0, -0.5, 3.0], "float32")
    y = tvm.runtime.tensor(np.zeros((3, extent), "float32"))
    tvm.tirx.build(changed, target=TARGET)["main"](tvm.runtime.tensor(x), tvm.runtime.tensor(c), y)
    np.testing.assert_array_equal(y.numpy(), x[:, 2 : extent + 2] * c[:, None])


@pytest.mark.parametrize(
    "mod",
    [
        pointwise(32, scaled),
        pointwise(15, scaled),
        pointwise(37, lambda x, c: lambda i, j: x[i, 2 * j]),
        pointwise(37, lambda x, c: lambda i, j: x[i, j % 5]),
        pointwise(37, lambda x, c: lambda i, j: x[i, 36 - j]),
        pointwise(37, lambda x, c: lambda i, j: te.exp(x[i, j])),
        pointwise(37, lambda x, c: lambda i, j: tirx.if_then_else(j < 9, x[i, j], c[i])),
        pointwise(37, scaled, "bfloat16"),
    ],
    ids=["whole", "short", "steps", "remainder", "backwards", "library", "branch", "rounded"],
)
def test_other_loops_stay(mod: Any) -> None:
    assert with_whole_tails(mod, BITS).same_as(mod)


def test_what_reads_its_own_results_stays() -> None:
    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def doubled(X: T.Buffer((37,), "float32")) -> None:
        for i in range(37):
            with T.sblock("X"):
                v = T.axis.spatial(37, i)
                X[v] = X[v] * T.float32(2)

    mod = module_of_function(doubled)
    assert with_whole_tails(mod, BITS).same_as(mod)


def test_what_writes_to_a_number_without_axes_stays() -> None:
    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def last(X: T.Buffer((37,), "float32"), Y: T.Buffer((), "float32")) -> None:
        for i in range(37):
            with T.sblock("Y"):
                v = T.axis.spatial(37, i)
                Y[()] = X[v] * T.float32(2)

    mod = module_of_function(last)
    assert with_whole_tails(mod, BITS).same_as(mod)


def test_recorded_runs_leave_the_ends_to_llvm() -> None:
    x, k = te.placeholder((67, 37), name="X"), te.reduce_axis((0, 37), name="k")
    top = te.compute((67,), lambda i: te.max(x[i, k], axis=k), name="top")
    mod = module_of_tensors([x, te.compute((67, 37), lambda i, j: x[i, j] - top[i], name="Y")])
    for edition, vectors in ((11, False), (12, True)):
        space = TvmSpace.generated(mod, TARGET, edition=edition)
        plan = space.plans[0]
        found = extents(space.module(Schedule(plan.variant, plan.name, plan.first)))
        assert ((8, True) in found) is vectors


def chain(extent: int, again: bool) -> Any:
    """Three functions, one after the other, of a thread's rows; the first's results are needed ``again`` at the end."""
    x = te.placeholder((ROWS, extent), name="X")
    a = te.compute((ROWS, extent), lambda i, j: x[i, j] * 2.0, name="A")
    b = te.compute((ROWS, extent), lambda i, j: a[i, j] * a[i, j] + 1.0, name="B")
    y = te.compute((ROWS, extent), lambda i, j: b[i, j] + (a[i, j] if again else 0.5), name="Y")
    schedule = tvm.s_tir.Schedule(module_of_tensors([x, y]))
    loop, _ = schedule.split(schedule.get_loops(schedule.get_sblock("Y"))[0], [2, None])
    for name in ("B", "A"):
        schedule.compute_at(schedule.get_sblock(name), loop)
    schedule.parallel(loop)
    return schedule.mod


@pytest.mark.parametrize("extent", [17, 37, 1023])
@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_computed_twice_from_what_its_result_replaces(extent: int, again: bool) -> None:
    """TVM keeps B where A was, as soon as nobody needs A."""
    changed = with_whole_tails(chain(extent, again), BITS)
    x = np.random.default_rng(1).standard_normal((ROWS, extent)).astype("float32")
    y = tvm.runtime.tensor(np.zeros((ROWS, extent), "float32"))
    tvm.tirx.build(changed, target=TARGET)["main"](tvm.runtime.tensor(x), y)
    a = x * np.float32(2.0)
    np.testing.assert_allclose(y.numpy(), a * a + 1 + (a if again else np.float32(0.5)), rtol=1e-6)


def test_the_end_is_cut_into_shorter_vectors_where_a_result_may_replace_its_operand() -> None:
    widths = [width for width, vector in extents(with_whole_tails(chain(8 * 4 + 7, False), BITS)) if vector]
    assert widths == [1, 1, 2, 2, 4, 4, 8, 8, 8, 8], "of B and of Y; A is computed from X, twice"
    widths = [width for width, vector in extents(with_whole_tails(chain(8 * 4 + 7, True), BITS)) if vector]
    assert widths == [1, 2, 4, 8, 8, 8, 8, 8], "of Y"
