"""Benchmarks that run: whole ones from the command line, and ones whose cells fail or are interrupted."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from colt.bench import cell as cells
from colt.bench import isolation
from colt.bench.config import BenchConfig, Cell, Peer, StrategyName
from colt.bench.directory import BenchDirectory
from colt.bench.run import run
from colt.errors import MeasureError
from colt.util.waiting import tell_waiting
from tests.helpers import bench_records as records
from tests.helpers.bench_hurry import COLT, colt, hurry_bench

STRATEGIES = ["stock", "random", "mcts", "architect", "colt"]
WARM = 2
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # whole benchmarks, with other things to do beside them


# ---- a whole benchmark ----


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All strategies on a matrix-vector product, begun with the same schedules of the same space."""
    out = tmp_path_factory.mktemp("bench") / "whole"
    done = colt(
        *("bench", "gemv", "--trials", "4", "--seeds", "1", "--warm-start", str(WARM), "--space", "colt"),
        *("--threads", "1", "--peers", "numpy", "--out", str(out)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Benchmark of search methods\n")
    assert done.stdout.endswith(f"written to {out}/report.md\n")
    assert done.stderr.count("after 4 trials") == 5
    return out


def cell(out: Path, strategy: str) -> Path:
    return out / "cells" / "gemv" / f"{strategy}-0"


def traces(path: Path) -> list[Any]:
    """The traces of a MetaSchedule database, in the order of its records."""
    return [json.loads(line)[1][0] for line in (path / "database_tuning_record.json").read_text().splitlines()]


def test_every_strategy_measures_its_trials_and_has_a_winner(whole: Path) -> None:
    with (whole / "cells.csv").open() as file:
        rows = {row["strategy"]: row for row in csv.DictReader(file)}
    assert list(rows) == STRATEGIES
    for row in rows.values():
        assert (row["status"], row["trials"], row["stop_reason"]) == ("ok", "4", "trials")
        assert float(row["best_us"]) > 0
        assert 0 < float(row["search_seconds"]) < float(row["wall_seconds"])
        assert float(row["build_seconds"]) > 0
    for strategy in STRATEGIES:
        assert (cell(whole, strategy) / "winner.json").stat().st_size > 0


def test_all_begin_with_the_same_schedules(whole: Path) -> None:
    first = traces(cell(whole, "architect") / "run")[:WARM]
    assert len(set(map(json.dumps, first))) == WARM
    measured = {name: traces(cell(whole, name) / ("" if name == "stock" else "run")) for name in STRATEGIES}
    assert all(len(records) == 4 for records in measured.values())
    for name in ("stock", "random"):
        assert all(trace in measured[name][:WARM] for trace in first)
    for name in ("mcts", "colt"):  # openings of the tree, which decides when to measure them
        journal = (cell(whole, name) / "run" / "journal.jsonl").read_text().splitlines()
        opened = [event for line in journal if (event := json.loads(line))["event"] == "opened"]
        assert [event["by"] for event in opened] == ["architect"] * WARM


def test_stock_search_knows_what_was_measured_first(whole: Path) -> None:
    """One workload in its database: records of another would not be found."""
    assert len((cell(whole, "stock") / "database_workload.json").read_text().splitlines()) == 1


def test_winners_and_peers_are_verified_and_timed_in_turn(whole: Path) -> None:
    with (whole / "remeasured.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["contender"] for row in rows] == [*(f"{name} 0" for name in STRATEGIES), "numpy"]
    for row in rows:
        assert row["problem"] == ""
        assert row["rounds"] == "16"  # 8 in each of two sittings
        assert float(row["low_us"]) <= float(row["median_us"]) <= float(row["high_us"])
        assert float(row["max_rel_error"]) < 1e-4


def test_the_same_command_again_runs_nothing(whole: Path) -> None:
    results = {path: path.stat().st_mtime_ns for path in whole.rglob("*.json")}
    report = (whole / "report.md").read_text()
    (whole / "report.md").unlink()
    done = colt(
        *("bench", "gemv", "--trials", "4", "--seeds", "1", "--warm-start", str(WARM), "--space", "colt"),
        *("--threads", "1", "--peers", "numpy", "--out", str(whole)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (whole / "report.md").read_text() == report
    assert results == {path: path.stat().st_mtime_ns for path in whole.rglob("*.json")}


def test_a_changed_configuration_is_refused(whole: Path) -> None:
    done = colt("bench", "gemv", "--trials", "5", "--seeds", "1", "--peers", "none", "--out", str(whole))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "trials was 4, now it is 5" in done.stderr
    assert "warm_start was 2, now it is 0" in done.stderr
    assert "name another directory" in done.stderr


# ---- interrupted ----


def interruptible(out: Path) -> list[str]:
    strategies = ["--strategies", "architect", "random", "--trials", "2", "--seeds", "1"]
    return ["bench", "gemv", *strategies, "--peers", "none", "--out", str(out)]


def begin(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*COLT, *interruptible(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def await_child(process: subprocess.Popen[str]) -> psutil.Process:
    """The process of a cell, once it has workers of its own: it is in the midst of its search."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(process.pid).children():
            if child.children():
                return child
        time.sleep(0.05)
    raise AssertionError("no cell has begun")


def await_end(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_a_benchmark_goes_on_where_it_was_interrupted_or_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    architect, random = (out / "cells" / "gemv" / f"{name}-0" for name in ("architect", "random"))

    process = begin(out)
    await_line(process, "2/2: random")
    cell = await_child(process)
    everyone = [cell, *cell.children(recursive=True)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from here" in err
    await_end(everyone)
    written = (architect / "result.json").stat().st_mtime_ns
    assert random.exists()
    assert not (random / "result.json").exists()

    process = begin(out)
    await_line(process, "2/2: random")
    cell = await_child(process)
    everyone = [cell, *cell.children(recursive=True)]
    process.kill()
    process.communicate(timeout=30)
    await_end(everyone)
    assert not (random / "result.json").exists()

    done = colt(*interruptible(out))
    assert done.returncode == 0, done.stderr
    assert "architect seed 0 ..." not in done.stderr
    assert "2/2: random seed 0 " in done.stderr
    assert (architect / "result.json").stat().st_mtime_ns == written
    assert (random / "result.json").exists()
    assert "| gemv |" in done.stdout
    assert "FAILED" not in done.stderr


# ---- cells that fail ----


def config(**changes: Any) -> BenchConfig:
    settings = {"workloads": ("gemv",), "trials": 1, "seeds": 1, "peers": (Peer.NUMPY,), "threads": 1}
    return records.config(**{**settings, **changes})


FAILURES = {
    StrategyName.STOCK: ("import os; print('bye', flush=True); os.abort()", "killed by SIGABRT; last output: bye"),
    StrategyName.RANDOM: ("import sys; sys.exit('no luck')", "exited with status 1; last output: no luck"),
    StrategyName.MCTS: ("import time; time.sleep(100)", "it took more than 4 s; it printed nothing"),
    StrategyName.ARCHITECT: ("pass", "it ended without a result; it printed nothing"),
}


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(directory: BenchDirectory, cell: Cell) -> list[str]:
        return [sys.executable, "-c", FAILURES[cell.strategy][0]]

    hurry_bench(monkeypatch)
    monkeypatch.setattr(isolation, "_command", command)
    monkeypatch.setattr(isolation, "FLOOR_SECONDS", 4.0)
    monkeypatch.setattr(isolation, "SECONDS_PER_TRIAL", 0.0)
    said: list[str] = []
    report = run(config(strategies=tuple(FAILURES)), tmp_path, said.append)
    directory = BenchDirectory.load(tmp_path)
    for strategy, (_, failure) in FAILURES.items():
        record = directory.result(Cell("gemv", strategy, 0))
        assert record is not None
        assert record.failure == failure
        assert f"- gemv, {strategy} seed 0: {failure}" in report
    assert sum("FAILED" in line for line in said) == len(FAILURES)
    remeasured = directory.remeasured("gemv")
    assert remeasured is not None
    assert [one.name for one in remeasured.contenders] == ["numpy"]


def test_a_search_that_raises_says_what(tmp_path: Path) -> None:
    with BenchDirectory.claimed(tmp_path, config(size="paper"), {}) as directory:
        record = isolation.run_isolated(directory, Cell("gemv", StrategyName.ARCHITECT, 0))
    assert record.failure == "InputError: workload gemv has no size 'paper'; it has small"
    assert record.wall_seconds > 0
    assert "Traceback" in (directory.folder(Cell("gemv", StrategyName.ARCHITECT, 0)) / "log.txt").read_text()


def test_what_a_cell_waits_for_is_told_and_takes_nothing_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks at its log meanwhile."""
    says = "import os, sys, time; os.write(int(sys.argv[1]), b'waiting for a\\nwaiting for b\\n'); time.sleep(3)"
    monkeypatch.setattr(isolation, "_command", lambda directory, cell: [sys.executable, "-c", says])
    monkeypatch.setattr(isolation, "FLOOR_SECONDS", 2.5)
    monkeypatch.setattr(isolation, "SECONDS_PER_TRIAL", 0.0)
    said: list[str] = []
    with BenchDirectory.claimed(tmp_path, config(), {}) as directory:
        record = isolation.run_isolated(directory, Cell("gemv", StrategyName.ARCHITECT, 0), said.append)
    assert record.failure == "it ended without a result; it printed nothing"
    assert said == ["waiting for a", "waiting for b"]


def test_a_cell_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(task: Any) -> None:
        tell_waiting("waiting for a:\nprocess 1")
        raise MeasureError("it takes too long")

    read, written = os.pipe()
    monkeypatch.setattr(cells, "die_with_parent", lambda parent: None)
    monkeypatch.setitem(cells.SEARCHES, StrategyName.ARCHITECT, waits)
    with BenchDirectory.claimed(tmp_path, config(), {}) as directory:
        directory.begin(Cell("gemv", StrategyName.ARCHITECT, 0))
        cells.main([str(tmp_path), "gemv", "architect", "0", "1", str(written)])
        record = directory.result(Cell("gemv", StrategyName.ARCHITECT, 0))
    os.close(written)
    with open(read) as lines:
        assert lines.read() == "waiting for a: process 1\n"
    assert record is not None
    assert record.failure == "MeasureError: it takes too long"


# ---- the command line ----


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nobody"], "no workload 'nobody'"),
        (["gemv", "--trials", "0"], "trials is 0"),
        (["gemv", "--strategies", "luck"], "there are stock, random, mcts, architect, colt"),
        (["gemv", "--size", "paper"], "gemv has no size 'paper'"),
        (["gemv", "--space", "all"], "it takes one of own, colt, metaschedule"),
        (["gemv", "--peers", "jax"], "there are numpy, torch, sdpa, torch.compile"),
        (["gemv", "--warm-start", "65"], "warm-start is 65; it takes an integer from 0 to 64"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = colt("bench", *arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_directory_must_be_named_and_its_own(tmp_path: Path) -> None:
    assert "--out" in colt("bench", "gemv").stderr
    assert "empty name" in colt("bench", "gemv", "--out", "").stderr
    (tmp_path / "mine").write_text("keep me")
    done = colt("bench", "gemv", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "holds other files" in done.stderr


def test_help_explains_the_strategies() -> None:
    text = " ".join(colt("bench", "--help").stdout.split())
    for word in ("stock (MetaSchedule's evolutionary search)", "architect", "--warm-start N", "resumes", "held-out"):
        assert word in text
