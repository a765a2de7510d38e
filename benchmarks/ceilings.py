"""How fast each workload can be made here: long runs, and a profile of the best winner.

    .venv/bin/python benchmarks/ceilings.py [NAME ...] [--trials 512] [--seeds 3] [--size small] [--runs runs/ceilings]

Each workload is tuned with several seeds. Finished runs are kept, so the same command continues after an interruption.
The winners are timed in turn, and a profile of the fastest is written to ``benchmarks/results/ceilings/NAME-SIZE.md``:

* the time of each outermost loop nest: the program and its beginnings, each one nest shorter, are timed in turn, and
  their times are subtracted;
* the cost of each block according to the analytical model, in arithmetic and in cache misses;
* the instructions of the hottest loops: the innermost loops of the machine code, those with the most multiply-adds
  first (contractions), then those with the most other vector arithmetic.

The search leaves the gap between an ordinary run and this ceiling; the space leaves the gap between the ceiling and
the roofline.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import tvm
import tvm_ffi
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import PrimFunc, SeqStmt

import colt
from colt.analysis.estimate import cost
from colt.analysis.nests import instantiate
from colt.knobs import Schedule
from colt.measure.base import Limits
from colt.store.directory import RECEIPT, WINNER
from colt.store.receipt import Receipt, load_receipt
from colt.tvm.cost.scorer import machine_of
from colt.tvm.devices.host import resolve_target, set_threads
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.programs import workloads
from colt.tvm.programs.export import load_module
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer

THREADS = len(os.sched_getaffinity(0))
RESULTS = Path(__file__).parent / "results" / "ceilings"
ROUNDS = 30
LIMITS = Limits(min_repeat_ms=5.0, build_seconds=60.0)
LOOPS_SHOWN = 5
KINDS = {
    "multiply-adds": r"vfn?m(add|sub)\w*[ps]s",
    "other vector arithmetic": r"v(p?add|p?sub|p?mul|div|max|min|sqrt|p?and|p?or|p?xor|ps[lr][la]|cvt|rndscale)\w*",
    "broadcasts": r"v\w*broadcast\w*",
    "moves between lanes": r"v(perm|unpck|shuf|insert|extract|palign|pblend|gather|scatter|expand|compress)\w*",
    "vector moves": r"v(p?mov|lddqu)\w*",
}
"""Kinds of x86 instructions; the others are scalar."""
LABEL = re.compile(r"^(\.L\w+):")
JUMP = re.compile(r"^\s+j\w+\s+(\.L\w+)")
INSTRUCTION = re.compile(r"^\s+([a-z]\w+)\s*(.*)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(workloads.names()))
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", default="small")
    parser.add_argument("--runs", type=Path, default=Path("runs/ceilings"))
    options = parser.parse_args()
    for name in options.names:
        runs = [tuned(name, seed, options) for seed in range(options.seeds)]
        path = RESULTS / f"{name}-{options.size}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(described(name, runs))
        print(path.read_text(), flush=True)


def tuned(name: str, seed: int, options: argparse.Namespace) -> Path:
    """The directory of a finished run; runs it if need be."""
    run: Path = options.runs / f"{name}-{options.size}-{options.trials}-{seed}"
    if not (run / RECEIPT).exists():
        shutil.rmtree(run, ignore_errors=True)
        print(f"{name}, seed {seed} ...", file=sys.stderr, flush=True)
        colt.tune(name, size=options.size, trials=options.trials, seed=seed, run_dir=run, use_records=False)
    return run


def described(name: str, runs: Sequence[Path]) -> str:
    """The whole result as Markdown."""
    modules = [load_module((run / WINNER).read_bytes()) for run in runs]
    receipts = [load_receipt(run) for run in runs]
    target = resolve_target(None, THREADS)
    with LocalMeasurer(target, THREADS) as measurer:
        each = [median(latencies) for latencies in measurer.interleave(modules, ROUNDS, LIMITS)]
        number = min(range(len(each)), key=each.__getitem__)
        nests = timed_nests(measurer, modules[number])
    receipt = receipts[number]
    assert receipt.best is not None
    flops = workloads.get(name).flops(receipt.workload.size or "small")
    lines = [f"# {name} ({receipt.workload.size}), {THREADS} threads, {receipt.hardware.cpu}", ""]
    lines += [
        f"- ceiling: **{flops / each[number] / 1e3:.1f} GFLOPS**, {each[number]:.1f} us",
        f"- the best of {len(runs)} runs of {receipt.trials.total} trials: "
        f"{', '.join(f'{flops / us / 1e3:.1f}' for us in each)}",
        f"- roofline: {roofline(receipt, flops / each[number] / 1e3)}",
        f"- winner: {receipt.best.sketch}: {receipt.best.sketch_summary}",
        f"- {receipt.best.transformation}",
        "",
        *table(("outermost nest", "us", "share"), [(n, f"{us:.1f}", f"{us / each[number]:.0%}") for n, us in nests]),
        "",
        *table(("block", "model: arithmetic, us", "misses, us", "share"), modelled(name, receipt)),
        "",
        *table(("hottest loops", "instructions", *KINDS, "scalar"), hottest(modules[number], target)),
        "",
    ]
    return "\n".join(lines)


def roofline(receipt: Receipt, gflops: float) -> str:
    found = receipt.roofline
    return "not known" if found is None else f"{gflops / found.gflops:.0%} of {found.gflops:.0f} GFLOPS ({found.bound})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


# ---- nests ----


def timed_nests(measurer: LocalMeasurer, module: Any) -> list[tuple[str, float]]:
    """The outermost loop nests in order, each with the microseconds that it adds to those before it."""
    names, beginnings = began(module)
    so_far = [0.0, *(median(latencies) for latencies in measurer.interleave(beginnings, ROUNDS, LIMITS))]
    return [(name, after - before) for name, (before, after) in zip(names, pairwise(so_far), strict=True)]


def began(module: Any) -> tuple[list[str], list[Any]]:
    """The names of the outermost nests, and the program up to the end of each.

    Buffers that nests fill for later nests are arguments here: otherwise a nest whose results nothing reads would not
    be computed.
    """
    function = module["main"]
    root = function.body.block
    params = [*function.params, *root.alloc_buffers]
    nests = list(root.body) if isinstance(root.body, SeqStmt) else [root.body]
    programs = []
    for count in range(1, len(nests) + 1):
        body = SeqStmt(nests[:count]) if count > 1 else nests[0]
        block = SBlock(
            root.iter_vars,
            root.reads,
            root.writes,
            root.name_hint,
            body,
            root.init,
            [],
            root.match_buffers,
            root.annotations,
        )
        realize = SBlockRealize(function.body.iter_values, function.body.predicate, block)
        beginning = PrimFunc(params, realize, function.ret_type, function.attrs)
        programs.append(tvm.IRModule({"main": beginning}))
    return [", ".join(blocks_of(nest)) for nest in nests], programs


def blocks_of(nest: Any) -> list[str]:
    """The names of the leaf blocks of a nest."""
    found: list[str] = []
    tvm_ffi.structural_walk(nest, (SBlock, lambda block: found.append(str(block.name_hint))))
    return found


# ---- the model ----


def modelled(name: str, receipt: Receipt) -> list[tuple[str, ...]]:
    """The analytical model's cost of each block of the winner."""
    assert receipt.best is not None
    target = resolve_target(None, THREADS)
    module = workloads.get(name).build(receipt.workload.size or "small")
    space = TvmSpace.generated(module, target, vector_math=True)
    variant, _, sketch = receipt.best.sketch.partition("/")
    values = tuple(tuple(v) if isinstance(v, list) else v for v in receipt.best.values.values())
    schedule = Schedule(variant, sketch, values)
    machine = machine_of(hardware_with_peaks(THREADS), THREADS)
    costs = [(nest.block.name, cost(nest, machine)) for nest in instantiate(space.skeleton(schedule), values)]
    total = sum(each.total_us for _, each in costs)
    return [
        (block, f"{each.compute_us:.1f}", f"{each.memory_us:.1f}", f"{each.total_us / total:.0%}")
        for block, each in costs
    ]


# ---- machine code ----


@dataclass(frozen=True)
class Code:
    """Instructions of an innermost loop, by kind."""

    label: str
    kinds: Counter[str]

    @property
    def weight(self) -> tuple[int, int]:
        return self.kinds["multiply-adds"], self.kinds["other vector arithmetic"]


def hottest(module: Any, target: Any) -> list[tuple[str, ...]]:
    """The innermost loops with the most multiply-adds, or else the most vector arithmetic."""
    set_threads(THREADS)
    assembly = str(tvm.tirx.build(module, target=target).inspect_source("asm"))
    loops = sorted(innermost_loops(assembly.splitlines()), key=lambda code: code.weight, reverse=True)[:LOOPS_SHOWN]
    return [
        (code.label, str(code.kinds.total()), *(str(code.kinds[kind]) for kind in (*KINDS, "scalar"))) for code in loops
    ]


def innermost_loops(lines: Sequence[str]) -> Iterator[Code]:
    """The pieces of code from a label to a jump back to it that contain no other such piece."""
    labels = {match[1]: number for number, line in enumerate(lines) if (match := LABEL.match(line))}
    back = []
    for number, line in enumerate(lines):
        target = JUMP.match(line)
        if target and labels.get(target[1], number) < number:
            back.append((labels[target[1]], number))
    for start, end in back:
        if not any(start <= first and last <= end and (first, last) != (start, end) for first, last in back):
            yield Code(lines[start].rstrip(":"), Counter(kinds_of(lines[start : end + 1])))


def kinds_of(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if match := INSTRUCTION.match(line):
            yield next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, match[1])), "scalar")


if __name__ == "__main__":
    main()
