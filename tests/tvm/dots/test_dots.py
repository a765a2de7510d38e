"""Dot instructions as tensor intrinsics: each in the code of a processor that has it, and exact on one that is here."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir
from tvm.target import Target

from colt.tvm.dots import TABLE, Dot, find
from colt.tvm.dots.table import Method
from tests.helpers.dot_programs import exact, matmul, operands, runs_here, target_with
from tests.helpers.lean import without_torch

INSTRUCTION = {
    ("avx512vnni", Method.VNNI): ("vpdpbusd", "%zmm"),
    ("avxvnni", Method.VNNI): ("vpdpbusd", "%ymm"),
    ("avxvnniint8", Method.SAME): ("vpdpb", "%ymm"),
    ("avx512bw", Method.MADD): ("vpmaddwd", "%zmm"),
    ("avx2", Method.MADD): ("vpmaddwd", "%ymm"),
    ("avx512bf16", Method.BF16): ("vdpbf16ps", "%zmm"),
}
BYTES = [row for row in TABLE if row.method not in (Method.BF16, Method.TILE, Method.HALVES)]
ROWS = 3


def _names(rows: list[Dot]) -> list[str]:
    return [row.intrinsic(False) for row in rows]


def by_hand(row: Dot, steps: int, swapped: bool) -> Any:
    """A product of three rows and one vector of columns, in nothing but this instruction."""
    layout = "NN"
    schedule = s_tir.Schedule(
        matmul(ROWS, row.lanes, steps * row.terms, row.left, row.right, layout, swapped=swapped), debug_mask=0
    )
    block = schedule.get_sblock("C")
    read = 0 if swapped else 1
    packed = schedule.cache_read(block, read, "global")
    lanes, group = row.lanes, row.group
    schedule.transform_layout(
        block, ("read", read), index_map=lambda k, j: (j // lanes, k // group, j % lanes, k % group)
    )
    _, j, k = schedule.get_loops(block)
    outer, inner = schedule.split(k, [None, row.terms])
    schedule.reorder(outer, j, inner)
    schedule.decompose_reduction(block, outer)
    schedule.tensorize(schedule.blockize(j), row.intrinsic(swapped))
    rows, columns = schedule.get_loops(packed)
    groups, neighbours = schedule.split(rows, [None, group])
    schedule.reorder(groups, neighbours, columns)
    schedule.tensorize(schedule.blockize(neighbours), row.packing)
    return schedule


@pytest.mark.parametrize("row", BYTES, ids=_names(BYTES))
def test_every_row_is_its_instruction_in_the_code(row: Dot) -> None:
    library = tvm.tirx.build(by_hand(row, 2, swapped=False).mod, target=Target(target_with(row.instruction_set)))
    name, register = INSTRUCTION[row.instruction_set, row.method]
    lines = [line for line in library.inspect_source("asm").splitlines() if name in line]
    assert lines
    assert all(register in line for line in lines)


@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize("row", BYTES, ids=_names(BYTES))
def test_every_row_that_this_machine_has_is_exact(row: Dot, swapped: bool) -> None:
    if not runs_here(row.instruction_set):
        pytest.skip(f"this machine has no {row.instruction_set}")
    library = tvm.tirx.build(by_hand(row, 3, swapped).mod, target=Target(target_with(row.instruction_set)))
    a, b = operands(ROWS, row.lanes, 3 * row.terms, row.left, row.right)
    result = np.zeros((ROWS, row.lanes), np.int32)
    arguments = [tvm.runtime.tensor(value) for value in (a, b)]
    output = tvm.runtime.tensor(result)
    library["main"](*arguments, output)
    np.testing.assert_array_equal(output.numpy(), exact(a, b))


@pytest.mark.parametrize("row", BYTES, ids=_names(BYTES))
def test_no_row_saturates(row: Dot) -> None:
    if not runs_here(row.instruction_set):
        pytest.skip(f"this machine has no {row.instruction_set}")
    library = tvm.tirx.build(by_hand(row, 1, swapped=False).mod, target=Target(target_with(row.instruction_set)))
    for pick in (np.iinfo(row.left).min, np.iinfo(row.left).max):
        for other in (np.iinfo(row.right).min, np.iinfo(row.right).max):
            a = np.full((ROWS, row.terms), pick, row.left)
            b = np.full((row.terms, row.lanes), other, row.right)
            output = tvm.runtime.tensor(np.zeros((ROWS, row.lanes), np.int32))
            library["main"](tvm.runtime.tensor(a), tvm.runtime.tensor(b), output)
            np.testing.assert_array_equal(output.numpy(), exact(a, b))


@pytest.mark.parametrize(
    ("cpu", "left", "right", "terms", "chosen"),
    [
        ("znver5", "uint8", "int8", 512, ("avx512vnni", 1)),
        ("znver5", "int8", "int8", 512, ("avx512vnni", 4)),
        ("znver5", "int8", "int8", 12, ("avx512vnni", 1)),
        ("sierraforest", "uint8", "uint8", 512, ("avxvnniint8", 1)),
        ("sierraforest", "uint8", "int8", 512, ("avxvnni", 1)),
        ("skylake-avx512", "int8", "int8", 512, ("avx512bw", 1)),
        ("x86-64-v3", "int8", "uint8", 512, ("avx2", 1)),
        ("x86-64", "int8", "int8", 512, None),
        ("znver5", "int16", "int8", 512, None),
    ],
)
def test_the_best_instruction_of_the_target_is_chosen(
    cpu: str, left: str, right: str, terms: int, chosen: tuple[str, int] | None
) -> None:
    row = find(Target({"kind": "llvm", "mcpu": cpu, "num-cores": 2}), left, right, "int32", terms)
    assert (None if row is None else (row.instruction_set, row.fold)) == chosen


def test_other_processors_have_none_of_them() -> None:
    target = Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 4})
    assert find(target, "int8", "int8", "int32", 512) is None


@pytest.mark.parametrize("imports", ["import colt.tvm, tvm", "import tvm, colt.tvm"])
def test_importing_colt_tvm_registers_them_whatever_comes_first(imports: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    code = f"{imports}; from tvm.s_tir import TensorIntrin; TensorIntrin.get('{TABLE[0].intrinsic(True)}')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_colt_tvm_does_not_import_tvm() -> None:
    code = "import sys, colt.tvm; assert 'tvm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
