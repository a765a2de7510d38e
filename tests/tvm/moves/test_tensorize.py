"""Moves that name instructions: the code has them, and computes what the program says."""

from __future__ import annotations

import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm import s_tir
from tvm.target import Target
from tvm_ffi import structural_equal

from colt.errors import IllegalEdit
from colt.knobs import EDITION, Schedule
from colt.moves import read_moves
from colt.tvm.dots import intrinsics_of
from colt.tvm.sketches import DesignSpace, derive
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import TvmSpace
from tests.helpers.dot_programs import matmul, runs_here, target_with

M, N, K = 6, 48, 64
BF16 = Target(target_with("avx512bf16"))
AMX = Target({"kind": "llvm", "mcpu": "sapphirerapids", "num-cores": 2, "mattr": ["+amx-tile", "+amx-int8"]})
STEPS = "split(C.j, [_, 16]); split(C.k, [_, 2]); reorder(C, [i, j_0, k_0, j_1, k_1]); decompose_reduction(C.k_0)"
AS_IT_IS = f"{STEPS}; tensorize(C_update.j_1, colt.dot.avx512bf16.bf16bf16.x2)"
PACKED = (
    f"cache_read(C, B); transform_layout(C, B_global, [d1/16, d0/2, d1%16, d0%2]); {STEPS}; "
    "tensorize(C_update.j_1, colt.dot.avx512bf16.bf16bf16.x2.packed)"
)


def of_bfloat16() -> Any:
    return matmul(M, N, K, "bfloat16", "bfloat16")


def space_of(mod: Any, target: Any, edition: int = EDITION) -> TvmSpace:
    """Without sketches; moves may apply some."""
    known = intrinsics_of(target, edition)
    return TvmSpace(mod, DesignSpace((), ()), intrinsics=known, target=target, edition=edition)


def moved(space: TvmSpace, text: str) -> Schedule:
    return space.apply(UNTUNED, read_moves(text), random.Random(0)).schedule


@pytest.mark.parametrize(
    "moves", [AS_IT_IS, PACKED, PACKED.replace("decompose", "parallel(C.i); decompose")], ids=["", "packed", "parallel"]
)
def test_a_dot_of_bfloat16_is_its_instruction_and_right(moves: str) -> None:
    space = space_of(of_bfloat16(), BF16)
    library = tvm.tirx.build(space.module(moved(space, moves)), target=BF16)
    lines = [line for line in library.inspect_source("asm").splitlines() if "vdpbf16ps" in line]
    assert lines
    assert all("%zmm" in line for line in lines)
    if not runs_here("avx512bf16"):
        pytest.skip("this machine has no avx512bf16")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((M, K), (K, N)))
    out = tvm.runtime.tensor(np.full((M, N), np.nan, "float32"))
    library["main"](*map(tvm.runtime.tensor, (a, b)), out)
    np.testing.assert_allclose(out.numpy(), a.astype("float64") @ b.astype("float64"), rtol=1e-4, atol=1e-4)


def test_the_model_sees_the_instruction_and_stock_tvm_replays_it() -> None:
    space = space_of(of_bfloat16(), BF16)
    schedule = moved(space, PACKED)
    assert [block.instruction for block in space.skeleton(schedule).blocks if block.instruction] == ["avx512bf16"]
    replayed = s_tir.Schedule(of_bfloat16())
    space.scheduled(schedule).trace.apply_to_schedule(replayed, remove_postproc=False)
    assert structural_equal(replayed.mod, space.scheduled(schedule).mod)
    assert "avx512bf16" in tvm.tirx.build(replayed.mod, target=BF16).inspect_source("ll")


def test_runs_of_earlier_editions_keep_to_instructions_that_call_nothing() -> None:
    space = space_of(of_bfloat16(), BF16, 14)
    with pytest.raises(IllegalEdit, match=r"no intrinsic 'colt.dot.avx512bf16.bf16bf16.x2' here"):
        moved(space, AS_IT_IS)


def test_tiles_are_used_by_a_sketch_that_a_move_applies() -> None:
    """A step on tiles alone would add to whatever they hold."""
    mod = matmul(64, 64, 128, "int8", "int8")
    space = space_of(mod, AMX)
    assert not [one for one in intrinsics_of(AMX).calls if "amx" in one]
    name = next(f"{one.variant}/{one.name}" for one in derive(mod, AMX)[0] if one.variant == "tiles")
    schedule = moved(space, f"sketch({name})")
    code = tvm.tirx.build(space.module(schedule), target=AMX).inspect_source("asm")
    assert "tdpbssd" in code


@pytest.mark.parametrize(
    ("left", "right", "edition", "told"),
    [
        ("uint8", "int8", EDITION, "there are colt.dot.avx512vnni.u8s8.x4, colt.dot.avx512vnni.u8s8.x4.swapped, "),
        ("int8", "int8", EDITION, "there are colt.dot.avx512vnni.s8s8.x16, colt.dot.avx512vnni.s8s8.x16.swapped, "),
        ("bfloat16", "bfloat16", EDITION, "there are colt.dot.avx512bf16.bf16bf16.x2.packed, "),
        ("bfloat16", "bfloat16", 14, "there are colt.dot.avx2.s8s8.x2, colt.dot.avx2.s8s8.x2.swapped, "),
    ],
)
def test_who_names_none_is_told_those_for_the_types_of_the_block(
    left: str, right: str, edition: int, told: str
) -> None:
    space = space_of(matmul(M, N, K, left, right), BF16, edition)
    with pytest.raises(IllegalEdit) as refusal:
        moved(space, "tensorize(C.j, colt.dot.anything)")
    assert told in str(refusal.value)
