"""``colt bench``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import INTERRUPTED, OK
from colt.cli.output import say, say_waiting, tell
from colt.cli.parser import add_declared, integer
from colt.errors import InputError
from colt.options import TuneOptions
from colt.util.declared import options_of
from colt.util.waiting import told_of_waiting


def add(commands: Any) -> None:
    """Add the command."""
    bench = commands.add_parser(
        "bench",
        help="compare search methods with each other and with libraries",
        description="Run workloads x strategies x seeds, each search in a process of its own; then time the winners of "
        "all strategies and the peers in turn, and write a report. The same command resumes what was interrupted.",
    )
    bench.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="names of workloads, or of groups: main (default), low-precision, held-out and held-out-low",
    )
    bench.add_argument("--out", metavar="DIR", required=True, help="directory, new or of this very benchmark")
    bench.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        help="any of stock (MetaSchedule's evolutionary search), random (random schedules), mcts (the tree with random "
        "edits alone), architect (the best that it constructs, without a tree) and colt (default: all; with --fleet "
        "all but stock, which measures here alone)",
    )
    bench.add_argument("--trials", type=integer, default=64, help="schedules that each search measures (default: 64)")
    bench.add_argument(
        "--seeds", type=integer, default=3, help="searches by each strategy, seeded 0, 1, ... (default: 3)"
    )
    bench.add_argument("--size", default="small", help="small (default) or paper")
    bench.add_argument(
        "--space",
        default="own",
        help="what is searched: own (default: MetaSchedule's space for stock, COLT's for the others), or the same for "
        "all: colt or metaschedule",
    )
    bench.add_argument(
        "--warm-start",
        type=integer,
        default=0,
        metavar="N",
        help="start every strategy from the same N schedules, which the architect constructs (default: 0, each starts "
        "in its own way)",
    )
    bench.add_argument(
        "--peers",
        nargs="+",
        metavar="NAME",
        help="libraries to hold winners against: numpy, torch, sdpa, torch.compile, onnxruntime, or none (default: all "
        "installed)",
    )
    bench.add_argument(
        "--threads",
        type=integer,
        help="threads for kernels and peers (default: all cores; with --fleet as many as its hosts lend)",
    )
    add_declared(bench, [options_of(TuneOptions)["fleet"]], str)
    bench.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Run what is left of the benchmark, and print its report."""
    from colt.bench.config import checked
    from colt.bench.directory import REPORT
    from colt.bench.run import run

    if not given.out:
        raise InputError("the directory has an empty name")
    config = checked(
        given.workloads,
        size=given.size,
        strategies=given.strategies,
        trials=given.trials,
        seeds=given.seeds,
        space=given.space,
        warm_start=given.warm_start,
        peers=given.peers,
        threads=given.threads,
        fleet=getattr(given, "fleet", None),
    )
    out = Path(given.out)
    try:
        with told_of_waiting(say_waiting):
            report = run(config, out, tell)
    except KeyboardInterrupt:
        tell("colt: interrupted; the same command goes on from here")
        return INTERRUPTED
    say(report)
    say(f"written to {out / REPORT}")
    return OK
