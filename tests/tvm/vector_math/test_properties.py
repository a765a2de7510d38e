"""Random elementwise programs with random loops: every value is within the stated bound of what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import s_tir, te, tirx

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.vector_math import FUNCTIONS, count_calls, rewrite
from tests.helpers.vector_math_accuracy import SPECIAL, errors

ROWS = 4
TARGET = resolve_target(None, 2)


@dataclass(frozen=True)
class Stage:
    """A block that computes a function of what the stage before computes.

    What it does beside calling functions is exact, so that its result can be held against the bound.
    """

    kind: str
    first: str
    second: str
    limit: float
    loops: str

    def tensor(self, before: Any, name: str) -> Any:
        return te.compute(before.shape, lambda i, j: self.expression(before[i, j], j), name=name)

    def expression(self, x: Any, column: Any) -> Any:
        first, second = getattr(tirx, self.first), getattr(tirx, self.second)
        limit = tirx.const(self.limit, "float32")
        match self.kind:
            case "plain":
                return first(x)
            case "negated":
                return first(-x)
            case "limited":
                return first(tirx.Select(x > limit, x, limit))
            case "selected":
                return tirx.Select(x > limit, first(x), second(x))
            case "branched":
                return tirx.if_then_else(x > limit, first(x), second(-x))
            case _:
                return tirx.if_then_else(column % 2 == 0, first(x), x)

    def calls(self) -> list[str]:
        return [self.first, self.second] if self.kind in ("selected", "branched") else [self.first]

    def worst(self, x: Any, y: Any) -> float:
        """The largest error of ``y`` in ulp over the bound of the function that was called."""
        above, even = x > np.float32(self.limit), np.arange(x.shape[1]) % 2 == 0
        match self.kind:
            case "plain":
                return self._part(self.first, x, y)
            case "negated":
                return self._part(self.first, -x, y)
            case "limited":
                return self._part(self.first, np.where(above, x, np.float32(self.limit)), y)
            case "selected":
                return max(self._part(self.first, x[above], y[above]), self._part(self.second, x[~above], y[~above]))
            case "branched":
                return max(self._part(self.first, x[above], y[above]), self._part(self.second, -x[~above], y[~above]))
            case _:
                np.testing.assert_array_equal(y[:, ~even], x[:, ~even])
                return self._part(self.first, x[:, even], y[:, even])

    def _part(self, name: str, x: Any, y: Any) -> float:
        return float(errors(name, x, y).max(initial=0.0)) / FUNCTIONS[name].max_ulp

    def schedule(self, schedule: Any, block: Any) -> None:
        rows, columns = schedule.get_loops(block)
        match self.loops:
            case "vectors":
                schedule.vectorize(schedule.split(columns, [None, 16])[1])
            case "short vectors":
                schedule.vectorize(schedule.split(columns, [None, 3])[1])
            case "long vectors":
                schedule.vectorize(columns)
                schedule.parallel(rows)
            case "unrolled vectors":
                outer, middle, inner = schedule.split(columns, [None, 2, 4])
                schedule.vectorize(inner)
                schedule.unroll(middle)
                schedule.reorder(outer, rows, middle, inner)
            case "unrolled":
                schedule.unroll(schedule.split(schedule.fuse(rows, columns), [None, 4])[1])


NAMES = st.sampled_from(sorted(FUNCTIONS))
STAGES = st.builds(
    Stage,
    st.sampled_from(["plain", "negated", "limited", "selected", "branched", "every other"]),
    NAMES,
    NAMES,
    st.sampled_from([-1.0, 0.0, 0.5, 80.0]),
    st.sampled_from(["serial", "vectors", "short vectors", "long vectors", "unrolled vectors", "unrolled"]),
)


def program(stages: list[Stage], columns: int) -> Any:
    """A scheduled module whose arguments are the input and the result of every stage."""
    tensors = [te.placeholder((ROWS, columns), name="x")]
    for number, stage in enumerate(stages):
        tensors.append(stage.tensor(tensors[-1], f"stage{number}"))
    schedule = s_tir.Schedule(module_of_tensors(tensors))
    for number, stage in enumerate(stages):
        stage.schedule(schedule, schedule.get_sblock(f"stage{number}"))
    return schedule.mod


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(STAGES, min_size=1, max_size=4), st.sampled_from([16, 24, 33]), st.integers(0, 1000))
def test_every_stage_is_within_the_bound(stages: list[Stage], columns: int, seed: int) -> None:
    mod = program(stages, columns)
    rewritten = rewrite(mod)
    assert set(count_calls(mod)) == {name for stage in stages for name in stage.calls()}
    assert not count_calls(rewritten)
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(ROWS, columns)) * rng.choice([0.01, 1.0, 30.0])).astype(np.float32)
    x.ravel()[: 2 * len(SPECIAL)] = [*SPECIAL, *-SPECIAL]
    tensors = [tvm.runtime.tensor(x), *(tvm.runtime.tensor(np.zeros_like(x)) for _ in stages)]
    tvm.tirx.build(rewritten, target=TARGET)["main"](*tensors)
    values = [tensor.numpy() for tensor in tensors]
    for stage, before, after in zip(stages, values, values[1:], strict=False):
        assert stage.worst(before, after) <= 1.0, stage


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.tuples(NAMES, NAMES), st.integers(0, 1000))
def test_functions_of_functions_are_what_they_are_one_after_the_other(names: tuple[str, str], seed: int) -> None:
    x = te.placeholder((ROWS, 32), name="x")

    def nested(i: Any, j: Any) -> Any:
        value = x[i, j]
        for name in names:
            value = getattr(tirx, name)(value)
        return value

    schedule = s_tir.Schedule(module_of_tensors([x, te.compute((ROWS, 32), nested, name="y")]))
    schedule.vectorize(schedule.split(schedule.get_loops(schedule.get_sblock("y"))[1], [None, 16])[1])
    values = np.random.default_rng(seed).normal(size=(ROWS, 32)).astype(np.float32) * 3
    arrays = [tvm.runtime.tensor(values), tvm.runtime.tensor(np.zeros_like(values))]
    tvm.tirx.build(rewrite(schedule.mod), target=TARGET)["main"](*arrays)
    steps = [Stage("plain", name, name, 0.0, "vectors") for name in names]
    apart = [tvm.runtime.tensor(values), *(tvm.runtime.tensor(np.zeros_like(values)) for _ in steps)]
    tvm.tirx.build(rewrite(program(steps, 32)), target=TARGET)["main"](*apart)
    np.testing.assert_array_equal(arrays[1].numpy(), apart[-1].numpy())
