"""A model compiled from beginning to end, kept, loaded and called; on this machine, and in haste."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from colt import events
from colt.errors import InputError, StorageError
from colt.machine import detect
from colt.models import checked, compile, loading
from colt.models.archive import Archive, open_archive
from colt.models.compile import compile_model
from colt.models.compiled import CompiledModel
from colt.models.layouts import LayoutChoice
from colt.models.loading import load
from colt.models.options import CompileOptions
from colt.models.report import model_table
from colt.models.tuning import TunedTasks
from colt.tvm.models.graph import CannotTell
from colt.util.interrupt import Interrupt
from tests.helpers.small_models import Mlp

pytestmark = pytest.mark.real
MLP = Mlp(rows=16, width=32, inner=64)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model's programs are remembered in."""
    return tmp_path_factory.mktemp("compiled") / "records.db"


@pytest.fixture(scope="module")
def model(records: Path) -> CompiledModel:
    """Eight trials of two programs."""
    options = CompileOptions(trials=8, records=records, threads=2, run_dir=records.parent / "run")
    return compile_model(MLP.graph(), None, options)


def test_it_computes_what_the_original_computes(model: CompiledModel) -> None:
    np.testing.assert_allclose(model(MLP.x), MLP.compute(MLP.x), rtol=1e-4, atol=1e-4)
    assert model.report.compared is not None
    assert model.report.compared.ok
    assert model.report.compared.against == "NumPy"


def test_what_the_original_does_not_run_is_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anything lost that was tuned before that was found out."""
    asked = list[str]()
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: asked.append("tuned") or TunedTasks({}, {}))

    def reference(given: Sequence[Any]) -> list[Any]:
        asked.append("run")
        raise RuntimeError("mat1 and mat2 must have the same dtype\nand more")

    graph = replace(MLP.graph(), reference=reference, against="PyTorch")
    said = "mlp does not run in PyTorch on the example inputs: RuntimeError: mat1 and mat2 must have the same dtype"
    with pytest.raises(InputError, match=f"^{said}$"):
        compile_model(graph, None, CompileOptions(threads=2))
    assert asked == ["run"]


def test_what_nobody_can_tell_is_compared_with_nothing_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))

    def reference(given: Sequence[Any]) -> list[Any]:
        raise CannotTell("it has no kernel for that")

    found = compile_model(replace(MLP.graph(), reference=reference), None, CompileOptions(threads=2)).report
    assert found.compared is None
    assert "outputs are compared with nothing: it has no kernel for that" in found.messages


def test_the_original_computes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes long."""
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))
    graph, calls = MLP.graph(), list[int]()
    right = graph.reference
    assert right is not None
    counted = replace(graph, reference=lambda given: calls.append(1) or right(given))
    assert compile_model(counted, None, CompileOptions(threads=2)).report.is_right
    assert calls == [1]


def test_a_search_that_begins_after_an_interrupt_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the main one, after the one that compares layouts."""
    choose = compile.chosen_layout

    def chosen(*given: Any) -> LayoutChoice:
        os.kill(os.getpid(), signal.SIGINT)
        return choose(*given)

    def tuned(*_: Any) -> TunedTasks:
        with Interrupt() as interrupt:
            assert interrupt.requested
        return TunedTasks({}, {})

    monkeypatch.setattr(compile, "chosen_layout", chosen)
    monkeypatch.setattr(compile, "tune_tasks", tuned)
    assert compile_model(MLP.graph(), None, CompileOptions(threads=2)).report.is_right


def test_without_room_for_temporary_files_nothing_is_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM would end the process where it cannot write."""
    monkeypatch.setattr("colt.util.output.ROOM_TO_BUILD", 1 << 62)
    monkeypatch.setattr(compile, "tune_tasks", lambda *_: pytest.fail("tuned"))
    with pytest.raises(StorageError, match=r"building a model takes up to .* TMPDIR names another folder"):
        compile_model(MLP.graph(), None, CompileOptions(threads=2))


def test_a_run_keeps_its_budget_and_that_is_said(model: CompiledModel, records: Path) -> None:
    """It came to its end, or broke off; either way nothing more is measured than it was begun with."""
    happened = list[events.Event]()
    options = CompileOptions(
        trials=60, records=records, threads=2, run_dir=records.parent / "run", on_event=[happened.append]
    )
    again = compile_model(MLP.graph(), None, options)
    assert again.report.trials == model.report.trials
    said = [event.message for event in happened if isinstance(event, events.Noted)]
    assert any("keeps the budget that it was begun with: trials 8, not 60" in message for message in said)


def test_products_may_be_narrower_and_the_error_is_shown(records: Path) -> None:
    options = CompileOptions(trials=4, records=records, threads=2, cast="bf16")
    found = compile_model(MLP.graph(), None, options)
    compared = found.report.compared
    assert compared is not None
    assert compared.ok
    assert compared.tolerance == 0.1
    assert 1e-4 < compared.worst < 2e-2
    assert found(MLP.x).dtype == np.float32
    assert found.report.products == "bfloat16"
    console = Console(width=160)
    with console.capture() as shown:
        console.print(model_table(found.report))
    text = shown.get()
    assert "rounded to bfloat16, as asked" in text
    assert f"compiled and timed on {detect().cpu}, 2 threads" in text


def test_another_cast_is_refused() -> None:
    with pytest.raises(InputError, match=r"cast.*one of bf16"):
        CompileOptions(cast="fp8")


def began(event: events.Event, begun: list[str]) -> None:
    """Collect what a run begins to do."""
    if isinstance(event, events.Began):
        begun.append(event.phase)


def test_its_report_tells_of_every_task(model: CompiledModel) -> None:
    report = model.report
    assert [(task.calls, bool(task.by or task.why_not)) for task in report.tasks] == [(2, True), (2, True)]
    assert all(task.trials for task in report.tasks)
    assert report.trials == sum(task.trials for task in report.tasks)
    assert report.timed is not None
    assert report.timed.tuned_ms > 0
    assert set(report.seconds) == {"importing", "tuning", "assembling", "judging"}


def test_its_receipt_tells_what_that_took(model: CompiledModel) -> None:
    receipt = model.report.receipt
    assert receipt is not None
    assert sum(receipt.fates.values()) - receipt.fates.get("skipped", 0) == model.report.trials
    assert sum(one.trials for one in receipt.members.values()) >= model.report.trials
    assert set(receipt.pool) <= receipt.members.keys()
    assert 0 < receipt.seconds["timing"] < receipt.seconds["total"] <= model.report.seconds["tuning"]
    assert receipt.added
    assert receipt.stop_reason


@pytest.mark.parametrize("at_once", [checked.AT_ONCE, 0], ids=["when it is loaded", "when it is first called"])
def test_weights_that_are_damaged_are_never_computed_with(
    model: CompiledModel, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "AT_ONCE", at_once)
    path = model.save(tmp_path / "m.colt")
    begins, size = open_archive(path).weights_at
    content = bytearray(path.read_bytes())
    content[begins + size - 1] ^= 64
    path.write_bytes(content)
    if at_once:
        with pytest.raises(InputError, match=r"m\.colt: weights\.bin is damaged"):
            load(path)
    else:
        late = load(path)
        monkeypatch.setattr(late.library, "call", lambda *_: pytest.fail("it runs"))
        for _ in range(2):
            with pytest.raises(InputError, match=r"m\.colt: weights\.bin is damaged"):
                late(MLP.x)
        with pytest.raises(InputError, match=r"weights\.bin is damaged"):
            late.save(tmp_path / "n.colt")
        assert not (tmp_path / "n.colt").exists()
    assert load(path, check=False)(MLP.x).shape == MLP.compute(MLP.x).shape


def test_large_weights_are_checked_once(model: CompiledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "AT_ONCE", 0)
    checks, check = [], Archive.require_right
    monkeypatch.setattr(Archive, "require_right", lambda *given: (checks.append(1), check(*given)))
    late = load(model.save(tmp_path / "m.colt"))
    assert not checks
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(late, [MLP.x] * 8):
            np.testing.assert_array_equal(y, model(MLP.x))
    assert len(checks) == 1


def test_it_is_the_same_from_a_file(model: CompiledModel, tmp_path: Path) -> None:
    again = load(model.save(tmp_path / "m.colt"))
    np.testing.assert_array_equal(again(MLP.x), model(MLP.x))
    assert again.report == model.report


LEAN = """
import sys
import numpy as np
import colt
model = colt.load(sys.argv[1])
assert isinstance(model, colt.CompiledModel)
model(np.zeros((16, 32), "float32"))
print(*sorted(sys.modules))
"""


def test_what_runs_a_model_needs_nothing_that_makes_one(model: CompiledModel, tmp_path: Path) -> None:
    """Nor what TVM would import for others: all that takes seconds."""
    path = model.save(tmp_path / "m.colt")
    child = subprocess.run([sys.executable, "-c", LEAN, path], capture_output=True, text=True, check=True)
    loaded = child.stdout.split()
    assert "colt.models.loading" in loaded
    for unwanted in ("torch", "onnx", *(f"colt.{name}" for name in ("api", "plan", "run", "search", "proposers"))):
        assert not [one for one in loaded if f"{one}.".startswith(f"{unwanted}.")]


LATER = """
import sys
import colt
model = colt.load(sys.argv[1])
import torch
found = model(torch.ones(16, 32, requires_grad=True))
assert isinstance(found, torch.Tensor) and found.shape == (16, 32)
"""


def test_pytorch_may_come_after_a_model_was_loaded(model: CompiledModel, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = model.save(tmp_path / "m.colt")
    subprocess.run([sys.executable, "-c", LATER, path], check=True)


FORKED = """
import os, sys, threading
import numpy as np
import colt
how, path = sys.argv[1:]
model, x = colt.load(path), np.zeros((16, 32), "float32")

def call():
    try:
        print("gives", model(x).shape, flush=True)
    except colt.InputError as error:
        print("refuses:", error, flush=True)

if how == "called":
    call()
elif how == "elsewhere":
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
if os.fork():
    os.wait()
else:
    call()
    os._exit(0)
"""


@pytest.mark.parametrize(("how", "said"), [("called", "refuses"), ("loaded", "gives"), ("elsewhere", "gives")])
def test_a_fork_leaves_the_threads_of_kernels_behind(model: CompiledModel, tmp_path: Path, how: str, said: str) -> None:
    """A call would wait for them forever, if this thread had any."""
    path = model.save(tmp_path / "m.colt")
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, how, path],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    last = child.stdout.splitlines()[-1]
    assert last.startswith(said)
    assert said == "gives" or "this process was forked from one that had called a compiled model" in last


def test_threads_of_kernels_are_not_bound_to_cores_unless_the_user_wants_that(
    model: CompiledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller would share a core with one of them, and every call take twice as long."""
    path = model.save(tmp_path / "m.colt")
    for set_before, found in ((None, "0"), ("1", "1")):
        monkeypatch.delenv("TVM_BIND_THREADS", raising=False)
        if set_before is not None:
            monkeypatch.setenv("TVM_BIND_THREADS", set_before)
        load(path)(MLP.x)
        assert os.environ["TVM_BIND_THREADS"] == found


def test_threads_may_call_it_at_once(model: CompiledModel) -> None:
    inputs = [MLP.x * factor for factor in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for x, y in zip(inputs, pool.map(model, inputs), strict=True):
            np.testing.assert_allclose(y, MLP.compute(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_inputs_may_lie_anywhere(model: CompiledModel, offset: int) -> None:
    """Kernels are compiled for aligned and compact ones; of others a copy is made."""
    memory = np.zeros(MLP.x.size + 16, "float32")
    x = memory[offset : offset + MLP.x.size].reshape(MLP.x.shape)
    x[:] = MLP.x
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_allclose(model(given), MLP.compute(MLP.x), rtol=1e-4, atol=1e-4)


def test_other_inputs_are_refused(model: CompiledModel) -> None:
    with pytest.raises(InputError, match="takes 1 input"):
        model(MLP.x, MLP.x)
    with pytest.raises(InputError, match=r"input x is float32\[16, 31\]; it takes float32\[16, 32\]"):
        model(MLP.x[:, 1:])
    with pytest.raises(InputError, match="it takes float32"):
        model(MLP.x.astype("float64"))


@pytest.mark.parametrize(
    "given", [[1.0], 2.0, None, "x", {"x": MLP.x}, np.float32(1)], ids=lambda given: type(given).__name__
)
def test_what_is_no_tensor_is_refused(model: CompiledModel, given: object) -> None:
    with pytest.raises(InputError, match=r"it takes an array or a tensor, float32\[16, 32\]"):
        model(given)


def test_a_file_that_was_packed_anew_is_the_same(model: CompiledModel, tmp_path: Path) -> None:
    """Its weights do not lie at a page any more, nor where kernels take them."""
    saved = model.save(tmp_path / "m.colt")
    for moved in (0, 4):  # the manifest's length may happen to put them there
        with zipfile.ZipFile(saved) as old, zipfile.ZipFile(tmp_path / "n.colt", "w") as new:
            for name in old.namelist():
                info = zipfile.ZipInfo(name)
                info.extra = b"\xfe\xca\0\0"[:moved]
                new.writestr(info, old.read(name))
        if open_archive(tmp_path / "n.colt").weights_at[0] % 64:
            break
    assert open_archive(tmp_path / "n.colt").weights_at[0] % 64
    np.testing.assert_array_equal(load(tmp_path / "n.colt")(MLP.x), model(MLP.x))


def test_a_processor_without_its_instructions_is_refused(model: CompiledModel, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.colt")
    other = load(path)
    other.manifest = msgspec.structs.replace(other.manifest, needs=("avx10_9",))
    other.save(path)
    with pytest.raises(InputError, match="a processor with avx10_9, which this one lacks"):
        load(path)


def test_a_model_that_is_known_is_not_searched(model: CompiledModel, records: Path) -> None:
    """Its programs are found again by what they compute; the schedules that are known are measured again."""
    begun: list[str] = []
    options = CompileOptions(records_only=True, records=records, threads=2, on_event=[lambda e: began(e, begun)])
    again = compile_model(Mlp(rows=16, width=32, inner=64, layers=3).graph(), None, options)
    unknown = sum(not task.by for task in model.report.tasks)
    assert begun.count("constructing openings") == unknown, "what is known needs none"
    assert [task.calls for task in again.report.tasks] == [3, 3]
    assert [task.key for task in again.report.tasks] == [task.key for task in model.report.tasks]
    assert all(0 < task.trials <= 2 for task in again.report.tasks)
