"""Calls that take turns with copies of the weights, so that these are as cold as they are in a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.constants import with_constants
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.workers.kernel import MOST_COPIES, LocalKernel, in_turn
from colt.tvm.workers.layout import Layouts
from colt.tvm.workers.producers import producer

TARGET = resolve_target(None, 2)
X, W = np.arange(12, dtype="float32").reshape(3, 4), np.arange(20, dtype="float32").reshape(4, 5)


@pytest.fixture
def layouts() -> Iterator[Layouts]:
    made = Layouts()
    yield made
    made.change()


def product(packed: bool) -> tvm.IRModule:
    """y = x w, where w is constant; read from a copy in another layout if ``packed``."""
    x, w = te.placeholder(X.shape, name="x"), te.placeholder(W.shape, name="w")
    k = te.reduce_axis((0, 4), name="k")
    y = te.compute((3, 5), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="y")
    module = module_of_tensors([x, w, y])
    module = with_constants(module, ["w"], arguments_of(module["main"]))
    if not packed:
        return module
    schedule = tvm.s_tir.Schedule(module)
    schedule.cache_read(schedule.get_sblock("y"), 1, "global")
    schedule.transform_layout(schedule.get_sblock("y"), ("read", 1), lambda k, j: (j, k))
    return schedule.mod


@pytest.mark.parametrize("packed", [False, True], ids=["as given", "packed"])
def test_each_turn_computes_the_same(packed: bool, layouts: Layouts) -> None:
    write = LocalKernel(producer(2), TARGET, layouts).function
    kernel = LocalKernel(product(packed), TARGET, layouts, write=lambda: write)
    given = [tvm.runtime.tensor(array) for array in (X, W, np.zeros((3, 5), "float32"))]
    bound = kernel.bind(given, apart_bytes=3 * W.nbytes)
    for _ in range(4):
        given[2].copyfrom(np.zeros((3, 5), "float32"))
        bound.call()
        np.testing.assert_array_equal(given[2].numpy(), X @ W)
    assert bound.repeated(3, 2)
    assert len(bound._turns) == 3


def test_only_weights_are_copied() -> None:
    x, w = (tvm.runtime.tensor(array) for array in (X, W))
    turns = in_turn([x, w], {1}, 5 * W.nbytes - 1)
    assert len(turns) == 5
    assert all(turn[0].same_as(x) for turn in turns)
    assert len({address(turn[1]) for turn in turns}) == 5
    for turn in turns:
        np.testing.assert_array_equal(turn[1].numpy(), W)


def test_small_weights_have_not_too_many_copies() -> None:
    assert len(in_turn([tvm.runtime.tensor(W)], {0}, 10**9)) == MOST_COPIES
    assert len(in_turn([tvm.runtime.tensor(W)], (), 10**9)) == 1


def address(tensor: Any) -> int:
    return int(tensor.data_ptr())
