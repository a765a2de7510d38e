"""Programs of a model that are tuned in several forms: the model needs the fastest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tvm
from tvm import te, topi

from colt import events
from colt.events import Event
from colt.measure.base import Fate
from colt.measure.simulated import SimulatedMeasurer
from colt.options import TuneOptions
from colt.plan import checked_model
from colt.run import scheduler
from colt.run.loop import run
from colt.tvm.forms import winograd_forms
from colt.tvm.programs.constants import with_constants
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.source import Program, load_program
from colt.views.fold import take
from colt.views.state import RunState
from tests.helpers.forms import with_places
from tests.helpers.simulated_runs import measured_by


def convolution() -> Program:
    """One that has two other forms."""
    data, filters = te.placeholder((1, 8, 8, 16), name="x"), te.placeholder((3, 3, 16, 16), name="w")
    module = module_of_tensors([data, filters, topi.nn.relu(topi.nn.conv2d_nhwc(data, filters, 1, 1, 1))])
    module = tvm.IRModule({"main": module["main"].without_attr("layout_free_buffers")})
    return replace(load_program(with_constants(module, ["w"], arguments_of(module["main"]))), name="conv")


@pytest.fixture(scope="module", autouse=True)
def _all_forms() -> Iterator[None]:
    """Those are tried, too, that this machine's peaks say little good of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "PROMISING", math.inf)
        yield


def tuned_in_forms(us: Mapping[str, float], **options: Any) -> tuple[list[Any], list[Event]]:
    """A convolution in all its forms. ``us`` has microseconds by the places in a tile; as it is written it takes 20 and
    more."""
    program, seen = convolution(), list[Event]()
    forms = [program, *winograd_forms(program)]
    settings: dict[str, Any] = {"pool": ["scout", "tuner"], "use_records": False, "trials": 24}
    plan = checked_model("m", forms, [2] * 3, TuneOptions(**settings | options), form_of=[0] * 3)
    with measured_by(SimulatedMeasurer(with_places, lambda text: us.get(text.split()[0]))):
        return run(plan, [seen.append]), seen


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the forms are remembered in."""
    return tmp_path_factory.mktemp("forms") / "records.db"


@pytest.fixture(scope="module")
def tuned(records: Path) -> tuple[list[Any], list[Event]]:
    """All forms tuned, of which that with tiles of 2 is the fastest."""
    return tuned_in_forms({"16": 10.0, "36": 15.0}, use_records=True, records=records)


def test_programs_are_tuned_in_all_their_forms(tuned: tuple[list[Any], list[Event]]) -> None:
    results, seen = tuned
    assert [result.form for result in results] == ["", "F(2x2, 3x3)", "F(4x4, 3x3)"]
    assert [result.form_error for result in results] == [None, 0.0, 0.0]
    best = [result.best.latency_us for result in results if result.best is not None]
    assert best[-2:] == [10.0, 15.0]
    names = ("1-conv", "2-conv_winograd2", "3-conv_winograd4")
    assert events.OfModel(tuple((name, 2) for name in names), tuple((name, names[0]) for name in names[1:])) in seen


def test_a_form_that_computes_something_else_is_left_out() -> None:
    program = convolution()
    forms = [program, *winograd_forms(program)]
    fates = {with_places(forms[1].module): Fate.WRONG}
    seen: list[Event] = []
    options = TuneOptions(pool=["scout", "tuner"], use_records=False, trials=16)
    plan = checked_model("m", forms, [2] * 3, options, form_of=[0] * 3)
    with measured_by(SimulatedMeasurer(with_places, fates=fates)):
        results = run(plan, [seen.append])
    assert [result.form for result in results] == ["", "F(4x4, 3x3)"]
    assert events.Noted("conv_winograd2 is left out: it differs") in seen
    baselines = [event.latency_us for event in seen if isinstance(event, events.Baseline)]
    assert baselines == [5000.0, 5000.0], "a form is compared with what was written"


@pytest.mark.usefixtures("tuned")
def test_what_lost_before_is_not_tried_again(records: Path) -> None:
    """A model that is compiled again from records finds the same form; those that are slower are not even compared."""
    results, seen = tuned_in_forms({"16": 10.0, "36": 15.0}, use_records=True, records=records, trials=0)
    assert not [event for event in seen if isinstance(event, events.Noted) and "could be timed" in event.message]
    assert [result.form for result in results if result.best is not None] == ["F(2x2, 3x3)"]
    assert [(result.form, result.receipt.trials.total > 0) for result in results] == [
        ("", False),
        ("F(2x2, 3x3)", True),
    ]


def test_a_model_is_predicted_to_take_what_its_fastest_forms_take(tuned: tuple[list[Any], list[Event]]) -> None:
    state = RunState()
    for number, event in enumerate(tuned[1]):
        take(state, event, float(number))
    assert state.model_us == (20.0, 10_000.0)
