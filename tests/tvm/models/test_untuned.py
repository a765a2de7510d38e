"""Plain schedules of programs that no sketch schedules: on all threads, right for every size, and safe for any."""

# No future import: TVMScript evaluates the annotations.
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax, tirx
from tvm.script import tirx as T
from tvm.target import Target
from tvm.tirx import PrimFunc

from colt.tvm.devices.host import resolve_target
from colt.tvm.models import untuned
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.untuned import on_all_threads, on_one_thread, plainly_scheduled
from colt.tvm.programs.nests import in_root
from colt.tvm.programs.source import load_program
from tests.helpers.odd_programs import ODD, arguments_for
from tests.helpers.operators import every_case

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
    assert refused == (name == "of-all")
    assert "T.parallel" in scheduled.script() or name == "of-all"
    assembled = assemble(scheduled, [], {}, target)
    library = ModelLibrary(write_library(assembled.executable), assembled.weights, THREADS, assembled.outputs)
    for count in (1, 2, 7, 130):
        given = drawn(count, *inner)
        (found,) = library(given)
        np.testing.assert_allclose(found.numpy(), expected(given), rtol=1e-4, atol=1e-4)


# ---- any program ----

CASES = every_case()
QUICKLY = Target(json.loads(str(resolve_target(None, THREADS))) | {"opt-level": 0})
"""Code that LLVM does not optimise, which would take most of the time."""


@pytest.mark.parametrize("name", CASES)
def test_any_program_computes_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short: gathers, windows, ragged rows, scans, sums to what is read, several outputs."""
    monkeypatch.setattr(untuned, "_LEAST", 1)
    case = CASES[name][1]
    given = case.program if isinstance(case.program, PrimFunc | tvm.IRModule) else case.program()
    function = given if isinstance(given, PrimFunc) else next(iter(given.functions.values()))
    scheduled = plainly_scheduled(in_root(function))
    before = case.arguments([(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in function.params])
    tensors = [tvm.runtime.tensor(array) for array in before]
    tvm.tirx.build(scheduled.with_attr("global_symbol", "main"), target=QUICKLY)["main"](*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


@pytest.mark.parametrize("name", ODD)
def test_programs_in_odd_forms_compute_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untuned, "_LEAST", 1)
    program = load_program(ODD[name][0])
    function = (program.given or program.module)["main"]
    tensors = [tvm.runtime.tensor(array) for array in arguments_for(name)]
    scheduled = plainly_scheduled(function).with_attr("global_symbol", "main")
    tvm.tirx.build(scheduled, target=QUICKLY)["main"](*tensors)
    for tensor, wanted in zip(tensors, ODD[name][1](*arguments_for(name)), strict=True):
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-4, atol=1e-4)


@T.prim_func(s_tir=True)
def two_write_one(x: T.Buffer((65536,), "float32"), y: T.Buffer((32768,), "float32")):
    for i in range(65536):
        with T.sblock("y"):
            vi = T.axis.spatial(65536, i)
            y[vi // 2] = x[vi]


@T.prim_func(s_tir=True)
def anywhere(x: T.Buffer((65536,), "float32"), at: T.Buffer((65536,), "int32"), y: T.Buffer((64,), "float32")):
    for i in range(65536):
        with T.sblock("y"):
            vi = T.axis.spatial(65536, i)
            y[at[vi]] = x[vi]


@T.prim_func(s_tir=True)
def terms_where_results_are(x: T.Buffer((512, 128), "float32"), y: T.Buffer((639,), "float32")):
    for i, k in T.grid(512, 128):
        with T.sblock("y"):
            vi, vk = T.axis.remap("SR", [i, k])
            y[vi + vk] = y[vi + vk] + x[vi, vk]


@T.prim_func(s_tir=True)
def from_the_neighbour(x: T.Buffer((65536,), "float32"), y: T.Buffer((65536,), "float32")):
    for i in range(65535):
        with T.sblock("y"):
            vi = T.axis.spatial(65535, i)
            y[vi + 1] = y[vi] + x[vi]


@T.prim_func(s_tir=True)
def called(x: T.Buffer((65536,), "float32"), y: T.Buffer((65536,), "float32")):
    with T.sblock("y"):
        T.reads()
        T.writes()
        T.evaluate(T.call_packed("a.function.of.the.library", x.data, y.data))


@T.prim_func(s_tir=True)
def with_threads(x: T.Buffer((65536,), "float32"), y: T.Buffer((65536,), "float32")):
    with T.sblock("y"):
        for i in T.parallel(65536):
            y[i] = x[i]


@T.prim_func(s_tir=True)
def threads_of_one_turn(x: T.Buffer((65536,), "float32"), y: T.Buffer((65536,), "float32")):
    with T.sblock("y"):
        for _ in T.parallel(1):
            y[0] = x[0]
            for k in range(65535):
                y[k + 1] = y[k] + x[k + 1]


@T.prim_func(s_tir=True)
def short(x: T.Buffer((16,), "float32"), y: T.Buffer((16,), "float32")):
    for i in range(16):
        with T.sblock("y"):
            vi = T.axis.spatial(16, i)
            y[vi] = x[vi]


@pytest.mark.parametrize("function", [two_write_one, anywhere, terms_where_results_are, from_the_neighbour, called])
def test_threads_never_write_what_others_touch(function: PrimFunc) -> None:
    """Whatever a block says of its axes. What stays on one thread is counted."""
    scheduled = plainly_scheduled(in_root(function))
    assert "T.parallel" not in scheduled.script()
    assert on_one_thread(scheduled) == 1


def test_a_parallel_loop_of_one_turn_is_on_one_thread() -> None:
    assert on_one_thread(plainly_scheduled(in_root(threads_of_one_turn))) == 1


@pytest.mark.parametrize("function", [with_threads, short])
def test_what_is_short_or_has_threads_stays_and_does_not_count(function: PrimFunc) -> None:
    given = in_root(function)
    scheduled = plainly_scheduled(given)
    assert scheduled.same_as(given)
    assert on_one_thread(scheduled) == 0


ROWS = {
    "sort": lambda x: relax.op.sort(x, -1),
    "along the middle": lambda x: relax.op.sort(x, 1, descending=True),
    "where": lambda x: relax.op.argsort(x, -1),
    "top": lambda x: relax.op.topk(x, 3, -1),
}


@pytest.mark.parametrize("name", [*ROWS, "along the first"])
def test_rows_are_sorted_by_all_threads(name: str) -> None:
    """The library that sorts them knows none. Rows along the first axis are no parts of the tensor."""
    x = drawn(1, 34, 5, 24)[0] if name != "along the first" else drawn(34, 24)
    builder, var = relax.BlockBuilder(), relax.Var("x", relax.TensorType(x.shape, "float32"))
    with builder.function("main", [var]):
        with builder.dataflow():
            found = ROWS[name](var) if name in ROWS else relax.op.sort(var, 0)
            output = builder.emit_output(builder.emit(found))
        builder.emit_func_output(output)
    module = fused(builder.get(), resolve_target(None, THREADS))
    scheduled, left = on_all_threads(module)
    assert left == (name == "along the first")
    outputs = []
    for one in (module, scheduled):
        assembled = assemble(one, [], {}, resolve_target(None, THREADS))
        library = ModelLibrary(write_library(assembled.executable), assembled.weights, THREADS, assembled.outputs)
        outputs.append([tensor.numpy() for tensor in library(x)])
    for plain, by_rows in zip(*outputs, strict=True):
        np.testing.assert_array_equal(by_rows, plain)
    assert "T.parallel" in scheduled.script() or left
