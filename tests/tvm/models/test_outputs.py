"""What a model returns is in nobody else's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.outputs import with_own_outputs

pytestmark = pytest.mark.real  # builds libraries
TARGET = resolve_target(None, 2)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 32)).astype("float32")
LARGE, SMALL = (RNG.standard_normal((rows, 32)).astype("float32") for rows in (64, 2))
"""Weights: one becomes an argument of the library, the other stays in it."""
op = relax.op


def module_of(function: Callable[..., Sequence[Any]], rows: Any = 64) -> tvm.IRModule:
    """The function's results for the input, twice that, and both weights."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((rows, 32), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(op.add(x, x))
            found = [builder.emit(one) for one in function(x, y, relax.const(LARGE), relax.const(SMALL))]
            output = builder.emit_output(found[0] if len(found) == 1 else relax.Tuple(found))
        builder.emit_func_output(output)
    return fused(builder.get(), TARGET)


def library_of(module: tvm.IRModule) -> ModelLibrary:
    assembled = assemble(module, [], {}, TARGET)
    return ModelLibrary(write_library(assembled.executable), assembled.weights, 2, assembled.outputs)


def flat(tensor: Any) -> Any:
    return op.reshape(tensor, (-1,))


RESULTS: dict[str, tuple[Callable[..., Sequence[Any]], list[Any]]] = {
    "the input": (lambda x, *_: [x], [X]),
    "views of it": (lambda x, y, *_: [flat(x), y, x, flat(x)], [X.ravel(), X + X, X, X.ravel()]),
    "weights": (lambda x, y, large, small: [large, small, flat(large)], [LARGE, SMALL, LARGE.ravel()]),
    "one twice": (lambda x, y, *_: [y, y, flat(y)], [X + X, X + X, (X + X).ravel()]),
    "what others compute with": (
        lambda x, y, large, _: [y, op.add(y, large), flat(y)],
        [2 * X, 2 * X + LARGE, 2 * X.ravel()],
    ),
}


@pytest.mark.parametrize(("function", "expected"), RESULTS.values(), ids=RESULTS.keys())
def test_who_writes_to_an_output_writes_to_nothing_else(function: Any, expected: list[Any]) -> None:
    library = library_of(module_of(function))
    memory = np.zeros(X.size + 16, "float32")
    begins = -memory.ctypes.data % 64 // 4
    x = memory[begins : begins + X.size].reshape(X.shape)
    x[:] = X
    for _ in range(2):
        found = [np.from_dlpack(one) for one in library(x)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        for number, one in enumerate(found):
            one[:] = number + 100
        assert [float(one.min()) for one in found] == [number + 100 for number in range(len(found))]
        np.testing.assert_array_equal(x, X)


def test_sizes_may_be_open() -> None:
    library = library_of(module_of(lambda x, *_: [x, flat(x)], tirx.Var("rows", "int64")))
    for rows in (1, 5):
        x = X[:rows].copy()
        one, other = (np.from_dlpack(found) for found in library(x))
        one[:] = 0
        np.testing.assert_array_equal(other, X[:rows].ravel())
        np.testing.assert_array_equal(x, X[:rows])


def test_what_is_its_own_is_not_copied() -> None:
    module = module_of(lambda x, y, large, _: [y, op.multiply(x, large)])
    assert with_own_outputs(module) is module
