"""Instructions on tiles: in the code of a processor that has them, and exact by what Intel says they mean."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm import te
from tvm.target import Target

from colt.analysis.estimate import cost
from colt.analysis.nests import instantiate
from colt.analysis.processor import Machine
from colt.machine import detect
from colt.tvm.devices import rate_kernels
from colt.tvm.devices.host import resolve_target
from colt.tvm.devices.register_kernels import arguments
from colt.tvm.dots.shims import REFUSED, TILE_SHAPES
from colt.tvm.dots.table import TABLE
from colt.tvm.dots.tiles import DOTS
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.program import module_of_function, module_of_tensors
from colt.tvm.sketches import derive
from colt.tvm.space.space import TvmSpace
from tests.helpers.dot_programs import chain, exact, linear_with_zero_points, matmul, operands, with_zero_points
from tests.helpers.tile_emulator import Fault, TileEmulator, Tiles
from tests.tvm.sketches.test_dots import dots_of, schedules

AMX = Target(
    {
        "kind": "llvm",
        "mcpu": "sapphirerapids",
        "num-cores": 2,
        "mattr": ["+amx-tile", "+amx-int8", "+amx-bf16"],
    }
)
HERE = resolve_target(None, 2)
"""Everything but the tile instructions runs on any processor."""


def tiles_of(mod: Any) -> TvmSpace:
    return dots_of(mod, AMX, "tiles")


@cache
def large(left: str, right: str) -> TvmSpace:
    return tiles_of(matmul(512, 512, 8192, left, right))


def run(mod: Any, inputs: Any, shape: tuple[int, ...], dtype: Any, emulator: TileEmulator | None = None) -> Any:
    output = tvm.runtime.tensor(np.zeros(shape, dtype))
    (emulator or TileEmulator()).build(mod, HERE)(*(tvm.runtime.tensor(one) for one in inputs), output)
    return output.numpy()


# ---- code ----


@pytest.mark.parametrize("types", DOTS, ids=str)
def test_the_innermost_loop_is_loads_and_products_of_tiles_and_nothing_is_spilled(types: tuple[str, str]) -> None:
    """A register tile of two by two tiles loads four operands for four products; its sums stay in tiles."""
    space = large(*types)
    (schedule,) = schedules(space, 1)
    text = tvm.tirx.build(space.module(schedule), target=AMX).inspect_source("asm")
    dot = DOTS[types].rpartition(".")[2]
    blocks = [block for block in re.split(r"^\.?L\w+:", text, flags=re.MULTILINE) if dot in block]
    loops = [block.partition("\tj")[0] for block in blocks if re.search(r"\tj\w+\t\.L", block)]
    assert loops
    for block in loops:
        names = re.findall(r"^\t(t\w+)", block, re.MULTILINE)
        assert names.count("tileloadd") == names.count(dot) > 0
        assert not re.search(r"%rsp|tilestored|mm\d+.*[xyz]mm", block)
    assert text.count("\tldtilecfg") == text.count("\ttilerelease") == 1


def test_stock_tvm_gives_each_register_tile_its_tiles_and_replays_by_name() -> None:
    space, mod = tiles_of(matmul(64, 64, 64, "int8", "int8")), matmul(64, 64, 64, "int8", "int8")
    (schedule,) = schedules(space, 1)
    text = space.scheduled(schedule).trace.as_json()
    replayed = tvm.s_tir.Schedule(mod, debug_mask="all")
    tvm.s_tir.schedule.Trace.apply_json_to_schedule(text, replayed)
    a, b = operands(64, 64, 64, "int8", "int8")
    emulator = TileEmulator()
    np.testing.assert_array_equal(run(replayed.mod, (a, b), (64, 64), np.int32, emulator), exact(a, b))
    assert emulator.configured == 4


def test_each_job_has_its_tiles_once_and_gives_them_back() -> None:
    space = tiles_of(matmul(128, 96, 64, "uint8", "int8"))
    a, b = operands(128, 96, 64, "uint8", "int8")
    for schedule in schedules(space, 4):
        emulator = TileEmulator()
        run(space.module(schedule), (a, b), (128, 96), np.int32, emulator)
        rows, columns = schedule.values
        assert isinstance(rows, tuple)
        assert isinstance(columns, tuple)
        assert emulator.configured == rows[0] * columns[0]


@pytest.mark.skipif("amx_tile" in detect().flags, reason="this machine has AMX")
def test_a_machine_without_tiles_refuses_the_kernel_with_a_reason() -> None:
    target = Target({**HERE.export(), "mattr": [*(HERE.attrs.get("mattr") or ()), "+amx-tile", "+amx-int8"]})
    space = tiles_of(matmul(64, 64, 64, "int8", "int8"))
    function = tvm.tirx.build(space.module(schedules(space, 1)[0]), target=target)["main"]
    empty = [np.zeros((64, 64), dtype) for dtype in (np.int8, np.int8, np.int32)]
    with pytest.raises(RuntimeError, match=REFUSED):
        function(*map(tvm.runtime.tensor, empty))


# ---- results ----

SHAPES = [
    (64, 64, 128, "NN", "int8", "int8"),
    (47, 40, 100, "NT", "uint8", "int8"),
    (100, 33, 67, "TN", "int8", "uint8"),
    (16, 80, 64, "TT", "uint8", "uint8"),
    (9, 17, 33, "NN", "int8", "uint8"),
    (96, 16, 192, "NN", "uint8", "int8"),
    (20, 48, 32, "NT", "int8", "int8"),
    (33, 64, 65, "NN", "uint8", "uint8"),
]


@pytest.mark.parametrize(("m", "n", "k", "layout", "left", "right"), SHAPES)
def test_every_shape_and_sign_is_exact(m: int, n: int, k: int, layout: str, left: str, right: str) -> None:
    a, b = operands(m, n, k, left, right, layout)
    space = tiles_of(matmul(m, n, k, left, right, layout))
    assert len(space.plans) >= 1
    for schedule in schedules(space, 2):
        emulator = TileEmulator()
        result = run(space.module(schedule), (a, b), (m, n), np.int32, emulator)
        np.testing.assert_array_equal(result, exact(a, b, layout))
        assert set(emulator.dots) == {DOTS[left, right]}


def narrow(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(("m", "n", "k", "layout"), [SHAPES[number][:4] for number in (0, 1, 2, 4)])
def test_bfloat16_is_summed_in_float32(m: int, n: int, k: int, layout: str) -> None:
    one, other = narrow(m, k), narrow(k, n)
    a, b = (array if way == "N" else array.T.copy() for array, way in zip((one, other), layout, strict=True))
    space = tiles_of(matmul(m, n, k, "bfloat16", "bfloat16", layout))
    for schedule in schedules(space, 1):
        result = run(space.module(schedule), (a, b), (m, n), np.float32)
        np.testing.assert_allclose(result, one.astype(float) @ other.astype(float), rtol=1e-5, atol=1e-4)


def test_a_product_written_the_other_way_round_is_exact() -> None:
    a, b = operands(64, 32, 64, "int8", "uint8")
    space = tiles_of(matmul(64, 32, 64, "int8", "uint8", swapped=True))
    result = run(space.module(schedules(space, 1)[0]), (a, b), (64, 32), np.int32)
    np.testing.assert_array_equal(result, exact(a, b))


def test_what_follows_the_sums_is_computed_on_stored_tiles() -> None:
    program = normal_form(linear_with_zero_points(40, 48, 96, "channels")["main"])
    space = tiles_of(module_of_function(program))
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (40, 96), np.uint8), rng.integers(-128, 128, (48, 96), np.int8)
    zeros = rng.integers(-9, 9, 48, np.int32)
    for schedule in schedules(space, len(space.plans) + 1):
        result = run(space.module(schedule), (x, w, zeros), (40, 48), np.int32)
        np.testing.assert_array_equal(result, with_zero_points(x, w, zeros, "channels"))


def test_one_job_may_have_several_products_also_of_what_is_rounded_in_between() -> None:
    a, b, c = narrow(32, 64), narrow(64, 96), narrow(96, 96)
    between = (a.astype(float) @ b.astype(float)).astype(np.float32).astype(ml_dtypes.bfloat16).astype(float)
    space = tiles_of(chain(32, 64, 96))
    for schedule in schedules(space, len(space.plans) + 2):
        result = run(space.module(schedule), (a, b, c), (32, 96), np.float32)
        want = between @ c.astype(float)
        np.testing.assert_allclose(result, want, rtol=2e-3, atol=2e-3 * abs(want).max())


def test_batches_of_matrices_are_exact() -> None:
    a = te.placeholder((3, 32, 64), dtype="uint8", name="A")
    b = te.placeholder((3, 64, 32), dtype="int8", name="B")
    k = te.reduce_axis((0, 64), name="k")
    body = lambda n, i, j: te.sum(a[n, i, k].astype("int32") * b[n, k, j].astype("int32"), axis=k)  # noqa: E731
    space = tiles_of(module_of_tensors([a, b, te.compute((3, 32, 32), body, name="C")]))
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (3, 32, 64), np.uint8), rng.integers(-128, 128, (3, 64, 32), np.int8)
    for schedule in schedules(space, 2):
        result = run(space.module(schedule), (x, y), (3, 32, 32), np.int32)
        np.testing.assert_array_equal(result, x.astype(np.int32) @ y.astype(np.int32))


# ---- others in the process ----


def test_whoever_left_tiles_of_other_shapes_does_not_disturb() -> None:
    """oneDNN gives the same threads tiles of its own shapes."""
    space = tiles_of(matmul(64, 64, 64, "int8", "int8"))
    a, b = operands(64, 64, 64, "int8", "int8")
    emulator = TileEmulator()
    run(space.module(schedules(space, 1)[0]), (a, b), (64, 64), np.int32, emulator)
    for tiles in emulator.threads.values():
        tiles.configure(TILE_SHAPES[:48] + bytes([7] * 8) + bytes(8))
    result = run(space.module(schedules(space, 1)[0]), (a, b), (64, 64), np.int32, emulator)
    np.testing.assert_array_equal(result, exact(a, b))


def test_a_process_that_gets_no_tiles_is_told_so() -> None:
    space = tiles_of(matmul(64, 64, 64, "int8", "int8"))
    a, b = operands(64, 64, 64, "int8", "int8")
    with pytest.raises(RuntimeError, match=REFUSED):
        run(space.module(schedules(space, 1)[0]), (a, b), (64, 64), np.int32, TileEmulator(refuse=True))


def test_the_emulator_faults_where_a_processor_would() -> None:
    tiles = Tiles()
    with pytest.raises(Fault, match="no shapes"):
        tiles.zero(0)
    with pytest.raises(Fault, match="palette"):
        tiles.configure(bytes(64))
    tiles.configure(TILE_SHAPES[:48] + bytes([16, 16, 8, *[16] * 5]) + bytes(8))
    tiles.dot(("int8", "int8"), 0, 1, 3)
    for sums, left, right in ((0, 1, 1), (0, 2, 3), (0, 1, 2)):
        with pytest.raises(Fault, match="cannot be multiplied"):
            tiles.dot(("int8", "int8"), sums, left, right)


# ---- which programs, and what is said and thought of them ----


@pytest.mark.parametrize(
    ("m", "n", "tiles"),
    [
        (512, 512, "32x32"),
        (16, 512, "16x64"),
        (8, 64, "16x64"),
        (512, 16, "64x16"),
        (17, 17, "32x32"),
        (16, 16, "16x16"),
    ],
)
def test_the_register_tile_suits_the_extents(m: int, n: int, tiles: str) -> None:
    designs, _ = derive(matmul(m, n, 128, "uint8", "int8"), AMX)
    names = {str(step.attrs[0]) for one in designs if one.variant == "tiles" for step in one.trace.insts
             if step.kind.name == "Tensorize"}  # fmt: skip
    assert f"colt.dot.amx-int8.u8s8.x64.{tiles}" in names


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (matmul(1, 512, 512, "uint8", "int8"), "one row"),
        (matmul(64, 64, 24, "uint8", "int8"), "few terms"),
        (matmul(64, 64, 64, "int16", "int8"), "other types"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_programs_that_gain_nothing_have_none(program: Any, why: str) -> None:
    assert not [one for one in derive(program, AMX)[0] if one.variant == "tiles"]


def test_processors_without_tiles_and_recorded_runs_have_none() -> None:
    mod = matmul(64, 64, 64, "uint8", "int8")
    without = Target({"kind": "llvm", "mcpu": "sapphirerapids", "num-cores": 2, "mattr": ["-amx-tile"]})
    assert "tiles" in {one.variant for one in derive(mod, AMX)[0]}
    assert "tiles" not in {one.variant for one in derive(mod, AMX, edition=6)[0]}
    assert "tiles" not in {one.variant for one in derive(mod, without)[0]}


def test_the_words_say_what_a_tile_takes() -> None:
    space = large("uint8", "int8")
    ((_, _, summary),) = space.summaries()
    assert summary == (
        "C in parallel tiles of i·j, C in register tiles of 32 i x 32 j, each instruction adding 64 terms of k to "
        "16 x 16 sums (amx-int8); B packed for C"
    )
    knobs = {knob.name: knob for knob in space.sketches[0].knobs}
    assert set(knobs) == {"C.i", "C.j"}
    assert knobs["C.j"].roles[-1] == "2nd from the outside, register tiles of 32"


def test_the_model_sees_tiles_as_vectors() -> None:
    space = large("uint8", "int8")
    (schedule,) = schedules(space, 1)
    _, dot, stored = space.skeleton(schedule).blocks
    assert {iter_.name: iter_.extent for iter_ in dot.iters} == {
        "v_i_o": 16, "v_j_o": 16, "v_k_o": 128, "down": 2, "across": 2, "row": 16, "word": 16,
    }  # fmt: skip
    assert [read.element_bytes for read in dot.reads] == [4, 4]
    assert (dot.on_tiles, stored.on_tiles, stored.write.buffer) == (True, True, "C")


def test_the_model_takes_tiles_for_as_fast_as_they_are() -> None:
    """64 x 16 x 16 products take 16 cycles; the rate counts a sixteenth of an instruction."""
    (schedule,) = schedules(large("uint8", "int8"), 1)
    skeleton = large("uint8", "int8").skeleton(schedule)
    a_gigahertz = Machine(512, 32, 1, 2 * 2 * 16, 1 << 20, 1 << 20, 1 << 20, dram=1.0)
    (nest,) = [nest for nest in instantiate(skeleton, schedule.values) if nest.block.name == "C"]
    microseconds = 512 * 512 * 8192 / (64 * 16 * 16) * 16 / 1000
    assert 1.0 <= cost(nest, a_gigahertz).compute_us / microseconds <= 1.05
    slower = replace(a_gigahertz, dots={"amx-int8": 4.0})
    assert 2.0 <= cost(nest, slower).compute_us / microseconds <= 2.1


@pytest.mark.parametrize("row", [row for row in TABLE if row.tiles == (2, 2) and row.left == row.right], ids=str)
def test_the_kernel_that_measures_their_rate_computes_products(row: Any) -> None:
    kernel = rate_kernels.amx_kernel(row, 3, 2)
    given = arguments(kernel, 2.0, 3.0)
    for array, number in zip(given, (2.0, 3.0), strict=False):
        array.view(str(np.dtype(row.left)) if row.group == 4 else ml_dtypes.bfloat16)[...] = number
    emulator = TileEmulator()
    emulator.build(module_of_function(kernel), HERE)(*given)
    np.testing.assert_array_equal(given[-1], 3 * row.terms * 6)
    assert len(emulator.dots) == 2 * 3 * 4
