"""Structural moves at random, against real TVM: nothing dies of them, nothing hangs, and no wrong result is accepted.

    .venv/bin/python benchmarks/moves.py [--count 20000] [--built 0.03] [--programs NAME ...] [--seconds 500]

Each program has a child process, in which sequences of up to 12 moves are drawn on the untuned program or on a random
schedule, and carried out as a run does it. A share of the results is built, verified, and judged by NumPy in float64.
It prints, for each program, how many sequences were carried out, and refused with which reason, and what was wrong. To
reach, on 20,000 sequences of 20 programs: the parent does not die, no sequence hangs, no wrong result is accepted.
With ``--out`` it goes on where it was broken off; ``--seconds`` says after how many no further program is begun.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.verification import LIMITS, Bench, Verdicts, judged
from tests.helpers.verified_programs import VERIFIED

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.moves import Move, show_moves
from colt.tvm.devices.host import resolve_target
from colt.tvm.moves.chance import RandomMoves
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer

THREADS = len(os.sched_getaffinity(0))
PATIENCE_S = 120.0
MOST = 12
ON_SKETCHES = 0.3
"""This share of sequences begins at a random schedule of a sketch, the others at the untuned program."""
UNCHECKED = 0.2
"""This share is drawn without looking whether a move can be made after the one before."""


@dataclass
class Tally:
    """What became of the sequences of one program."""

    fates: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    """Moves of the structures that were made, by kind."""
    faults: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="*", default=list(VERIFIED), choices=list(VERIFIED))
    parser.add_argument("--count", type=int, default=20_000, help="sequences in all")
    parser.add_argument("--built", type=float, default=0.03, help="share of the structures that is built and judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, help="a file that keeps what became of each program")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    kept = options.out.read_text().splitlines() if options.out is not None and options.out.exists() else []
    done: dict[str, Any] = dict(map(json.loads, kept))
    for name in options.programs:
        if name not in done and time.monotonic() < end:
            each = -(-options.count // len(options.programs))
            done[name] = vars(tally(name, each, options.built, options.seed))
            if options.out is not None:
                with options.out.open("a") as file:
                    file.write(json.dumps([name, done[name]]) + "\n")
        if name in done:
            print(name, json.dumps(done[name]["fates"]), flush=True)
            for fault in done[name]["faults"]:
                print(f"  FAULT {fault}", flush=True)
    fates = sum((Counter(one["fates"]) for one in done.values()), Counter[str]())
    kinds = sum((Counter(one["moves"]) for one in done.values()), Counter[str]())
    print(f"all {len(done)} programs: {sum(fates[f] for f in ('made', 'refused'))} sequences; {dict(fates)}")
    print(f"moves made: {dict(kinds.most_common())}")


def tally(program: str, count: int, built: float, seed: int) -> Tally:
    """Have children draw so many sequences: one that dies is told, and another goes on after what it died of."""
    context = multiprocessing.get_context("spawn")
    found, number = Tally(), 0
    while number < count:
        ours, theirs = context.Pipe()
        child = context.Process(target=serve, args=(theirs, program, number, count, built, seed))
        child.start()
        theirs.close()
        doing = ""
        try:
            while ours.poll(PATIENCE_S):
                kind, words = ours.recv()
                if kind == "doing":
                    doing = words
                    continue
                number += kind in ("made", "refused")
                found.fates[kind] += 1
                if kind in ("wrong accepted", "wrong rejected", "other error", "accurate rejected", "not built"):
                    found.faults.append(f"{kind}: {words}")
                if kind == "made":
                    found.moves.update(words.split())
            if number < count:
                found.fates["hangs"] += 1
                found.faults.append(f"hung at {doing}")
        except EOFError:
            child.join()
            if number < count:
                found.fates["deaths"] += 1
                found.faults.append(f"the child died (exit code {child.exitcode}) of {doing}")
        child.kill()
        child.join()
        number += number < count  # not the same again
    return found


def serve(connection: Any, program: str, first: int, count: int, built: float, seed: int) -> None:
    """Draw sequences ``first`` to ``count`` and tell what became of each."""
    target = resolve_target(None, THREADS)
    verified = VERIFIED[program]
    space = TvmSpace.generated(verified.module, target, vector_math=True)
    with LocalMeasurer(target, THREADS, workers=1) as measurer:
        bench = Bench(measurer, target, seed, Verdicts(None))
        for number in range(first, count):
            rng = random.Random(f"{seed}/{program}/{number}")
            try:
                start = space.sample(rng) if rng.random() < ON_SKETCHES else UNTUNED
                moves = tuple(drawn(space, start, rng))
                connection.send(("doing", f"{start.sketch} {start.values} | {show_moves(moves)}"))
                made = space.apply(start, moves, rng).schedule
            except (IllegalEdit, Rejected) as error:
                connection.send(("refused", str(error)))
                continue
            except Exception as error:  # noqa: BLE001 (that is what is looked for)
                connection.send(("other error", f"{type(error).__name__} {str(error)[:200]}"))
                connection.send(("refused", ""))
                continue
            connection.send(("made", " ".join(move.verb for move in moves)))
            if rng.random() < built:
                connection.send(build(space, made, bench, verified))


def drawn(space: TvmSpace, start: Schedule, rng: random.Random) -> Iterator[Move]:
    """A random sequence of moves on the schedule."""
    drawing = RandomMoves(space.plans.making(start.variant, start.sketch), rng)
    length = rng.randint(1, MOST)
    if rng.random() < UNCHECKED:
        yield from (move for _ in range(length) if (move := drawing.draw()) is not None)
    else:
        yield from drawing.made(length, 6 * length)


def build(space: TvmSpace, made: Schedule, bench: Bench, program: Any) -> tuple[str, str]:
    """Whether verification accepts the schedule, and whether NumPy does."""
    module = space.module(made)
    found = bench.measurer.verify(program.module, module, bench.seed, LIMITS)
    if found.message.startswith("build"):
        return "not built", f"{made}: {found.message[:200]}"
    accurate, words = judged(program, module, bench)
    told = f"{made}: {found}; NumPy: {words}"
    if found.ok:
        return ("accepted", "") if accurate else ("wrong accepted", told)
    return ("accurate rejected", told) if accurate else ("wrong rejected", told)


if __name__ == "__main__":
    main()
