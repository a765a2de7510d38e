"""Contractions by dot instructions: which programs have them, and that every one computes the right integers."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm import te
from tvm.target import Target

from colt.errors import Rejected
from colt.knobs import Schedule
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import DesignSpace, derive, generate
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs
from tests.helpers.dot_programs import chain, exact, matmul, operands, runs_here, target_with

POSTPROCS = generate(space_programs.elementwise(), Target(target_with("avx2"))).postprocs
VNNI = Target(target_with("avx512vnni"))


def dots_of(mod: Any, target: Any = VNNI, variant: str = "dot") -> TvmSpace:
    """The sketches with dot instructions alone."""
    designs, messages = derive(mod, target)
    assert messages == []
    return TvmSpace(mod, DesignSpace(tuple(one for one in designs if one.variant == variant), POSTPROCS))


def schedules(space: TvmSpace, count: int) -> list[Schedule]:
    """Every sketch's first schedule, and random ones."""
    rng, found = (
        random.Random(1),
        [Schedule(p.variant, p.name, p.first) for p in (space.plans[n] for n in range(len(space.plans)))],
    )
    while len(found) < count:
        try:
            found.append(space.sample(rng))
        except Rejected:
            continue
    return found


def run(space: TvmSpace, schedule: Schedule, target: Any, *inputs: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    library = tvm.tirx.build(space.module(schedule), target=target)
    output = tvm.runtime.tensor(np.zeros(shape, dtype))
    library["main"](*(tvm.runtime.tensor(one) for one in inputs), output)
    return output.numpy()


SHAPES = [
    (16, 32, 64, "NN"),
    (30, 31, 33, "NT"),
    (29, 100, 67, "TN"),
    (8, 17, 3, "NN"),
    (13, 16, 128, "TT"),
    (64, 5, 20, "NT"),
]


@pytest.mark.parametrize(("m", "n", "k", "layout"), SHAPES)
@pytest.mark.parametrize("types", [("uint8", "int8"), ("int8", "int8"), ("uint8", "uint8"), ("int8", "uint8")], ids=str)
def test_every_shape_and_sign_is_exact(m: int, n: int, k: int, layout: str, types: tuple[str, str]) -> None:
    instruction_set = "avx512vnni" if runs_here("avx512vnni") else "avx2"
    if not runs_here(instruction_set):
        pytest.skip("this machine has none of the instructions")
    target = Target(target_with(instruction_set))
    a, b = operands(m, n, k, *types, layout)
    space = dots_of(matmul(m, n, k, *types, layout), target)
    assert len(space.plans) >= 1
    for schedule in schedules(space, len(space.plans) + 1):
        result = run(space, schedule, target, a, b, shape=(m, n), dtype=np.int32)
        np.testing.assert_array_equal(result, exact(a, b, layout))


@cache
def square(left: str = "uint8", right: str = "int8") -> TvmSpace:
    return dots_of(matmul(64, 64, 128, left, right))


def test_the_words_say_how_many_terms_an_instruction_takes() -> None:
    ((_, _, summary),) = square().summaries()
    assert summary == (
        "C in parallel tiles of i·j, C in rows of i x vectors of 16 along j, each lane adding 4 terms of k an "
        "instruction (avx512vnni); B packed for C"
    )
    knobs = {knob.name: knob for knob in square().sketches[0].knobs}
    assert set(knobs) == {"C.i", "C.j", "C.k"}
    assert knobs["C.k"].roles[-1] == "inner part of the reduction, 4 terms in each turn, unrolled"


def test_the_model_sees_groups_for_elements() -> None:
    """A step multiplies vectors of groups, so a contraction over 128 terms has 32 steps of 16 lanes."""
    space = square()
    (schedule,) = schedules(space, 1)
    packing, dot, _ = space.skeleton(schedule).blocks
    assert (packing.name, dot.name) == ("B_global", "C")
    assert {iter_.name: iter_.extent for iter_ in dot.iters} == {
        "v_i_o": 64, "v_j_o": 4, "v_k_o": 32, "lanes": 16, "fold": 1,
    }  # fmt: skip
    assert [read.element_bytes for read in dot.reads] == [1, 4]


def test_a_trace_replays_on_the_untuned_program_in_stock_tvm() -> None:
    mod = matmul(32, 32, 64, "int8", "int8")
    space = dots_of(mod)
    (schedule,) = schedules(space, 1)
    text = space.scheduled(schedule).trace.as_json()
    replayed = tvm.s_tir.Schedule(mod, debug_mask="all")
    tvm.s_tir.schedule.Trace.apply_json_to_schedule(text, replayed)
    tvm.ir.assert_structural_equal(replayed.mod, space.scheduled(schedule).mod)


def _sum_of(body: Any, inputs: list[Any], shape: tuple[int, ...]) -> Any:
    return module_of_tensors([*inputs, te.compute(shape, body, name="C")])


def test_only_products_of_widened_loads_are_dots() -> None:
    a, b = (te.placeholder((32, 32), dtype="int8", name=name) for name in "AB")
    k = te.reduce_axis((0, 32), name="k")
    wide = lambda x: x.astype("int32")  # noqa: E731
    bodies = {
        "saturating": lambda i, j: te.sum((a[i, k] * b[k, j]).astype("int32"), axis=k),
        "difference": lambda i, j: te.sum(wide(a[i, k]) - wide(b[k, j]), axis=k),
        "largest": lambda i, j: te.max(wide(a[i, k]) * wide(b[k, j]), axis=k),
        "own square": lambda i, j: te.sum(wide(a[i, k]) * wide(a[j, k]), axis=k),
    }
    for name, body in bodies.items():
        designs, _ = derive(_sum_of(body, [a, b], (32, 32)), VNNI)
        assert not [one for one in designs if one.variant == "dot"], name


def test_a_single_row_does_not_pay_for_packing() -> None:
    assert len(dots_of(matmul(1, 256, 256, "uint8", "int8")).plans) == 0


# ---- bfloat16 ----


def bf16(m: int, n: int, k: int, layout: str = "NN") -> Any:
    return matmul(m, n, k, "bfloat16", "bfloat16", layout)


BF16 = Target(target_with("avx512bf16"))
needs_bf16 = pytest.mark.skipif(not runs_here("avx512bf16"), reason="this machine has no avx512bf16")


def narrow(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(ml_dtypes.bfloat16)


def exactly(*factors: Any) -> Any:
    return np.linalg.multi_dot([factor.astype(np.float64) for factor in factors])


@needs_bf16
@pytest.mark.parametrize("variant", ["dot", "dot-packed"])
def test_bfloat16_is_summed_in_float32_two_terms_an_instruction(variant: str) -> None:
    a, b = narrow(13, 66), narrow(66, 48)
    space = dots_of(bf16(13, 48, 66), BF16, variant)
    for schedule in schedules(space, 3):
        result = run(space, schedule, BF16, a, b, shape=(13, 48), dtype=np.float32)
        np.testing.assert_allclose(result, exactly(a, b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["dot", "dot-packed"])
def test_bfloat16_is_in_the_code_of_a_processor_that_has_it(variant: str) -> None:
    space = dots_of(bf16(16, 32, 64), BF16, variant)
    library = tvm.tirx.build(space.module(schedules(space, 1)[0]), target=BF16)
    assert "vdpbf16ps" in library.inspect_source("asm")


COPIED = [(47, 66, "NN"), (48, 65, "NN"), (48, 66, "NT"), (48, 66, "TN"), (47, 65, "TT")]


@needs_bf16
@pytest.mark.parametrize(("n", "k", "layout"), COPIED)
def test_bfloat16_that_has_to_be_copied_is_packed(n: int, k: int, layout: str) -> None:
    mod = bf16(16, n, k, layout)
    assert len(dots_of(mod, BF16).plans) == 0
    one, other = narrow(16, k), narrow(k, n)
    a, b = (array if way == "N" else array.T.copy() for array, way in zip((one, other), layout, strict=True))
    space = dots_of(mod, BF16, "dot-packed")
    for schedule in schedules(space, len(space.plans) + 1):
        result = run(space, schedule, BF16, a, b, shape=(16, n), dtype=np.float32)
        np.testing.assert_allclose(result, exactly(one, other), rtol=1e-5, atol=1e-5)


@needs_bf16
def test_what_a_block_computes_in_bfloat16_stays_so_for_a_dot() -> None:
    """TVM makes every buffer of bfloat16 between blocks one of float32: the instruction would read garbage."""
    a, b, c = narrow(16, 32), narrow(32, 48), narrow(48, 48)
    between = exactly(a, b).astype(np.float32).astype(ml_dtypes.bfloat16)
    space = dots_of(chain(16, 32, 48), BF16, "dot-packed")
    assert len(dots_of(chain(16, 32, 48), BF16).plans)  # the first product alone
    for schedule in schedules(space, len(space.plans) + 2):
        result = run(space, schedule, BF16, a, b, c, shape=(16, 48), dtype=np.float32)
        np.testing.assert_allclose(result, exactly(between, c), rtol=2e-3, atol=2e-3 * abs(exactly(between, c)).max())


def test_the_fourth_edition_of_the_design_space_packed_no_bfloat16() -> None:
    mod = bf16(16, 32, 64)
    variants = [{design.variant for design in derive(mod, BF16, edition=edition)[0]} for edition in (4, 5)]
    assert {"dot", "dot-packed"} & variants[0] == {"dot"}
    assert {"dot", "dot-packed"} <= variants[1]


def test_the_first_edition_of_the_design_space_had_none() -> None:
    mod = matmul(16, 32, 64, "uint8", "int8")
    variants = [{design.variant for design in derive(mod, VNNI, edition=edition)[0]} for edition in (1, 2)]
    assert "dot" not in variants[0]
    assert "dot" in variants[1]
