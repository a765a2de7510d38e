"""Clocks in kernels: what they stand around, that they change nothing, and what they count."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm
from tvm.target import Target

from colt.analysis.bounds import PartTime
from colt.measure.base import Inputs
from colt.tvm.devices.host import resolve_target
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.clocks import ClockedPart, ClockedProgram, can_read_clocks, with_clocks
from colt.tvm.workers.kernel import LocalKernel
from colt.tvm.workers.layout import Layouts
from tests.helpers import space_programs as programs
from tests.tvm.workers.test_turns import W, X, product

TARGET = resolve_target(None, 2)
MANY = 100_000
pytestmark = pytest.mark.skipif(not can_read_clocks(TARGET), reason="the counter can be read on x86 alone")


def scheduled(program: Any, sketch: str) -> Any:
    space = TvmSpace.generated(program, TARGET)
    own = next(one for one in space.sketches if one.name == sketch)
    return space.module(space.sample(random.Random(0), own))


@pytest.fixture(scope="module")
def attention() -> Any:
    return scheduled(programs.attention(), "fused")


def clocked(module: Any, most: int = MANY) -> ClockedProgram:
    found = with_clocks(module, most)
    assert found is not None
    return found


def test_blocks_that_share_a_parallel_loop_are_told_apart(attention: Any) -> None:
    parts = clocked(attention).parts
    (of_scores,) = [number for number, part in enumerate(parts) if "QK" in part.blocks]
    (of_output,) = [number for number, part in enumerate(parts) if "O" in part.blocks]
    assert of_scores < of_output
    assert parts[of_scores].divided
    assert parts[of_output].divided


def test_with_fewer_readings_only_whole_loops_are_told_apart(attention: Any) -> None:
    """The loop that packs an operand, and the other one as a whole, outside of which one reading is enough."""
    parts = clocked(attention, most=8).parts
    assert [part.divided for part in parts] == [False, False]
    assert {"QK", "O"} < set(parts[1].blocks)


def test_a_program_of_one_part_has_no_clocks() -> None:
    assert with_clocks(scheduled(programs.matmul(64, 64, 64), "fused"), MANY) is None


def test_clocks_change_no_result_and_count_every_part(attention: Any) -> None:
    program, plain = clocked(attention), tvm.tirx.build(attention, target=TARGET)
    shapes = [[int(extent) for extent in one.ty.shape] for one in program.module["main"].params]
    rng = np.random.default_rng(0)
    given = [tvm.runtime.tensor(rng.standard_normal(shape).astype("float32")) for shape in shapes[:-2]]
    found = [tvm.runtime.tensor(np.zeros(shapes[-2], "float32")) for _ in range(2)]
    counts = tvm.runtime.tensor(np.zeros(shapes[-1], "int64"))
    plain["main"](*given, found[0])
    tvm.tirx.build(program.module, target=TARGET)["main"](*given, found[1], counts)
    np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())
    counted = counts.numpy().sum(axis=0)
    assert (counted[: len(program.parts)] > 0).all()
    assert not counted[len(program.parts) :].any()


def test_a_measurer_counts_them_and_most_time_goes_where_most_is_computed(measurer: Any) -> None:
    """Of two products the second has sixteen times as many terms."""
    program = programs.matmul_of_matmul(256)
    cycles = measurer.clock(clocked(program).module, 2, Inputs(program))
    assert cycles is not None
    assert len(cycles) == 2
    assert min(cycles) > 0
    assert measurer.restarts == 0


def test_what_is_computed_ahead_of_a_call_has_no_clock() -> None:
    """Else it would be part of the call."""
    module = product(packed=True)
    assert with_clocks(module, MANY) is None
    twice = tvm.s_tir.Schedule(module)
    twice.cache_read(twice.get_sblock("y"), 0, "global")
    program = clocked(twice.mod)
    assert [part.blocks for part in program.parts] == [("x_global",), ("y",)]
    kernel = LocalKernel(program.module, TARGET, Layouts())
    out, counts = tvm.runtime.tensor(np.zeros((3, 5), "float32")), tvm.runtime.tensor(np.zeros((1, 8), "int64"))
    kernel.bind([tvm.runtime.tensor(X), tvm.runtime.tensor(W), out, counts]).call()
    np.testing.assert_array_equal(out.numpy(), X @ W)
    assert (counts.numpy()[0, :2] > 0).all()


def test_threads_take_their_share_of_what_they_divide() -> None:
    parts = ClockedPart(("pack",), False), ClockedPart(("QK", "exp"), True), ClockedPart(("O",), True)
    program = ClockedProgram(tvm.IRModule({}), parts)
    assert program.shares([10.0, 60.0, 20.0], threads=2) == (
        PartTime(("pack",), 0.2),
        PartTime(("QK", "exp"), 0.6),
        PartTime(("O",), 0.2),
    )
    assert program.shares([0.0, 0.0, 0.0], threads=2) == ()


def test_only_processors_of_which_a_program_may_read_the_counter_are_asked() -> None:
    assert not can_read_clocks(Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "num-cores": 2}))
