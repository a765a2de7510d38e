"""Skeletons against real TVM: what the model thinks a schedule becomes is what the post-processors make of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tvm import te, tirx
from tvm.s_tir.stmt import SBlockRealize

from colt.analysis.estimate import estimate_us
from colt.analysis.nests import instantiate
from colt.analysis.skeleton import BlockWork
from colt.errors import Rejected
from colt.knobs import Schedule
from colt.machine import detect
from colt.tvm.cost.scorer import machine_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.skeleton import read_skeleton
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

PARALLEL, VECTORIZED = 1, 2


def leaf_blocks(stmt: Any, loops: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(stmt, tirx.For):
        yield from leaf_blocks(stmt.body, [*loops, stmt])
    elif isinstance(stmt, tirx.SeqStmt):
        for part in stmt:
            yield from leaf_blocks(part, loops)
    elif isinstance(stmt, SBlockRealize):
        inner = list(leaf_blocks(stmt.block.body, loops))
        yield from inner or [(str(stmt.block.name_hint), loops)]


def extent_of_kind(loops: list[Any], kind: int) -> int:
    return next((int(loop.extent) for loop in loops if int(loop.kind) == kind), 1)


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (programs.matmul, 1.0),
        (lambda: programs.matmul(nt=True), 1.0),
        (programs.conv, 0.95),  # padding whose region MetaSchedule fuses further than the model thinks
        (programs.softmax, 0.95),
        (programs.attention, 0.93),
    ],
    ids=["matmul", "matmul-nt", "conv", "softmax", "attention"],
)
def test_threads_and_vectors_are_predicted_as_the_postprocessors_make_them(make: Any, share: float) -> None:
    space = programs.stock_space(make(), resolve_target(None, 2))
    rng = random.Random(1)
    right, count = 0, 0
    for _ in range(25):
        try:
            schedule = space.sample(rng)
        except Rejected:
            continue
        real: dict[str, list[Any]] = {}
        for name, loops in leaf_blocks(space.module(schedule)["main"].body, []):
            real.setdefault(name.removesuffix("_update"), loops)
        for nest in instantiate(space.skeleton(schedule), schedule.values):
            loops = real[nest.block.name]
            found = extent_of_kind(loops, PARALLEL), extent_of_kind(loops, VECTORIZED)
            right += found == (nest.parallel, nest.vector_extent())
            count += 1
    assert count > 20
    assert right >= share * count


def test_a_contractions_loops_come_from_its_tiles_in_their_order() -> None:
    space = programs.stock_space(programs.matmul(), resolve_target(None, 2))
    schedule = space.sample(random.Random(0), space.sketches[0])
    (block, *_) = space.skeleton(schedule).blocks
    assert block.name == "C"
    knobs = space.knobs(schedule)
    order = [(knobs[loop.knob].name, loop.part) for loop in block.loops]
    i, j, k = "C.i", "C.j", "C.k"
    assert order == [(i, 0), (j, 0), (i, 1), (j, 1), (k, 0), (i, 2), (j, 2), (k, 1), (i, 3), (j, 3)]
    assert block.work.fused == 1.0
    assert block.local


def test_the_write_back_is_a_guest_of_the_contraction() -> None:
    space = programs.stock_space(programs.matmul(), resolve_target(None, 2))
    blocks = space.skeleton(space.sample(random.Random(0), space.sketches[0])).blocks
    assert [block.name for block in blocks] == ["C", "C_global"]
    assert blocks[1].host == 0


def test_calls_divisions_and_conditions_are_counted() -> None:
    skeleton = read_skeleton(programs.softmax(), (), ())
    work = {block.name: block.work for block in skeleton.blocks}
    assert work["exp"].calls == 1.0
    assert work["prob"].divisions == 1.0
    (pad, y) = read_skeleton(programs.conv(), (), ()).blocks
    assert (pad.work.branches, y.work.branches, y.work.fused) == (1.0, 0.0, 1.0)


def test_a_grouped_index_moves_by_a_fraction() -> None:
    skeleton = read_skeleton(workloads.get("llama3-attention").build("small"), (), ())
    (block,) = [block for block in skeleton.blocks if block.name == "QK"]
    (keys,) = [read for read in block.reads if read.buffer == "K"]
    assert keys.index[0] == ((0, 0.25),)


@pytest.mark.parametrize(
    "make", [programs.elementwise, programs.experts, programs.packed_dot], ids=lambda make: make.__name__
)
def test_any_program_has_a_skeleton_whose_nests_can_be_made(make: Any) -> None:
    space = programs.stock_space(make(), resolve_target(None, 2))
    schedule = space.sample(random.Random(3), space.sketches[0])
    assert instantiate(space.skeleton(schedule), schedule.values)
    assert instantiate(space.skeleton(space.untuned), ())


def test_rows_that_are_gathered_from_anywhere_cost_something() -> None:
    """How many of a large table are meant cannot be read off the index."""
    index, table = te.placeholder((333,), "int64", name="I"), te.placeholder((5000, 257), name="E")
    rows = te.compute((333, 257), lambda i, j: table[index[i], j] * 2.0, name="Y")
    space = programs.stock_space(module_of_tensors([index, table, rows]), resolve_target(None, 2))
    schedule, machine = space.sample(random.Random(3)), machine_of(detect(), 2)
    assert 0 < estimate_us(space.skeleton(schedule), schedule.values, machine) < float("inf")


def test_integers_are_multiplied_and_added_apart_and_widened_as_they_are_loaded() -> None:
    """So that a register tile pays more for each row, whose element is widened and spread, than for a vector."""
    space = TvmSpace.generated(workloads.get("matmul-int8").build("small"), resolve_target(None, 2))
    machine = machine_of(detect(), 2)

    def us(rows: int, vectors: int) -> float:
        values = ((8, 1, 48 // rows, rows), (2, 12 // vectors, vectors))
        return estimate_us(space.skeleton(Schedule("plain", "fused", values)), values, machine)

    block = space.skeleton(Schedule("plain", "fused", ((8, 1, 6, 8), (2, 4, 3)))).blocks[0]
    assert block.work == BlockWork(simple=1.5)
    assert us(8, 2) < us(12, 1)
    assert us(4, 4) < 0.95 * us(8, 2)
