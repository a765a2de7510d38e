"""Runs in which schedules get structures that no sketch has: proposed, measured, kept, replayed and resumed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.events import Event
from colt.proposers.experts.explorer import Explorer
from colt.run.finish import Result
from colt.search.structures import PROBATION
from colt.store.happened import JournalReader
from colt.store.receipt import load_receipt
from colt.world.parts import using
from colt.world.world import Live
from tests.helpers.pool_runs import PoolRuns, quick_machine
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.simulated_runs import measured_by, simulated, tune_simulated

VECTORS = ["split(dot.j, [_, 16])", "reorder(dot, [i, j_0, k, j_1])", "vectorize(dot.j_1)", "parallel(dot.i)"]
ROWS = ["split(dot.i, [?, ?])", "reorder(dot, [i_0, j, i_1, k])", "parallel(dot.i_0)"]
SAME_ROWS = ["split(dot.i, [?, ?])", "parallel(dot.i_0)", "reorder(dot, [i_0, j, i_1, k])"]
IMPOSSIBLE = ["vectorize(dot.k)"]


def answers(*proposals: dict[str, Any]) -> Any:
    """A model that moves in turn, and else answers by chance."""
    left, rng = [*proposals], random.Random(0)

    def think(body: dict[str, Any]) -> str:
        reply = json.loads(simulated_reply(body, rng))
        for one in reply["proposals"]:
            one.setdefault("moves", [])
            if left:
                one |= left.pop(0)
        return json.dumps(reply)

    return think


def from_untuned(moves: list[str], **values: list[int]) -> dict[str, Any]:
    edits = [{"knob": f"dot.{loop}", "value": value} for loop, value in values.items()]
    return {"sketch": "plain/untuned", "moves": moves, "edits": edits}


PROPOSALS = (
    from_untuned(VECTORS),
    from_untuned(IMPOSSIBLE),
    from_untuned(ROWS, i=[4, 16]),
    from_untuned(SAME_ROWS, i=[8, 8]),
)


@pytest.fixture
def runs(own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PoolRuns]:
    pytest.importorskip("openai", reason="language models come with the extra models")
    monkeypatch.setenv("COLT_TEST_KEY", "secret")
    with using(quick_machine()), PoolRuns(tmp_path, own_program) as made:
        yield made


def tune(runs: PoolRuns, folder: Path, **options: Any) -> tuple[Result, list[Event]]:
    server = runs.model("mover", api_key_env="COLT_TEST_KEY")
    server.think = answers(*PROPOSALS)
    result = runs.tune(run_dir=folder, trials=14, **options)
    return result, runs.events


def moved(seen: list[Event]) -> list[events.Applied]:
    return [one for one in seen if isinstance(one, events.Applied) and " | " in one.schedule.sketch]


def test_a_models_moves_are_made_told_of_kept_and_replayed(runs: PoolRuns, tmp_path: Path) -> None:
    _, seen = tune(runs, tmp_path / "run")
    made = {one.schedule.sketch for one in moved(seen)}
    assert any("vectorize(dot.j_1)" in name for name in made)
    rows = [name for name in made if "i_0" in name]
    assert len(rows) == 1, "both ways to it are one structure"
    nodes = {one.node for one in moved(seen)}
    assert any(isinstance(one, events.Asked) and one.node in nodes for one in seen), "none was measured"
    assert [event for _, event in JournalReader(tmp_path / "run" / "journal.jsonl").read()] == seen
    replay = colt.replay(tmp_path / "run")
    assert replay.difference is None
    assert replay.identical


def test_a_run_with_moves_goes_on_where_it_broke_off(runs: PoolRuns, tmp_path: Path) -> None:
    _, seen = tune(runs, tmp_path / "run")
    lines = (tmp_path / "run" / "recording.jsonl").read_bytes().splitlines(keepends=True)
    for name in ("receipt.json", "kernel.so", "winner.json"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / "recording.jsonl").write_bytes(b"".join(lines[: 2 * len(lines) // 3]))
    colt.resume(tmp_path / "run")
    assert load_receipt(tmp_path / "run").trials.total == 14
    journal = [event for _, event in JournalReader(tmp_path / "run" / "journal.jsonl").read()]
    names = {one.schedule.sketch for one in moved(journal)}
    assert {one.schedule.sketch for one in moved(seen)[:2]} <= names
    assert colt.replay(tmp_path / "run").difference is None


def test_nobody_moves_where_moves_are_switched_off(runs: PoolRuns, tmp_path: Path) -> None:
    _, seen = tune(runs, tmp_path / "run", moves="none")
    assert not moved(seen)
    assert colt.replay(tmp_path / "run").identical


MOVE_ALL: dict[str, Any] = {"trials": 40, "moves": "all", "pool": ["scout", "tuner", "architect"]}


def test_structures_are_looked_for_where_all_may_move_and_the_run_is_replayed(own_program: str, tmp_path: Path) -> None:
    seen: list[Event] = []
    tune_simulated(own_program, on_event=[seen.append], run_dir=tmp_path / "run", **MOVE_ALL)
    assert {one.by for one in moved(seen)} >= {"architect"}
    before, among = on_probation(seen)
    assert among >= 1
    assert among <= 1 + before // PROBATION, "their share"
    assert colt.replay(tmp_path / "run").identical


def on_probation(seen: list[Event]) -> tuple[int, int]:
    """How many trials there were before one of a structure that moves have made became the fastest, which ends its
    probation; and how many of them were of such structures. (Simulated latencies are as good as random.)"""
    nodes, asked, best_us = {one.node for one in moved(seen)}, dict[int, bool](), math.inf
    for one in seen:
        if isinstance(one, events.Asked):
            asked[one.trial] = one.node in nodes
        elif isinstance(one, events.Measured) and one.latency_us is not None and one.latency_us < best_us:
            best_us = one.latency_us
            if asked[one.trial]:
                break
    return len(asked), sum(asked.values())


def test_what_was_found_is_not_looked_for_again_when_the_run_goes_on(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune_simulated(own_program, run_dir=tmp_path / "run", **MOVE_ALL)
    lines = (tmp_path / "run" / "recording.jsonl").read_bytes().splitlines(keepends=True)
    for name in ("receipt.json", "kernel.so", "winner.json"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / "recording.jsonl").write_bytes(b"".join(lines[: 2 * len(lines) // 3]))
    looked = []
    changes = Explorer.changes
    monkeypatch.setattr(Explorer, "changes", lambda self, *about: looked.append(about) or changes(self, *about))
    with measured_by(simulated()):
        colt.resume(tmp_path / "run")
    assert len({about[0].sketch for about in looked}) == len(looked) < 2
    assert load_receipt(tmp_path / "run").trials.total == 40
    assert colt.replay(tmp_path / "run").identical


def test_in_earlier_editions_the_architect_proposed_them(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "edition", 13)
    monkeypatch.setattr("colt.search.tree.STALLED", 3)
    monkeypatch.setattr("colt.proposers.experts.architect.MOVING", 1.0)
    monkeypatch.setattr(Explorer, "changes", None)
    seen: list[Event] = []
    options = {"trials": 24, "run_dir": tmp_path / "run", "moves": "all", "pool": ["architect"]}
    tune_simulated(own_program, on_event=[seen.append], **options)
    assert {one.by for one in moved(seen)} >= {"architect"}
    nodes = {one.node for one in moved(seen)}
    assert any(isinstance(one, events.Asked) and one.node in nodes for one in seen), "none was measured"
    assert colt.replay(tmp_path / "run").identical
