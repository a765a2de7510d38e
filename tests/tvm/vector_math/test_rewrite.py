"""What :mod:`colt.tvm.vector_math` replaces and what it leaves alone, and the code that comes of it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import s_tir, te, tirx
from tvm.script import tirx as T
from tvm.target import Target, codegen

import colt.tvm
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.vector_math import FUNCTIONS, count_calls, rewrite
from tests.helpers import space_programs as programs
from tests.helpers.vector_math_accuracy import EXACT, errors

TARGET = resolve_target(None, 1)
X86 = "x86_64" in codegen.llvm_get_system_triple()


def elementwise(fn: Any, n: int = 64, dtype: str = "float32", lanes: int = 16) -> Any:
    """A scheduled module of ``y[i] = fn(x[i])``, in vectors of ``lanes``."""
    x = te.placeholder((n,), dtype, name="x")
    schedule = s_tir.Schedule(module_of_tensors([x, te.compute((n,), lambda i: fn(x[i]), name="y")]))
    (loop,) = schedule.get_loops(schedule.get_sblock("y"))
    schedule.vectorize(schedule.split(loop, [None, lanes])[1])
    return schedule.mod


def module(function: Any) -> Any:
    return tvm.IRModule({"main": function})


def run(mod: Any, *arrays: Any) -> list[Any]:
    """What the arguments hold after a call."""
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    tvm.tirx.build(mod, target=TARGET)["main"](*tensors)
    return [tensor.numpy() for tensor in tensors]


def calls(mod: Any) -> set[str]:
    """The functions that are called by name, of those that could be replaced or of LLVM's."""
    found = set()

    def look(call: Any) -> None:
        found.add(str(call.op.name).removeprefix("tirx."))

    for function in mod.functions.values():
        tvm_ffi.structural_walk(function.body, (tvm.ir.Call, look))
    return found & {*FUNCTIONS, "call_llvm_pure_intrin"}


def stores(mod: Any) -> list[Any]:
    found: list[Any] = []
    tvm_ffi.structural_walk(mod["main"].body, (tirx.BufferStore, found.append))
    return found


# ---- what is replaced ----


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_call_is_replaced(name: str) -> None:
    mod = elementwise(getattr(tirx, name))
    rewritten = rewrite(mod)
    assert count_calls(mod) == {name: 1}
    assert calls(mod) == {name}
    assert calls(rewritten) == set()
    assert count_calls(rewritten) == {}
    s_tir.analysis.verify_well_formed(rewritten)


def test_the_given_module_stays_as_it_was() -> None:
    mod = elementwise(tirx.exp)
    before = tvm_ffi.structural_hash(mod)
    rewrite(mod)
    assert tvm_ffi.structural_hash(mod) == before


def test_equal_modules_give_equal_modules_that_can_be_saved() -> None:
    """Workers know kernels by their hash, and run directories keep the winner as JSON."""
    mod = elementwise(tirx.erf)
    first, second = rewrite(mod), rewrite(mod)
    assert tvm_ffi.structural_hash(first) == tvm_ffi.structural_hash(second)
    assert tvm_ffi.structural_equal(tvm.ir.load_json(tvm.ir.save_json(first)), first)


def test_a_program_without_such_functions_is_the_very_same_object() -> None:
    mod = programs.matmul()
    assert rewrite(mod) is mod
    assert colt.tvm.VectorMath()(mod).same_as(mod)


def test_it_is_a_pass() -> None:
    mod = elementwise(tirx.tanh)
    sequence = tvm.ir.transform.Sequential([colt.tvm.VectorMath(), tvm.tirx.transform.StmtSimplify()])
    assert calls(sequence(mod)) == set()


def test_every_call_of_a_nest_is_replaced_and_its_argument_computed_once() -> None:
    mod = elementwise(lambda x: tirx.exp(tirx.tanh(x) * tirx.exp(x * 2.0)) + tirx.exp(x))
    assert count_calls(mod) == {"exp": 3, "tanh": 1}
    rewritten = rewrite(mod)
    assert calls(rewritten) == set()
    loads = str(rewritten).count("x[v_i]") - 1  # one is in the block's list of reads
    assert loads == 3


def test_deep_nests_are_replaced_as_far_as_llvm_takes_them_in_reasonable_time() -> None:
    """All six would take TVM years: each multiplies the time by 231."""

    def nested(x: Any) -> Any:
        for _ in range(6):
            x = tirx.erf(x)
        return x

    mod = elementwise(nested)
    assert count_calls(mod) == {"erf": 2}
    x = np.linspace(-2, 2, 64, dtype="f")
    wanted = x.astype("d")
    for _ in range(6):
        wanted = EXACT["erf"](wanted)
    np.testing.assert_allclose(run(rewrite(mod), x, x)[1], wanted, rtol=2e-6)


def test_calls_beside_each_other_are_no_nest() -> None:
    def many(x: Any) -> Any:
        result = tirx.erf(x)
        for shift in range(1, 40):
            result = result + tirx.erf(x + float(shift))
        return result

    assert count_calls(elementwise(many)) == {"erf": 40}


def test_what_frameworks_nest_is_replaced_entirely() -> None:
    mod = elementwise(lambda x: x * tirx.tanh(tirx.log(tirx.exp(x) + 1.0)))
    assert count_calls(mod) == {"exp": 1, "log": 1, "tanh": 1}
    x = np.linspace(-4, 4, 64, dtype="f")
    wide = x.astype("d")
    np.testing.assert_allclose(run(rewrite(mod), x, x)[1], wide * np.tanh(np.log(np.exp(wide) + 1)), rtol=3e-6)


@T.prim_func(s_tir=True)
def _everywhere(x: T.Buffer((8, 16), "float32"), start: T.Buffer((8,), "float32"), y: T.Buffer((8,), "float32")):
    for i, k in T.grid(8, 16):
        with T.sblock("y"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                y[vi] = T.exp(start[vi])
            y[vi] = y[vi] + T.Select(T.sigmoid(x[vi, vk]) > T.float32(0.5), T.tanh(x[vi, vk]), T.erf(x[vi, vk]))


def test_calls_in_initialisations_updates_and_selects_are_replaced() -> None:
    mod = module(_everywhere)
    assert count_calls(mod) == {"exp": 1, "sigmoid": 1, "tanh": 1, "erf": 1}
    assert calls(rewrite(mod)) == set()
    rng = np.random.default_rng(0)
    x, start = rng.normal(size=(8, 16)).astype("f"), rng.normal(size=8).astype("f")
    y = run(rewrite(mod), x, start, np.zeros(8, "f"))[2]
    wide = x.astype("d")
    terms = np.where(wide > 0, EXACT["tanh"](wide), EXACT["erf"](wide))
    np.testing.assert_allclose(y, np.exp(start.astype("d")) + terms.sum(1), rtol=1e-5)


@T.prim_func(s_tir=True)
def _lets(x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in T.vectorized(64):
        with T.sblock("y"):
            vi = T.axis.spatial(64, i)
            e = T.float32()
            t = T.float32()
            y[vi] = T.Let(T.exp(T.Let(t * T.rsqrt(e + t), where={t: T.exp2(e)})) + e, where={e: T.exp(x[vi])})


def test_lets_of_the_program_become_steps_like_others() -> None:
    mod = module(_lets)
    assert count_calls(mod) == {"exp": 2, "exp2": 1, "rsqrt": 1}
    x = np.linspace(-1, 1, 64, dtype="f")
    wide = x.astype("d")
    (_, y) = run(rewrite(mod), x, x)
    e = np.exp(wide)
    np.testing.assert_allclose(y, np.exp(2**e / np.sqrt(e + 2**e)) + e, rtol=1e-6)


@T.prim_func(s_tir=True)
def _let_in_a_branch(x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("y"):
            vi = T.axis.spatial(64, i)
            s = T.float32()
            y[vi] = T.exp(T.if_then_else(vi > 9, T.Let(s * s, where={s: x[vi] * T.float32(2)}), T.exp2(x[vi])))


def test_a_let_in_a_branch_of_an_argument_cannot_become_a_step_so_that_the_call_is_left_alone() -> None:
    mod = module(_let_in_a_branch)
    assert rewrite(mod) is mod


@T.prim_func(s_tir=True)
def _guarded(x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("y"):
            vi = T.axis.spatial(64, i)
            y[vi] = T.if_then_else(vi > 0, T.exp(x[vi - 1]), T.exp(T.if_then_else(vi < 0, T.log(x[vi]), x[vi])))


def test_a_load_stays_in_the_branch_that_guards_it_and_a_call_in_a_branch_of_an_argument_is_left_alone() -> None:
    mod = module(_guarded)
    assert count_calls(mod) == {"exp": 2}
    (store,) = stores(rewrite(mod))
    assert isinstance(store.value, tvm.ir.Call)
    assert store.value.op.name.endswith("if_then_else")
    x = np.linspace(-1, 1, 64, dtype="f")
    np.testing.assert_allclose(run(rewrite(mod), x, x * 0)[1], np.exp([x[0], *x[:-1]]), rtol=1e-6)


@T.prim_func(s_tir=True)
def _branches_on(x: T.Buffer((16,), "float32"), y: T.Buffer((16,), "float32")):
    for i in range(16):
        with T.sblock("y"):
            vi = T.axis.spatial(16, i)
            if T.exp(x[vi]) > T.float32(1):
                y[vi] = x[vi]


def test_only_what_is_stored_is_rewritten() -> None:
    mod = module(_branches_on)
    assert rewrite(mod) is mod


@pytest.mark.parametrize("how", ["unrolled", "unrolled by a pragma", "parallel"])
def test_it_survives_what_lowering_does_to_loops(how: str) -> None:
    x = te.placeholder((64, 64), name="x")
    y = te.compute((64, 64), lambda i, j: tirx.exp(x[i, j]) * tirx.exp(x[j, i]), name="y")
    schedule = s_tir.Schedule(module_of_tensors([x, y]))
    i, j = schedule.get_loops(schedule.get_sblock("y"))
    if how == "unrolled":
        schedule.unroll(schedule.split(j, [None, 8])[1])
    elif how == "parallel":
        schedule.parallel(i)
    else:
        schedule.annotate(i, "pragma_auto_unroll_max_step", 512)
        schedule.annotate(i, "pragma_unroll_explicit", 1)
    x_values = np.random.default_rng(0).normal(size=(64, 64)).astype("f")
    (_, found) = run(rewrite(schedule.mod), x_values, np.zeros((64, 64), "f"))
    wide = x_values.astype("d")
    np.testing.assert_allclose(found, np.exp(wide) * np.exp(wide.T), rtol=1e-6)


def test_vectors_in_programs_that_are_lowered_already() -> None:
    mod = elementwise(tirx.sigmoid, lanes=8)
    for lower in (
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.LowerOpaqueBlock(),
        tvm.tirx.transform.FlattenBuffer(),
        tvm.tirx.transform.VectorizeLoop(True),
    ):
        mod = lower(mod)
    assert "T.Ramp" in str(mod)
    assert calls(rewrite(mod)) == set()
    x = np.linspace(-9, 9, 64, dtype="f")
    assert errors("sigmoid", x, run(rewrite(mod), x, x)[1]).max() <= FUNCTIONS["sigmoid"].max_ulp


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float16_is_computed_in_float32_and_rounded_once(name: str) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    rewritten = rewrite(elementwise(getattr(tirx, name), 1 << 16, "float16"))
    assert calls(rewritten) == set()
    (_, found) = run(rewritten, x, np.zeros_like(x))
    (_, wide) = run(rewrite(elementwise(getattr(tirx, name), 1 << 16)), x.astype("f"), np.zeros(1 << 16, "f"))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, wide.astype(np.float16))


@pytest.mark.parametrize("name", ["exp", "erf", "tanh"])
def test_values_are_rounded_to_bfloat16_once(name: str) -> None:
    """As TVM rounds the same value: to the nearest, of two to the even one. In lets that TVM takes."""
    x = np.linspace(-9, 9, 1 << 12, dtype="f")
    x[:2] = 0.0, -0.0
    mod = elementwise(lambda x: getattr(tirx, name)(x).astype("bfloat16"), 1 << 12)
    rewritten = rewrite(mod)
    assert calls(rewritten) == set()
    (_, found) = run(rewritten, x, np.zeros(x.shape, "bfloat16"))
    (_, wide) = run(rewrite(elementwise(getattr(tirx, name), 1 << 12)), x, np.zeros_like(x))
    np.testing.assert_array_equal(found, wide.astype("bfloat16"))


# ---- what is left alone ----


@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(lambda x: tirx.exp(x.astype("float64")).astype("float32"), id="float64"),
        pytest.param(lambda x: tirx.exp(x.astype("bfloat16")).astype("float32"), id="bfloat16"),
        pytest.param(lambda x: tirx.exp(x).astype("bfloat16") + 1, id="not rounded as a whole"),
        pytest.param(lambda x: tirx.exp(x).astype("float8_e4m3fn"), id="stored as a float8"),
        pytest.param(lambda x: x * tirx.exp(tirx.const(2.0, "float32")), id="a constant"),
        pytest.param(lambda x: tirx.call_llvm_pure_intrin("float32", "llvm.exp", x), id="LLVM's own intrinsic"),
        pytest.param(tirx.cos, id="another function"),
        pytest.param(lambda x: tirx.call_pure_extern("float32", "expf", x), id="a library's function"),
    ],
)
def test_other_calls_are_left_alone(fn: Any) -> None:
    mod = elementwise(fn)
    assert rewrite(mod) is mod


@T.prim_func(s_tir=True)
def _looks_up(x: T.Buffer((16,), "float32"), table: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in range(16):
        with T.sblock("y"):
            vi = T.axis.spatial(16, i)
            y[T.Cast("int32", T.exp(x[vi]))] = T.exp(table[T.Cast("int32", T.exp(x[vi]))])


def test_indices_are_left_alone() -> None:
    """A result one ulp smaller could fall below an integer."""
    mod = module(_looks_up)
    assert count_calls(mod) == {"exp": 1}
    assert str(rewrite(mod)).count("T.exp(x[vi])") == str(mod).count("T.exp(x[vi])") > 0
    x = np.log(np.arange(16, dtype="f") * 4 + 0.5).astype("f")
    table = np.linspace(-5, 5, 64, dtype="f")
    np.testing.assert_allclose(*(run(m, x, table, np.zeros(64, "f"))[2] for m in (mod, rewrite(mod))), rtol=1e-6)


def test_functions_for_other_targets_are_left_alone() -> None:
    mod = elementwise(tirx.exp)
    for_cpu, for_gpu = mod["main"], mod["main"].with_attr("target", Target("nvidia/nvidia-a100"))
    both = tvm.IRModule({"cpu": for_cpu, "gpu": for_gpu})
    rewritten = rewrite(both)
    assert rewritten["gpu"].same_as(for_gpu)
    assert calls(tvm.IRModule({"cpu": rewritten["cpu"]})) == set()
    assert calls(rewrite(tvm.IRModule({"main": for_cpu.with_attr("target", TARGET)}))) == set()


def test_a_whole_model_is_rewritten_function_by_function() -> None:
    from tvm import relax  # a second of imports
    from tvm.script import relax as R

    builder = relax.BlockBuilder()
    x = relax.Var("x", R.Tensor((8, 16), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = x
            for layer in (relax.op.nn.gelu, relax.op.nn.softmax, relax.op.nn.silu, relax.op.nn.gelu_tanh):
                result = builder.emit(layer(result))
            output = builder.emit_output(relax.op.nn.log_softmax(result))
        builder.emit_func_output(output)
    mod = relax.transform.LegalizeOps()(builder.get())
    rewritten = colt.tvm.VectorMath()(mod)
    assert count_calls(mod) == {"erf": 1, "exp": 2, "sigmoid": 1, "tanh": 1, "log": 1}
    assert count_calls(rewritten) == {}
    assert rewritten["main"].same_as(mod["main"])


# ---- the code ----

NEEDS_X86 = pytest.mark.skipif(not X86, reason="needs LLVM for x86")
VECTORS = [
    pytest.param({"mcpu": "znver4"}, r"%zmm", id="AVX-512", marks=pytest.mark.skipif(not X86, reason="needs x86")),
    pytest.param({"mcpu": "haswell"}, r"%ymm", id="AVX2", marks=pytest.mark.skipif(not X86, reason="needs x86")),
    pytest.param(
        {"mcpu": "x86-64"}, r"(mul|add|sub|div)ps", id="SSE2", marks=pytest.mark.skipif(not X86, reason="x86")
    ),
    pytest.param({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, r"v\d+\.4s", id="NEON"),
]
LIBRARY = re.compile(r"\b(exp|exp2|log|tanh|erf|rsqrt|sqrt|floor|rint|nearbyint|ldexp|copysign)f\b")
SCALAR = re.compile(r"\b(v?(mul|add|sub|div|sqrt|fn?m(add|sub)\d+)ss|f(mul|add|sub|div|madd|msub)\ts\d+)\b")


@pytest.mark.parametrize(("target", "register"), VECTORS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_llvm_makes_vector_code_of_it(name: str, target: dict[str, str], register: str) -> None:
    library = tvm.tirx.build(rewrite(elementwise(getattr(tirx, name), 4096)), target=Target({"kind": "llvm", **target}))
    assembly = library.inspect_source("asm")
    assert not LIBRARY.search(assembly)
    assert not SCALAR.search(assembly)
    assert re.search(register, assembly)


@NEEDS_X86
def test_the_patterns_find_what_they_look_for() -> None:
    target = Target({"kind": "llvm", "mcpu": "haswell"})
    exact = tvm.tirx.build(elementwise(tirx.exp), target=target).inspect_source("asm")
    assert LIBRARY.search(exact)
    scalar = tvm.tirx.build(programs.row_sum(), target=target).inspect_source("asm")
    assert SCALAR.search(scalar)


def test_powers_of_two_take_one_instruction_where_there_is_one() -> None:
    """LLVM calls libm for them on other processors."""
    x = te.placeholder((64,), name="x")
    schedule = s_tir.Schedule(module_of_tensors([x, te.compute((64,), lambda i: tirx.exp(x[i]), name="y")]))
    (loop,) = schedule.get_loops(schedule.get_sblock("y"))
    schedule.vectorize(schedule.split(loop, [None, 16])[1])
    for cpu, scales in (("skylake-avx512", True), ("haswell", False)):
        target = Target({"kind": "llvm", "mcpu": cpu})
        library = tvm.tirx.build(colt.tvm.VectorMath(target)(schedule.mod), target=target)
        assert ("vscalefps" in library.inspect_source("asm")) is scales
        assert "ldexp" not in library.inspect_source("asm")
