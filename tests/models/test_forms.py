"""A model whose convolution is computed by the sums that are faster."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tvm import relax

from colt.measure.simulated import SimulatedMeasurer
from colt.models.compile import compile_model
from colt.models.compiled import CompiledModel
from colt.models.loading import load
from colt.models.manifest import TaskPart
from colt.models.options import CompileOptions
from colt.models.report import model_table
from colt.run import scheduler
from colt.tvm.models.graph import Graph
from tests.helpers.forms import with_places
from tests.helpers.simulated_runs import measured_by

pytestmark = pytest.mark.real
RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 5, 7, 16)).astype("float32")
W = RNG.standard_normal((3, 3, 16, 16)).astype("float32")
B = RNG.standard_normal(16).astype("float32")
FASTER = {"": {"16": 4e3, "36": 4e3}, "F(2x2, 3x3)": {"16": 1.0}, "F(4x4, 3x3)": {"36": 1.0}}
"""Microseconds by the places in a tile, with which each form is the fastest; as written it takes at least 20."""


def computed(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.maximum(np.einsum("nhwcrs,rsck->nhwk", windows, W) + B, 0)


def graph() -> Graph:
    """One convolution with a bias and a relu."""
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType(X.shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            layouts = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
            sums = builder.emit(relax.op.nn.conv2d(x, relax.const(W), padding=1, **layouts))
            output = builder.emit_output(builder.emit(relax.op.nn.relu(relax.op.add(sums, relax.const(B)))))
        builder.emit_func_output(output)
    return Graph("conv", builder.get(), ("x",), (X,), lambda arrays: [computed(*arrays)], "NumPy")


@pytest.fixture(scope="module", autouse=True)
def _all_forms() -> Iterator[None]:
    """Those are tried, too, that this machine's peaks say little good of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "PROMISING", math.inf)
        yield


def compiled(us: Mapping[str, float], **options: object) -> tuple[CompiledModel, TaskPart]:
    """The model, compiled where forms take so many microseconds, and what became of its convolution."""
    known = {"trials": 24, "threads": 2, "pool": ("scout", "tuner"), "use_records": "records" in options}
    with measured_by(SimulatedMeasurer(with_places, lambda text: us.get(text.split()[0]))):
        model = compile_model(graph(), None, CompileOptions(**known | options))  # type: ignore[arg-type]
    (task,) = model.report.tasks
    return model, task


@pytest.mark.parametrize("form", FASTER)
def test_a_convolution_is_computed_in_its_fastest_form(form: str, tmp_path: Path) -> None:
    """Also after it was kept in a file."""
    model, task = compiled(FASTER[form])
    assert task.form == form
    assert (task.form_error is None) == (form == "")
    np.testing.assert_allclose(model(X), computed(X), rtol=1e-3, atol=1e-3)
    again = load(model.save(tmp_path / "m.colt"))
    assert again.report == model.report
    np.testing.assert_array_equal(again(X), model(X))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(model_table(model.report))
    assert (f"{task.by}, F(" in shown.get()) == bool(form)
    assert ("1 task computed by Winograd's sums, off by 0 at most alone" in shown.get()) == bool(form)


def test_a_model_that_is_compiled_again_has_the_same_form(tmp_path: Path) -> None:
    records = tmp_path / "records.db"
    _, first = compiled(FASTER["F(2x2, 3x3)"], records=records)
    _, again = compiled(FASTER["F(2x2, 3x3)"], records=records, records_only=True)
    assert [task.form for task in (first, again)] == ["F(2x2, 3x3)"] * 2
    assert 0 < again.trials <= 2


def test_sums_may_have_to_be_those_that_are_written() -> None:
    _, task = compiled(FASTER["F(4x4, 3x3)"], winograd=False, trials=8)
    assert task.form == ""
    assert task.tuned_us is not None
    assert task.tuned_us >= 20
