"""Plain schedules of programs whose sizes are open: on all threads, and right for every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.untuned import on_all_threads

pytestmark = pytest.mark.real  # builds libraries
RNG = np.random.default_rng(0)
THREADS = 2
Array = np.ndarray[Any, Any]


def drawn(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("float32")


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


WIDE, NARROW, SQUARE = drawn(40, 96), drawn(40, 7), drawn(40, 40)
FILTERS = drawn(24, 5, 3, 3)


def convolved(x: Array) -> Array:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.maximum(np.einsum("nchwij,ocij->nohw", windows, FILTERS), 0)


PROGRAMS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any], Callable[[Array], Array]]] = {
    "sums-of-96": ((40,), lambda x: relax.op.matmul(x, relax.const(WIDE)), lambda x: x @ WIDE),
    "sums-of-7": ((40,), lambda x: relax.op.matmul(x, relax.const(NARROW)), lambda x: x @ NARROW),
    "softmax": ((40,), relax.op.nn.softmax, softmax),
    "over-rows": ((40,), lambda x: relax.op.sum(x, axis=0), lambda x: x.sum(0)),
    "of-all": ((40,), relax.op.sum, lambda x: x.sum()),
    "products-with-itself": ((40,), lambda x: relax.op.matmul(x, relax.op.permute_dims(x)), lambda x: x @ x.T),
    "convolution": (
        (5, 6, 9),
        lambda x: relax.op.nn.relu(relax.op.nn.conv2d(x, relax.const(FILTERS), padding=(1, 1))),
        convolved,
    ),
    "side-by-side": (
        (40,),
        lambda x: relax.op.concat([x, relax.op.exp(x)], axis=1),
        lambda x: np.hstack([x, np.exp(x)]),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_computes_the_same_for_every_size(name: str) -> None:
    inner, operators, expected = PROGRAMS[name]
    rows = tirx.Var("rows", "int64")
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((rows, *inner), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(builder.emit(operators(x)))
        builder.emit_func_output(output)
    target = resolve_target(None, THREADS)
    scheduled, refused = on_all_threads(fused(builder.get(), target, CHANNELS_LAST))
    assert refused == 0
    assert "T.parallel" in scheduled.script() or name == "of-all"
    assembled = assemble(scheduled, [], {}, target)
    library = ModelLibrary(write_library(assembled.executable), assembled.weights, THREADS)
    for count in (1, 2, 7, 130):
        given = drawn(count, *inner)
        (found,) = library(given)
        np.testing.assert_allclose(found.numpy(), expected(given), rtol=1e-4, atol=1e-4)
