"""What TVM would miscompile is no schedule."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm

from colt.errors import IllegalEdit
from colt.knobs import EDITION, Edit, LocationKnob, Sketch
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_function
from colt.tvm.space.space import TvmSpace
from tests.helpers.random_programs import Program
from tests.helpers.verified_programs import VERIFIED

TARGET = resolve_target(None, 2)
ATTENTION = VERIFIED["attention"]
SHAPE = (2, 32, 16)


def attention_error(module: Any) -> float:
    rng = np.random.default_rng(0)
    given = [(rng.standard_normal(SHAPE) / 2).astype("float32") for _ in "QKV"]
    found = tvm.runtime.tensor(np.full(SHAPE, np.nan, "float32"))
    tvm.tirx.build(module, target=TARGET)["main"](*map(tvm.runtime.tensor, given), found)
    return float(abs(found.numpy() - ATTENTION.reference(*given)).max())


def sketch(name: str) -> Sketch:
    return Sketch("plain", name, "", ())


def locations_of(space: TvmSpace, schedule: Any, block: str) -> tuple[int, LocationKnob]:
    knobs = space.knobs(schedule)
    return next((n, knob) for n, knob in enumerate(knobs) if isinstance(knob, LocationKnob) and knob.block == block)


@pytest.fixture(scope="module", params=[2, EDITION])
def space(request: pytest.FixtureRequest) -> TvmSpace:
    return TvmSpace.generated(ATTENTION.module, TARGET, edition=request.param)


def test_a_sum_is_not_computed_under_a_loop_that_repeats_it(space: TvmSpace) -> None:
    """Recorded runs of the second edition have such schedules, which add to sums that are finished."""
    schedule = space.sample(random.Random(3), sketch("ms2"))
    number, knob = locations_of(space, schedule, "T_softmax_expsum")
    repeated = Edit(knob.name, "d_0")
    if space.edition < EDITION:
        assert "d_0" in knob.locations
        return
    assert not {"d_0", "d_1"} & set(knob.locations)
    assert len(knob.locations) > 3
    with pytest.raises(IllegalEdit, match="takes one of"):
        space.apply(schedule, (repeated,), random.Random(0))
    values = (*schedule.values[:number], "d_0", *schedule.values[number + 1 :])
    kept = space.realise(type(schedule)(schedule.variant, schedule.sketch, values))
    assert kept.notes
    assert kept.schedule.values[number] in knob.locations
    assert attention_error(space.module(kept.schedule)) < 1e-5


def test_random_schedules_of_attention_are_right() -> None:
    space = TvmSpace.generated(ATTENTION.module, TARGET)
    rng = random.Random(1)
    for name in ("ms2", "ms6", "ms13"):
        for _ in range(2):
            schedule = space.sample(rng, sketch(name))
            assert attention_error(space.module(schedule)) < 1e-5, schedule


def test_a_consumer_that_pads_is_not_moved_to_its_producer() -> None:
    """TVM would compute those of its elements that read the producer, and none of the others."""
    program = Program.of(0, [0, 0], [(34, 1, 0), (55, 0, 0)], several=False)
    assert program.done == ["product", "padded"]
    module = module_of_function(program.function())
    space = TvmSpace.generated(module, TARGET)
    assert any("pads or joins" in message for message in space.messages)
    assert len(TvmSpace.generated(module, TARGET, edition=2).sketches) > len(space.sketches)
    (output,) = program.outputs
    for one in space.sketches:
        found = tvm.runtime.tensor(np.full(output.shape, np.nan, output.dtype))
        built = tvm.tirx.build(space.module(space.sample(random.Random(0), one)), target=TARGET)
        built["main"](*map(tvm.runtime.tensor, program.given), found)
        assert output.error(found.numpy()) <= output.allowed(), one.name
