"""What verification catches, and what it rejects without cause.

    .venv/bin/python benchmarks/verification.py mutants [--schedules 2] [--out FILE]
    .venv/bin/python benchmarks/verification.py schedules [--count 1000] [--out FILE]

``mutants`` puts faults into programs and their schedules and counts those that are caught, by kind. ``schedules``
verifies random schedules; each that is rejected is run again here and judged by NumPy in float64. To reach: all mutants
are caught, and no accurate schedule is rejected. Programs may be named with ``--programs``. With ``--out`` each verdict
is kept, and a command that was broken off goes on where it was; the file is of one state of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tests.helpers.mutants import KINDS
from tests.helpers.verified_programs import VERIFIED, Verified

from colt.measure.base import Limits
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.arrays import is_float
from colt.tvm.programs.domains import domains
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.tvm.workers.arguments import Drawing, contents, signature
from colt.tvm.workers.wide import rounding

THREADS = len(os.sched_getaffinity(0))
LIMITS = Limits(build_seconds=60.0, reference_seconds=20.0)
FEW = 4.0
"""An accurate schedule is off by so many times what rounding explains, or as the untuned program is, at most."""


@dataclass(frozen=True)
class Verdict:
    """What verification made of one program, and what NumPy says if it was rejected."""

    ok: bool
    built: bool
    words: str
    accurate: bool = False


class Verdicts:
    """Those of the command, in a file if there is one; what it has already is not worked out again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._known = {key: Verdict(**verdict) for key, verdict in map(json.loads, lines)}

    def of(self, key: str, work_out: Callable[[], Verdict]) -> Verdict:
        """The verdict of that name."""
        if key not in self._known:
            self._known[key] = found = work_out()
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps([key, asdict(found)]) + "\n")
        return self._known[key]


@dataclass
class Bench:
    """What both commands need."""

    measurer: LocalMeasurer
    target: Any
    seed: int
    verdicts: Verdicts

    def schedules(self, program: Verified, count: int) -> Iterator[tuple[str, Any]]:
        """Random schedules of the program, with vector math as in a run."""
        space = TvmSpace.generated(program.module, self.target, vector_math=True)
        rng = random.Random(self.seed)
        for _ in range(count):
            schedule = space.sample(rng)
            yield f"{schedule.variant}/{schedule.sketch} {schedule.values}", space.module(schedule)

    def verify(self, program: Verified, candidate: Any, judge: bool = False) -> Verdict:
        """As a run does it. ``judge`` has NumPy judge what is rejected."""
        found = self.measurer.verify(program.module, candidate, self.seed, LIMITS)
        verdict = Verdict(found.ok, not found.message.startswith("build"), str(found))
        if found.ok or not verdict.built or not judge:
            return verdict
        accurate, words = judged(program, candidate, self)
        return replace(verdict, words=f"{found}\n    NumPy: {words}", accurate=accurate)


def mutants(bench: Bench, names: list[str], schedules: int) -> None:
    """Print how many mutants of each kind are caught, and name the others."""
    caught, made = Counter[str](), Counter[str]()
    for name in names:
        program = VERIFIED[name]
        hosts = [("untuned", program.module), *bench.schedules(program, schedules)]
        for host, module in hosts:
            for kind, make in KINDS.items():
                if kind == "a race" and host != "untuned":
                    continue
                for place, mutant in make(module, program.shift):
                    verify = partial(bench.verify, program, mutant)
                    found = bench.verdicts.of(f"{name}: {kind} at {place} of {host}", verify)
                    made[kind] += 1
                    caught[kind] += not found.ok
                    if found.ok:
                        print(f"MISSED {name}: {kind} at {place} of {host}: {found.words}", flush=True)
        print(f"{name}: {sum(caught.values())} of {sum(made.values())} so far", flush=True)
    for kind in KINDS:
        print(f"{kind:22} {caught[kind]:5} of {made[kind]:5} caught")


def schedules(bench: Bench, names: list[str], count: int) -> None:
    """Print how many random schedules are rejected, and what NumPy says of each of these."""
    tried = unbuilt = rejected = unjust = 0
    for number, name in enumerate(names):
        program = VERIFIED[name]
        share = count // len(names) + (number < count % len(names))
        for sample, (host, module) in enumerate(bench.schedules(program, share)):
            verify = partial(bench.verify, program, module, judge=True)
            found = bench.verdicts.of(f"{name} {sample}: {host}", verify)
            tried += 1
            unbuilt += not found.built
            unjust += found.accurate
            if found.built and not found.ok:
                rejected += 1
                print(f"REJECTED {name}: {host}\n    {found.words}", flush=True)
        print(f"{name}: {tried} tried, {unbuilt} not built, {rejected} rejected, {unjust} accurate", flush=True)
    print(
        f"{tried} random schedules, {unbuilt} that TVM does not build, {rejected} rejected, {unjust} of them accurate"
    )


def judged(program: Verified, candidate: Any, bench: Bench) -> tuple[bool, str]:
    """Whether the schedule is accurate on the inputs of verification, and the errors in words."""
    untuned = program.module
    inputs = contents(signature(untuned), Drawing(domains(untuned["main"]), bench.seed))
    wide = [array.astype(np.float64) if is_float(array.dtype) else array for array in inputs[:-1]]
    right = program.reference(*wide)
    typical = abs_sum(program, wide)
    errors = [off(right, run(module, inputs, bench.target), typical) for module in (untuned, candidate)]
    dtype = inputs[-1].dtype
    explained = FEW * np.sqrt(program.terms) * rounding(dtype.name) if is_float(dtype) else 0.0
    accurate = bool(errors[1] <= max(explained, FEW * errors[0]))
    words = f"off by {errors[1]:.2g}, the untuned program by {errors[0]:.2g}, {explained:.2g} is explained by rounding"
    return accurate, f"{'ACCURATE' if accurate else 'wrong'}: {words}"


def run(module: Any, inputs: Any, target: Any) -> Any:
    """What the module leaves in its last argument."""
    tensors = [tvm.runtime.tensor(array) for array in inputs]
    tvm.tirx.build(module, target=target)["main"](*tensors)
    return tensors[-1].numpy()


def abs_sum(program: Verified, wide: Any) -> float:
    """How large sums of random signs usually are, for programs of so few that all may be near 0."""
    sizes = program.reference(*map(abs, wide))
    return float(abs(sizes).max() / np.sqrt(program.terms)) if sizes.size == 1 else 0.0


def off(right: Any, found: Any, typical: float) -> float:
    """The largest error, relative to the largest element."""
    largest = max(float(abs(right).max()), typical)
    error = float(abs(found.astype(np.float64) - right).max())
    return np.inf if np.isnan(error) else error / largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mutants", "schedules"))
    parser.add_argument("--programs", nargs="*", default=list(VERIFIED), choices=list(VERIFIED))
    parser.add_argument("--schedules", type=int, default=2, help="schedules of each program that faults are put into")
    parser.add_argument("--count", type=int, default=1000, help="random schedules in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file that keeps the verdicts")
    options = parser.parse_args()
    target = resolve_target(None, THREADS)
    with LocalMeasurer(target, THREADS, workers=1) as measurer:
        bench = Bench(measurer, target, options.seed, Verdicts(options.out))
        if options.what == "mutants":
            mutants(bench, options.programs, options.schedules)
        else:
            schedules(bench, options.programs, options.count)


if __name__ == "__main__":
    main()
