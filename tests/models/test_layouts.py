"""The layout of a model's convolutions is the one in which a few of its programs are the fastest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from rich.console import Console

from colt import events
from colt.errors import InputError
from colt.measure.simulated import SimulatedMeasurer
from colt.models import compile as compile_module
from colt.models import layouts
from colt.models.compile import compile_model
from colt.models.compiled import CompiledModel
from colt.models.loading import load
from colt.models.manifest import ComparedPart
from colt.models.options import CompileOptions, UsedUp
from colt.models.report import model_table
from colt.tvm.models.layouts import LAYOUTS
from colt.tvm.programs.program import fingerprint
from tests.helpers.simulated_runs import measured_by
from tests.helpers.small_models import Mlp, convolution

pytestmark = pytest.mark.real
GRAPH, EXPECTED = convolution(channels=16, size=6, filters=32)
FASTEST = {name: {other: 20.0 if other == name else 50.0 for other in LAYOUTS} for name in LAYOUTS}
"""Microseconds of the convolution by its layout, with which each is the fastest."""
MOVING = 2.0
"""Microseconds of moving data from one layout to another."""


def with_layout(module: tvm.IRModule) -> str:
    """A fingerprint that begins with the layout of the first argument, if there are several and it is scheduled."""
    if "T.parallel" not in module.script():
        return f"untuned {fingerprint(module)}"
    shape = [int(extent) for extent in module["main"].params[0].ty.shape]
    if len(module["main"].params) < 3:
        return f"moved {fingerprint(module)}"
    layout = "blocks" if len(shape) == 5 else "channels-last" if shape[-1] == 16 else "as-imported"
    return f"{layout} {fingerprint(module)}"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing takes fewer trials, and may take more of them."""
    monkeypatch.setattr(layouts, "TRIALS", 2)
    monkeypatch.setattr(layouts, "SHARE", 0.5)


def compiled(us: dict[str, float], **options: object) -> tuple[CompiledModel, int]:
    """The model, compiled where programs take so many microseconds by their layout; and how many runs that took."""
    happened = list[events.Event]()
    known = {"trials": 24, "threads": 2, "pool": ("scout", "tuner"), "winograd": False}
    known |= {"use_records": "records" in options, "on_event": [happened.append]}

    def latency(text: str) -> float | None:
        return (us | {"moved": MOVING}).get(text.split()[0])

    with measured_by(SimulatedMeasurer(with_layout, latency)):
        model = compile_model(GRAPH, None, CompileOptions(**known | options))  # type: ignore[arg-type]
    np.testing.assert_allclose(model(*GRAPH.example), EXPECTED, rtol=1e-3, atol=1e-3)
    return model, sum(isinstance(event, events.OfModel) for event in happened)


def told(model: CompiledModel) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(model_table(model.report))
    return shown.get()


def test_the_fastest_is_chosen(tmp_path: Path) -> None:
    """Also by what compiles it on, with records or in the same directory, and with other sums. The usual one is chosen
    below."""
    layout, records, kept = "blocks", tmp_path / "records.db", tmp_path / "runs" / "run"
    kept.parent.mkdir()
    model, runs = compiled(FASTEST[layout], records=records, run_dir=kept, winograd=True)
    report = model.report
    assert runs == 2
    assert (report.layout, [one.name for one in report.layouts]) == (layout, list(LAYOUTS))
    assert min(report.layouts, key=lambda one: one.ms).name == layout
    assert sum(task.trials for task in report.tasks) < report.trials
    assert load(model.save(tmp_path / "m.colt")).report == model.report
    assert f"convolutions are {layouts.IN_WORDS[layout]}: " in told(model)
    assert sorted(one.name for one in kept.parent.iterdir()) == ["run", "run-layouts"]

    on, _ = compiled(FASTEST["as-imported"], records=records, run_dir=kept, winograd=True)
    assert on.report.layouts == report.layouts
    assert [task.key for task in on.report.tasks] == [task.key for task in report.tasks]

    known, runs = compiled(FASTEST["as-imported"], records=records, records_only=True, winograd=True)
    assert (known.report.layout, runs) == (layout, 1), "what is known is not measured again"
    assert known.report.trials == sum(task.trials for task in known.report.tasks)
    assert "other layouts" not in told(known)


def test_another_has_to_be_faster_by_more_than_a_little() -> None:
    model, _ = compiled({"channels-last": 50.0, "blocks": 50.0 * 0.96, "as-imported": 1e3})
    found = {one.name: one for one in model.report.layouts}
    assert model.report.layout == "channels-last"
    assert {one.programs for one in found.values()} == {1}, "what moves data is not timed"


def test_the_user_may_choose() -> None:
    model, runs = compiled(FASTEST["channels-last"], layout="blocks")
    assert (model.report.layout, model.report.layouts, runs) == ("", (), 1)
    assert "layouts" not in told(model)
    assert model.report.tasks[0].name == "te_layout_transform"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"trials": 10}, "5 of 10 trials may go into it, and it takes 6"),
        ({"minutes": 1.5}, "45 s may go into it, and it takes 60"),
        ({"records_only": True, "trials": None, "records": "records.db"}, "nothing is known of them"),
    ],
)
def test_a_budget_that_is_too_small_is_said(
    options: dict[str, object], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, runs = compiled(FASTEST["blocks"], **options)
    assert (model.report.layout, runs) == ("", 1)
    assert f"note: other layouts of convolutions are not tried: {why}" in told(model)


def test_what_computes_something_else_in_the_chosen_layout_is_compiled_in_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = [ComparedPart(against="NumPy", errors=(1.0,), tolerance=1e-3, ok=ok) for ok in (False, True)]
    monkeypatch.setattr("colt.models.compile.verified", lambda *_: verdicts.pop(0))
    monkeypatch.setattr(f"{__name__}.GRAPH", replace(GRAPH, reference=lambda inputs: [EXPECTED], against="NumPy"))
    asked, tune = list[CompileOptions](), compile_module.tune_tasks
    monkeypatch.setattr(compile_module, "tune_tasks", lambda *given: (asked.append(given[-1]), tune(*given))[1])
    model, runs = compiled(FASTEST["blocks"], run_dir=tmp_path / "run", minutes=20)
    assert (model.report.is_right, runs) == (True, 3)
    assert [one.trials for one in asked] == [18, 1], "24, of which comparing took 6; one is left without records"
    assert asked[1].minutes < 20
    assert model.report.trials >= 24 + sum(task.trials for task in model.report.tasks)
    assert "note: convolutions are with channels last: with channels in blocks the model computes something" in told(
        model
    )
    assert model.report.tasks[0].name == "transpose"


def test_a_layout_that_there_is_no_code_for_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told; and the first one's failure is raised if there is code for none."""
    fused, refused = layouts.fused, {"channels-last"}

    def fails_at_times(graph: Any, target: Any, layout: Any, products: str) -> Any:
        for name in refused:
            if layout is LAYOUTS[name]:
                raise InputError(f"operator odd cannot be compiled {name}")
        return fused(graph, target, layout, products)

    monkeypatch.setattr(layouts, "fused", fails_at_times)
    model, _ = compiled(FASTEST["as-imported"])
    assert model.report.layout == "as-imported"
    assert "note: nothing is computed with channels last: operator odd cannot be compiled" in told(model)
    refused.update(LAYOUTS)
    with pytest.raises(InputError, match="cannot be compiled channels-last"):
        compiled(FASTEST["blocks"])


def test_a_budget_is_never_less_than_nothing() -> None:
    spent = UsedUp(minutes=3, trials=9, usd=Decimal("0.5"), calls=4, tokens=100)
    left = CompileOptions(minutes=5, trials=10, max_usd=0.6, max_calls=9, max_tokens=101).less(spent)
    assert (left.minutes, left.trials, left.max_usd, left.max_calls, left.max_tokens) == (2, 1, Decimal("0.1"), 5, 1)
    left = CompileOptions(minutes=1, trials=2, max_usd=0.1, max_calls=1, max_tokens=1).less(spent)
    assert 0 < left.minutes < 0.1
    assert (left.trials, left.max_usd, left.max_calls, left.max_tokens) == (0, 0, 0, 0)
    assert CompileOptions(trials=2, use_records=False).less(spent).trials == 1
    left = CompileOptions().less(spent)
    assert (left.trials, left.max_usd, left.max_calls, left.max_tokens) == (None, None, None, None)


def test_a_model_without_convolutions_has_no_layouts() -> None:
    with measured_by(SimulatedMeasurer(fingerprint)):
        model = compile_model(Mlp().graph(), None, CompileOptions(trials=2, threads=2, use_records=False))
    assert model.report.layouts == model.report.messages == ()


def test_moves_of_data_take_what_memory_takes() -> None:
    """They are not timed: 30 GB/s for 4.6 kB and 9.2 kB, each read and written."""
    model, _ = compiled(FASTEST["as-imported"])
    found = {one.name: one.ms for one in model.report.layouts}
    assert found["as-imported"] == pytest.approx(0.02)
    assert found["channels-last"] == found["blocks"] == pytest.approx(0.05 + 13824 / 30e6)
