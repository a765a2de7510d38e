"""A model as one function that calls its kernels: what it computes, and which models stay with TVM's machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tvm import relax, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.models import assembly
from colt.tvm.models.assembly import Assembled, assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.library import RUN, ModelLibrary, write_library
from colt.tvm.models.tasks import tasks_of

pytestmark = pytest.mark.real  # builds libraries
TARGET = resolve_target(None, 2)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 32)).astype("float32")
WEIGHT = RNG.standard_normal((32, 48)).astype("float32")
BIAS = RNG.standard_normal(48).astype("float32")
FACTOR = np.float32(3)
op = relax.op


def assembled(function: Callable[..., Sequence[Any]], rows: Any = 64, step: int = 2) -> Assembled:
    """The model of the function's results. Every ``step``-th of its programs is linked, if sizes are known."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((rows, 32), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            found = [builder.emit(one) for one in function(builder, x)]
            output = builder.emit_output(found[0] if len(found) == 1 else relax.Tuple(found))
        builder.emit_func_output(output)
    module = fused(builder.get(), TARGET)
    tasks = tasks_of(module) if isinstance(rows, int) else []
    return assemble(module, tasks, {task.key: task.module for task in tasks[::step]}, TARGET)


def library_of(model: Assembled, with_outputs: bool = True) -> ModelLibrary:
    outputs = model.outputs if with_outputs else ()
    return ModelLibrary(write_library(model.executable, model.objects), model.weights, 2, outputs)


def layers(builder: Any, x: Any) -> list[Any]:
    """Products one after the other, whose memory can be shared, and a bias, a number and a view between them."""
    hidden = builder.emit(op.add(op.matmul(x, relax.const(WEIGHT)), relax.const(BIAS)))
    back = builder.emit(op.matmul(hidden, op.permute_dims(relax.const(WEIGHT))))
    flat = builder.emit(op.reshape(op.multiply(back, relax.const(FACTOR)), (32, 64)))
    return [op.matmul(flat, builder.emit(op.tanh(back)))]


def several(builder: Any, x: Any) -> list[Any]:
    """Parts of one kernel, a view of an output that others compute with, and numbers of other types."""
    first, second = (builder.emit(op.split(x, 2, 1)[number]) for number in range(2))
    total = builder.emit(op.add(first, second))
    places = builder.emit(op.argmax(total, 1))
    return [op.reshape(total, (-1,)), places, op.greater(first, second), op.sum(builder.emit(op.exp(total)))]


def in_numpy(x: Any) -> list[Any]:
    first, second = x[:, :16], x[:, 16:]
    total = first + second
    return [total.ravel(), total.argmax(1), first > second, np.exp(total).sum()]


def repeated(builder: Any, x: Any) -> list[Any]:
    """The same kernels several times, and the first of them again at the end."""
    weight = relax.const(WEIGHT @ WEIGHT.T)
    for _ in range(3):
        x = builder.emit(op.tanh(builder.emit(op.reshape(op.matmul(x, weight), (64, 32)))))
    return [op.matmul(x, weight)]


@pytest.mark.parametrize("function", [layers, several, repeated])
@pytest.mark.parametrize("step", [1, 2])
def test_outputs_are_those_of_the_machine(function: Any, step: int) -> None:
    model = assembled(function, step=step)
    straight, machine = library_of(model), library_of(model, with_outputs=False)
    assert straight.is_straight
    assert not machine.is_straight
    for _ in range(2):
        found, expected = straight(X), machine(X)
        assert [(one.shape, one.dtype) for one in found] == [(one.shape, one.dtype) for one in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_outputs_are_right() -> None:
    for one, expected in zip(library_of(assembled(several))(X), in_numpy(X), strict=True):
        np.testing.assert_allclose(one.numpy(), expected, rtol=1e-5)


def test_each_call_has_outputs_of_its_own() -> None:
    library = library_of(assembled(layers))
    (first,) = library(X)
    kept = first.numpy().copy()
    library(2 * X)
    np.testing.assert_array_equal(first.numpy(), kept)


def test_threads_do_not_share_what_lies_between_kernels() -> None:
    library = library_of(assembled(layers))
    inputs = [RNG.standard_normal(X.shape).astype("float32") for _ in range(4)]
    expected = [library(one)[0].numpy() for one in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for found, wanted in zip(pool.map(lambda one: library(one)[0].numpy(), inputs), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_what_is_observed_are_its_kernels() -> None:
    model = assembled(layers)
    names = set(library_of(model).observed()(X))
    assert set(model.names.values()) <= names


@pytest.mark.parametrize("wrong", [X[:32], X.astype("float64"), X.ravel()], ids=["fewer rows", "type", "flat"])
def test_other_inputs_are_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        library_of(assembled(layers))(wrong)


def test_other_outputs_than_it_has_are_refused() -> None:
    model = assembled(layers)
    library = ModelLibrary(write_library(model.executable, model.objects), model.weights, 2, [((1,), "float32")])
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        library(X)


def test_fewer_weights_than_it_has_are_refused() -> None:
    model = assembled(layers)
    content = write_library(model.executable, model.objects)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        ModelLibrary(content, model.weights[1:], 2, model.outputs)(X)


def test_models_of_open_sizes_stay_with_the_machine() -> None:
    def product(builder: Any, x: Any) -> list[Any]:
        return [op.matmul(builder.emit(op.tanh(x)), relax.const(WEIGHT))]

    library = library_of(assembled(product, tirx.Var("rows", "int64")))
    assert not library.is_straight
    for rows in (3, 64):
        (found,) = library(X[:rows])
        np.testing.assert_allclose(found.numpy(), np.tanh(X[:rows]) @ WEIGHT, rtol=1e-4, atol=1e-4)


def test_so_do_files_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their libraries have no such function, though sizes are known."""
    monkeypatch.setattr(assembly, "straight", lambda *given: {})
    library = library_of(assembled(several))
    assert not library.is_straight
    for one, expected in zip(library(X), in_numpy(X), strict=True):
        np.testing.assert_allclose(one.numpy(), expected, rtol=1e-5)


def test_so_do_those_that_call_what_they_are_not_linked_with() -> None:
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((64, 32), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(relax.call_dps_packed("somebody.else", [x], x.ty))
        builder.emit_func_output(output)
    planned = assembly._lifted(builder.get(), [])[0]
    assert RUN not in {one.name_hint for one in planned.get_global_vars()}
    assert RUN in {one.name_hint for one in assembly._lifted(builder.get(), ["somebody.else"])[0].get_global_vars()}


def test_a_large_workspace_is_shared_by_layers() -> None:
    """What lies between kernels takes no more than two of the largest, however many layers there are."""

    def many(builder: Any, x: Any) -> list[Any]:
        for _ in range(6):
            x = builder.emit(op.tanh(op.matmul(x, relax.const(WEIGHT @ WEIGHT.T))))
        return [x]

    library = library_of(assembled(many))
    assert library.is_straight
    assert library.workspace_bytes <= 2 * X.nbytes + 2048
