"""Design spaces: the same as MetaSchedule's own, without dying of a rule that crashes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.schedule_rule import PyScheduleRule
from tvm.s_tir.schedule import Trace

from colt.errors import InputError
from colt.tvm.devices.host import cpu_intrinsics, resolve_target
from colt.tvm.sketches import distinct, generate, given
from colt.tvm.sketches import stock as stock_module
from colt.tvm.sketches.guarded import Crashes, guarded
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)


def stock(mod: Any) -> tuple[list[Any], tuple[Any, ...]]:
    """What MetaSchedule itself makes of a module: design spaces and post-processors."""
    with cpu_intrinsics():
        context = ms.TuneContext(
            mod=mod, target=TARGET, space_generator="post-order-apply", rand_state=1, num_threads=1
        )
        return list(context.generate_design_space()), tuple(context.space_generator.postprocs)


def structure(trace: Any) -> str:
    return str(Trace(trace.insts, {}))


def completed(designs: Iterable[Any]) -> list[Any]:
    return [design.complete(design.trace)[0] if design.complete else design.trace for design in designs]


@pytest.mark.parametrize("name", ["matmul", "matmul-int8", "conv", "softmax", "elementwise", "row-sum", "bias-relu"])
def test_the_designs_are_metaschedules_own_in_its_order(name: str) -> None:
    mod = programs.PROGRAMS[name]()
    theirs, _ = stock(mod)
    space = generate(mod, TARGET)
    assert [structure(trace) for trace in completed(space.designs)] == [structure(sch.trace) for sch in theirs]
    assert space.messages == ()


def test_generation_is_deterministic() -> None:
    first, second = (
        [str(trace) for trace in completed(generate(programs.softmax(), TARGET, 7).designs)] for _ in range(2)
    )
    assert first == second
    assert first != [str(trace) for trace in completed(generate(programs.softmax(), TARGET, 8).designs)]


def test_sketches_that_differ_in_decisions_only_are_one() -> None:
    mod = programs.matmul()
    theirs, postprocs = stock(mod)
    again, _ = stock(mod)
    space = given([*theirs, *again], postprocs)
    assert [structure(design.trace) for design in space.designs] == [structure(sch.trace) for sch in theirs]
    assert space.messages == ("6 sketches were generated, 3 of them distinct",)
    assert distinct([sch.trace for sch in theirs]) == ([sch.trace for sch in theirs], None)


def test_no_design_space_given_is_an_error_of_the_user() -> None:
    with pytest.raises(InputError, match="no design space"):
        given([], ())


def test_a_rule_that_crashes_is_replaced_where_it_crashes() -> None:
    mod = programs.swiglu()
    with pytest.raises(RuntimeError, match="reverse-compute-at"):
        stock(mod)
    space = generate(mod, TARGET)
    assert len(space.designs) == 27  # three tiled blocks, three ways of writing back each
    assert [message.split(" (")[0] for message in space.messages] == [
        "block up: TVM's own rule MultiLevelTiling does not fit it",
        "block gate: TVM's own rule MultiLevelTiling does not fit it",
    ]
    assert all("refuses reverse-compute-at" in message and "two other ways" in message for message in space.messages)


def test_programs_from_replaced_rules_compute_the_right_thing() -> None:
    mod = programs.swiglu(8, 16, 32)
    space = programs.stock_space(mod, TARGET)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape, dtype="float32") for shape in ((8, 16), (16, 32), (16, 32), (32, 16))]
    x, gate, up, down = inputs
    hidden = x @ gate
    wanted = (hidden / (1 + np.exp(-hidden)) * (x @ up)) @ down
    for number in (0, 13, 26):
        schedule = space.sample(random.Random(number), space.sketches[number])
        out = tvm.runtime.tensor(np.full((8, 16), np.nan, "float32"))
        tvm.tirx.build(space.module(schedule), target=TARGET)["main"](*map(tvm.runtime.tensor, inputs), out)
        np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_hundreds_of_sketches_are_worked_out_one_by_one() -> None:
    start = time.process_time()
    space = programs.stock_space(programs.experts(), TARGET)
    assert len(space.sketches) == 729
    assert len({summary for _, _, summary in space.summaries()}) == 729
    space.sample(random.Random(1))
    assert len(space._plans._plans) == 1
    assert time.process_time() - start < 30  # 2 to 3 s; all of them worked out take longer


@derived_object
class Tampering(PyScheduleRule):  # type: ignore[misc]
    """Annotates every block but ``sour``, on which it crashes."""

    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, sch: Any, block: Any) -> list[Any]:
        if sch.get(block).name_hint == "sour":
            sch.annotate(block, "half", "done")
            sch.get_sblock("no such block")
        sch.annotate(block, "seen", 1)
        return [sch]

    def clone(self) -> Any:
        return Tampering()


def test_a_rule_without_substitute_is_left_out_for_the_block_it_crashes_on() -> None:
    schedule = s_tir.Schedule(programs.bias_relu())
    crashes = Crashes()
    (rule,) = guarded([Tampering()], crashes)
    (sweet,) = rule.apply(schedule, schedule.get_sblock("C"))
    assert "seen" in sweet.get(sweet.get_sblock("C")).annotations
    assert crashes.messages() == ()

    mod = tvm.IRModule({"main": _renamed(programs.matmul(4, 4, 4), "C", "sour")})
    schedule = s_tir.Schedule(mod)
    for _ in range(2):
        (left,) = rule.apply(schedule, schedule.get_sblock("sour"))
        assert dict(left.get(left.get_sblock("sour")).annotations) == {}
    (message,) = crashes.messages()
    assert message.startswith("block sour: TVM's own rule Tampering does not fit it (")
    assert message.endswith("it is left to the other rules")


def _renamed(mod: Any, old: str, new: str) -> Any:
    text = mod.script().replace(f'"{old}"', f'"{new}"')
    return tvm.script.from_source(text)["main"]


def test_a_placing_rule_that_crashes_leaves_the_block_where_it_is() -> None:
    mod = programs.softmax()
    trace = generate(mod, TARGET).designs[0].trace
    (rule,) = [rule for rule in stock_rules(mod) if type(rule).__name__ == "RandomComputeLocation"]

    class Crashing:
        def apply(self, schedule: Any, block: Any) -> list[Any]:
            if schedule.get(block).name_hint == "exp":
                raise ValueError("no exp today")
            return list(rule.apply(schedule, block))

    placed, messages = stock_module._place(mod, Crashing(), 1, trace)
    assert messages == (
        "block exp: TVM's own rule RandomComputeLocation does not fit it (no exp today); it is left to the other rules",
    )
    everything, none = stock_module._place(mod, rule, 1, trace)
    assert none == ()
    assert placements(everything) - placements(placed) == 1


def stock_rules(mod: Any) -> list[Any]:
    with cpu_intrinsics():
        context = ms.TuneContext(mod=mod, target=TARGET, space_generator="post-order-apply", num_threads=1)
        return list(context.space_generator.sch_rules)


def placements(trace: Any) -> int:
    return sum(instruction.kind.name == "SampleComputeLocation" for instruction in trace.insts)


def test_a_program_that_no_rules_can_handle_is_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stock_module._context

    class Barren:
        def __init__(self, context: Any) -> None:
            self.space_generator = context.space_generator

        def generate_design_space(self) -> list[Any]:
            raise ValueError("nothing grows here")

    monkeypatch.setattr(stock_module, "_context", lambda *args, **rules: Barren(real(*args, **rules)))
    with pytest.raises(InputError, match=r"can make no schedule for this program: nothing grows here"):
        generate(programs.elementwise(), TARGET)
