"""What language models are told of the inside of the fastest schedule: where its time goes, as measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import colt
from colt.errors import MeasureError
from colt.measure.simulated import SimulatedMeasurer
from colt.run.finish import Result
from colt.tvm.devices.host import resolve_target
from colt.tvm.workers.clocks import can_read_clocks
from colt.world.answers import ClockedAnswer
from colt.world.parts import using
from colt.world.recording import read_recording
from colt.world.world import Live
from tests.helpers.chat_server import ChatServer
from tests.helpers.pool_runs import PoolRuns, quick_machine

TWO_PRODUCTS = """
from tvm import te


def layer(n=64):
    a, b, c = (te.placeholder((n, n), name=name) for name in "ABC")
    r, s = te.reduce_axis((0, n), name="r"), te.reduce_axis((0, n), name="s")
    first = te.compute((n, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="first")
    return te.create_prim_func([a, b, c, te.compute((n, n), lambda i, j: te.sum(first[i, s] * c[s, j], axis=s))])
"""
TOLD = "blocks timed apart"
pytestmark = pytest.mark.skipif(
    not can_read_clocks(resolve_target(None, 2)), reason="the processor's counter can be read on x86 alone"
)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[PoolRuns]:
    pytest.importorskip("openai", reason="language models come with the extra models")
    path = tmp_path / "two.py"
    path.write_text(TWO_PRODUCTS)
    with using(quick_machine()), PoolRuns(tmp_path, f"{path}:layer") as made:
        yield made


def tune(runs: PoolRuns, folder: Path) -> tuple[Result, list[str]]:
    """A run, and the prompts of its calls."""
    server: ChatServer = runs.model("model", 30.0)
    result = runs.tune(run_dir=folder, trials=24, keep_paying=True, settings={"structure_after": 2, "root_width": 2})
    return result, [str(asked.body["messages"][-1]["content"]) for asked in server.asked]


def clocked(folder: Path) -> list[ClockedAnswer]:
    lines = read_recording(folder / "recording.jsonl").lines
    return [line.answer for line in lines if isinstance(line.answer, ClockedAnswer)]


def test_blocks_of_the_fastest_are_timed_apart_told_of_and_replayed(runs: PoolRuns, tmp_path: Path) -> None:
    _, prompts = tune(runs, tmp_path / "run")
    assert clocked(tmp_path / "run")
    assert any(TOLD in prompt for prompt in prompts)
    assert colt.replay(tmp_path / "run").identical


def test_in_earlier_editions_they_were_not(runs: PoolRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Live, "edition", 14)
    _, prompts = tune(runs, tmp_path / "run")
    assert not clocked(tmp_path / "run")
    assert not any(TOLD in prompt for prompt in prompts)
    assert colt.replay(tmp_path / "run").identical


def test_that_they_cannot_be_is_said_once(runs: PoolRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: SimulatedMeasurer, *_: Any) -> list[float]:
        raise MeasureError("no clock here")

    monkeypatch.setattr(SimulatedMeasurer, "clock", refuse)
    result, prompts = tune(runs, tmp_path / "run")
    said = [message for message in result.receipt.messages if "where time goes, as measured: no clock here" in message]
    assert len(said) == 1
    assert not any(TOLD in prompt for prompt in prompts)
    assert colt.replay(tmp_path / "run").identical
