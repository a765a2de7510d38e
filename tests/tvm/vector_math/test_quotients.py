"""Quotients by what stays the same throughout a loop become products, within 1.5 ulp for every pair of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import s_tir, te, tirx
from tvm.target import Target

import colt.tvm
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.vector_math import QUOTIENT_ULP, count_quotients, with_reciprocals
from tests.helpers.vector_math_accuracy import cpus

ROWS, COLUMNS = 4096, 64
SPECIAL = np.array([0.0, -0.0, 2.0**-149, 2.0**-126, 2.0**126, 2.0**127, np.inf, -np.inf, np.nan, 1.0], np.float32)


def rows(divisor: Any, vectors: bool = True, dtype: str = "float32") -> Any:
    """A module of ``y[i, j] = x[i, j] / divisor(d, i, j)``, in vectors along ``j``."""
    x, d = (te.placeholder(shape, dtype, name=name) for name, shape in (("x", (ROWS, COLUMNS)), ("d", (ROWS,))))
    y = te.compute((ROWS, COLUMNS), lambda i, j: x[i, j] / divisor(d, i, j), name="y")
    schedule = s_tir.Schedule(module_of_tensors([x, d, y]))
    if vectors:
        loop = schedule.get_loops(schedule.get_sblock("y"))[1]
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
    return schedule.mod


def quotients(mod: Any) -> list[Any]:
    """The quotients whose dividend is no number."""
    found: list[Any] = []
    tvm_ffi.structural_walk(mod["main"].body, (tirx.Div, found.append))
    return [one for one in found if not isinstance(one.a, tirx.FloatImm)]


def any_floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Floats of all bit patterns, some special ones among them."""
    found = rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    return np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL, shape), found).astype(np.float32)


@pytest.mark.parametrize("cpu", cpus())
def test_products_are_within_the_bound_for_all_floats(cpu: str) -> None:
    rng = np.random.default_rng(0)
    x, d = any_floats(rng, ROWS, COLUMNS), any_floats(rng, ROWS)
    y = tvm.runtime.empty((ROWS, COLUMNS), "float32")
    target = Target({"kind": "llvm", "mcpu": cpu})
    library = tvm.tirx.build(colt.tvm.VectorMath(target)(rows(lambda d, i, j: d[i])), target=target)
    library["main"](tvm.runtime.tensor(x), tvm.runtime.tensor(d), y)
    with np.errstate(all="ignore"):
        exact = x.astype(np.float64) / d.astype(np.float64)[:, None]
        wanted = exact.astype(np.float32)
    found = y.numpy()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    some = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found[some]), np.signbit(wanted[some]))
    top = 2.0**128  # the float after the largest one stands for infinity
    unit = np.ldexp(1.0, np.clip(np.frexp(np.clip(exact[some], -top, top))[1], -125, 128) - 24)
    off = np.abs(np.clip(found[some].astype(np.float64), -top, top) - np.clip(exact[some], -top, top)) / unit
    assert 0.5 < off.max() <= QUOTIENT_ULP


@pytest.mark.parametrize("vectors", [True, False])
@pytest.mark.parametrize(
    "divisor",
    [
        lambda d, i, j: d[i],
        lambda d, i, j: tirx.sqrt(d[i] * 0.001 + 1e-5),
        lambda d, i, j: tirx.const(49.0, "float32"),
    ],
)
def test_what_stays_the_same_is_divided_by_once(divisor: Any, vectors: bool) -> None:
    mod = rows(divisor, vectors)
    assert len(quotients(mod)) == count_quotients(mod) == 1
    assert not quotients(with_reciprocals(mod))
    assert count_quotients(with_reciprocals(mod)) == 0


@pytest.mark.parametrize(
    "divisor",
    [
        lambda d, i, j: d[j],
        lambda d, i, j: d[i] + j.astype("float32"),
        lambda d, i, j: tirx.exp(d[i]),
        lambda d, i, j: tirx.const(2.0**-140, "float32"),
    ],
    ids=["moves", "moves-by-number", "call", "tiny"],
)
def test_others_stay(divisor: Any) -> None:
    mod = rows(divisor)
    assert with_reciprocals(mod).same_as(mod)


def test_halves_stay() -> None:
    mod = rows(lambda d, i, j: d[i], dtype="float16")
    assert with_reciprocals(mod).same_as(mod)


def test_what_a_row_computes_once_stays() -> None:
    """A mean is one quotient a row: nothing is won by two operations in its place."""
    x = te.placeholder((8, COLUMNS), name="x")
    k = te.reduce_axis((0, COLUMNS), name="k")
    total = te.compute((8,), lambda i: te.sum(x[i, k], axis=k), name="total")
    d = te.placeholder((8,), name="d")
    mod = module_of_tensors([x, d, te.compute((8,), lambda i: total[i] / d[i], name="mean")])
    assert with_reciprocals(mod).same_as(mod)
