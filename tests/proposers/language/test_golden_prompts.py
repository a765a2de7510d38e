"""Whole prompts of two workloads, compared with stored ones: any change of what models are told shows here.

After a change that is meant, read the new prompts as a model would, and store them::

    COLT_STORE_GOLDEN=1 python -m pytest tests/proposers/language/test_golden_prompts.py && git diff tests/proposers
"""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tvm.target import Target

from colt.analysis.bounds import PartTime
from colt.knobs import Edit, Jump, Schedule, TileKnob, Transformation
from colt.machine import Hardware, Peaks, Rates
from colt.machine.cpuinfo import Cache, Simd
from colt.moves import read_moves
from colt.proposers.language.node import InnerLoopMix, RunFacts, node_text
from colt.proposers.language.prompt import MemberInWords, Profile, stable_text
from colt.proposers.language.reply import read_reply
from colt.records.elsewhere import Won
from colt.records.record import BlockNames, Words
from colt.search.types import (
    FailedProposal,
    MemberSpec,
    MemberView,
    NodeView,
    Observation,
    PendingQuestion,
    Progress,
    RankView,
    StructureView,
    Surroundings,
)
from colt.tvm.briefing import TvmBriefing, brief
from colt.tvm.briefing.recipes import recipes
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace

GOLDEN = Path(__file__).parent / "golden"
WORKLOADS = ("matmul", "llama3-attention")
THREADS = 2
TARGET = Target({"kind": "llvm", "mcpu": "znver4", "num-cores": THREADS})
RATES = Rates(
    latency=8.0,
    add_latency=8.0,
    window=24.0,
    store=1.6,
    broadcast=0.6,
    division=9.0,
    loop=0.4,
    l2_gbs=88.0,
    l3_gbs=21.0,
    l2_jump=0.3,
    l3_jump=4.0,
    dram_jump=5.0,
    launch_us=3.5,
)
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
    peaks=Peaks(116.0, 230.0, 23.0, "copy", THREADS, "2026-01-01T00:00:00", rates=RATES),
    physical_cores=1,
)
LARGE, SMALL = MemberSpec("gpt-5.2", 600.0), MemberSpec("gpt-5-mini", 100.0)
POOL = [MemberInWords(LARGE, 1.75, 14.0), MemberInWords(SMALL, 0.25, 2.0)]
COST = {LARGE.name: 0.021, SMALL.name: 0.0064}
RECIPE = (
    "untuned | cache_write(Y, Y); split(Y.o, [?, ?, 2, 16]); split(Y.t, [_, 8]); split(Y.d, [_, 48]); "
    "reorder(Y, [o_0, d_0, o_1, t_0, d_1, t_1, o_2, o_3]); parallel(Y.o_0); reverse_compute_at(Y_global, Y.o_0); "
    "prefetch(Y.d_1, W, 16); unroll(Y.t_1); unroll(Y.o_2); vectorize(Y.o_3)"
)
WON = (
    Won(
        program="linear",
        words=Words(
            variant="plain",
            sketch=RECIPE,
            knobs={"Y.o": [4, 8]},
            program=(BlockNames(block="Y", loops=("t", "o", "d"), buffers=("X", "W", "Y")),),
        ),
        gain=1.26,
        over="plain/fused-parts",
        relative=True,
    ),
    Won(
        program="matmul-nt",
        words=Words(variant="packed", sketch="fused", knobs={"C.i": [4, 2, 8, 8], "C.j": [4, 8, 1]}),
        gain=1.114,
        over="plain/ms1",
        relative=False,
    ),
)
TIMED = (
    PartTime(("K_global",), 0.02),
    PartTime(("QK", "QK_init", "QK_update"), 0.51),
    PartTime(("rowmax_rf", "rowmax"), 0.06),
    PartTime(("exp", "rowsum_rf", "rowsum", "prob"), 0.11),
    PartTime(("O",), 0.3),
)
"""What was measured of the attention; the other program has one block."""
MIX = (("FMAs of memory", 32), ("loads", 4), ("scalar and loop", 3), ("spills", 2))


@cache
def job(workload: str) -> tuple[TvmSpace, TvmBriefing]:
    program = load_program(workload)
    space = TvmSpace.generated(program.module, TARGET, vector_math=True)
    return space, brief(space, program, HARDWARE, THREADS, vector_math=True)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_prompt_is_the_stored_one(workload: str) -> None:
    space, briefing = job(workload)
    found = {"stable": stable_text(briefing, POOL, moves=True), **prompts(space, briefing)}
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
    assert stable_text(again, POOL, moves=True) == stable_text(briefing, POOL, moves=True)


FACTS = {
    "where the time goes in the node, and what bounds it": r"^Time: C 99% 1480 us \(FMA\)",
    "how far that is from the model": r"\(1\.2x the model's\)",
    "where it goes in the fastest": r"^Time of the fastest, 1490: C 99% 1480 us \(FMA\)",
    "the bandwidth of each level": (
        r"L2 1 MiB 88 GB/s a thread, L3 32 MiB shared 21 GB/s a thread, memory 23 GB/s in all"
    ),
    "what the ports take": r"In vector FMAs \(0\.28 ns a thread\), measured: store 1\.6, broadcast load 0\.6 \(also in",
    "cores or hyperthreads": r"2 threads, 2 hyperthreads on 1 core;",
    "where the weights come from": r"repeated runs find the arguments in the last cache",
    "how parallel iterations are dealt": r"`parallel`: each thread gets one contiguous share of the turns;",
    "the answer in the form in which schedules are shown": r"\"edits\": \"B\.i=\[1,64,1,8\] unroll=16\"",
    "the loops as they are, with their order": (
        r"^Loops:\nC: parallel\(i_0:4 j_0:4\) i_1:4 j_1:8 i_2:2 \{\[k:512\] unroll\(i_3:16\) vec\(j:16\)\}$"
    ),
    "the instructions of the inner loop of the fastest": (
        r"^Inner loop of this node: 32 FMAs of memory, 4 loads, 3 scalar and loop, 2 spills$"
    ),
    "questions under way": r"^Alternatives under way, so differ: gpt-5\.2 3 for this node, gpt-5-mini 2 for others$",
    "schedules not measured yet": r"^Proposed, not measured yet:\n- C\.i=",
    "noise": r"^Under 2% is noise",
    "ties": r" -> 1500 ~1500 \(tie\), gpt-5-mini$",
    "how far predictions rank": r"predictions rank with correlation 0\.71 over 12, 0\.08 over 9 of this structure",
    "different schedules, good and bad": r"of different kinds, good and bad:\n- .* -> 1520, .*\n- .* -> 12300, ",
    "who the experts are": r"scout \(random edits\), tuner \(.*\), architect \(.*\)$",
    "rates of hits": r"^Members: calls; children better/worse measured, predicted;.*\ngpt-5\.2: 3; 1/1, 2/1;",
    "credit for what others reach": r"; structures, leads \+ others' in them;.*\n.*; 2, 1\+3;",
    "cost per improvement": r"; \$, per lead\n.*; \$0\.021, \$0\.0053;",
    "why the node is up": r"^Up because its structure by architect has stalled: 14 trials",
    "why another node is up": r"^Up by its value 0\.83 in 6 visits",
    "how moves are written": r"^Others: fuse\(B, \[i, j\]\) \(i_j\); .*rfactor\(B\.k_1, 1\) \(B_rf sums in parts",
    "a recipe with the names and extents of the program": (
        r"^- linear: plain/untuned \| cache_write\(C, C\); split\(C\.j, .*split\(C\.k, \[_, 64\]\);.*; fits here as"
    ),
    "what won elsewhere, and by how much": r"^- matmul-nt: packed/fused C\.i=.*, 1\.11x over plain/ms1$",
    "that moves may leave the loops to a sketch": r"^sketch\(fused\) # the sketch of that name for what is there",
    "a worked example of moves": r"^cache_write\(C, C\) # C sums in.*\nsplit\(C\.j, \[\?, \?, 2, 16\]\) # j_0 to j_3",
    "the loops of a structure, as moves call them": r"^Loops:\nC: parallel\(i_0:64\) i_1:8 j:512 \[k:512\]$",
    "what to do": r"change the structure\. Give 3",
    "MetaSchedule's sketches in one line": r"^## plain/ms0 to ms2: by MetaSchedule, .*; knobs are told at their nodes$",
    "their knobs where they matter": r"^Knobs: C\.i 512 in 4 <=64; C\.j 512 in 4 <=64; C\.k 512 in 2",
}
"""What models are told, each with how the prompts of the matmul say it."""


@pytest.mark.parametrize("fact", FACTS)
def test_models_are_told(fact: str) -> None:
    space, briefing = job("matmul")
    told = "\n".join([stable_text(briefing, POOL, moves=True), *prompts(space, briefing).values()])
    assert re.search(FACTS[fact], told, re.MULTILINE), told


def test_models_are_told_what_blocks_of_the_fastest_were_measured_to_take() -> None:
    told = prompts(*job("llama3-attention"))["node"]
    found = re.search(r"^Time: QK 51% (\d+) us .*, O 30% .*blocks timed apart; 0\.31x the", told, re.M)
    assert found is not None
    assert int(found[1]) == pytest.approx(0.51 * 1490.5, rel=0.01), "launches take the rest"


def prompts(space: TvmSpace, briefing: TvmBriefing) -> dict[str, str]:
    """The nodes' texts: the root, a node with a history, a course alteration there, one in MetaSchedule's last sketch,
    and one of a structure that moves made."""
    own, last = briefing.keys[0], briefing.keys[-1]
    line = [_schedule(space, own, step) for step in range(4)]
    root = _view(0, space.untuned, "untuned", 100_000.0, 98_000.0)
    opening = _view(1, line[0], "gpt-5.2", 1600.0, 1520.0)
    node = _view(4, line[1], "gpt-5-mini", 1500.0, 1490.5)
    tried = _view(7, line[2], "gpt-5-mini", 1700.0, None)
    crashed = _view(8, _schedule(space, own, 4), "gpt-5.2", 1550.0, float("inf"))
    failed = _view(9, line[3], "gpt-5-mini", 2500.0, None)
    other = _view(5, _schedule(space, last, 0), "gpt-5.2", 9000.0, 12_345.6)
    tied = _view(10, _schedule(space, own, 6), "gpt-5-mini", 1500.0, 1500.0)
    usual = _observation(space, node, (opening, root), (tried, crashed, failed, tied), (node, opening, other))
    altered = replace(usual, acting=LARGE, proposals_wanted=1, failed=FailedProposal(SMALL.name, failed))
    facts = RunFacts(COST, InnerLoopMix(node.schedule, MIX), recipes(space, WON))
    if len(space.nests(space.untuned)) > 1:
        facts = replace(facts, profile=Profile(node.schedule, TIMED))
    waiting = _view(11, _schedule(space, own, 5), "architect", 1450.0, None)
    stalled = replace(
        usual,
        around=Surroundings(
            StructureView(14, 1490.5, 9, "architect", stalled=True),
            *(6, 0.83),
            pending=(PendingQuestion(LARGE.name, 3, node.schedule), PendingQuestion(SMALL.name, 2, other.schedule)),
            waiting=(waiting,),
            contrast=(opening, other),
            noise=0.02,
            ranks=RankView(12, 0.71),
            ranks_here=RankView(9, 0.08),
        ),
    )
    elsewhere = _observation(space, other, (root,), (), (node, opening, other))
    tuned = replace(stalled.around, structure=StructureView(3, 12_345.6, 1, "gpt-5.2", stalled=False), pending=())
    block, loop = space.nests(space.untuned)[0].split(":")[0], space.nests(space.untuned)[0].split()[1].split(":")[0]
    moves = read_moves(f"split({block}.{loop}, [_, 8]); parallel({block}.{loop}_0)")
    made = space.apply(space.untuned, moves, random.Random(1)).schedule
    moved = _observation(space, _view(12, made, "gpt-5.2", 60_000.0, 61_000.0), (root,), (), (node, other))
    return {
        "opening": node_text(_observation(space, root, (), (), (), wanted=6), briefing),
        "node": node_text(stalled, briefing, _dropped(usual, briefing), facts),
        "alteration": node_text(altered, briefing),
        "moved": node_text(replace(moved, around=tuned), briefing),
        "elsewhere": node_text(replace(elsewhere, around=tuned), briefing, facts=facts),
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
    models = (MemberView(LARGE, 3, 0, 2, 1, 1, 1, 1, 2, 1, 3), MemberView(SMALL, 9, 1, 5, 3, 2, 2, 0, 1, 0, 0))
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
