"""A file that leaves sizes open, compiled for several: tuned for these, untuned for others, and never wrong."""

from __future__ import annotations

import os
import signal
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from colt import events
from colt.errors import InputError
from colt.models.archive import open_archive
from colt.models.bucket import _share, compile_any, compile_bucket
from colt.models.loading import load
from colt.models.manifest import MemberPart, ReceiptPart, SizedManifest
from colt.models.options import CompileOptions
from colt.models.other_sizes import OtherSizes, compile_others
from colt.models.report import table_of
from colt.models.sized import SizedModel
from colt.models.tuning import TunedTasks
from colt.tvm.models.graph import Array, Graph, OpenModel
from colt.tvm.models.sources import open_model
from tests.helpers.dying_models import Dying
from tests.helpers.manifests import bare
from tests.helpers.onnx_files import FLOAT, network, node, value, weight, whole, written
from tests.helpers.simulated_runs import measured_by, simulated

pytestmark = pytest.mark.real  # builds libraries
ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)


def mlp(path: Path) -> Path:
    """relu(x W) with ``batch`` rows."""
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])]
    return written(path, nodes, [value("x", FLOAT, ["batch", 48])], [weight("w", 48, 32)])


def rows(count: int) -> Array:
    return RNG.standard_normal((count, 48)).astype("float32")


def computed(x: Array) -> Array:
    w = np.random.default_rng(1).random((48, 32)).astype("float32") + 0.1
    return np.maximum(x @ w, 0)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[SizedModel, list[events.Event]]:
    """The model for three batches, with the events of its runs."""
    folder, happened = tmp_path_factory.mktemp("sizes"), list[events.Event]()
    options = CompileOptions(
        sizes={"batch": (2, 6, 16)},
        trials=12,
        threads=2,
        pool=("scout", "tuner"),
        records=folder / "records.db",
        run_dir=folder / "run",
        on_event=[happened.append],
    )
    with measured_by(simulated()):
        model = compile_any(mlp(folder / "mlp.onnx"), None, options)
    assert isinstance(model, SizedModel)
    assert sorted(one.name for one in (folder / "run").iterdir()) == ["batch16", "batch2", "batch6"]
    return model, happened


@pytest.fixture
def model(compiled: tuple[SizedModel, list[events.Event]]) -> SizedModel:
    return compiled[0]


@pytest.mark.parametrize("count", [2, 6, 16, 1, 5, 15, 17, 32])
def test_every_size_is_computed(model: SizedModel, count: int) -> None:
    x = rows(count)
    np.testing.assert_allclose(model(x), computed(x), rtol=1e-4, atol=1e-5)


def test_a_size_goes_to_the_model_that_was_compiled_for_it(model: SizedModel) -> None:
    assert [part.sizes for part in model.report.parts] == [{"batch": 2}, {"batch": 6}, {"batch": 16}]
    assert [part.model.inputs[0].shape for part in model.report.parts] == [(2, 48), (6, 48), (16, 48)]
    for part in model.report.parts:
        taken = model._by_shapes[part.model.inputs[0].shape,]
        assert taken is model.models[part.library]
        assert all(task.trials for task in part.model.tasks)
    assert model._other(((5, 48),)) is model.models["model-others.so"]


def test_programs_of_a_size_begin_from_those_of_the_sizes_before(
    compiled: tuple[SizedModel, list[events.Event]],
) -> None:
    runs: list[list[str]] = [[]]
    for event in compiled[1]:
        if isinstance(event, events.OfModel):
            runs.append([])
        if isinstance(event, events.Noted) and event.message.startswith("relatives of this program are known"):
            runs[-1].append(event.message)
    assert [len(notes) for notes in runs] == [0, 1, 1, 0], "what is known is looked up before a run says what it is of"


def test_the_budget_is_that_of_all_sizes() -> None:
    """The first has twice as much as each of the others, and what one leaves over is for the next ones."""
    options = CompileOptions(
        sizes={"a": (1, 2, 3)}, trials=40, minutes=8, max_usd=3, max_calls=70, max_tokens=9000, run_dir="runs"
    )
    asked = {"m": MemberPart(requests=10, input=800, output=200), "scout": MemberPart(calls=7)}
    manifest = bare(trials=12, seconds={"tuning": 120.0}, usd=0.6, receipt=ReceiptPart(members=asked))
    found = [_share(options, {"a": size}, [manifest] * (size - 1)) for size in (1, 2, 3)]
    assert [one.trials for one in found] == [20, 14, 16]
    assert [one.minutes for one in found] == [4, 3, 4]
    assert [str(one.max_usd) for one in found] == ["1.5", "1.2", "1.8"]
    assert [(one.max_calls, one.max_tokens) for one in found] == [(35, 4500), (30, 4000), (50, 7000)]
    assert [str(one.run_dir) for one in found] == ["runs/a1", "runs/a2", "runs/a3"]
    assert _share(replace(options, max_usd=None), {"a": 1}, []).max_usd is None


def test_a_size_that_has_nothing_left_is_compiled_from_what_is_known() -> None:
    options = CompileOptions(sizes={"a": (1, 2)}, trials=4, minutes=1)
    share = _share(options, {"a": 2}, [bare(trials=9, seconds={"tuning": 90.0})])
    assert share.trials == 0
    assert 0 < share.minutes < 0.1
    options = replace(options, use_records=False)
    assert _share(options, {"a": 2}, [bare(trials=9, seconds={"tuning": 90.0})]).trials == 1, "there are no records"


def test_others_are_taken_as_far_as_they_were_compared(model: SizedModel) -> None:
    others = model.report.others
    assert others is not None
    assert others.limits == {"batch": (1, 32)}
    assert others.model.compared is not None
    assert (others.model.compared.against, others.model.compared.ok) == ("ONNX Runtime", True)
    assert others.model.inputs[0].shape == ("batch", 48)
    assert others.model.outputs[0].shape == ("batch", 32)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((rows(33),), r"compiled for batch=2; batch=6; batch=16, and others with batch from 1 to 32; .*: batch is 33"),
        ((rows(0),), r"it was given \[0, 48\]: batch is 0"),
        ((rows(2)[:, 1:],), r"takes float32\[batch, 48\].*: input x is of another shape"),
        ((rows(6).astype("float64"),), r"input x is float64\[6, 48\]; it takes float32\[6, 48\]"),
        ((rows(5).astype("float64"),), r"input x is float64\[5, 48\]; it takes float32\[batch, 48\]"),
        ((), "takes 1 input, not 0"),
        (([1.0],), "it takes an array or a tensor"),
    ],
)
def test_other_inputs_are_refused(model: SizedModel, inputs: Sequence[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        model(*inputs)


def test_it_is_the_same_from_a_file(model: SizedModel, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.colt")
    again = load(path)
    assert isinstance(again, SizedModel)
    assert again.report == model.report == open_archive(path).manifest
    for count in (2, 6, 7):
        x = rows(count)
        np.testing.assert_array_equal(again(x), model(x))


def test_weights_that_sizes_have_in_common_are_in_the_file_once(model: SizedModel, tmp_path: Path) -> None:
    archive = open_archive(model.save(tmp_path / "m.colt"))
    archive.require_whole()
    assert isinstance(archive.manifest, SizedManifest)
    of_each = [{one.offset for one in part.weights} for part in archive.manifest.models.values()]
    listed = sum(len(part.weights) for part in archive.manifest.models.values())
    assert len(set.union(*of_each)) < listed
    with zipfile.ZipFile(archive.path) as file:
        assert [name for name in file.namelist() if name.startswith("weights")] == ["weights.bin"]


def test_a_table_tells_of_each_size(model: SizedModel) -> None:
    text = shown(model)
    for said in ("mlp, batch=2, 1 task", "mlp, batch=16, 1 task", "others, with batch from 1 to 32: untuned"):
        assert said in text


def shown(model: SizedModel) -> str:
    """What is said of a model."""
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table_of(model.report))
    return captured.get()


# ---- without tuning ----


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))


@pytest.fixture
def others_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model for other sizes is made in this process."""
    monkeypatch.setattr("colt.models.bucket.others_apart", compile_others)


@pytest.fixture
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no model for other sizes."""
    monkeypatch.setattr("colt.models.bucket.others_apart", lambda *_: OtherSizes(()))


def bucket(source: OpenModel, sizes: Mapping[str, Sequence[int]]) -> SizedModel:
    return compile_bucket(source, CompileOptions(sizes=sizes, threads=2))


@pytest.mark.usefixtures("untuned", "others_here")
def test_several_sizes_may_be_open(tmp_path: Path) -> None:
    """Every combination is compiled; others are computed, and what the file gives one name is one size."""
    path = network(tmp_path / "net.onnx")
    model = bucket(open_model(path, None, None, ["batch", "x.2"]), {"batch": (1, 2), "x.2": (6, 9)})
    assert [tuple(part.sizes.values()) for part in model.report.parts] == [(1, 6), (1, 9), (2, 6), (2, 9)]
    assert model.report.inputs[0].shape == ("batch", 4, "x.2", "x.2")
    assert model.report.others is not None
    assert model.report.others.limits == {"batch": (1, 4), "x.2": (6, 18)}, "a convolution takes no image of 1 x 1"
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    for shape in ((1, 4, 6, 6), (2, 4, 9, 9), (3, 4, 7, 7), (4, 4, 18, 18)):
        x = RNG.standard_normal(shape).astype("float32")
        np.testing.assert_allclose(model(x), session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"x\.2 is 7 and 8"):
        model(RNG.standard_normal((1, 4, 7, 8)).astype("float32"))


@pytest.mark.usefixtures("untuned", "others_here")
def test_where_the_original_takes_some_sizes_only_no_others_are_computed(tmp_path: Path) -> None:
    """The rows are taken in pairs."""
    nodes = [node("Reshape", ["x", "pairs"], ["a"]), node("Relu", ["a"], ["y"])]
    path = written(tmp_path / "m.onnx", nodes, [value("x", FLOAT, ["batch", 4])], [whole("pairs", -1, 2, 4)], rank=3)
    model = bucket(open_model(path, None, None, ["batch"]), {"batch": (2, 4)})
    assert model.report.others is None
    assert "other sizes are refused: " in model.report.messages[0]
    x = RNG.standard_normal((4, 4)).astype("float32")
    np.testing.assert_array_equal(model(x), np.maximum(x, 0).reshape(2, 2, 4))
    with pytest.raises(InputError, match="compiled for batch=2; batch=4, and nothing else"):
        model(np.concatenate([x, x]))
    assert load(model.save(tmp_path / "m.colt")).report == model.report


class Elsewhere:
    """A model whose original computes something else for one size."""

    def __init__(self, source: OpenModel, batch: int) -> None:
        self._source, self._batch = source, batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def opened(self, sizes: Mapping[str, int]) -> Graph:
        graph = self._source.opened(sizes)
        assert graph.reference is not None
        right = graph.reference

        def reference(inputs: Sequence[Any]) -> list[Any]:
            return [one + (len(inputs[0]) == self._batch) for one in right(inputs)]

        return replace(graph, reference=reference)


@pytest.mark.usefixtures("untuned", "others_here")
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_what_computes_something_else_for_other_sizes_is_not_kept(tmp_path: Path, batch: int) -> None:
    source = Elsewhere(open_model(mlp(tmp_path / "m.onnx"), None, None, ["batch"]), batch)
    model = bucket(source, {"batch": (2, 4)})
    assert model.report.others is None
    assert f"it computes something else for batch={batch}" in model.report.messages[0]


@pytest.mark.usefixtures("untuned")
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("import", r"exited with status 1, while it imports the model: from\x1b the middle"),
        ("pass", "killed by SIGSEGV, while it compiles the model"),
        ("call", "exited with status 0, while it compares the model for batch=3"),
    ],
)
def test_where_the_model_for_others_dies_the_sizes_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), *sys.path])))
    model = bucket(Dying(open_model(mlp(tmp_path / "m.onnx"), None, None, ["batch"]), place), {"batch": (2, 4)})
    expected = f"other sizes are refused: the process that compiles the model for them {said}"
    assert model.report.messages == (expected,)
    assert f"note: {expected}" in shown(model)
    x = rows(4)
    np.testing.assert_allclose(model(x), computed(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="compiled for batch=2; batch=4, and nothing else"):
        model(rows(3))


@pytest.mark.usefixtures("no_others")
@pytest.mark.parametrize(("signals", "kept"), [(1, 2), (2, 1)])
def test_an_interrupt_ends_all_sizes_and_keeps_those_that_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int, kept: int
) -> None:
    """The first lets the size that is under way come to its end, the second drops it."""
    tuned = list[int]()

    def interrupted(*_: Any) -> TunedTasks:
        tuned.append(1)
        if len(tuned) == 2:
            for _number in range(signals):
                os.kill(os.getpid(), signal.SIGINT)
        return TunedTasks({}, {})

    monkeypatch.setattr("colt.models.compile.tune_tasks", interrupted)
    model = bucket(open_model(mlp(tmp_path / "m.onnx"), None, None, ["batch"]), {"batch": (1, 2, 4)})
    assert len(tuned) == 2
    assert [part.sizes["batch"] for part in model.report.parts] == [1, 2][:kept]
    missing = "; ".join(f"batch={size}" for size in [1, 2, 4][kept:])
    assert model.report.messages == (f"it was interrupted before it was compiled for {missing}",)
    x = rows(1)
    np.testing.assert_allclose(load(model.save(tmp_path / "m.colt"))(x), computed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("no_others")
def test_an_interrupt_of_the_first_search_begins_no_other(tmp_path: Path) -> None:
    came = list[events.Event]()

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Measured) and not came:
            came.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    options = CompileOptions(
        sizes={"batch": (2, 6)}, trials=40, threads=2, use_records=False, pool=("scout",), on_event=[interrupt]
    )
    with measured_by(simulated()):
        model = compile_any(mlp(tmp_path / "mlp.onnx"), None, options)
    assert isinstance(model, SizedModel)
    assert [part.sizes["batch"] for part in model.report.parts] == [2]
    assert model.report.parts[0].model.trials < 20


@pytest.mark.usefixtures("untuned", "no_others")
def test_an_interrupt_before_anything_is_finished_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> TunedTasks:
        raise KeyboardInterrupt

    monkeypatch.setattr("colt.models.compile.tune_tasks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bucket(open_model(mlp(tmp_path / "m.onnx"), None, None, ["batch"]), {"batch": (1, 2)})


def test_sizes_that_are_none_are_refused(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"leaves no size rows open; there are batch"):
        open_model(path, None, None, ["rows"])
    with pytest.raises(InputError, match=r"two of the sizes batch, x\.0 are the same"):
        open_model(path, None, None, ["batch", "x.0"])
    with pytest.raises(InputError, match="size batch is 2 as given and 3 for an input"):
        open_model(path, None, {"x": (3, 48)}, ["batch"]).at({"batch": 2})
    with pytest.raises(InputError, match="sizes are for files that leave some open"):
        open_model(f"{tmp_path}/m.py:net", None, None, ["batch"])


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"batch": ()}, "it takes a list of integers"),
        ({"batch": 8}, "it takes a list of integers"),
        ({"batch": (0,)}, "integers of at least 1"),
        ({"batch": (True,)}, "integers of at least 1"),
        ({"batch": (2, 2)}, "one of them twice"),
        ({"batch": range(1, 18)}, "it takes a list"),
        ({"batch": tuple(range(1, 18))}, "17 combinations; 16 are accepted at most"),
        ({"a": tuple(range(1, 6)), "b": (1, 2, 3, 4)}, "20 combinations"),
    ],
)
def test_buckets_that_are_none_are_refused(sizes: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        CompileOptions(sizes=sizes)
