"""Functions of a model as tasks, and tuned programs back in their places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax, topi

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.models import assembly
from colt.tvm.models.assembly import Assembled, Assembler, assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, bytes_of, mapped_tensor, write_library
from colt.tvm.models.tasks import ModelTask, calls_of, tasks_of
from tests.helpers.small_models import Mlp, convolution

TARGET = resolve_target(None, 2)


def run(assembled: Assembled, x: Any) -> Any:
    (found,) = ModelLibrary(
        write_library(assembled.executable, assembled.objects), assembled.weights, 2, assembled.outputs
    )(x)
    return found.numpy()


def packed(task: ModelTask, weight: str = "w1") -> tvm.IRModule:
    """The program with a copy of a weight in another layout, which a schedule may read instead."""
    schedule = tvm.s_tir.Schedule(task.module)
    block = schedule.get_sblock("matmul")
    number = [str(one.name) for one in task.module["main"].params].index(weight)
    schedule.cache_read(block, number, "global")
    schedule.transform_layout(block, ("read", number), lambda k, j: (j // 4, k, j % 4))
    return schedule.mod


def test_equal_functions_are_one_task() -> None:
    """Two layers are two calls of each of two programs, whose weights are constant."""
    module = fused(Mlp(layers=2).graph().module, TARGET)
    tasks = tasks_of(module)
    assert [task.calls for task in tasks] == [2, 2]
    assert [list(task.module["main"].attrs["colt.constants"]) for task in tasks] == [["w1"], ["w1", "w2"]]
    assert len(calls_of(module)) == 4


def test_a_task_has_the_same_key_in_every_model() -> None:
    """Whatever functions and weights are called there."""
    keys = [{task.key for task in tasks_of(fused(Mlp(layers=n).graph().module, TARGET))} for n in (1, 3)]
    assert keys[0] == keys[1]
    assert keys[0] != {task.key for task in tasks_of(fused(Mlp(rows=4).graph().module, TARGET))}


def test_a_model_put_together_computes_what_it_did() -> None:
    mlp = Mlp()
    module = fused(mlp.graph().module, TARGET)
    tasks = tasks_of(module)
    found = run(assemble(module, tasks, {task.key: task.module for task in tasks}, TARGET), mlp.x)
    np.testing.assert_allclose(found, mlp.compute(mlp.x), rtol=1e-4, atol=1e-4)


def test_functions_that_tvm_cannot_compile_are_named() -> None:
    """As it cannot multiply truth values."""
    x, builder = relax.Var("x", relax.TensorType([8], "bool")), relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            even = builder.emit_te(topi.logical_and, x, x, primfunc_name_hint="even")
            found = builder.emit_output(builder.emit_te(topi.multiply, even, x, primfunc_name_hint="odd"))
        builder.emit_func_output(found)
    with pytest.raises(InputError, match=r"the operators of odd of .* cannot be compiled: "):
        assemble(builder.get(), [], {}, TARGET)


def test_weights_are_packed_once_and_not_in_calls() -> None:
    """The same weights of two layers make one packed copy; the library has no loop that packs."""
    mlp = Mlp(width=32, inner=64)
    module = fused(mlp.graph().module, TARGET)
    tasks = tasks_of(module)
    tuned = {tasks[0].key: packed(tasks[0])}
    assembled = assemble(module, tasks, tuned, TARGET)
    shapes = [tuple(map(int, one.shape)) for one in assembled.weights]
    assert shapes == [(16, 32, 4), (64, 32), (32,)]
    np.testing.assert_array_equal(
        assembled.weights[0].numpy(), mlp.w1.reshape(32, 16, 4).transpose(1, 0, 2), strict=True
    )
    np.testing.assert_allclose(run(assembled, mlp.x), mlp.compute(mlp.x), rtol=1e-4, atol=1e-4)


def test_a_program_is_built_once_however_often_the_model_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are its weights packed. Another schedule of one program is all that is built then."""
    mlp, names = Mlp(width=32, inner=64), list[str]()
    module = fused(mlp.graph().module, TARGET)
    tasks = tasks_of(module)
    build = assembly._object
    monkeypatch.setattr(assembly, "_object", lambda *given: (names.append(given[1]), build(*given))[1])
    assembler = Assembler(module, tasks, TARGET)
    plain = {task.key: task.module for task in tasks}
    first = assembler.assemble(plain)
    second = assembler.assemble(plain | {tasks[0].key: packed(tasks[0])})
    third = assembler.assemble(plain | {tasks[0].key: packed(tasks[0])})
    assert names == [first.names[task.key] for task in (*tasks, tasks[0])]
    assert [one.same_as(other) for one, other in zip(second.weights, third.weights, strict=True)] == [True, True, True]
    for assembled in (first, second, third):
        np.testing.assert_allclose(run(assembled, mlp.x), mlp.compute(mlp.x), rtol=1e-4, atol=1e-4)


def test_a_program_may_write_several_outputs() -> None:
    x, w = (np.random.default_rng(3).standard_normal((6, 8)).astype("float32") for _ in range(2))
    builder, given = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, "float32"))
    with builder.function("main", [given]):
        with builder.dataflow():
            parts = builder.emit(relax.op.split(relax.op.nn.relu(relax.op.add(given, relax.const(w))), 2, axis=1))
            output = builder.emit_output(relax.Tuple([relax.TupleGetItem(parts, 0), relax.TupleGetItem(parts, 1)]))
        builder.emit_func_output(output)
    module = fused(builder.get(), TARGET)
    tasks = tasks_of(module)
    assert any(len(task.module["main"].params) > task.inputs + 1 for task in tasks)
    assembled = assemble(module, tasks, {task.key: task.module for task in tasks}, TARGET)
    found = ModelLibrary(
        write_library(assembled.executable, assembled.objects), assembled.weights, 2, assembled.outputs
    )(x)
    expected = np.split(np.maximum(x + w, 0), 2, axis=1)
    np.testing.assert_array_equal([one.numpy() for one in found], expected)


def test_a_program_that_was_not_tuned_stays() -> None:
    mlp = Mlp()
    module = fused(mlp.graph().module, TARGET)
    found = run(assemble(module, tasks_of(module), {}, TARGET), mlp.x)
    np.testing.assert_allclose(found, mlp.compute(mlp.x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layouts", [None, CHANNELS_LAST], ids=["as it is", "channels last"])
def test_layouts_change_no_result(layouts: Any) -> None:
    graph, expected = convolution()
    module = fused(graph.module, TARGET, layouts)
    tasks = tasks_of(module)
    found = run(assemble(module, tasks, {task.key: task.module for task in tasks}, TARGET), graph.example[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    weights = next(task for task in tasks if "conv2d" in task.name).module["main"].params[1].ty.shape
    assert [int(extent) for extent in weights] == ([8, 4, 3, 3] if layouts is None else [3, 3, 4, 8])


def test_bytes_become_the_tensor_again() -> None:
    for array in (np.arange(6, dtype="float32").reshape(2, 3), np.arange(4, dtype="int8")):
        tensor = tvm.runtime.tensor(array)
        again = mapped_tensor(bytes_of(tensor), array.shape, str(array.dtype))
        np.testing.assert_array_equal(again.numpy(), array, strict=True)


def test_names_of_many_operators_are_short_and_differ() -> None:
    """TVM joins the names of all operators: a table has no room for that of a quantised convolution."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((8, 8), "float32"))
    weights = [relax.const(np.full((8, 8), number, "float32")) for number in (1, 2)]
    with builder.function("main", [x]):
        with builder.dataflow():
            y = x
            for weight, last in zip(weights, (relax.op.exp, relax.op.tanh), strict=True):
                y = builder.emit(relax.op.matmul(y, weight))
                for operator in (relax.op.abs, relax.op.cos, relax.op.sin) * 4:
                    y = builder.emit(operator(y))
                y = builder.emit(last(y))
            output = builder.emit_output(y)
        builder.emit_func_output(output)
    names = [task.name for task in tasks_of(fused(builder.get(), TARGET))]
    assert names == ["matmul_and_more", "matmul_and_more_2"]


def test_an_operator_without_code_is_named() -> None:
    """TVM has layer norms of bfloat16, but nothing that computes them."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((4, 8), "bfloat16"))
    weight = relax.op.ones((8,), "bfloat16")
    with builder.function("main", [x]):
        with builder.dataflow():
            doubled = builder.emit(relax.op.add(x, x))
            output = builder.emit_output(relax.op.nn.layer_norm(doubled, weight, weight, axes=[-1]))
        builder.emit_func_output(output)
    with pytest.raises(InputError, match=r"operator relax\.nn\.layer_norm of bfloat16\[4, 8\]"):
        fused(builder.get(), TARGET)


def test_axes_may_be_counted_from_the_end() -> None:
    """TVM's pass for layouts dies of such a squeeze."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType((3, 1, 4), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(relax.op.exp(relax.op.squeeze(x, [-2])))
        builder.emit_func_output(output)
    module, given = fused(builder.get(), TARGET, CHANNELS_LAST), np.ones((3, 1, 4), "float32")
    found = run(assemble(module, tasks_of(module), {}, TARGET), given)
    np.testing.assert_allclose(found, np.exp(given[:, 0]), rtol=1e-6)
