"""The main job, end to end, on real TVM: what a run finds, leaves behind and says."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm.s_tir import meta_schedule as ms

import colt
from colt import events
from colt.events import Event
from colt.machine import Bound, Peaks, detect, load_peaks
from colt.measure.base import Fate, Limits, Verification
from colt.options import SpaceKind
from colt.plan import plan
from colt.run import context, roofline
from colt.run.finish import Result
from colt.run.loop import run
from colt.store.receipt import Verdict, load_receipt
from colt.tvm.programs.source import load_program
from colt.tvm.workers import LocalMeasurer


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
    result = tune(own_program, trials=3)
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before
    exported = result.export(tmp_path / "k.so")
    assert tvm.runtime.load_module(str(exported))["main"] is not None


def test_ctrl_c_ends_the_run_cleanly_with_the_best_so_far(own_program: str) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 4:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    result = tune(own_program, trials=40, on_event=[interrupt])
    assert result.receipt.stop_reason == "interrupted"
    assert result.receipt.trials.total == 5
    assert result.best is not None
    assert result.receipt.verified.ok
    assert signal.getsignal(signal.SIGINT) is before


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
            threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        tune(f"{tmp_path}/own.py:endless", run_dir=tmp_path / "run", on_event=[interrupt])
    assert not (tmp_path / "run").exists()


def test_a_run_on_another_thread_leaves_signals_alone(own_program: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(tune(own_program, trials=3)))
    thread.start()
    thread.join()
    assert results[0].receipt.trials.total == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_the_clock_stops_a_run(own_program: str) -> None:
    result = tune(own_program, trials=10_000, seconds=6.0)
    assert result.receipt.stop_reason == "seconds"
    assert 0 < result.receipt.trials.total < 10_000


def test_a_run_may_search_metaschedules_space_alone(own_program: str, tmp_path: Path) -> None:
    made = replace(plan(own_program, trials=2, run_dir=tmp_path / "run"), space=SpaceKind.METASCHEDULE)
    result = run(made)
    assert result.best is not None
    assert result.best.sketch.startswith("plain/ms")
    assert 'space = "metaschedule"' in (tmp_path / "run" / "config.toml").read_text()


def test_a_space_with_nothing_more_to_try_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(
        "from tvm import te\n"
        "A = te.placeholder((2, 2), name='A')\n"
        "k = te.reduce_axis((0, 2), name='k')\n"
        "f = te.create_prim_func([A, te.compute((2,), lambda i: te.sum(A[i, k], axis=k), name='B')])\n"
    )
    result = tune(f"{tmp_path}/tiny.py:f", trials=200)
    assert result.receipt.stop_reason == "exhausted"
    assert result.receipt.trials.total < 200


def test_a_schedule_rule_that_crashes_is_left_out_with_a_message() -> None:
    result = tune("llama4-scout-mlp", trials=2)
    assert any("MultiLevelTiling crashes on block" in message for message in result.receipt.messages)
    assert result.receipt.trials.total == 2


def test_a_leader_that_computes_something_else_is_not_the_winner(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That wrong kernels are recognised is tested in ``tests/tvm/measure``; here the first verdict is made to be so."""
    real = LocalMeasurer.verify
    refused: list[Any] = []

    def verify(self: LocalMeasurer, reference: Any, candidate: Any, *rest: Any) -> Verification:
        if not refused:
            refused.append(candidate)
            return Verification(False, 1.0, 1.0, 1e-4, "it differs")
        return real(self, reference, candidate, *rest)

    monkeypatch.setattr(LocalMeasurer, "verify", verify)
    result = tune(own_program, trials=4)
    assert result.receipt.trials.fates["wrong"] == 1
    assert sum(result.receipt.trials.fates.values()) == 4
    assert (result.receipt.verified.leaders, result.receipt.verified.wrong) == (4, 1)
    assert any("computes something else: it differs" in message for message in result.receipt.messages)
    assert result.best is not None
    assert result.receipt.verified.ok
    assert not tvm_ffi.structural_equal(result.module, refused[0])


def test_nobody_is_told_of_a_leader_before_it_is_compared(
    own_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With every candidate wrong nothing is ever best but the untuned program, in no event and no record."""
    seen: list[Event] = []
    monkeypatch.setattr(LocalMeasurer, "verify", lambda *rest: Verification(False, 1.0, 1.0, 1e-4, "it differs"))
    result = tune(own_program, trials=6, run_dir=tmp_path / "run", on_event=[seen.append])
    (baseline,) = (event.latency_us for event in seen if isinstance(event, events.Baseline))
    first = seen.index(next(event for event in seen if isinstance(event, events.Measured)))
    told = [event.best_us for event in seen[first:] if isinstance(event, events.Revalued)]
    assert told
    assert set(told) == {baseline}
    assert result.best is None
    wrong = result.receipt.trials.fates["wrong"]
    assert wrong == 6
    database = ms.database.JSONDatabase(work_dir=str(tmp_path / "run"))
    seconds = [float(record.run_secs[0]) for record in database.get_all_tuning_records()]
    assert seconds == [1e10] * 6


def test_skipped_candidates_are_counted_but_not_charged(
    own_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = LocalMeasurer.measure

    def measure(measurer: LocalMeasurer, jobs: Any, *rest: Any, **options: Any) -> Any:
        for result in real(measurer, jobs, *rest, **options):
            skip = result.trial in (0, 4)
            yield replace(result, fate=Fate.SKIPPED, latency_us=None, runs_us=()) if skip else result

    monkeypatch.setattr(LocalMeasurer, "measure", measure)
    result = tune(own_program, trials=6, run_dir=tmp_path / "run")
    assert result.receipt.trials.total == 6
    assert result.receipt.trials.fates["skipped"] == 2
    assert sum(result.receipt.trials.fates.values()) == 8
    assert len((tmp_path / "run" / "database_tuning_record.json").read_text().splitlines()) == 6


def test_a_run_ends_even_if_everything_is_skipped(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LocalMeasurer.measure

    def measure(measurer: LocalMeasurer, jobs: Any, *rest: Any, **options: Any) -> Any:
        for result in real(measurer, jobs, *rest, **options):
            skip = result.trial >= 0
            yield replace(result, fate=Fate.SKIPPED, latency_us=None, runs_us=()) if skip else result

    monkeypatch.setattr(LocalMeasurer, "measure", measure)
    result = tune(own_program, trials=4)
    assert result.receipt.trials.total == 0
    assert result.receipt.trials.fates["skipped"] <= 8
    assert result.best is None


def test_another_load_is_named_in_the_receipt(own_program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak that nothing here reaches makes every machine look busy."""
    monkeypatch.setattr(context, "TRIAL_LIMITS", Limits(noise_wait_seconds=0.01))
    monkeypatch.setattr("colt.tvm.workers.local.reference_gflop", lambda *rest: 1e-9)
    monkeypatch.setattr(roofline, "measured_again", lambda hardware, threads: hardware)  # figures are too good by far
    result = tune(own_program, trials=2)
    noise = result.receipt.noise
    assert noise is not None
    assert noise.timings >= noise.disturbed > 2
    assert noise.worst_slowdown == 4.0
    assert any("another load disturbs this machine" in message for message in result.receipt.messages)
    build = result.receipt.build
    assert build is not None
    assert 0 < build.slowest < build.total <= 2 * build.slowest
    assert 0 < build.predicted_total < 2.0
    assert build.winner is None or 0 < build.winner <= build.slowest


def test_a_run_stops_at_the_wanted_share_of_the_roofline(own_program: str, tmp_path: Path) -> None:
    result = tune(own_program, trials=30, until_roofline=1e-4, run_dir=tmp_path / "run")
    assert result.receipt.stop_reason == "roofline"
    assert result.receipt.trials.total == 3  # the first batch
    assert result.receipt.roofline is not None
    assert result.receipt.roofline.share >= 1e-4
    assert "until_roofline = 0.0001" in (tmp_path / "run" / "config.toml").read_text()


def test_a_wrong_schedule_does_not_stop_a_run_at_the_roofline(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[Any] = []

    def verify(self: LocalMeasurer, reference: Any, candidate: Any, *rest: Any) -> Verification:
        verified.append(candidate)
        return Verification(False, 1.0, 1.0, 1e-4, "it differs")

    monkeypatch.setattr(LocalMeasurer, "verify", verify)
    result = tune(own_program, trials=6, until_roofline=1e-4)
    assert result.receipt.stop_reason == "trials"
    assert result.receipt.trials.fates["wrong"] == len(verified) == 6  # each compared once
    assert result.best is None


def test_a_peak_that_is_too_low_is_measured_again_and_stops_nothing(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, true = (Peaks(1.0, gflops, 30.0, "copy", 2, "2026-01-01T00:00:00") for gflops in (0.001, 1e6))
    monkeypatch.setattr(context, "hardware_with_peaks", lambda threads: replace(detect(), peaks=low))
    monkeypatch.setattr(roofline, "measured_again", lambda hardware, threads: replace(hardware, peaks=true))
    result = tune(own_program, trials=6, until_roofline=0.95)
    assert result.receipt.stop_reason == "trials"
    assert result.receipt.trials.total == 6
    assert result.receipt.hardware.fma_gflops == 1e6
    assert any("void and measured again" in message for message in result.receipt.messages)


def test_a_program_without_a_roofline_cannot_be_tuned_until_there(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "from tvm import te\n"
        "A = te.placeholder((64,), 'float16', name='A')\n"
        "f = te.create_prim_func([A, te.compute((64,), lambda i: A[i] + A[i], name='B')])\n"
    )
    with pytest.raises(colt.InputError, match=r"f has no share of the roofline: .* it uses float16"):
        plan(f"{tmp_path}/half.py:f", until_roofline=0.9)


def test_everything_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    for bad in (
        {"program": "matmull"},
        {"program": "matmul", "trials": 0},
        {"program": "matmul", "threads": 1000},
        {"program": "matmul", "seed": -1},
        {"program": "matmul", "pool": ["nobody"]},
        {"program": "matmul", "target": "cuda"},
        {"program": "matmul", "size": "huge"},
        {"program": "matmul", "seconds": 0.0},
        {"program": "matmul", "until_roofline": 95},
    ):
        with pytest.raises(colt.InputError):
            plan(**bad, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_program_that_does_not_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text(
        "from tvm import te\n"
        "A = te.placeholder((64,), 'int32', name='A')\n"
        "B = te.placeholder((64,), 'int32', name='B')\n"
        "f = te.create_prim_func([A, B, te.compute((64,), lambda i: te.indexdiv(A[i], B[i]), name='C')])\n"
    )
    with pytest.raises(colt.MeasureError, match="untuned program does not run"):
        tune(f"{tmp_path}/crash.py:f", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_of_another_run_is_refused_and_left_as_it_was(own_program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text("mine")
    with pytest.raises(colt.InputError, match="another run"):
        tune(own_program, run_dir=folder)
    assert [path.name for path in folder.iterdir()] == ["config.toml"]
    assert (folder / "config.toml").read_text() == "mine"


def test_an_unwritable_directory_is_refused(own_program: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(colt.InputError, match="run directory"):
        tune(own_program, run_dir=tmp_path / "file" / "run")


def test_the_same_seed_proposes_the_same_schedules(own_program: str) -> None:
    def first_batch(seed: int) -> list[object]:
        made: dict[int, object] = {}
        asked: list[object] = []

        def note(event: Event) -> None:
            if isinstance(event, events.Opened | events.Applied):
                made[event.node] = event.schedule
            elif isinstance(event, events.Asked):
                asked.append(made[event.node])

        tune(own_program, trials=3, seed=seed, on_event=[note])
        return asked

    one, same, other = (first_batch(seed) for seed in (5, 5, 6))
    assert one == same != other
