"""Where vector math comes in: the modules of a space's schedules and what they are predicted to take, nothing else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tvm
import tvm_ffi
from tvm import te
from tvm.s_tir import meta_schedule as ms

import colt.tvm
from colt.analysis.estimate import estimate_us
from colt.analysis.processor import Machine
from colt.tvm.devices.host import cpu_intrinsics, resolve_target, vector_bits
from colt.tvm.metaschedule.artifact import read_artifact
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.ahead import with_next_jobs
from colt.tvm.space.pairs import with_pairs
from colt.tvm.space.skeleton import read_skeleton
from colt.tvm.space.space import TvmSpace
from colt.tvm.vector_math import FUNCTIONS, count_calls, rewrite
from colt.tvm.workers.code_size import code_shape, code_size
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)
MACHINE = Machine(512, 32, 2, 100.0, 2**15, 2**20, 2**24, 20.0)


@pytest.fixture(scope="module")
def spaces() -> tuple[TvmSpace, TvmSpace]:
    """Of one program, with vector math and without."""
    mod = programs.softmax()
    return TvmSpace.generated(mod, TARGET, vector_math=True), TvmSpace.generated(mod, TARGET)


def test_modules_of_schedules_are_rewritten_and_their_traces_are_not(spaces: tuple[TvmSpace, TvmSpace]) -> None:
    vector, exact = spaces
    for sketch in vector.sketches:
        schedule = vector.sample(random.Random(1), sketch)
        scheduled = with_pairs(with_next_jobs(vector.scheduled(schedule).mod), vector_bits(TARGET))
        assert tvm_ffi.structural_equal(scheduled, exact.module(schedule))
        assert vector.python_trace(schedule) == exact.python_trace(schedule)
        assert count_calls(exact.module(schedule))["exp"] >= 1
        assert not count_calls(vector.module(schedule))
        assert tvm_ffi.structural_equal(vector.module(schedule), vector.module(schedule))


def test_the_untuned_program_stays_exact(spaces: tuple[TvmSpace, TvmSpace]) -> None:
    for space in spaces:
        assert count_calls(space.module(space.untuned)) == {"exp": 1}
        (work,) = [block.work for block in space.skeleton(space.untuned).blocks if block.name == "exp"]
        assert work.calls == 1.0


def test_both_spaces_are_the_same_otherwise(spaces: tuple[TvmSpace, TvmSpace]) -> None:
    vector, exact = spaces
    assert vector.sketches[0] == exact.sketches[0]
    assert vector.sample(random.Random(5)) == exact.sample(random.Random(5))


def test_the_model_takes_a_replaced_call_for_so_many_vector_operations(spaces: tuple[TvmSpace, TvmSpace]) -> None:
    vector, exact = spaces
    schedule = vector.sample(random.Random(1), vector.sketches[0])
    (new,), (old,) = (
        [block.work for block in space.skeleton(schedule).blocks if block.name == "exp"] for space in (vector, exact)
    )
    assert (old.calls, new.calls) == (1.0, 0.0)
    assert new.simple - old.simple == FUNCTIONS["exp"].slots
    seconds = [estimate_us(space.skeleton(schedule), schedule.values, MACHINE) for space in spaces]
    assert seconds[0] < seconds[1]


def test_calls_that_stay_cost_what_they_did() -> None:
    x = te.placeholder((16, 64), name="x")
    y = te.compute((16, 64), lambda i, j: te.cos(x[i, j]) + te.exp(x[i, j].astype("float64")).astype("float32"))
    mod = module_of_tensors([x, y])
    assert read_skeleton(mod, (), (), vector_math=True) == read_skeleton(mod, (), ())


def test_the_code_of_replaced_calls_counts_for_the_build_time() -> None:
    mod = programs.softmax(32, 64)
    exact, vector = code_shape(mod), code_shape(rewrite(mod))
    steps = str(rewrite(mod)).count("where={")
    assert exact.instructions + steps < vector.instructions < exact.instructions + 10 * steps
    assert exact.loops == vector.loops
    assert code_size(rewrite(programs.matmul())) == code_size(programs.matmul())


def test_the_builder_applies_it_if_told_to() -> None:
    mod = programs.softmax()
    built = []
    for options in ({}, {"vector_math": True}):
        builder = colt.tvm.Builder(**options)
        (result,) = builder.build([ms.builder.BuilderInput(mod, TARGET)])
        assert result.error_msg is None
        built.append(read_artifact(Path(str(result.artifact_path))).load())
        builder.close()
    assert count_calls(built[0]) == {"exp": 1}
    assert tvm_ffi.structural_equal(built[1], rewrite(mod))


def test_the_strategy_predicts_with_it_and_proposes_exact_candidates() -> None:
    strategy = colt.tvm.SearchStrategy(["scout"], vector_math=True)
    with cpu_intrinsics():
        context = ms.TuneContext(
            programs.softmax(), target=TARGET, space_generator="post-order-apply", search_strategy=strategy
        )
    context.pre_tuning(2, 2, context.generate_design_space())
    candidates = context.generate_measure_candidates()
    assert [set(count_calls(candidate.sch.mod)) for candidate in candidates] == [{"exp"}] * 2


def test_a_record_replays_in_stock_tvm_to_what_was_built_but_for_what_passes_make_of_it(tmp_path: Path) -> None:
    """What ``MetaScheduleApplyDatabase`` gives becomes what was measured by applying the passes."""
    mod = programs.softmax()
    space = TvmSpace.generated(mod, TARGET, vector_math=True)
    schedule = space.sample(random.Random(2))
    database = ms.database.JSONDatabase(work_dir=str(tmp_path))
    workload = database.commit_workload(mod)
    record = ms.database.TuningRecord(space.scheduled(schedule).trace, workload, [1e-3], TARGET, None)
    database.commit_tuning_record(record)
    replayed: Any = database.query_ir_module(mod, TARGET, "main")
    assert count_calls(replayed)["exp"] >= 1
    passed = with_pairs(colt.tvm.VectorMath(TARGET)(with_next_jobs(replayed)), vector_bits(TARGET))
    assert tvm_ffi.structural_equal(passed, space.module(schedule))
    assert tvm.tirx.build(replayed, target=TARGET)["main"] is not None
