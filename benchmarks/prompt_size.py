"""The characters of a prompt compared with what the paper's authors send, on the same nodes, for all workloads.

    .venv/bin/python benchmarks/prompt_size.py [--nodes 24] [WORKLOAD ...]

Theirs is rebuilt: a system text of 4,700 characters, the TensorIR and the trace of node, parent and grandparent (before
post-processing, which would make them longer), and the statistics of the pool in the same words as ours. Ours is the
stable text with the schema of the reply and two structures that won on other programs, which a provider's cache serves
from the second call on, and the node's text, which no cache can serve. The nodes are those that a search with the
built-in tuner expands. Its trials are not run: their predictions stand for their latencies.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvm import s_tir

from colt.analysis.bounds import PartTime, block_times
from colt.knobs import Schedule
from colt.machine import detect
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.proposers.experts.tuner import Tuner
from colt.proposers.language.node import InnerLoopMix, RunFacts, elsewhere_text, node_text
from colt.proposers.language.prompt import MemberInWords, Profile, stable_text
from colt.proposers.language.reply import schema
from colt.proposers.openings import openings
from colt.records.elsewhere import Won
from colt.records.record import BlockNames, Words
from colt.search.search import Search, answer
from colt.search.types import MemberSpec, Observation
from colt.tvm.briefing import brief
from colt.tvm.briefing.recipes import recipes
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace

THREADS = 2
AUTHORS_SYSTEM_TEXT = 4700
POOL = [
    MemberInWords(MemberSpec("gpt-5.2", 600.0), 1.75, 14.0),
    MemberInWords(MemberSpec("gpt-5-mini", 100.0), 0.25, 2.0),
]
COST = {member.spec.name: 0.0123 for member in POOL}
K_BLOCKS = (
    "untuned | cache_write(C, C); split(C.j, [?, ?, 2, 16]); split(C.i, [_, 8]); split(C.k, [_, 32]); "
    "reorder(C, [j_0, k_0, j_1, i_0, k_1, i_1, j_2, j_3]); parallel(C.j_0); reverse_compute_at(C_global, C.j_0); "
    "prefetch(C.k_1, B, 16); unroll(C.i_1); unroll(C.j_2); vectorize(C.j_3)"
)
WON = (
    Won(
        program="linear",
        words=Words(
            variant="plain",
            sketch=K_BLOCKS,
            knobs={"C.j": [4, 8]},
            program=(BlockNames(block="C", loops=("i", "j", "k"), buffers=("A", "B", "C")),),
        ),
        gain=1.26,
        over="plain/fused-parts",
        relative=False,
    ),
    Won(
        program="matmul-nt",
        words=Words(variant="packed", sketch="fused", knobs={"C.i": [4, 2, 8, 8], "C.j": [4, 8, 1]}),
        gain=1.11,
        over="plain/ms1",
        relative=False,
    ),
)
"""What won on other programs, in place of records."""
MIX = (("FMAs of memory", 32), ("loads", 4), ("scalar and loop", 3), ("stores", 2))
"""Of an inner loop, in place of a kernel that is disassembled."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The characters of one call: the authors' content, what stays the same in ours, our node's text."""

    theirs: int
    stable: int
    node: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=list(workloads.names()))
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--dump", action="store_true", help="print the prompt of the last node of each workload")
    options = parser.parse_args()
    print(f"{'workload':22} theirs  stable   node   total  uncached")
    totals, uncached = [], []
    for name in options.workloads:
        sizes = measured(name, options.nodes, options.dump)
        theirs, stable, node = (mean(getattr(one, part) for one in sizes) for part in ("theirs", "stable", "node"))
        totals.append((stable + node) / theirs)
        uncached.append(node / theirs)
        shown = f"{theirs:7.0f} {stable:7.0f} {node:6.0f}  1/{1 / totals[-1]:<5.1f} 1/{1 / uncached[-1]:.1f}"
        print(f"{name:22}{shown}", flush=True)
    print(f"{'geomean':22}{'':23}  1/{1 / geomean(totals):<5.1f} 1/{1 / geomean(uncached):.1f}")


def measured(name: str, nodes: int, dump: bool) -> list[Sizes]:
    """The sizes at ``nodes`` nodes that have a grandparent."""
    program = load_program(name)
    space = TvmSpace.generated(program.module, resolve_target(None, THREADS), vector_math=True)
    briefing = brief(space, program, detect(), THREADS, vector_math=True)
    stable = stable_text(briefing, POOL, moves=True)
    elsewhere = recipes(space, WON)
    form = json.dumps(schema([member.spec.name for member in POOL], moves=True), separators=(",", ":"))
    sizes, text = [], ""
    for seen in observations(space, nodes):
        timed = Profile(seen.node.schedule, _as_predicted(space, seen.node.schedule))
        facts = RunFacts(COST, InnerLoopMix(seen.node.schedule, MIX), elsewhere, timed)
        text, won = node_text(seen, briefing, facts=facts), elsewhere_text(facts)
        views = (seen.node, *seen.ancestors)
        dumps = sum(len(part) for view in views for part in authors_dumps(space, view.schedule))
        node, same = len(text) - len(won), len(stable) + len(form) + len(won)
        sizes.append(Sizes(AUTHORS_SYSTEM_TEXT + dumps + statistics(text), same, node))
    if dump:
        print(stable, text, sep="\n")
    return sizes


def _as_predicted(space: TvmSpace, schedule: Schedule) -> tuple[PartTime, ...]:
    """Shares of the time, in place of those that are measured."""
    times = block_times(space.skeleton(schedule), schedule.values, machine_of(detect(), THREADS))
    whole = sum(one.us for one in times)
    return tuple(PartTime((one.block,), one.us / whole) for one in times if one.block)


def observations(space: TvmSpace, count: int) -> list[Observation]:
    """The observations of models at the nodes below the openings that a search with ``POOL`` expands."""
    scorer = AnalyticalScorer(space, machine_of(detect(), THREADS))
    proposers = {member.spec.name: Tuner(space, scorer, member.spec) for member in POOL}
    names = [member.spec.name for member in POOL]
    search = Search(
        space, scorer, [member.spec for member in POOL], SearchConfig(alteration_period=0), seed=1, models=names
    )
    search.open(list(openings(space, list(proposers.values()), search.config, random.Random(1))))
    found: list[Observation] = []

    def ask() -> None:
        ticket = search.select()
        assert ticket is not None
        seen = search.observe_in_full(ticket)
        if len(seen.ancestors) == 2:
            found.append(seen)
        due = search.commit(ticket, answer(proposers[seen.acting.name].propose, seen))
        assert not due, "course alterations are off"

    while len(found) < count:
        for _ in range(8):
            ask()
        trials = search.trials.pick(4)
        latencies = scorer.predict([trial.schedule for trial in trials])
        search.tell(Measurement(t.id, Fate.OK, us, 0.1) for t, us in zip(trials, latencies, strict=True))
    return found[:count]


def authors_dumps(space: TvmSpace, schedule: Schedule) -> tuple[str, str]:
    """The TensorIR and the trace of a schedule before post-processing."""
    done = space.scheduled(schedule)
    fresh = s_tir.Schedule(space.module(space.untuned))
    done.trace.apply_to_schedule(fresh, remove_postproc=True)
    return fresh.mod.script(), str(fresh.trace)


def statistics(text: str) -> int:
    """The characters that a node's text has on the models."""
    names = [f"{member.spec.name}: " for member in POOL]
    return sum(len(line) + 1 for line in text.splitlines() if any(line.startswith(name) for name in names))


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    listed = list(values)
    return sum(listed) / len(listed)


def geomean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(mean(math.log(value) for value in values))


if __name__ == "__main__":
    main()
