"""Schedules that are chosen in the model, where another may be faster than alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tvm

from colt.models.fitting import BuiltModel, fitted
from colt.models.judge import ROUNDS, SHORT_MS, in_turn
from colt.run.finish import Runner
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.tasks import tasks_of
from tests.helpers.small_models import Mlp

TARGET = resolve_target(None, 2)
pytestmark = pytest.mark.real
MLP = Mlp(rows=64, width=128, inner=256)
MODULE = fused(MLP.graph().module, TARGET)
TASKS = tasks_of(MODULE)


def build(schedules: Mapping[str, Any]) -> BuiltModel:
    assembled = assemble(MODULE, TASKS, schedules, TARGET)
    content = write_library(assembled.executable, assembled.objects)
    return BuiltModel(assembled, content, ModelLibrary(content, assembled.weights, 2, assembled.outputs))


def in_vectors(module: tvm.IRModule) -> tvm.IRModule:
    """Some ten times faster than plain loops."""
    schedule = tvm.s_tir.Schedule(module)
    block = schedule.get_sblock("matmul")
    rows, columns, terms = schedule.get_loops(block)
    schedule.reorder(rows, terms, columns)
    schedule.vectorize(schedule.split(columns, [None, 16])[1])
    return schedule.mod


@pytest.fixture(scope="module")
def runners() -> dict[str, dict[str, Runner]]:
    """Of each program a fast schedule and a slow one; what they are said to take alone is no help."""
    return {
        task.key: {"slow": Runner(task.module, 1.0, "slow"), "fast": Runner(in_vectors(task.module), 1.0, "fast")}
        for task in TASKS
    }


def test_what_loses_in_the_model_is_taken_back(runners: Mapping[str, Mapping[str, Runner]]) -> None:
    """The winner of one program is the slower of its two, that of the other the faster."""
    one, other = (task.key for task in TASKS)
    contenders = {
        one: [runners[one]["slow"], runners[one]["fast"]],
        other: [runners[other]["fast"], runners[other]["slow"]],
    }
    found = fitted(contenders, build, [MLP.x])
    assert {key: runner.proposed_by for key, runner in found.chosen.items()} == {one: "fast", other: "fast"}
    assert found.taken_back == (one,)
    assert set(found.model_us) == {one, other}
    np.testing.assert_allclose(found.built.library(MLP.x)[0].numpy(), MLP.compute(MLP.x), rtol=1e-3, atol=1e-3)


def test_programs_may_have_one_schedule_or_none(runners: Mapping[str, Mapping[str, Runner]]) -> None:
    key = TASKS[0].key
    found = fitted({key: [runners[key]["fast"]]}, build, [MLP.x])
    assert found.taken_back == ()
    assert list(found.model_us) == [key]
    assert fitted({}, build, [MLP.x]).model_us == {}


def test_the_functions_of_a_run_are_timed_apart(runners: Mapping[str, Mapping[str, Runner]]) -> None:
    """Both calls of each program together, and all of them within the time of the run."""
    built = build({key: both["slow"].module for key, both in runners.items()})
    run = built.library.observed()
    for _ in range(2):
        start = time.perf_counter()
        taken = run(*map(tvm.runtime.tensor, [MLP.x]))
        whole_us = (time.perf_counter() - start) * 1e6
        assert set(built.assembled.names.values()) <= set(taken)
        assert 0 < sum(taken.values()) < whole_us


def test_short_runs_that_count_come_after_one_of_the_same() -> None:
    made: list[str] = []

    def call(name: str, seconds: float) -> Callable[[], None]:
        return lambda: (made.append(name), time.sleep(seconds))[1]

    series = in_turn([call("a", 0.0), call("b", 0.0)], seconds=0.0)
    assert [len(one) for one in series] == [ROUNDS[0]] * 2
    assert "".join(made) == "ab" + "aabb" * ROUNDS[0]
    made.clear()
    in_turn([call("a", 0.0), call("b", 1.1 * SHORT_MS / 1e3)], seconds=0.0)
    assert "".join(made) == "ab" + "aab" * ROUNDS[0]
