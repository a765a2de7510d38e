"""Calls that follow one of a kernel that writes their inputs, as in a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm import te
from tvm.script import tirx as T

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.constants import with_constants
from colt.tvm.programs.program import module_of_function, module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.workers.kernel import LocalKernel
from colt.tvm.workers.layout import Layouts
from colt.tvm.workers.producers import Produced, Write, producer

TARGET = resolve_target(None, 2)


@pytest.fixture
def layouts() -> Iterator[Layouts]:
    made = Layouts()
    yield made
    made.change()


def written_by(threads: int, layouts: Layouts) -> Write:
    function: Write = LocalKernel(producer(threads), TARGET, layouts).function
    return function


def test_the_kernel_is_what_tvmscript_makes() -> None:
    @T.prim_func(s_tir=True)
    def main(s: T.handle, t: T.handle, zero: T.int32) -> None:
        size = T.int64()
        source = T.match_buffer(s, (size,), "uint8")
        target = T.match_buffer(t, (size,), "uint8")
        for thread in T.parallel(T.int64(3)):
            for byte in T.serial(size * thread // T.int64(3), size * (thread + T.int64(1)) // T.int64(3)):
                target[byte] = source[byte] + T.Cast("uint8", zero)

    assert producer(3).script() == module_of_function(main).script()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 100, 4097])
def test_everything_is_written(threads: int, size: int, layouts: Layouts) -> None:
    source = np.random.default_rng(0).integers(1, 255, size, "uint8")
    target = tvm.runtime.tensor(np.zeros(size, "uint8"))
    layouts.run(lambda: written_by(threads, layouts)(tvm.runtime.tensor(source), target, 0))
    np.testing.assert_array_equal(target.numpy(), source)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "bool", "int64"])
def test_tensors_hold_again_what_they_held(dtype: str, layouts: Layouts) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    held = np.arange(15).reshape(3, 5).astype(kind)
    tensor = tvm.runtime.empty(held.shape, dtype)
    tensor.copyfrom(held)
    produced = Produced(written_by(2, layouts), [tensor, tvm.runtime.empty((0, 3), dtype)])
    tensor.copyfrom(np.zeros_like(held))
    produced.again()
    np.testing.assert_array_equal(tensor.numpy().view(kind), held)


def scaled() -> tvm.IRModule:
    """y = x w, where w is constant."""
    x, w = te.placeholder((4, 8), name="x"), te.placeholder((8,), name="w")
    y = te.compute((4, 8), lambda i, j: x[i, j] * w[j], name="y")
    module = module_of_tensors([x, w, y])
    return with_constants(module, ["w"], arguments_of(module["main"]))


def test_inputs_are_written_ahead_of_each_timed_call(layouts: Layouts) -> None:
    calls: list[Any] = []
    write = written_by(2, layouts)

    def noted(source: Any, target: Any, zero: int) -> None:
        calls.append(target)
        write(source, target, zero)

    x, w, y = (tvm.runtime.tensor(np.ones(shape, "float32")) for shape in ((4, 8), (8,), (4, 8)))
    bound = LocalKernel(scaled(), TARGET, layouts, write=lambda: noted).bind([x, w, y], apart_bytes=1)
    bound.once()
    assert len(bound.repeated(3, 2)) == 2
    assert len(calls) == 1 + 3 * 2  # the run that is not counted needs none
    assert {int(one.data_ptr()) for one in calls} == {int(x.data_ptr())}, "neither weights nor results"
    bound.call()
    np.testing.assert_array_equal(y.numpy(), 1.0)
    assert len(calls) == 7


def test_calls_that_follow_at_once_write_nothing(layouts: Layouts) -> None:
    def never() -> Write:
        raise AssertionError

    arrays = [tvm.runtime.tensor(np.ones(shape, "float32")) for shape in ((4, 8), (8,), (4, 8))]
    bound = LocalKernel(scaled(), TARGET, layouts, write=never).bind(arrays)
    assert bound.once().us > 0
    assert bound.repeated(3, 2)
