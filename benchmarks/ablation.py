"""What each move of COLT's own sketches is worth: the winner of the whole space against that of a space without it.

    .venv/bin/python benchmarks/ablation.py --out DIR [--minutes 60] [--trials 64] [--moves MOVE ...] [WORKLOAD ...]

Each workload is tuned in the whole space first. A move that its winner does not use is worth nothing there, and takes
no search. For each move that it does use, the workload is tuned again with as many trials in a space that lacks it, and
both winners are timed in turn. A worth of 1.10: without the move the winner takes 1.10 times as long.

Every search has a process of its own. What is finished is kept in DIR, and the same command goes on from there; it
begins nothing more after so many minutes. It ends with a line for each move: where it is worth most, or that no winner
used it. A move is worth its place on this machine if that is more than what two searches of one space differ by.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from colt.measure.base import Limits
from colt.plan import plan
from colt.run.loop import run
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.export import load_module, save_module
from colt.tvm.programs.suited import suited
from colt.tvm.sketches.structured import tiles
from colt.tvm.space import space as spaces
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.util.files import write_atomically
from colt.util.stats import paired_ratio

WHOLE = "whole"
ROUNDS = 15
LIMITS = Limits(min_repeat_ms=20.0, build_seconds=60.0)
UNROLL = "k-unroll"
VARIANTS = {
    "packed": "operands packed so that vectors are contiguous",
    "panels": "constant operands in panels of a few vectors",
    "padded": "extents padded where tiles do not divide them",
    "transposed": "results computed in another layout, then transposed",
    "in-lanes": "sums in the lanes of vectors",
    "in-parts": "long sums with few results in parts for the threads",
    "dot": "dot instructions, operands interleaved in registers",
    "dot-packed": "dot instructions, operands packed for them",
    "tiles": "instructions on tiles",
}
SKETCHES = {
    "fused": "blocks computed under one parallel loop",
    "staged": "chains cut where a contraction would lose a tiled iter",
    "apart": "each contraction a nest of its own",
    "k-blocks": "sums in blocks outside the register tile",
    "metaschedule": "MetaSchedule's own sketches",
}
MOVES = VARIANTS | SKETCHES | {UNROLL: "several turns of a sum of dot instructions unrolled"}


@dataclass(frozen=True, slots=True)
class Ratio:
    """What a move is worth on a workload; ``None`` if nothing is left without it."""

    move: str
    workload: str
    worth: float | None
    interval: tuple[float, float] | None = None

    @property
    def size(self) -> float:
        return float("inf") if self.worth is None else self.worth


def moves_of(variant: str, sketch: str) -> Iterator[str]:
    """The moves that make a design what it is. MetaSchedule's have no name of COLT's."""
    if sketch.startswith("ms"):
        yield "metaschedule"
        return
    if variant in VARIANTS:
        yield variant
    root = sketch.removesuffix("-parts")
    if root in SKETCHES:
        yield root
    if root != sketch:
        yield "k-blocks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=[*workloads.names(), *workloads.names("low-precision")])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--moves", nargs="+", choices=list(MOVES), default=list(MOVES), help="only these")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=[WHOLE, *MOVES], help=argparse.SUPPRESS)  # one search, in its own process
    options = parser.parse_args()
    if options.without is not None:
        search(options.workloads[0], options.without, options)
        return
    found: list[Ratio] = []
    end = time.monotonic() + 60 * options.minutes
    for name in options.workloads:
        for ratio in ratios(name, options, lambda: time.monotonic() < end):
            found.append(ratio)
            print(f"    {ratio.workload}: {ratio.move} {worth(ratio)}", flush=True)
    done = sum((options.out / name / f"{WHOLE}.json").exists() for name in options.workloads)
    for line in summary(found, done, options.moves):
        print(line)


def ratios(name: str, options: argparse.Namespace, may_begin: Callable[[], bool]) -> Iterator[Ratio]:
    """What each move that the winner of a workload uses is worth there, as far as the time goes."""
    whole = searched(name, WHOLE, options, may_begin)
    for move in () if whole is None else [one for one in whole["moves"] if one in options.moves]:
        kept = options.out / name / f"{move}.ratio.json"
        if not kept.exists():
            other = searched(name, move, options, may_begin)
            if other is None:
                return
            write_atomically(kept, json.dumps(compared(name, move, other["empty"], options.out)).encode())
        found, interval = json.loads(kept.read_bytes())
        yield Ratio(move, name, found, interval and tuple(interval))


def compared(name: str, move: str, empty: bool, out: Path) -> tuple[float | None, tuple[float, float] | None]:
    """How many times as long the winner without the move takes, with the interval of 95 %."""
    if empty:
        return None, None
    modules = [load_module((out / name / f"{one}.winner.json").read_bytes()) for one in (WHOLE, move)]
    threads = available_cores()
    with LocalMeasurer(resolve_target(None, threads), threads) as measurer:
        whole_us, other_us = measurer.interleave(modules, ROUNDS, LIMITS)
    ratio = paired_ratio(other_us, whole_us)
    return ratio.median, None if ratio.interval is None else (ratio.interval.low, ratio.interval.high)


def searched(name: str, move: str, options: argparse.Namespace, may_begin: Callable[[], bool]) -> dict[str, Any] | None:
    """What a search left, which runs now if it has not; ``None`` if there is no time for it."""
    kept: Path = options.out / name / f"{move}.json"
    if not kept.exists():
        if not may_begin():
            return None
        kept.parent.mkdir(parents=True, exist_ok=True)
        size = ("--trials", str(options.trials), "--seed", str(options.seed), "--out", str(options.out))
        subprocess.run([sys.executable, __file__, name, "--without", move, *size], check=True)
    read: dict[str, Any] = json.loads(kept.read_bytes())
    return read


# ---- one search ----


def search(name: str, move: str, options: argparse.Namespace) -> None:
    """Tune a workload in a space without the move, and keep the winner and its moves."""
    wanted = plan(name, trials=options.trials, seed=options.seed)
    with lacking(move):
        module = suited(wanted.program, wanted.target).module
        if not spaces.design_space(module, wanted.target, wanted.space).designs:
            keep(name, move, options.out, {"empty": True, "moves": []})
            return
        (result,) = run(replace(wanted, records=None))
    best = result.best
    found: dict[str, Any] = {"empty": False, "moves": []}
    if best is not None:
        variant, _, sketch = best.sketch.partition("/")
        found |= {"sketch": best.sketch, "values": best.values}
        found["moves"] = [*moves_of(variant, sketch), *([UNROLL] if unrolls(wanted, best) else [])]
    write_atomically(options.out / name / f"{move}.winner.json", save_module(result.module))
    keep(name, move, options.out, found)


def keep(name: str, move: str, out: Path, found: dict[str, Any]) -> None:
    write_atomically(out / name / f"{move}.json", json.dumps(found).encode())


def unrolls(wanted: Any, best: Any) -> bool:
    """Whether the winner unrolls turns of a sum of dot instructions."""
    module = suited(wanted.program, wanted.target).module
    space = TvmSpace.generated(module, wanted.target, wanted.space, vector_math=True)
    (sketch,) = (one for one in space.sketches if f"{one.variant}/{one.name}" == best.sketch)
    unrolled = [knob.name for knob in sketch.knobs if "terms in each turn" in str(getattr(knob, "roles", ("",))[-1])]
    return any(best.values[one][-1] > 1 for one in unrolled)


@contextmanager
def lacking(move: str) -> Iterator[None]:
    """While this is entered, design spaces lack a move: its designs, or all values of its knob but the neutral one."""
    made, derived = spaces.design_space, spaces.derive

    def left(designs: Sequence[Any]) -> list[Any]:
        return [one for one in designs if move not in moves_of(one.variant, one.name or "ms")]

    def without(*arguments: Any, **options: Any) -> Any:
        space = made(*arguments, **options)
        return replace(space, designs=tuple(left(space.designs)))

    def derived_without(*arguments: Any, **options: Any) -> Any:
        designs, messages = derived(*arguments, **options)
        return left(designs), messages

    turns = mock.patch.object(tiles, "UNROLLED_TERMS", 0 if move == UNROLL else tiles.UNROLLED_TERMS)
    in_all = mock.patch.object(spaces, "design_space", without)
    of_moved_programs = mock.patch.object(spaces, "derive", derived_without)
    with turns, in_all, of_moved_programs:
        yield


# ---- figures ----


def worth(ratio: Ratio) -> str:
    if ratio.worth is None:
        return "leaves nothing to search"
    ends = "" if ratio.interval is None else f" ({ratio.interval[0]:.2f} to {ratio.interval[1]:.2f})"
    return f"worth {ratio.worth:.2f}{ends}"


def summary(found: Sequence[Ratio], done: int, moves: Sequence[str] = tuple(MOVES)) -> Iterator[str]:
    """A line for each of the moves, those worth most first. ``done``: how many workloads the whole space was searched
    for."""
    by_move = {move: sorted((one for one in found if one.move == move), key=lambda one: -one.size) for move in moves}
    for move, where in sorted(by_move.items(), key=lambda one: -one[1][0].size if one[1] else 0.0):
        used = ", ".join(f"{one.workload} {worth(one)}" for one in where)
        yield f"{move}: {used or f'no winner of {done} uses it'} [{MOVES[move]}]"


if __name__ == "__main__":
    main()
