"""Operands, intermediates and results without axes go through sketches, passes and moves."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tvm import te
from tvm.target import Target

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.space import TvmSpace

TARGET = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})


def x() -> Any:
    return te.placeholder((64, 256), name="X")


def number(dtype: str = "float32") -> Any:
    return te.placeholder((), dtype, name="F")


def total(matrix: Any) -> Any:
    rows, columns = te.reduce_axis((0, 64), name="rows"), te.reduce_axis((0, 256), name="columns")
    return te.compute((), lambda: te.sum(matrix[rows, columns], axis=[rows, columns]), name="S")


def scaled() -> Any:
    matrix, factor = x(), number()
    return [matrix, factor, te.compute((64, 256), lambda i, j: matrix[i, j] * factor(), name="Y")]


def scaled_product() -> Any:
    matrix, weights, factor = x(), te.placeholder((256, 128), name="W"), number()
    k = te.reduce_axis((0, 256), name="k")
    product = te.compute((64, 128), lambda i, j: te.sum(matrix[i, k] * weights[k, j], axis=k), name="P")
    return [matrix, weights, factor, te.compute((64, 128), lambda i, j: product[i, j] * factor(), name="Y")]


def summed() -> Any:
    matrix = x()
    return [matrix, total(matrix)]


def normalised() -> Any:
    matrix = x()
    found = total(matrix)
    return [matrix, te.compute((64, 256), lambda i, j: matrix[i, j] / found(), name="Y")]


def taken() -> Any:
    matrix, row = x(), number("int64")
    return [matrix, row, te.compute((256,), lambda j: matrix[row(), j], name="Y")]


def doubled() -> Any:
    factor = number()
    return [factor, te.compute((), lambda: factor() * 2.0, name="Y")]


def scaled_twice() -> Any:
    matrix, factor = x(), number()
    twice = te.compute((), lambda: factor() * 2.0, name="G")
    return [matrix, factor, te.compute((64, 256), lambda i, j: matrix[i, j] * twice(), name="Y")]


PROGRAMS = (scaled, scaled_product, summed, normalised, taken, doubled, scaled_twice)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_each_sketch_is_sampled_built_and_moved(program: Any) -> None:
    space = TvmSpace.generated(module_of_tensors(program()), TARGET)
    for seed, sketch in enumerate(space.sketches):
        schedule = space.sample(random.Random(seed), sketch)
        assert space.module(schedule)["main"] is not None
        for moves in (space.random_moves(schedule, random.Random(seed), 3), *space.suggested_moves(schedule)):
            assert isinstance(moves, tuple)
