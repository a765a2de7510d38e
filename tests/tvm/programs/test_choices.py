"""Reductions of several results that TVM does not know are taken in the lanes of vectors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.choices import choices_in_lanes
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.source import load_program
from colt.tvm.programs.ties import Kept, kept
from colt.tvm.space.space import TvmSpace
from tests.helpers.odd_programs import awkward_pairs
from tests.helpers.operators.case import Case
from tests.helpers.operators.reported import largest_of, nothing_yet

TARGET = resolve_target(None, 2)


def chosen(combine: Any, columns: int, start: Any = nothing_yet) -> Any:
    """Of each of 40 rows one element, and where it is: ``combine`` makes one of two candidates."""
    x, k = te.placeholder((40, columns), name="x"), te.reduce_axis((0, columns), name="k")
    reduce = te.comm_reducer(combine, start, name="chosen")
    at, best = te.compute((40,), lambda i: reduce((tirx.Cast("int32", k.var), x[i, k]), axis=k), name="best")
    return te.create_prim_func([x, at, best])


def by(stays: Any) -> Any:
    """The combination that keeps the present candidate if ``stays`` of the two values."""
    return lambda a, b: tuple(tirx.Select(stays(a[1], b[1]), a[n], b[n]) for n in range(2))


def before_all(value: Any) -> Any:
    return lambda index, element: (tirx.const(-1, str(index)), tirx.const(value, str(element)))


def last_of(where: Any) -> Any:
    return where.shape[1] - 1 - where[:, ::-1].argmax(1)


ORDERED: dict[str, tuple[Any, Any, Any]] = {
    "first largest": (by(lambda a, b: a >= b), before_all(-1e30), lambda x: x.argmax(1)),
    "last largest": (by(lambda a, b: a > b), before_all(-1e30), lambda x: last_of(x == x.max(1, keepdims=True))),
    "first smallest": (by(lambda a, b: a <= b), before_all(1e30), lambda x: x.argmin(1)),
    "the other way round": (by(lambda a, b: tirx.Not(b > a)), before_all(-1e30), lambda x: x.argmax(1)),
    "largest magnitude": (by(lambda a, b: te.abs(a) >= te.abs(b)), before_all(0.0), lambda x: np.abs(x).argmax(1)),
    "none yet": (by(lambda a, b: a >= b), nothing_yet, lambda x: x.argmax(1)),
}


def assert_right(module: Any, where: Any = lambda x: x.argmax(1)) -> None:
    """With many equal elements, so that what breaks ties matters."""
    case = Case(None, lambda x, at, best: [where(x), np.take_along_axis(x, where(x)[:, None], 1)[:, 0]])
    before = case.arguments([(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in module["main"].params])
    before[0] = before[0].round(0)
    tensors = [tvm.runtime.tensor(array) for array in before]
    tvm.tirx.build(module, target=TARGET)["main"](*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


@pytest.mark.parametrize("columns", [64, 100])
def test_choices_in_lanes_are_right_and_so_are_their_sketches(columns: int) -> None:
    """Whole vectors, and some terms left over."""
    function = chosen(largest_of, columns)
    assert normal_form(function, 5).script() != normal_form(function).script()
    module = load_program(function).module
    assert_right(module)
    space = TvmSpace.generated(module, TARGET)
    scheduled = [space.module(space.sample(random.Random(0), sketch)) for sketch in space.sketches[:2]]
    for one in scheduled:
        assert_right(one)
    assert "T.vectorized(" in scheduled[0].script()


def test_what_tvm_knows_is_left_to_it() -> None:
    function = awkward_pairs()
    assert choices_in_lanes(function).same_as(function)


@pytest.mark.parametrize("columns", [64, 100])
@pytest.mark.parametrize("name", ORDERED)
def test_which_came_first_matters_across_lanes(name: str, columns: int) -> None:
    combine, start, where = ORDERED[name]
    function = chosen(combine, columns, start)
    assert not choices_in_lanes(function).same_as(function)
    module = load_program(function).module
    assert_right(module, where)
    space = TvmSpace.generated(module, TARGET)
    fastest = next(sketch for sketch in space.sketches if "vector" in str(sketch.summary))
    assert_right(space.module(space.sample(random.Random(0), fastest)), where)


def test_an_initial_candidate_that_may_be_equal_to_a_later_one_has_to_come_first() -> None:
    function = chosen(
        by(lambda a, b: a > b), 64, lambda index, value: (tirx.const(0, str(index)), tirx.const(0.0, str(value)))
    )
    assert choices_in_lanes(function).same_as(function)


A, B = ([tirx.Var(f"{name}{n}", "float32") for n in range(2)] for name in "ab")


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (A[1] >= B[1], Kept.FIRST),
        (B[1] < A[1], Kept.LAST),
        (B[1] <= A[1], Kept.FIRST),
        (tirx.any(A[1] > B[1], tirx.all(A[1] == B[1], A[0] < B[0])), Kept.EITHER),
        (tirx.any(A[1] > B[1], A[1] == B[1]), Kept.FIRST),
        (tirx.any(A[1] > B[1], tirx.all(A[1] == B[1], A[0] <= B[0])), Kept.EITHER),
        (tirx.all(A[1] >= B[1], A[0] >= B[0]), None),
        (A[1] >= B[0], None),
        (A[1] >= 0, None),
        (A[1] >= B[1] + 1, None),
        (A[1] != B[1], None),
    ],
)
def test_what_is_kept_of_equals(condition: Any, found: Kept | None) -> None:
    assert kept([tirx.Select(condition, a, b) for a, b in zip(A, B, strict=True)], A, B) is found
