"""Programs that people tune, odd ones among them: tuned, exported, run in a fresh process, and compared with NumPy.

    .venv/bin/python benchmarks/odd_programs.py [--trials 4] [--jobs 2] [NAME ...]

The programs are those of ``tests/helpers/operators`` and ``tests/helpers/odd_programs.py``, each with a reference by
NumPy, and some that have to be refused. Every one goes through the command line: ``colt tune`` and ``colt export`` as
processes of their own. The printed lines are then run as they are, but on arguments that suit the program.

Every program has one line: tuned with its speed-up and interval, or refused with the sentence; the error, relative to
the largest right value, and what is allowed; how many schedules were found wrong, which are to be looked at: each has
to be really wrong. To reach: all tuned or refused in a sentence, no wrong result, no traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.helpers import odd_programs
from tests.helpers.hurry import COLT
from tests.helpers.operators import every_case
from tests.helpers.operators.case import Array, Case, numpy_dtype

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
SECONDS = 300
REFUSED = {
    "old_namespace": "from tvm.script import tir as T\n",
    "old_block": (
        "from tvm.script import tirx as T\n\n\n@T.prim_func(s_tir=True)\n"
        'def old_block(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):\n'
        '    for i in range(8):\n        with T.block("B"):\n'
        "            vi = T.axis.spatial(8, i)\n            B[vi] = A[vi]\n"
    ),
    "old_schedule": "from tvm import te\n\n\ndef old_schedule():\n    return te.create_schedule([])\n",
    "a_number": "a_number = 3\n",
}
"""Files that hold no program; the name of each is also the one that is asked for."""
CALL = """
import json, sys
import numpy, tvm
lines, arguments, folder = sys.argv[1:]
given, zeros, full = [], numpy.zeros, numpy.full
for number, (shape, dtype) in enumerate(json.loads(arguments)):
    given.append((tuple(shape), numpy.fromfile(f"{folder}/before-{number}", numpy.uint8)))
def suitable(shape, *value_and_dtype):
    wanted, found = given.pop(0)
    assert tuple(shape) == wanted, (shape, wanted)
    return found.view(value_and_dtype[-1]).reshape(shape)
numpy.zeros = numpy.full = suitable
names = {}
exec(open(lines).read(), names)
numpy.zeros, numpy.full = zeros, full
tensors = [value for value in names.values() if isinstance(value, tvm.runtime.Tensor)]
for number, tensor in enumerate(tensors):
    tensor.numpy().tofile(f"{folder}/after-{number}")
"""
"""What the fresh process does: it runs the printed lines, and ``np.zeros`` and ``np.full`` give the arguments."""


@dataclass(frozen=True)
class Outcome:
    """``kind`` is one of tuned, kept, refused, wrong, traceback and failed."""

    name: str
    kind: str
    text: str
    rejected: int = 0
    """Schedules that COLT found wrong."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="programs (default: all)")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1, help="programs at a time; more than one disturb each other")
    parser.add_argument("--unhurried", action="store_true", help="time leaders as long as users have them timed")
    options = parser.parse_args()
    cases = {name: found for name, found in all_cases().items() if not options.names or name in options.names}
    refused = [name for name in REFUSED if not options.names or name in options.names]
    command = [sys.executable, "-P", "-m", "colt.cli"] if options.unhurried else COLT

    def judged(name: str) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="colt-odd-") as folder:
            if name in REFUSED:
                return refusal(name, Path(folder), command)
            return outcome(name, *cases[name], Path(folder), command, options.trials)

    started, outcomes = time.monotonic(), []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(judged, [*cases, *refused]):
            outcomes.append(found)
            print(f"{found.kind:9} {found.name:28} {found.text}", flush=True)
    print(summary(outcomes, time.monotonic() - started))
    return int(any(found.kind in ("wrong", "traceback", "failed") for found in outcomes))


def all_cases() -> dict[str, tuple[str, Case]]:
    """Every program by name, with what the command line calls it."""
    cases = every_case()
    for name, (program, reference) in odd_programs.ODD.items():
        arrays = odd_programs.arguments_for(name)
        draw = {number: (lambda rng, array=array: array) for number, array in enumerate(arrays)}
        spec = f"{Path(str(odd_programs.__file__))}:{name}"
        cases[f"odd.{name}"] = spec, Case(program, reference, draw)
    return cases


def outcome(name: str, spec: str, case: Case, folder: Path, command: Sequence[str], trials: int) -> Outcome:
    """Tune, export, call, compare."""
    run, library = folder / "run", folder / "kernel.so"
    tuned = process([*command, "tune", spec, "--trials", str(trials), "--run", str(run), "--json"])
    if tuned.returncode != 0:
        return refused_or_failed(name, tuned)
    if tuned.stderr.strip():
        return Outcome(name, "failed", f"with --json something is printed: {tuned.stderr.strip()[:200]}")
    receipt = json.loads(tuned.stdout)
    exported = process([*command, "export", str(run), "-o", str(library)])
    if exported.returncode != 0:
        return refused_or_failed(name, exported)
    found = called(receipt["workload"]["arguments"], case, exported.stdout.split("\n\n", 1)[1], folder)
    if isinstance(found, str):
        return Outcome(name, "failed", found)
    error, allowed = found
    rejected = sum("computes something else" in message for message in receipt["messages"])
    kind = "wrong" if not error <= allowed else "tuned" if receipt["best"] else "kept"
    return Outcome(name, kind, f"{gain(receipt)}, error {error:.1e} of {allowed:g}{told(rejected)}", rejected)


def called(arguments: list[dict[str, Any]], case: Case, lines: str, folder: Path) -> tuple[float, float] | str:
    """The error and what is allowed, or what went wrong, of the exported kernel in a process of its own."""
    parameters = [(tuple(argument["shape"]), argument["dtype"]) for argument in arguments]
    before = case.arguments(parameters)
    for number, array in enumerate(before):
        array.tofile(folder / f"before-{number}")
    (folder / "lines.py").write_text(lines)
    done = process([sys.executable, "-P", "-c", CALL, str(folder / "lines.py"), json.dumps(parameters), str(folder)])
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return f"the printed lines end with {done.returncode}: {last[:300]}"
    return case.error(before, [_after(folder, number, *one) for number, one in enumerate(parameters)])


def _after(folder: Path, number: int, shape: tuple[int, ...], dtype: str) -> Array:
    return np.fromfile(folder / f"after-{number}", numpy_dtype(dtype)).reshape(shape)


def refusal(name: str, folder: Path, command: Sequence[str]) -> Outcome:
    """What becomes of a file that holds no program."""
    (folder / f"{name}.py").write_text(REFUSED[name])
    done = process([*command, "tune", f"{folder}/{name}.py:{name}", "--run", str(folder / "run")])
    found = refused_or_failed(name, done)
    if found.kind == "refused" and (folder / "run").exists():
        return Outcome(name, "failed", "it was refused, but a run directory is left")
    return found


def refused_or_failed(name: str, done: subprocess.CompletedProcess[str]) -> Outcome:
    """A refusal is exit code 2 and one sentence."""
    said = done.stderr.strip()
    if "Traceback" in said:
        return Outcome(name, "traceback", said.splitlines()[-1][:300])
    sentence = said[("\n" + said).find("\ncolt: ") :]
    if done.returncode == 2 and sentence.startswith("colt: "):
        return Outcome(name, "refused", " / ".join(line.strip() for line in sentence.splitlines())[:400])
    return Outcome(name, "failed", f"exit code {done.returncode}: {said[-300:]}")


def gain(receipt: dict[str, Any]) -> str:
    """The speed-up in words."""
    if receipt["speedup_interval"] is None:
        return f"{receipt['speedup']:.3g} times ({receipt['verdict']})"
    low, high = receipt["speedup_interval"]
    return f"{receipt['speedup']:.3g} times ({low:.3g} to {high:.3g})"


def told(rejected: int) -> str:
    return f", {rejected} schedules found wrong" if rejected else ""


def process(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it; one that never ends counts as failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=ENVIRONMENT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end after {SECONDS} s")


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The counts, in one line."""
    counts = Counter(found.kind for found in outcomes)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("tuned", "kept", "refused", "wrong", "traceback", "failed"))
    rejected = sum(found.rejected for found in outcomes)
    return f"{len(outcomes)} programs: {kinds}; {rejected} schedules found wrong; {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
