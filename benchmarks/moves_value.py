"""What structural moves are worth to the built-in pool: runs with and without them, their winners timed in turn.

    .venv/bin/python benchmarks/moves_value.py --out DIR [--minutes 60] [--trials 256] [--seeds 0 1 2] [NAME ...]

For each program and seed there is a run without moves and one in which experts make them (``--moves all``). Runs do not
depend on their budget: the winner of 64 trials is the fastest of the first 64 of 256. Where the winner without moves is
of a packed or a blocked design, both are run once more in a space that lacks these: what is lost that way, and how much
of it moves recover. That space is a test's, no option of COLT; sketches that moves apply are without these, too.

Every run has a process of its own. What is finished is kept in DIR, and the same command goes on from there; it begins
nothing more after so many minutes. To reach: a better geometric mean at 256 trials, no worse at 64; at least half of
what the lacking space loses.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablation import lacking, moves_of
from colt import events
from colt.knobs import Schedule
from colt.measure.base import Limits
from colt.plan import plan
from colt.run.loop import run
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.export import load_module, save_module
from colt.tvm.programs.suited import suited
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.util.files import write_atomically
from colt.util.stats import paired_ratio

EARLY = 64
ROUNDS = 15
LIMITS = Limits(min_repeat_ms=20.0, build_seconds=60.0)
SWITCHED_OFF = ("packed", "k-blocks")
ARMS = ("without", "with")
LACKING = ("lacking", "lacking-with")
Cell = tuple[str, int]
"""A program and a seed."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Winners of one program and seed, timed in turn: how many times as long each arm takes as the first."""

    cell: Cell
    at: int
    ratios: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*workloads.names(), *workloads.names("held-out")])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, *LACKING], default=[*ARMS, *LACKING])
    parser.add_argument("--arm", choices=[*ARMS, *LACKING], help=argparse.SUPPRESS)  # one run, in its own process
    options = parser.parse_args()
    if options.arm is not None:
        search(options.names[0], options.seeds[0], options.arm, options)
        return
    end = time.monotonic() + 60 * options.minutes
    found: list[Compared] = []
    for seed in options.seeds:
        for name in options.names:
            for one in compared((name, seed), options, lambda: time.monotonic() < end):
                found.append(one)
                shown = ", ".join(f"{arm} {ratio:.3f}" for arm, ratio in one.ratios.items())
                print(f"{name:24} seed {seed} at {one.at:3}: {shown}", flush=True)
    for line in summary(found):
        print(line)


def compared(cell: Cell, options: argparse.Namespace, may_begin: Callable[[], bool]) -> Iterator[Compared]:
    """The cell's winners timed in turn, as far as the time goes."""
    name, seed = cell
    without = searched(cell, "without", options, may_begin)
    if without is None:
        return
    lacks = set(without["moves"]) & set(SWITCHED_OFF)
    arms = [arm for arm in options.arms if arm in ARMS or lacks]
    for at in sorted({min(EARLY, options.trials), options.trials}):
        kept = options.out / name / f"{seed}-{at}-{'-'.join(arms)}.json"
        if not kept.exists():
            if any(searched(cell, arm, options, may_begin) is None for arm in arms) or not may_begin():
                return
            write_atomically(kept, json.dumps(timed(cell, arms, at, options.out)).encode())
        yield Compared(cell, at, json.loads(kept.read_bytes()))


def timed(cell: Cell, arms: Sequence[str], at: int, out: Path) -> dict[str, float]:
    """How many times as long each arm's winner takes as that of the first arm."""
    modules = [load_module(winner(out, cell, arm, at).read_bytes()) for arm in arms]
    threads = available_cores()
    with LocalMeasurer(resolve_target(None, threads), threads) as measurer:
        first_us, *others_us = measurer.interleave(modules, ROUNDS, LIMITS)
    return {arm: paired_ratio(us, first_us).median for arm, us in zip(arms[1:], others_us, strict=True)}


def winner(out: Path, cell: Cell, arm: str, at: int) -> Path:
    """Where the fastest of the first so many trials is kept."""
    return out / cell[0] / f"{cell[1]}-{arm}-{at}.winner.json"


def searched(cell: Cell, arm: str, options: argparse.Namespace, may_begin: Callable[[], bool]) -> dict[str, Any] | None:
    """What a run left, which is made now if it was not; ``None`` if there is no time for it."""
    name, seed = cell
    kept: Path = options.out / name / f"{seed}-{arm}.json"
    if not kept.exists():
        if not may_begin():
            return None
        size = ("--trials", str(options.trials), "--seeds", str(seed), "--out", str(options.out))
        subprocess.run([sys.executable, __file__, name, "--arm", arm, *size], check=True)
    read: dict[str, Any] = json.loads(kept.read_bytes())
    return read


# ---- one run ----


def search(name: str, seed: int, arm: str, options: argparse.Namespace) -> None:
    """Tune, and keep the winners after 64 and after all trials."""
    (options.out / name).mkdir(parents=True, exist_ok=True)
    wanted = plan(name, trials=options.trials, seed=seed, moves="all" if arm.endswith("with") else "none")
    seen: list[Any] = []
    started = time.perf_counter()
    with ExitStack() as stack:
        for move in SWITCHED_OFF if arm in LACKING else ():
            stack.enter_context(lacking(move))
        run(replace(wanted, records=None), [seen.append])
        module = suited(wanted.program, wanted.target).module
        space = TvmSpace.generated(module, wanted.target, wanted.space, vector_math=True)
        found: dict[str, Any] = {"seconds": time.perf_counter() - started, "arm": arm}
        for at in sorted({min(EARLY, options.trials), options.trials}):
            schedule, latency_us = fastest(seen, at)
            found[f"best at {at}"] = [f"{schedule.variant}/{schedule.sketch}", latency_us]
            write_atomically(winner(options.out, (name, seed), arm, at), save_module(space.module(schedule)))
    found["moves"] = list(moves_of(schedule.variant, schedule.sketch))
    found["tried"] = structures(seen)
    write_atomically(options.out / name / f"{seed}-{arm}.json", json.dumps(found).encode())


def fastest(seen: Sequence[Any], count: int) -> tuple[Schedule, float]:
    """The fastest of the first so many trials, and its latency in microseconds."""
    trials = measured(seen)
    ran = [(us, number) for number, (_, us) in trials.items() if number < count and us is not None]
    us, number = min(ran)
    return trials[number][0], us


def measured(seen: Sequence[Any]) -> dict[int, tuple[Schedule, float | None]]:
    """The schedule of each trial, and its last latency; ``None`` if it failed or was wrong."""
    schedules = {one.node: one.schedule for one in seen if isinstance(one, events.Opened | events.Applied)}
    nodes = {one.trial: one.node for one in seen if isinstance(one, events.Asked)}
    results = {one.trial: one for one in seen if isinstance(one, events.Measured)}
    return {trial: (schedules[nodes[trial]], one.latency_us) for trial, one in results.items()}


def structures(seen: Sequence[Any]) -> dict[str, list[float]]:
    """What trials of structures that moves made took, by structure, in order; -1 if one failed."""
    found: dict[str, list[float]] = {}
    for schedule, us in measured(seen).values():
        if " | " in schedule.sketch:
            found.setdefault(f"{schedule.variant}/{schedule.sketch}", []).append(-1.0 if us is None else us)
    return found


# ---- figures ----


def summary(found: Sequence[Compared]) -> Iterator[str]:
    """Geometric means over all cells, and what is lost and recovered in the space that lacks structures."""
    for at in sorted({one.at for one in found}):
        gains = [1 / one.ratios["with"] for one in found if one.at == at and "with" in one.ratios]
        if gains:
            yield f"at {at} trials: with moves {geomean(gains):.3f} times as fast, {len(gains)} cells"
    last = max((one.at for one in found), default=0)
    lost = [one for one in found if one.at == last and set(LACKING) <= set(one.ratios)]
    if lost:
        all_lost = sum(math.log(one.ratios["lacking"]) for one in lost)
        left = sum(math.log(one.ratios["lacking-with"]) for one in lost)
        yield f"the lacking space takes {math.exp(all_lost / len(lost)):.3f} times as long in {len(lost)} cells; moves"
        yield f"  recover {1 - left / all_lost:.0%} of that" if all_lost > 0 else "  have nothing to recover"


def geomean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


if __name__ == "__main__":
    main()
