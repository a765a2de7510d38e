"""The main job on real hardware: what a run finds, leaves behind and says, and how it ends where it cannot go on."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm.s_tir import meta_schedule as ms

import colt
from colt import events
from colt.events import Event
from colt.machine import Bound, detect, load_peaks
from colt.run.finish import Result
from colt.store.receipt import Verdict, load_receipt
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.programs.source import load_program
from tests.helpers.simulated_runs import tune_simulated

pytestmark = pytest.mark.real


def tune(program: Any, **options: Any) -> Result:
    return colt.tune(program, **{"trials": 6, "config": colt.SearchConfig(batch_size=3), **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Event]]:
    """One finished run of a program of the user's own, with its events."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("run")
    (folder / "own.py").write_text(OWN_PROGRAM)
    seen: list[Event] = []
    result = tune(f"{folder}/own.py:layer", trials=12, run_dir=folder / "run", seed=3, on_event=[seen.append])
    return result, seen


def test_a_run_is_faster_than_untuned_and_verified(finished: tuple[Result, list[Event]]) -> None:
    result, _ = finished
    assert result.best is not None
    assert result.speedup > 2.0
    assert result.receipt.verified.ok


def test_a_speedup_has_an_interval_and_a_verdict(finished: tuple[Result, list[Event]]) -> None:
    result, _ = finished
    receipt = result.receipt
    assert receipt.speedup_interval is not None
    low, high = receipt.speedup_interval
    assert 1.0 < low <= result.speedup <= high
    assert result.verdict is Verdict.FASTER
    assert (receipt.rounds or 0) >= 6
    assert result.best is not None
    for part in (receipt.baseline, result.best):
        assert part.interval_us is not None
        assert part.interval_us[0] <= part.latency_us <= part.interval_us[1]


def test_the_receipt_states_roofline_and_peaks(finished: tuple[Result, list[Event]]) -> None:
    receipt = finished[0].receipt
    assert receipt.best is not None
    assert receipt.roofline is not None
    assert receipt.roofline.bound == Bound.FMA  # all of its arguments fit any cache
    assert receipt.roofline.gflops == receipt.hardware.fma_gflops
    assert receipt.roofline.share == receipt.best.roofline_share
    assert 0.0 < receipt.roofline.share <= 1.0
    peaks = load_peaks(detect(), receipt.threads)  # those of conftest.py, if no run has exceeded them
    assert peaks is not None
    found = receipt.hardware
    assert found.peak_threads == peaks.threads == receipt.threads
    assert found.fma_gflops_1_thread == pytest.approx(peaks.fma_gflops_1_thread)
    assert (found.fma_pattern, found.bandwidth_pattern) == (peaks.fma_pattern, peaks.bandwidth_pattern)


def test_the_module_computes_what_the_program_says(finished: tuple[Result, list[Event]]) -> None:
    result, _ = finished
    rng = np.random.default_rng(0)
    a, b, bias = (rng.standard_normal(shape, dtype="float32") for shape in ((64, 128), (128, 96), (96,)))
    out = tvm.runtime.tensor(np.full((64, 96), np.nan, "float32"))
    kernel = tvm.tirx.build(result.module, target=result.target)["main"]
    kernel(tvm.runtime.tensor(a), tvm.runtime.tensor(b), tvm.runtime.tensor(bias), out)
    np.testing.assert_allclose(out.numpy(), np.maximum(a @ b + bias, 0), rtol=1e-4, atol=1e-4)


def test_the_receipt_accounts_for_every_trial(finished: tuple[Result, list[Event]]) -> None:
    receipt = finished[0].receipt
    assert receipt.trials.total == 12 == sum(receipt.trials.fates.values())
    assert sum(part.trials for part in receipt.proposers.values()) == 12
    assert receipt.stop_reason == "trials"
    assert set(receipt.versions) >= {"colt", "apache-tvm", "apache-tvm-ffi", "python"}
    assert receipt.seconds["total"] >= sum(v for name, v in receipt.seconds.items() if name != "total") * 0.99
    assert receipt.threads == len(os.sched_getaffinity(0))


def test_trials_are_distinct_schedules(finished: tuple[Result, list[Event]]) -> None:
    _, seen = finished
    made = {event.node: event.schedule for event in seen if isinstance(event, events.Opened | events.Applied)}
    asked = [made[event.node] for event in seen if isinstance(event, events.Asked)]
    assert len(set(asked)) == len(asked) == 12


def test_the_run_directory_holds_config_journal_database_receipt_and_kernel(
    finished: tuple[Result, list[Event]],
) -> None:
    result, seen = finished
    folder = result.run_dir
    assert folder is not None
    assert {path.name for path in folder.iterdir()} == {
        *("config.toml", "journal.jsonl", "receipt.json", "kernel.so", "winner.json"),
        *("database_workload.json", "database_tuning_record.json", "recording.jsonl", "program.json"),
        "workings.jsonl",
    }
    assert load_receipt(folder) == result.receipt
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [record["event"] for record in journal] == [type(event).__name__.lower() for event in seen]


def test_stock_metaschedule_reads_the_database_and_replays_its_best_record(
    finished: tuple[Result, list[Event]],
) -> None:
    folder = finished[0].run_dir
    assert folder is not None
    database = ms.database.JSONDatabase(work_dir=str(folder))
    records = database.get_all_tuning_records()
    assert len(records) == 12
    module = load_program(f"{folder.parent}/own.py:layer").module
    best = database.query_schedule(module, finished[0].target, "main")
    assert best is not None
    assert tvm.tirx.build(best.mod, target=finished[0].target) is not None


def test_the_kernel_library_loads_and_computes_the_same(finished: tuple[Result, list[Event]]) -> None:
    result, _ = finished
    assert result.run_dir is not None
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape, dtype="float32") for shape in ((64, 128), (128, 96), (96,))]
    outputs = []
    for kernel in (
        tvm.runtime.load_module(str(result.run_dir / "kernel.so"))["main"],
        tvm.tirx.build(result.module, target=result.target)["main"],
    ):
        out = tvm.runtime.tensor(np.zeros((64, 96), "float32"))
        kernel(*(tvm.runtime.tensor(array) for array in arrays), out)
        outputs.append(out.numpy())
    np.testing.assert_array_equal(*outputs)


def test_without_a_run_directory_nothing_is_written(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    result = tune_simulated(own_program, trials=3)
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before
    exported = result.export(tmp_path / "k.so")
    assert tvm.runtime.load_module(str(exported))["main"] is not None


ENDLESS = """
from tvm.script import tirx as T

@T.prim_func(s_tir=True)
def endless(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            T.reads(A[v])
            T.writes(B[v])
            while A[v] == A[v]:
                B[v] = A[v]
"""


def test_ctrl_c_before_there_is_anything_to_keep_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(ENDLESS)

    def interrupt(event: Event) -> None:
        if isinstance(event, events.Began) and event.phase == "measuring the untuned program":
            threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        tune(f"{tmp_path}/own.py:endless", run_dir=tmp_path / "run", on_event=[interrupt])
    assert not (tmp_path / "run").exists()


@pytest.mark.alone
def test_another_load_is_named_in_the_receipt(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak that nothing here reaches makes every machine look busy."""
    monkeypatch.setattr("colt.tvm.workers.local.reference_gflop", lambda *rest: 1e-9)
    monkeypatch.setattr(CpuDevice, "look_again", lambda self, hardware: (hardware, ()))  # figures are too good by far
    result = tune(own_program, trials=2)
    noise = result.receipt.noise
    assert noise is not None
    assert noise.timings >= noise.disturbed > 2
    assert noise.worst_slowdown >= 4.0  # more where there is another load indeed
    assert any("another load disturbs this machine" in message for message in result.receipt.messages)
    build = result.receipt.build
    assert build is not None
    assert 0 < build.slowest < build.total <= 2 * build.slowest
    assert 0 < build.predicted_total < 2.0
    assert build.winner is None or 0 < build.winner <= build.slowest


def test_a_program_that_does_not_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text(
        "from tvm import te\n"
        "A = te.placeholder((64,), 'int32', name='A')\n"
        "B = te.placeholder((64,), 'int32', name='B')\n"
        "f = te.create_prim_func([A, B, te.compute((64,), lambda i: te.indexdiv(A[i], B[i] & 3), name='C')])\n"
    )
    with pytest.raises(colt.MeasureError, match="untuned program does not run"):
        tune(f"{tmp_path}/crash.py:f", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
