"""Whole prompts of two workloads, compared with stored ones: any change of what models are told shows here.

After a change that is meant, read the new prompts as a model would, and store them::

    COLT_STORE_GOLDEN=1 python -m pytest tests/proposers/language/test_golden_prompts.py && git diff tests/proposers
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tvm.target import Target

from colt.knobs import Edit, Jump, Schedule, TileKnob, Transformation
from colt.machine import Hardware, Peaks
from colt.machine.cpuinfo import Cache, Simd
from colt.proposers.language.prompt import MemberInWords, node_text, stable_text
from colt.proposers.language.reply import read_reply
from colt.search.types import FailedProposal, MemberSpec, MemberView, NodeView, Observation, Progress
from colt.tvm.briefing import TvmBriefing, brief
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace

GOLDEN = Path(__file__).parent / "golden"
WORKLOADS = ("matmul", "llama3-attention")
THREADS = 2
TARGET = Target({"kind": "llvm", "mcpu": "znver4", "num-cores": THREADS})
HARDWARE = Hardware(
    "AMD EPYC, Zen 4",
    "",
    "x86_64",
    THREADS,
    Simd("AVX-512", 512, 32),
    Cache(32 * 2**10, 1),
    Cache(2**20, 1),
    Cache(32 * 2**20, THREADS),
    2**34,
    peaks=Peaks(116.0, 230.0, 23.0, "copy", THREADS, "2026-01-01T00:00:00"),
)
LARGE, SMALL = MemberSpec("gpt-5.2", 600.0), MemberSpec("gpt-5-mini", 100.0)
POOL = [MemberInWords(LARGE, 1.75, 14.0), MemberInWords(SMALL, 0.25, 2.0)]


@cache
def job(workload: str) -> tuple[TvmSpace, TvmBriefing]:
    program = load_program(workload)
    space = TvmSpace.generated(program.module, TARGET, vector_math=True)
    return space, brief(space, program, HARDWARE, THREADS, vector_math=True)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_prompt_is_the_stored_one(workload: str) -> None:
    space, briefing = job(workload)
    found = {"stable": stable_text(briefing, POOL), **prompts(space, briefing)}
    for name, text in found.items():
        path = GOLDEN / f"{workload}-{name}.txt"
        if os.environ.get("COLT_STORE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} differs"
    stored = {path.stem.removeprefix(f"{workload}-") for path in GOLDEN.glob(f"{workload}-*.txt")}
    assert stored == set(found)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_stable_text_is_the_same_whatever_was_done_before(workload: str) -> None:
    _, briefing = job(workload)
    program = load_program(workload)
    fresh = TvmSpace.generated(program.module, TARGET, vector_math=True)
    for sketch in list(fresh.plans.keys)[::-7]:
        fresh.plans.find(*sketch)
    again = brief(fresh, program, HARDWARE, THREADS, vector_math=True)
    assert stable_text(again, POOL) == stable_text(briefing, POOL)


def prompts(space: TvmSpace, briefing: TvmBriefing) -> dict[str, str]:
    """The nodes' texts: the root, a node with a history, a course alteration there, and one in MetaSchedule's last
    sketch."""
    own, last = briefing.keys[0], briefing.keys[-1]
    line = [_schedule(space, own, step) for step in range(4)]
    root = _view(0, space.untuned, "untuned", 100_000.0, 98_000.0)
    opening = _view(1, line[0], "gpt-5.2", 1600.0, 1520.0)
    node = _view(4, line[1], "gpt-5-mini", 1500.0, 1490.5)
    tried = _view(7, line[2], "gpt-5-mini", 1700.0, None)
    crashed = _view(8, _schedule(space, own, 4), "gpt-5.2", 1550.0, float("inf"))
    failed = _view(9, line[3], "gpt-5-mini", 2500.0, None)
    other = _view(5, _schedule(space, last, 0), "gpt-5.2", 9000.0, 12_345.6)
    usual = _observation(space, node, (opening, root), (tried, crashed, failed), (node, opening, other))
    altered = replace(usual, acting=LARGE, proposals_wanted=1, failed=FailedProposal(SMALL.name, failed))
    return {
        "opening": node_text(_observation(space, root, (), (), (), wanted=6), briefing),
        "node": node_text(usual, briefing, _dropped(usual, briefing)),
        "alteration": node_text(altered, briefing),
        "elsewhere": node_text(_observation(space, other, (root,), (), (node, opening, other)), briefing),
    }


def _dropped(seen: Observation, briefing: TvmBriefing) -> tuple[str, ...]:
    """What is told next time of an answer with a good edit, a bad one, and one of a knob that there is not."""
    tile, other = [knob for knob in seen.knobs if isinstance(knob, TileKnob)][:2]
    good = {"knob": tile.name, "value": [tile.extent, *[1] * (tile.parts - 1)]}
    bad = [{"knob": other.name, "value": [0] * other.parts}, {"knob": "C.jj", "value": [1, 2]}]
    reply = {"proposals": [{"why": "", "sketch": None, "edits": [good, *bad]}], "next_model": "gpt-5-mini"}
    return read_reply(json.dumps(reply), seen, briefing).dropped


def _observation(
    space: TvmSpace,
    node: NodeView,
    ancestors: tuple[NodeView, ...],
    tried: tuple[NodeView, ...],
    best: tuple[NodeView, ...],
    wanted: int = 3,
) -> Observation:
    models = (MemberView(LARGE, 3, 0, 2, 1, 1, 1, 1), MemberView(SMALL, 9, 1, 5, 3, 2, 2, 0))
    if not ancestors:
        models = tuple(MemberView(spec, 0, 0, 0, 0, 0, 0, 0) for spec in (LARGE, SMALL))  # type: ignore[assignment]
    knobs = space.knobs(node.schedule)
    return Observation(
        SMALL, node, ancestors, knobs, tried, best, models, Progress(12 if ancestors else 0, 64, 25), wanted, 1
    )


def _view(id: int, schedule: Schedule, by: str, predicted: float, measured: float | None) -> NodeView:
    return NodeView(id, schedule, by, (), predicted, measured)


def _schedule(space: TvmSpace, key: tuple[str, str], step: int) -> Schedule:
    """A schedule of that sketch, other tiles for each ``step``."""
    knobs = space.plans.find(*key).knobs
    rng = random.Random(step)
    edits = [Edit(knob.name, knob.sample(rng)) for knob in knobs if isinstance(knob, TileKnob)]
    steps: Transformation = (Jump(*key), *edits)
    return space.apply(space.untuned, steps, random.Random(1)).schedule
