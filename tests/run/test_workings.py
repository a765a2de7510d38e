"""What a run has worked out is not worked out again when it goes on, and is not believed blindly."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import colt
from colt import events
from colt.errors import InputError
from colt.store import workings
from colt.store.directory import JOURNAL, RECEIPT, RECORDING, WORKINGS
from colt.tvm.cost import scorer
from colt.tvm.space.space import TvmSpace
from colt.world.recording import read_recording
from tests.helpers.simulated_runs import THINK_LESS, measured_by, simulated, tune_simulated, whole_run

TRIALS = 12
Lines = list[bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that came to its end; to be copied."""
    return whole_run(tmp_path_factory.mktemp("whole"), TRIALS)


def broken(whole: Path, folder: Path, change: Callable[[Lines], Lines] = list) -> Path:
    """The run as it was before its last trial was measured, with other lines of workings."""
    shutil.copytree(whole, folder)
    rows = (folder / RECORDING).read_bytes().splitlines(keepends=True)
    last = max(number for number, row in enumerate(rows) if b'"asked":"measure ' in row)
    (folder / RECORDING).write_bytes(b"".join(rows[:last]))
    (folder / RECEIPT).unlink()
    (folder / WORKINGS).write_bytes(b"".join(change((folder / WORKINGS).read_bytes().splitlines(keepends=True))))
    return folder


def resumed(folder: Path, monkeypatch: pytest.MonkeyPatch, checked: float = 1e12, said: list[str] | None = None) -> int:
    """Go on, with one work of so many ``checked``; how many schedules were carried out. Notes go into ``said``."""
    carried = []

    def listen(event: events.Event) -> None:
        if said is not None and isinstance(event, events.Noted):
            said.append(event.message)

    real = TvmSpace.carry_out

    def counting(self: TvmSpace, *given: Any, **options: Any) -> Any:
        carried.append(given)
        return real(self, *given, **options)

    with monkeypatch.context() as patch, measured_by(simulated()):
        patch.setattr(workings, "CHECKED", checked)
        patch.setattr(TvmSpace, "carry_out", counting)
        colt.resume(folder, on_event=[listen])
    return len(carried)


def tree(folder: Path) -> list[dict[str, Any]]:
    """The events that make the tree, without their times."""
    found = [json.loads(row) for row in (folder / JOURNAL).read_text().splitlines()]
    return [{**each, "t": 0} for each in found if each["event"] in ("opened", "applied", "scored", "asked", "measured")]


def test_what_was_worked_out_is_not_worked_out_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = broken(whole, tmp_path / "known")
    anew = broken(whole, tmp_path / "anew", lambda lines: [])
    assert resumed(known, monkeypatch) < resumed(anew, monkeypatch) / 3
    assert tree(known) == tree(anew) == tree(whole)
    names = [msgspec.json.decode(row)[0] for row in (known / WORKINGS).read_bytes().splitlines()[1:]]
    assert len(set(names)) == len(names)  # what is used stays, and the rest is worked out and follows it
    assert set(names) >= {f"program 0.{trial}" for trial in range(TRIALS)}


def test_a_run_that_is_given_more_works_out_only_that(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(whole, tmp_path / "more")
    with measured_by(simulated()):
        colt.resume(folder, trials=TRIALS + 3)
    assert resumed_again_is_equal(folder, monkeypatch)


def resumed_again_is_equal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether another replay, with every work checked, finds the same."""
    monkeypatch.setattr(workings, "CHECKED", 1)
    before = tree(folder)
    with measured_by(simulated()):
        colt.resume(folder, trials=TRIALS + 6)
    return tree(folder)[: len(before)] == before and read_recording(folder / RECORDING).finished


def test_lines_that_cannot_be_read_are_worked_out(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(lines: Lines) -> Lines:
        return [lines[0], *(b"\xff" + line if number % 2 else line for number, line in enumerate(lines[1:]))]

    folder = broken(whole, tmp_path / "run", damaged)
    said: list[str] = []
    assert resumed(folder, monkeypatch, said=said) > 0
    assert "cannot be read: what they held is worked out anew" in said[0]
    assert tree(folder) == tree(whole)


def test_the_works_of_another_run_are_not_used(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = broken(whole, tmp_path / "run", lambda lines: [b'"another"\n', *lines[1:]])
    said: list[str] = []
    resumed(folder, monkeypatch, said=said)
    assert "is of another run" in said[0]
    assert tree(folder) == tree(whole)


def test_works_that_are_wrong_are_refused_by_name(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of so many is checked: here each. The rest has to agree with the journal."""

    def slower(lines: Lines) -> Lines:
        return [_slower(line) if b'["ticket ' in line else line for line in lines]

    before = {path.name: path.read_bytes() for path in broken(whole, tmp_path / "run", slower).iterdir()}
    for checked in (1, 1e12):
        said = r"(workings\.jsonl tells something else|journal\.jsonl is not).*; without workings\.jsonl all of it is"
        with pytest.raises(InputError, match=said):
            resumed(tmp_path / "run", monkeypatch, checked)
        assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    (tmp_path / "run" / WORKINGS).unlink()
    resumed(tmp_path / "run", monkeypatch)
    assert tree(tmp_path / "run") == tree(whole)


def _slower(line: bytes) -> bytes:
    of, done = msgspec.json.decode(line)
    for result in done:
        if result[0] == "predicted":
            result[1] = [2 * us for us in result[1]]
    return msgspec.json.encode([of, done]) + b"\n"


def test_the_learned_scorer_learns_when_it_is_first_asked(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lessons are kept until then: what it answers is the same. Here it is always the one that ranks better."""
    ranks = itertools.cycle((-1.0, 1.0))
    monkeypatch.setattr(scorer, "rank_correlation", lambda predicted, actual: next(ranks))
    config = colt.SearchConfig(batch_size=4, cost_model_warmup=8, cost_model_min_rank=-1, **THINK_LESS)
    program = f"{whole.parent}/own.py:layer"
    tune_simulated(program, trials=20, run_dir=tmp_path / "whole", config=config)
    assert any("xgboost" in str(each.get("scorer")) for each in tree(tmp_path / "whole"))
    folder = broken(tmp_path / "whole", tmp_path / "run")
    resumed(folder, monkeypatch)
    assert tree(folder) == tree(tmp_path / "whole")
