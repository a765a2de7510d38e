"""``colt compile``, ``colt run`` and ``colt show`` of a model, from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from colt.cli.app import main
from colt.cli.codes import BAD_INPUT, OK
from colt.errors import StorageError
from colt.models.compiled import CompiledModel
from colt.models.loading import load

pytestmark = pytest.mark.real
MODEL = """
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU()), (torch.ones(4, 16),)

def nothing():
    return 7
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, compiled."""
    pytest.importorskip("torch", reason="models of PyTorch need it: make peers")
    made = tmp_path_factory.mktemp("compile")
    (made / "own.py").write_text(MODEL)
    records = ("--records", str(made / "records.db"))
    assert main(["compile", f"{made}/own.py:net", "--trials", "4", *records, "-o", f"{made}/net.colt"]) == OK
    return made


def test_a_compiled_model_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{folder}/net.colt"]) == OK
    shown = capsys.readouterr().out
    assert "computes what PyTorch computes" in shown
    assert "1 task" in shown
    assert main(["show", f"{folder}/net.colt", "--json"]) == OK
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["tasks"][0]["trials"] == 4
    assert manifest["compared"]["ok"]


def test_a_compiled_model_is_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    x = np.random.default_rng(0).standard_normal((4, 16)).astype("float32")
    np.save(folder / "x.npy", x)
    assert main(["run", f"{folder}/net.colt", "--input", f"{folder}/x.npy", "-o", f"{folder}/y.npz"]) == OK
    assert "float32[4, 32]" in capsys.readouterr().out
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 32)
    with torch.no_grad():
        expected = torch.relu(layer(torch.from_numpy(x))).numpy()
    (found,) = np.load(folder / "y.npz").values()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_is_compiled_for_several_sizes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 32)
    shapes = {"input": {0: torch.export.Dim("batch")}}
    program = torch.export.export(layer.eval(), (torch.ones(4, 16),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")
    asked = ["compile", f"{tmp_path}/net.pt2", "--sizes", "input.0=2,4", "--trials", "4", "-o", f"{tmp_path}/net.colt"]
    assert main([*asked, "--records", f"{folder}/records.db"]) == OK
    assert main(["show", f"{tmp_path}/net.colt"]) == OK
    shown = capsys.readouterr().out
    assert "net, input.0=2, 1 task" in shown
    assert "others, with input.0 from 1 to 8: untuned" in shown
    for rows, code in ((4, OK), (7, OK), (9, BAD_INPUT)):
        x = np.random.default_rng(0).standard_normal((rows, 16)).astype("float32")
        np.save(tmp_path / "x.npy", x)
        out = f"{tmp_path}/y{rows}.npz"
        assert main(["run", f"{tmp_path}/net.colt", "--input", f"{tmp_path}/x.npy", "-o", out]) == code
        if code == OK:
            with torch.no_grad():
                expected = layer(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(*np.load(out).values(), expected, rtol=1e-4, atol=1e-5)
    assert "compiled for input.0=2; input.0=4" in capsys.readouterr().err


class Unwritten:
    """A model for which there is no room."""

    def save(self, path: Path) -> Path:
        raise StorageError(f"{path} cannot be written: No space left on device")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--run", "{0}/run"], "the same command goes on from {0}/run"),
        (["--records", "{0}/r.db"], "the same command begins with what the records have by now"),
        (["--no-records"], "nothing of the search is kept; with --run DIR the same command could go on"),
        ([], "nothing of the search is kept"),
    ],
    ids=["run", "records", "no records", "records are off"],
)
def test_where_a_model_cannot_be_written_it_is_said_how_to_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: Sequence[str],
    hint: str,
) -> None:
    monkeypatch.setattr("colt.models.bucket.compile_any", lambda *_: Unwritten())
    given = [one.format(tmp_path) for one in options]
    assert main(["compile", "net.onnx", "-o", f"{tmp_path}/net.colt", *given]) == BAD_INPUT
    assert f"No space left on device; {hint.format(tmp_path)}" in capsys.readouterr().err


def test_a_run_whose_files_cannot_be_written_ends_with_2(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model is written all the same."""
    model = load(folder / "net.colt")
    assert isinstance(model, CompiledModel)
    model.storage_failure = StorageError("journal.jsonl cannot be written: No space left on device")
    monkeypatch.setattr("colt.models.bucket.compile_any", lambda *_: model)
    assert main(["compile", "net.onnx", "-o", f"{tmp_path}/net.colt"]) == BAD_INPUT
    assert "journal.jsonl cannot be written" in capsys.readouterr().err
    assert load(tmp_path / "net.colt").report.name == model.report.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compile", "{0}/gone.onnx"], "is not there"),
        (["compile", "{0}/own.py:gone"], "does not define gone"),
        (["compile", "{0}/own.py:nothing"], "a model cannot be of type int"),
        (["compile", "{0}/own.py:net", "-o", "{0}/no/folder.colt"], "cannot be written"),
        (["compile", "{0}/own.py:net", "-o", "{0}/own.py"], "this command reads it; name another"),
        (["compile", "{0}/own.py:net", "--input", "{0}/own.py", "-o", "{0}/../{1}/own.py"], "this command reads it"),
        (["run", "{0}/net.colt", "-o", "{0}/net.colt"], "this command reads it"),
        (["compile", "{0}/own.py:net", "--minutes", "0"], "--minutes is 0"),
        (["compile", "{0}/own.py:net", "--input", "{0}/own.py"], "is not an array of NumPy"),
        (["compile", "{0}/own.py:net", "--sizes", "batch=1,2"], "sizes are for files that leave some open"),
        (["compile", "{0}/own.py:net", "--sizes", "batch"], "it takes NAME=SIZES, such as batch=1,8,32"),
        (["compile", "{0}/own.py:net", "--sizes", "a=1", "--sizes", "a=2"], "--sizes is given twice for a"),
        (["run", "{0}/own.py"], "is not a compiled model"),
        (["run", "{0}/net.colt"], "takes 1 input"),
        (["show", "{0}/gone.colt"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    folder: Path, arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in folder.iterdir()}
    assert main([argument.format(folder, folder.name) for argument in arguments]) == BAD_INPUT
    assert said in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == before
