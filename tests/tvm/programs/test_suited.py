"""The form of products of bytes that suits a processor: structure, and that every schedule of it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te
from tvm.s_tir import Schedule
from tvm.target import Target
from tvm_ffi import structural_walk

from colt.tvm.programs.corrections import corrections_first
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.program import module_of_function, module_of_tensors
from colt.tvm.programs.source import load_program
from colt.tvm.programs.suited import suited, suited_form
from colt.tvm.space.skeleton import read_skeleton
from tests.helpers.dot_programs import (
    exact,
    linear_with_zero_points,
    matmul,
    operands,
    runs_here,
    target_with,
    with_zero_points,
)
from tests.tvm.sketches.test_dots import dots_of, run, schedules

VNNI = Target(target_with("avx512vnni"))
SAME_SIGNS = [("int8", "int8"), ("uint8", "uint8")]


def form(mod: Any, target: Any = VNNI) -> Any:
    return module_of_function(suited_form(normal_form(mod["main"]), target))


def names(mod: Any) -> list[str]:
    return [block.name for block in read_skeleton(mod, (), ()).blocks]


def intrinsics(schedule: Schedule) -> set[str]:
    found = [one for one in schedule.trace.insts if str(one.kind.name) == "Tensorize"]
    return {str(one.attrs[0]) for one in found}


def test_signs_are_flipped_where_the_operand_is_packed() -> None:
    mod = form(matmul(64, 64, 128, "int8", "int8"))
    assert names(mod) == ["B_flipped", "C_A_sum", "C"]
    space = dots_of(mod)
    (schedule,) = schedules(space, 1)
    assert intrinsics(space.scheduled(schedule)) == {"colt.pack.flipped.uint8.4x16", "colt.dot.avx512vnni.s8u8.x4"}


def test_a_constant_operand_is_flipped_ahead_of_the_call() -> None:
    mod = matmul(64, 64, 128, "int8", "int8")
    mod = tvm.IRModule({"main": mod["main"].with_attr("colt.constants", ["B"])})
    flipped = form(mod)
    ahead = {block.name for block in read_skeleton(flipped, (), ()).blocks if block.ahead}
    assert ahead == {"B_flipped"}


@pytest.mark.parametrize(
    ("cpu", "left", "right", "columns"),
    [
        ("sapphirerapids", "int8", "int8", 64),  # tiles take all signs
        ("sierraforest", "int8", "int8", 64),  # an instruction for equal signs
        ("haswell", "int8", "int8", 64),  # widened to 16 bits
        ("x86-64", "int8", "int8", 64),  # no instruction
        ("cascadelake", "uint8", "int8", 64),  # unequal signs
        ("cascadelake", "int8", "int8", 16),  # the sum over rows would cost as much as it saves
    ],
)
def test_nothing_else_changes(cpu: str, left: str, right: str, columns: int) -> None:
    func = matmul(64, columns, 128, left, right)["main"]
    assert suited_form(func, Target({"kind": "llvm", "mcpu": cpu, "num-cores": 2})).same_as(func)


@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("types", SAME_SIGNS, ids=str)
@pytest.mark.parametrize(("m", "n", "k"), [(32, 64, 64), (29, 100, 67)])
def test_every_shape_and_layout_is_exact(m: int, n: int, k: int, types: tuple[str, str], layout: str) -> None:
    if not runs_here("avx512vnni"):
        pytest.skip("this machine has no avx512vnni")
    a, b = operands(m, n, k, *types, layout)
    space = dots_of(form(matmul(m, n, k, *types, layout)))
    for schedule in schedules(space, len(space.plans) + 1):
        assert any(name.startswith("colt.dot") for name in intrinsics(space.scheduled(schedule)))
        result = run(space, schedule, VNNI, a, b, shape=(m, n), dtype=np.int32)
        np.testing.assert_array_equal(result, exact(a, b, layout))


def test_a_trace_of_the_form_replays_in_stock_tvm() -> None:
    mod = form(matmul(32, 64, 64, "int8", "int8"))
    space = dots_of(mod)
    (schedule,) = schedules(space, 1)
    replayed = tvm.s_tir.Schedule(mod, debug_mask="all")
    tvm.s_tir.schedule.Trace.apply_json_to_schedule(space.scheduled(schedule).trace.as_json(), replayed)
    tvm.ir.assert_structural_equal(replayed.mod, space.scheduled(schedule).mod)


# ---- zero points ----


@pytest.mark.parametrize("kind", ["constants", "channels", "left only", "right only"])
def test_sums_begin_with_their_corrections(kind: str) -> None:
    mod = form(linear_with_zero_points(32, 64, 96, kind))
    assert names(mod)[-2:] == ["P", "Y"]
    assert not any("zero_points" in name for name in names(mod))
    if not runs_here("avx512vnni"):
        pytest.skip("this machine has no avx512vnni")
    rng = np.random.default_rng(3)
    x, w = rng.integers(0, 256, (32, 96)).astype("uint8"), rng.integers(-128, 128, (64, 96)).astype("int8")
    zeros = rng.integers(-9, 9, 64).astype("int32")
    space = dots_of(mod)
    for schedule in schedules(space, len(space.plans) + 2):
        result = run(space, schedule, VNNI, x, w, zeros, shape=(32, 64), dtype=np.int32)
        np.testing.assert_array_equal(result, with_zero_points(x, w, zeros, kind))


def test_the_result_is_finished_in_the_register_tile() -> None:
    """What reads the sum alone is computed where its tile is stored; what reads its correction too is not."""
    space = dots_of(form(linear_with_zero_points(32, 64, 96, "left only")))
    assert [plan.name for plan in (space.plans[n] for n in range(len(space.plans)))] == ["fused"]


def begun(mod: Any) -> Any:
    return corrections_first(mod["main"], lambda _: True)


def sums(extent: int, value: Any, dtype: str = "int32", *, twice: bool = False) -> Any:
    """``C`` is ``value`` of the elements of a sum ``P`` and of an argument ``D``."""
    a, d = te.placeholder((extent, 8), dtype=dtype, name="A"), te.placeholder((extent,), dtype=dtype, name="D")
    k = te.reduce_axis((0, 8), name="k")
    p = te.compute((extent,), lambda i: te.sum(a[i, k], axis=k), name="P")
    c = te.compute((extent,), lambda i: value(p[i], d[i]), name="C")
    if not twice:
        return module_of_tensors([a, d, c])
    return module_of_tensors([a, d, te.compute((extent,), lambda i: c[i] * p[i], name="E")])


def test_what_is_added_comes_first() -> None:
    func = begun(sums(4, lambda p, d: 7 - d + p))
    stores: list[Any] = []
    structural_walk(func.body, (tvm.tirx.BufferStore, stores.append))
    library = tvm.tirx.build(module_of_function(func), target=VNNI) if runs_here("avx512vnni") else None
    assert len(stores) == 2  # the initial value and the sum
    if library is not None:
        a, d = np.arange(32, dtype="int32").reshape(4, 8), np.array([1, -2, 3, 2**30], "int32")
        out = tvm.runtime.tensor(np.zeros(4, "int32"))
        library["main"](tvm.runtime.tensor(a), tvm.runtime.tensor(d), out)
        np.testing.assert_array_equal(out.numpy(), 7 - d + a.sum(axis=1))


@pytest.mark.parametrize(
    "mod",
    [
        sums(4, lambda p, d: p * d),
        sums(4, lambda p, d: d - p),
        sums(4, lambda p, d: p + p + d),
        sums(4, lambda p, d: p + 1),  # needs nothing from elsewhere: it is finished in the tile as it is
        sums(4, lambda p, d: p + d, "float32"),  # another order of rounding
        sums(4, lambda p, d: p + d, twice=True),
    ],
    ids=["product", "subtracted", "twice in one", "alone", "floats", "used elsewhere"],
)
def test_other_uses_of_sums_stay(mod: Any) -> None:
    assert begun(mod).same_as(mod["main"])


# ---- short floats ----


def product(m: int, n: int, k: int, dtype: str = "float16", *, constant: str = "") -> Any:
    mod = matmul(m, n, k, dtype, dtype)
    if dtype == "float16":
        a, b = te.placeholder((m, k), dtype=dtype, name="A"), te.placeholder((k, n), dtype=dtype, name="B")
        t = te.reduce_axis((0, k), name="k")
        c = te.compute(
            (m, n), lambda i, j: te.sum(a[i, t].astype("float32") * b[t, j].astype("float32"), axis=t), name="C"
        )
        mod = module_of_tensors([a, b, c])
    return tvm.IRModule({"main": mod["main"].with_attr("colt.constants", [constant])}) if constant else mod


def test_what_is_the_same_in_all_lanes_is_widened_once() -> None:
    mod = form(product(32, 64, 40))
    assert names(mod) == ["A_wide", "C"]
    (sum_,) = [block for block in read_skeleton(mod, (), ()).blocks if block.name == "C"]
    assert [(read.buffer, read.element_bytes) for read in sum_.reads] == [("A_wide", 4), ("B", 2)]


@pytest.mark.parametrize(
    ("mod", "cpu"),
    [
        (product(32, 16, 40), "cascadelake"),  # each element is used too seldom
        (product(32, 64, 40, constant="A"), "cascadelake"),
        (product(32, 64, 64, "bfloat16"), "znver4"),  # it has a dot instruction
    ],
    ids=["seldom", "constant", "dot"],
)
def test_other_short_floats_stay(mod: Any, cpu: str) -> None:
    target = Target({"kind": "llvm", "mcpu": cpu, "num-cores": 2})
    assert suited_form(mod["main"], target).same_as(mod["main"])


def test_bfloat16_is_widened_where_nothing_multiplies_it() -> None:
    assert names(form(product(32, 64, 64, "bfloat16"))) == ["A_wide", "C"]


def test_sums_have_a_widened_operand_in_common() -> None:
    x = te.placeholder((32, 40), dtype="float16", name="X")
    weights = [te.placeholder((40, 64), dtype="float16", name=name) for name in ("G", "U")]

    def by(w: Any, name: str) -> Any:
        t = te.reduce_axis((0, 40), name="k")
        body = lambda i, j: te.sum(x[i, t].astype("float32") * w[t, j].astype("float32"), axis=t)  # noqa: E731
        return te.compute((32, 64), body, name=name)

    gate, up = by(weights[0], "P"), by(weights[1], "Q")
    mod = form(module_of_tensors([x, *weights, te.compute((32, 64), lambda i, j: gate[i, j] * up[i, j], name="Y")]))
    assert names(mod) == ["X_wide", "P", "Q", "Y"]


# ---- programs ----


def test_recorded_runs_keep_the_form_that_they_had() -> None:
    program = load_program("matmul-int8")
    assert suited(program, VNNI, 11) is program
    found = suited(program, VNNI)
    assert found.given is program.module
    assert names(found.module) == ["B_flipped", "C_A_sum", "C"]
    assert suited(load_program("matmul"), VNNI).given is None
