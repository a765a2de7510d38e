"""Recordings of earlier versions still open, and are replayed to the same tree and receipt (``tests/recordings``)."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import cli
from tests.helpers.recorded import BENCH, RECORDINGS, RUNS, unpacked

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("thinking_fully")]  # all of them take half a minute
WORKLOADS = ("gemv", "column-logsumexp")
BENCH_ARGUMENTS = ("--trials", "4", "--seeds", "1", "--threads", "1", "--peers", "numpy")
"""Those that the benchmark was run with."""
TABLES = ("cells.csv", "trials.csv", "remeasured.csv")
MACHINE = "## Machine and versions"
"""What the report ends with."""


def assert_identical(run: Path) -> None:
    replay = colt.replay(run)
    assert replay.difference is None
    assert replay.identical
    assert replay.events == len((run / "journal.jsonl").read_text().splitlines())
    assert replay.nodes == json.loads((run / "receipt.json").read_text())["space"]["nodes"]


# ---- runs ----


def test_all_recordings_are_described() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (RECORDINGS / "README.md").read_text(), re.MULTILINE)
    described = re.findall(r"`([\w-]+)`", " ".join(rows))
    assert sorted(described) == sorted([*RUNS, BENCH])


@pytest.mark.parametrize("name", RUNS)
def test_a_recording_is_replayed_identically(name: str, tmp_path: Path) -> None:
    assert_identical(unpacked(name, tmp_path))


def test_a_replay_of_an_earlier_edition_can_be_replayed_in_turn(tmp_path: Path) -> None:
    """Today's version derives other sketches of this program."""
    assert colt.replay(unpacked("matmul-int8", tmp_path), run_dir=tmp_path / "again").identical
    assert_identical(tmp_path / "again")


def without_nulls(value: Any) -> Any:
    """A receipt without fields that are null or empty: those that did not exist then are when it is read today."""
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part not in (None, [])}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_is_shown(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = unpacked(name, tmp_path)
    assert cli.main(["show", str(run)]) == 0
    assert "untuned" in capsys.readouterr().out
    assert cli.main(["show", "--json", str(run)]) == 0
    shown, kept = json.loads(capsys.readouterr().out), json.loads((run / "receipt.json").read_text())
    assert without_nulls(shown) == without_nulls(kept)


# ---- a benchmark ----


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A finished benchmark."""
    return unpacked(BENCH, tmp_path)


def set_conditions(out: Path, conditions: dict[str, str]) -> None:
    """Say that the benchmark was run under these conditions."""
    asked, heading, _ = (out / "bench.toml").read_text().partition("[conditions]\n")
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in conditions.items()]
    (out / "bench.toml").write_text("".join([asked, heading, *lines]))


def rows(report: str) -> list[str]:
    """The rows of its tables, whose words are no figures, up to those of the machine."""
    figures, _, _ = report.partition(MACHINE)
    return [line for line in figures.splitlines() if line.startswith("|") and re.search(r"[0-9]", line)]


def go_on(out: Path) -> int:
    """The command that the benchmark was run with."""
    return cli.main(["bench", *WORKLOADS, *BENCH_ARGUMENTS, "--out", str(out)])


def test_a_finished_benchmark_is_read_and_nothing_runs_again(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of another machine is refused, so that it is made one of this machine first."""
    names = ("report.md", *TABLES)
    before = {name: (bench / name).read_text() for name in names}
    results = {path: path.read_bytes() for path in bench.rglob("*.json")}
    set_conditions(bench, dict.fromkeys(tomllib.loads((bench / "bench.toml").read_text())["conditions"], "long gone"))
    assert go_on(bench) == 2
    said = capsys.readouterr().err
    assert "cpu was long gone, now it is " in said
    set_conditions(bench, dict(re.findall("([^ ]+) was long gone, now it is ([^;]*);", said)))
    for name in names:
        (bench / name).unlink()

    assert go_on(bench) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith(f"written to {bench}/report.md\n")
    for name in TABLES:
        assert (bench / name).read_text() == before[name]
    figures, old = (rows(text) for text in ((bench / "report.md").read_text(), before["report.md"]))
    assert figures == old
    assert len(figures) > 10
    assert {path: path.read_bytes() for path in results} == results


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("strategy", ["mcts", "colt"])
def test_runs_of_a_benchmark_by_the_tree_are_replayed_identically(workload: str, strategy: str, bench: Path) -> None:
    assert_identical(bench / "cells" / workload / f"{strategy}-0" / "run")


@pytest.mark.parametrize("strategy", ["random", "architect"])
def test_runs_of_a_benchmark_by_other_methods_are_not_replayed(strategy: str, bench: Path) -> None:
    with pytest.raises(colt.InputError, match="which alone can be replayed"):
        colt.replay(bench / "cells" / "gemv" / f"{strategy}-0" / "run")
