"""Sums of a few terms, added up in pairs: which are, and that they come to the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm.target import Target
from tvm_ffi import structural_walk

from colt.knobs import Schedule
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.pairs import with_pairs
from colt.tvm.space.space import TvmSpace

TARGET = resolve_target(None, 1)
SERVER = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})
BITS = 512
ROWS = 3
SUM, MOST, LEAST = te.sum, te.max, te.min
IN_NUMPY = {SUM: np.sum, MOST: np.max, LEAST: np.min}


def rows(terms: int, reduce: Any = SUM, dtype: str = "float32", term: Any = None, first: int = 2) -> Any:
    """``Y[i]`` reduces ``terms`` of a row from the third on, set to its first value apart from the terms."""
    x, c = te.placeholder((ROWS, terms + 4), dtype, name="X"), te.placeholder((ROWS,), dtype, name="C")
    k = te.reduce_axis((0, terms), name="k")
    body = term or (lambda x, c, i, k: x[i, k + first])
    return apart(module_of_tensors([x, c, te.compute((ROWS,), lambda i: reduce(body(x, c, i, k), axis=k), name="Y")]))


def apart(mod: Any, block: str = "Y", order: Callable[[Any, list[Any]], None] | None = None) -> Any:
    """The module with the block's first values in a block of their own, as every schedule has them."""
    schedule = s_tir.Schedule(mod)
    rv = schedule.get_sblock(block)
    if order is not None:
        order(schedule, schedule.get_loops(rv))
    schedule.decompose_reduction(rv, schedule.get_loops(rv)[0])
    return schedule.mod


def shuffles(mod: Any) -> int:
    """How many vectors are taken apart."""
    found: list[Any] = []
    structural_walk(mod["main"].body, (tirx.Shuffle, found.append))
    return len(found)


def run(mod: Any, *arrays: Any) -> Any:
    """The last argument after a call."""
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    tvm.tirx.build(mod, target=TARGET)["main"](*tensors)
    return tensors[-1].numpy()


def numbers(terms: int) -> tuple[Any, Any, Any]:
    """Whole numbers, whose sums are exact."""
    rng = np.random.default_rng(terms)
    x = rng.integers(-1000, 1000, (ROWS, terms + 4)).astype("f")
    return x, rng.integers(-9, 9, ROWS).astype("f"), np.zeros(ROWS, "f")


@pytest.mark.parametrize("reduce", IN_NUMPY, ids=["sum", "max", "min"])
@pytest.mark.parametrize("terms", [4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 47, 63, 64])
def test_all_terms_count_once(terms: int, reduce: Any) -> None:
    changed = with_pairs(rows(terms, reduce), BITS)
    assert shuffles(changed) > 0
    x, c, y = numbers(terms)
    np.testing.assert_array_equal(run(changed, x, c, y), IN_NUMPY[reduce](x[:, 2 : terms + 2], axis=1))


def test_no_addition_waits_for_more_than_a_few_others() -> None:
    """15 terms are 8, 4, 2 and 1 of them."""
    text = str(with_pairs(rows(15), BITS))
    assert re.findall(r"of_(\d+) = T", text) == ["8", "4", "2"]
    assert text.count("T.Shuffle") == 6


@pytest.mark.parametrize(("bits", "vectors"), [(512, ["16", "8", "4", "2"]), (256, ["8", "4", "2"]), (128, ["4", "2"])])
def test_vectors_are_no_longer_than_the_processors(bits: int, vectors: list[str]) -> None:
    changed = with_pairs(rows(16), bits)
    assert re.findall(r"of_(\d+) = T", str(changed)) == vectors
    x, c, y = numbers(16)
    np.testing.assert_array_equal(run(changed, x, c, y), x[:, 2:18].sum(axis=1))


def test_terms_may_be_worked_out() -> None:
    changed = with_pairs(rows(15, term=lambda x, c, i, k: tirx.max(x[i, k + 1], c[i]) * (x[i, k] - c[i])), BITS)
    assert shuffles(changed) > 0
    x, c, y = numbers(15)
    wanted = (np.maximum(x[:, 1:16], c[:, None]) * (x[:, :15] - c[:, None])).sum(axis=1)
    np.testing.assert_array_equal(run(changed, x, c, y), wanted)


@pytest.mark.parametrize("terms", [15, 16, 17, 31])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -np.finfo("f").max])
@pytest.mark.parametrize("reduce", IN_NUMPY, ids=["sum", "max", "min"])
def test_special_values_come_through(reduce: Any, value: float, terms: int) -> None:
    """In a row full of them, and among others."""
    mod = rows(terms, reduce)
    x, c, y = numbers(terms)
    x[0], x[1, terms // 2 + 2] = value, value
    wanted = run(mod, x, c, y.copy())
    if reduce is not SUM and np.isnan(value):  # what a largest element is beside NaN depends on the order
        wanted[1] = np.nan
        x[1] = value
    np.testing.assert_array_equal(run(with_pairs(mod, BITS), x, c, y), wanted)


def test_rows_inside_of_the_terms_go_around_them() -> None:
    """Partial results of several rows are stored row by row: no vector runs across the rows."""
    changed = with_pairs(apart(rows_of_lanes(), order=lambda schedule, loops: schedule.reorder(*loops[::-1])), BITS)
    assert shuffles(changed) > 0
    x, c, y = numbers(16)
    np.testing.assert_array_equal(run(changed, x, c, y), x[:, 2:18].sum(axis=1))


def rows_of_lanes() -> Any:
    x, c = te.placeholder((ROWS, 20), name="X"), te.placeholder((ROWS,), name="C")
    k = te.reduce_axis((0, 16), name="k")
    return module_of_tensors([x, c, te.compute((ROWS,), lambda i: te.sum(x[i, k + 2], axis=k), name="Y")])


def columns(rows: int, terms: int) -> Any:
    """Sums down columns, the terms outside: LLVM makes vectors of the columns."""
    x, k = te.placeholder((terms, rows), name="X"), te.reduce_axis((0, terms), name="k")
    mod = module_of_tensors([x, te.compute((rows,), lambda i: te.sum(x[k, i], axis=k), name="Y")])
    return apart(mod, order=lambda schedule, loops: schedule.reorder(*loops[::-1]))


def windows() -> Any:
    """Sums of windows that overlap, the terms outside."""
    x, k = te.placeholder((40,), name="X"), te.reduce_axis((0, 5), name="k")
    mod = module_of_tensors([x, te.compute((32,), lambda i: te.sum(x[i + k], axis=k), name="Y")])
    return apart(mod, order=lambda schedule, loops: schedule.reorder(*loops[::-1]))


def in_vectors() -> Any:
    x, k = te.placeholder((64, 16), name="X"), te.reduce_axis((0, 16), name="k")
    mod = module_of_tensors([x, te.compute((64,), lambda i: te.sum(x[i, k], axis=k), name="Y")])

    def order(schedule: Any, loops: list[Any]) -> None:
        outer, inner = schedule.split(loops[0], [None, 16])
        schedule.reorder(outer, loops[1], inner)
        schedule.vectorize(inner)

    return apart(mod, order=order)


OTHERS = {
    "short": rows(3),
    "long": rows(65),
    "double": rows(15, dtype="float64"),
    "whole numbers": rows(15, dtype="int32"),
    "steps": rows(15, term=lambda x, c, i, k: x[i, k // 2]),
    "backwards": rows(15, term=lambda x, c, i, k: x[i, 14 - k]),
    "same": rows(15, term=lambda x, c, i, k: c[i]),
    "branch": rows(15, term=lambda x, c, i, k: tirx.if_then_else(k < 7, x[i, k], c[i])),
    "product": rows(15, te.comm_reducer(lambda a, b: a * b, lambda dtype: tirx.const(1, dtype), name="product")),
    "columns": columns(32, 15),
    "windows": windows(),
    "vectors": in_vectors(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sums_stay(name: str) -> None:
    assert with_pairs(OTHERS[name], BITS).same_as(OTHERS[name])


def test_recorded_runs_add_one_term_after_the_other() -> None:
    x, k = te.placeholder((67, 1024), name="X"), te.reduce_axis((0, 1024), name="k")
    top = te.compute((67,), lambda i: te.max(x[i, k], axis=k), name="top")
    mod = module_of_tensors([x, te.compute((67, 1024), lambda i, j: x[i, j] - top[i], name="Y")])
    for edition, pairs in ((13, False), (14, True)):
        space = TvmSpace.generated(mod, SERVER, edition=edition)
        plan = space.plans[0]
        assert (shuffles(space.module(Schedule(plan.variant, plan.name, plan.first))) > 0) is pairs
