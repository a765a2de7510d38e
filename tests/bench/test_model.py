"""A compiled model beside peers: each runs in a process of its own, and what cannot says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from colt.bench import model as bench
from colt.bench.contenders.messages import PeerFamily, Settings, TimedKernel
from colt.bench.contenders.model_peers import makers
from colt.bench.model import PACKAGES, AskedSizes, bench_model, sizes_to_time
from colt.cli import main
from colt.errors import InputError
from colt.models.bucket import compile_any
from colt.models.compile import TunedTasks, compile_model
from colt.models.options import CompileOptions
from colt.models.other_sizes import compile_others

pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.real  # builds a library and starts processes

SOURCE = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Linear(8, 4).eval(), (torch.randn(2, 8),)

def wider():
    return torch.nn.Linear(16, 4).eval(), (torch.randn(2, 16),)

def other():
    return torch.nn.Linear(8, 4).eval(), (torch.randn(2, 8),)
"""


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of which nothing is tuned, beside the file that it came from."""
    (tmp_path / "m.py").write_text(SOURCE)
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))
    monkeypatch.setattr(bench, "SITTINGS", 1)
    monkeypatch.setattr("colt.bench.turns.PATIENCE_SECONDS", 0.0)
    return compile_model(f"{tmp_path}/m.py:make", None, CompileOptions()).save(tmp_path / "m.colt")


def test_peers_are_timed_in_turn_and_left_out_with_the_reason(
    compiled: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setitem(PACKAGES, "openvino", ("a_package_that_is_not_there",))
    arguments = ["bench-model", str(compiled), "--model", f"{compiled.parent}/m.py:make", "--json", "--peers"]
    assert main([*arguments, "torch", "openvino"]) == 0
    found = json.loads(capfd.readouterr().out)
    ours, torch, openvino = found["rows"]
    assert [row["name"] for row in found["rows"]] == ["colt", "torch", "openvino"]
    assert ours["median_us"] > 0
    assert torch["speedup"] == pytest.approx(torch["median_us"] / ours["median_us"], rel=0.9)
    assert max(ours["max_rel_error"], torch["max_rel_error"]) < 1e-5
    assert openvino["problem"] == "a_package_that_is_not_there is not installed"
    assert "median_us" not in openvino or openvino["median_us"] is None


def test_a_model_may_be_timed_beside_another_compilation(compiled: Path) -> None:
    other = shutil.copy(compiled, compiled.parent / "other.colt")
    ours, theirs = bench_model(compiled, f"{compiled.parent}/m.py:make", [str(other)]).rows
    assert (ours.name, theirs.name) == ("colt", "other.colt")
    assert theirs.speedup is not None
    assert theirs.max_rel_error == ours.max_rel_error


def test_a_model_that_computes_something_else_has_no_figures(compiled: Path) -> None:
    """The file has other weights than the original."""
    (row,) = bench_model(compiled, f"{compiled.parent}/m.py:other", []).rows
    assert "it computes something else" in row.problem
    assert row.median_us is None


def test_a_model_of_several_sizes_is_timed_for_each(
    compiled: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``compiled`` has the set-up; for a size that was not compiled, others are timed."""
    import torch

    monkeypatch.setattr("colt.models.bucket.others_apart", compile_others)

    shapes = {"input": {0: torch.export.Dim("batch")}}
    program = torch.export.export(torch.nn.Linear(8, 4).eval(), (torch.randn(2, 8),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "n.pt2")
    path = tmp_path / "n.colt"
    options = CompileOptions(sizes={"input.0": (2, 6)}, threads=2)
    compile_any(tmp_path / "n.pt2", None, options).save(path)
    assert sizes_to_time(path, None) == [{"input.0": 2}, {"input.0": 6}]
    assert sizes_to_time(compiled, None) == [{}]
    arguments = ["bench-model", str(path), "--model", f"{tmp_path}/n.pt2", "--json", "--peers", "torch"]
    assert main([*arguments, "--sizes", "input.0=6,9"]) == 0
    text, found = capfd.readouterr().out, []
    while text.strip():
        one, end = json.JSONDecoder().raw_decode(text.lstrip())
        text = text.lstrip()[end:]
        found.append(one)
    assert [one["sizes"] for one in found] == [{"input.0": 6}, {"input.0": 9}]
    for one in found:
        assert [(row["name"], row["problem"]) for row in one["rows"]] == [("colt", ""), ("torch", "")]
    with pytest.raises(InputError, match=r"takes float32\[2, 8\], and n float32\[6, 8\]"):
        bench_model(compiled, str(tmp_path / "n.pt2"), [], AskedSizes(sizes={"input.0": 6}))


@pytest.mark.parametrize(
    ("original", "peers", "said"),
    [
        ("m.py:make", ["troch"], "no peer troch; did you mean torch"),
        (None, ["torch"], "--model MODEL"),
        ("m.py:wider", [], r"takes float32\[2, 8\], and Linear float32\[2, 16\]"),
        ("nothing.onnx", [], "is not there"),
        ("m.py:make", ["nothing.colt"], "nothing.colt cannot be read"),
        ("m.py:make", ["a/m.colt", "b/m.colt"], "two of the compiled models are called m.colt"),
    ],
)
def test_what_cannot_be_compared_is_refused(compiled: Path, original: Any, peers: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench_model(compiled, original and f"{compiled.parent}/{original}", peers)


def test_openvino_is_asked_for_float32_by_a_model_of_integers(tmp_path: Path) -> None:
    """Left alone, it computes in bfloat16 where the processor has that, and is off by some 1e-3."""
    onnx, numpy = pytest.importorskip("onnx"), pytest.importorskip("numpy")
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    rng = numpy.random.default_rng(0)
    table, weight = (rng.standard_normal(shape).astype("float32") for shape in ((50, 256), (256, 64)))
    rows = onnx.helper.make_tensor_value_info("rows", onnx.TensorProto.INT64, [16])
    product = onnx.helper.make_tensor_value_info("product", onnx.TensorProto.FLOAT, [16, 64])
    nodes = [
        onnx.helper.make_node("Gather", ["table", "rows"], ["taken"]),
        onnx.helper.make_node("MatMul", ["taken", "weight"], ["product"]),
    ]
    constants = [onnx.numpy_helper.from_array(one, name) for one, name in ((table, "table"), (weight, "weight"))]
    graph = onnx.helper.make_graph(nodes, "embedding", [rows], [product], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    given = numpy.arange(16, dtype="int64")
    members = (TimedKernel("openvino"),)
    settings = Settings(PeerFamily.MODEL, str(tmp_path / "m.onnx"), "", 2, (), str(tmp_path), members)
    ((_, make),) = makers(settings, [given])
    contender = make()
    expected = table[given] @ weight
    numpy.testing.assert_allclose(contender.fetch(contender.call()), expected.ravel(), atol=1e-4 * abs(expected).max())
