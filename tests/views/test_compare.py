"""``colt compare``: runs side by side, and what speaks against comparing them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from colt.views.compare import overlay, trials_until_near, unlike
from colt.views.report.source import load_runs
from tests.helpers.command import colt, refused
from tests.helpers.recorded import unpacked

pytest.importorskip("plotly", reason="pages come with the extra report")


def changed(run: Path, **parts: Any) -> Path:
    """The run with other parts of its receipt."""
    path = run / "receipt.json"
    receipt = json.loads(path.read_text())
    for name, part in parts.items():
        receipt[name] = {**receipt[name], **part} if isinstance(part, dict) else part
    path.write_text(json.dumps(receipt))
    return run


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The same run twice."""
    return unpacked("models", tmp_path / "a"), unpacked("models", tmp_path / "b")


def test_like_runs_are_compared_by_latency(pair: tuple[Path, Path]) -> None:
    runs = load_runs(list(pair))
    assert unlike(runs) == []
    panel = overlay(runs)
    assert panel.charts[0].y_title == "latency in µs"  # type: ignore[union-attr]
    done = colt("compare", *map(str, pair))
    assert done.returncode == 0
    assert "not compared" not in done.stdout
    assert len(re.findall(r"5\.259", done.stdout)) == 2


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"workload": {"name": "other"}}, "the programs differ"),
        ({"workload": {"arguments": []}}, "the programs differ"),
        ({"hardware": {"cpu": "another"}}, "the machines differ"),
        ({"hardware": {"board": "HOST:9190 pi"}}, "the machines differ"),
        ({"threads": 1}, "the threads differ"),
        ({"versions": {"apache-tvm": "0.28"}}, "the TVM versions differ"),
        ({"math": {"exact": True}}, "the ways to compute transcendental functions differ"),
    ],
)
def test_unlike_runs_are_not_compared_without_saying_so(
    parts: dict[str, Any], said: str, pair: tuple[Path, Path]
) -> None:
    changed(pair[1], **parts)
    done = colt("compare", *map(str, pair), "-o", str(pair[0].parent / "page.html"))
    assert done.returncode == 0
    assert "Latencies are not compared:" in done.stdout
    assert said in " ".join(done.stdout.split())
    panel = overlay(load_runs(list(pair)))
    assert said in panel.notes[0]
    assert panel.charts[0].y_title == "speed-up over untuned"  # type: ignore[union-attr]
    assert said in (pair[0].parent / "page.html").read_text()


def test_unfinished_runs_are_named(pair: tuple[Path, Path]) -> None:
    (pair[1] / "receipt.json").unlink()
    done = colt("compare", *map(str, pair))
    assert "is not finished: its machine is not known" in " ".join(done.stdout.split())


def test_what_of_a_run_cannot_be_read_is_said(pair: tuple[Path, Path]) -> None:
    with (pair[1] / "journal.jsonl").open("ab") as journal:
        journal.write(b"garbage\n")
    assert "1 of 185 lines of journal.jsonl are not events" in " ".join(colt("compare", *map(str, pair)).stdout.split())
    assert any("garbage" not in note and "not events" in note for note in overlay(load_runs(list(pair))).notes)


def test_how_soon_a_run_came_near_its_best(pair: tuple[Path, Path]) -> None:
    (run, _) = load_runs(list(pair))
    final = run.task.improvements[-1].latency_us
    assert trials_until_near(run) == next(o.number for o in run.task.improvements if o.latency_us <= 1.05 * final)


def test_bad_arguments_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert "no such folder" in refused("compare", str(pair[0]), str(tmp_path / "none"))
    assert "cannot be written" in refused("compare", str(pair[0]), "-o", str(tmp_path))
