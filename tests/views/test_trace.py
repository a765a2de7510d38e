"""``colt trace``: the timeline in Chrome's trace form."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import colt, refused
from tests.helpers.recorded import unpacked


def traced(run: Path) -> list[dict[str, Any]]:
    """The events of a run's timeline."""
    out = run.parent / "trace.json"
    done = colt("trace", str(run), "-o", str(out))
    assert done.returncode == 0, done.stderr
    return list(json.loads(out.read_text())["traceEvents"])


@pytest.mark.parametrize("name", ["models-faults", "builtin", "no-winner", "failing-trials"])
def test_every_call_and_every_trial_is_in_the_timeline(name: str, tmp_path: Path) -> None:
    run = unpacked(name, tmp_path)
    happened = traced(run)
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    rows = {one["pid"]: one["args"]["name"] for one in happened if one["name"] == "process_name"}
    done = [(rows[one["pid"]].partition(": ")[2], one) for one in happened if one["ph"] == "X"]
    timed = [line for line in journal if line["event"] == "timed"]
    for part in ("waiting", "building", "timing"):
        assert len([one for row, one in done if row == part]) == len(timed)
    assert sum(row.startswith("asking ") for row, _ in done) == sum(line["event"] == "proposed" for line in journal)
    for row, one in done:
        assert one["ts"] >= 0, row
        assert one["dur"] >= 0, row
    lasted = [line["seconds_timing"] * 1e6 for line in timed]
    assert [one["dur"] for row, one in done if row == "timing"] == pytest.approx(lasted)


def test_what_happens_at_the_same_time_is_in_different_lanes(tmp_path: Path) -> None:
    lanes: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for one in traced(unpacked("models-faults", tmp_path)):
        if one["ph"] == "X":
            lanes.setdefault((one["pid"], one["tid"]), []).append((one["ts"], one["ts"] + one["dur"]))
    assert len({lane for _, lane in lanes}) > 1
    for spans in lanes.values():
        for (_, end), (start, _) in itertools.pairwise(sorted(spans)):
            assert start >= end - 1e-3


def test_what_of_a_run_cannot_be_read_is_said(tmp_path: Path) -> None:
    run = unpacked("builtin", tmp_path)
    with (run / "journal.jsonl").open("ab") as journal:
        journal.write(b"garbage\n{")
    done = colt("trace", str(run), "-o", str(tmp_path / "trace.json"))
    assert "lines of journal.jsonl are not events" in done.stderr
    assert "1 bytes were left out" in done.stderr


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    assert "no journal.jsonl" in refused("trace", str(tmp_path))
    assert "cannot be written" in refused("trace", str(unpacked("builtin", tmp_path)), "-o", str(tmp_path))
