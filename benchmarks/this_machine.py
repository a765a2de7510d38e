"""How COLT does on the machine at hand: one table, each row with what is to be reached, in under 40 minutes.

    .venv/bin/python benchmarks/this_machine.py --out DIR [--parts hardware wall fp32 ...] [--seeds 3]

hardware  seconds that ``colt hardware`` takes to measure a machine that is new to it
wall      seconds of a 64-trial matmul, cold start to finish, three times
fp32      the main workloads, 64 trials, compared with the best of the libraries (``colt bench``)
low       the same of the workloads in few bits; int4 against ONNX Runtime; AMX where the machine has it
held_out  the same of held-out programs in few bits, and of awkward ones; whether any result is wrong
rank      how well the analytical model ranks 40 random schedules of each main workload
truth     how near the schedule that is called best comes to the true best
ablation  what each move is worth, as far as ``ablation.py --out DIR/ablation`` has found out, which takes longer

The same command goes on after an interruption: searches that are finished are kept in DIR, and each part's rows in
``DIR/PART.json``. What to reach is that of the kind of machine at hand where it was set for it, and otherwise says for
which kind it was set.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from colt.bench.config import NO_PEERS, Peer
from colt.bench.directory import BenchDirectory
from colt.bench.figures import Results, WorkloadResults, speedup
from colt.bench.run import load_results
from colt.machine import Hardware, detect
from colt.tvm.programs.workloads import names
from colt.util.files import write_atomically
from colt.util.stats import Estimate

HERE = Path(__file__).parent
COLT = (sys.executable, "-P", "-m", "colt.cli")
FEW_BITS = (Peer.TORCH, Peer.SDPA, Peer.TORCH_COMPILE, Peer.ONNX_RUNTIME)
"""The libraries for layers in few bits, for which NumPy has nothing of its own."""
MOVE = r"(\S+): (.*) \[.*\]"
"""A line that ``ablation.py`` ends with."""
Row = tuple[str, str, str]
"""What, what to reach, what was measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3, help="searches of each main workload; others have one")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--ablation-minutes", type=float, default=0.0, help="time for searches that are not done yet")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print(
        f"{detect().cpu}, {len(os.sched_getaffinity(0))} cores\n\n| what | reach | measured |\n|---|---|---|",
        flush=True,
    )
    for part in options.parts:
        for row in kept(options.out / f"{part}.json", lambda part=part: PARTS[part](options)):
            print("| " + " | ".join(row) + " |", flush=True)
    print(f"\nThis call took {(time.monotonic() - started) / 60:.1f} minutes; to reach: 40 for all parts.")


def kept(path: Path, measure: Callable[[], list[Row]]) -> list[Row]:
    """The rows of an earlier call, or measured now."""
    if not path.exists():
        write_atomically(path, json.dumps(measure(), indent=1).encode())
    return [(what, reach, found) for what, reach, found in json.loads(path.read_bytes())]


def output(*command: object, **environment: str) -> str:
    """What a command prints. It must succeed."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment
    )
    return done.stdout


def seconds(*command: object, **environment: str) -> float:
    started = time.perf_counter()
    output(*command, **environment)
    return time.perf_counter() - started


def hardware(options: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as empty:
        taken = seconds(*COLT, "hardware", COLT_CACHE_DIR=empty)
    return [("`colt hardware`, nothing known", "20 s", f"{taken:.1f} s")]


def wall(options: argparse.Namespace) -> list[Row]:
    output(*COLT, "hardware")  # known from now on
    with tempfile.TemporaryDirectory() as runs:
        command = (*COLT, "tune", "matmul", "--trials", 64, "--no-records")
        taken = [seconds(*command, "--run", Path(runs) / str(seed), "--seed", seed) for seed in range(3)]
    return [("a 64-trial matmul", "16 s", ", ".join(f"{one:.1f}" for one in taken) + " s")]


def fp32(options: argparse.Namespace) -> list[Row]:
    results = compared(options, "fp32", ["main"], options.seeds, [one for one in Peer if one is not Peer.ONNX_RUNTIME])
    intel = is_intel(detect())
    return [
        *against_the_best(results, "seven workloads", f"{best_reach(detect())}; none under 0.97"),
        against(results, "deepseek-r1-experts", Peer.TORCH, "1.0" if intel else "1.0 on Intel"),
        against(results, "deepseek-r1-moe", Peer.TORCH, "1.1" if intel else "1.1 on Intel"),
        against(results, "matmul", Peer.TORCH, "0.97 of MKL, which is PyTorch's"),
    ]


def low(options: argparse.Namespace) -> list[Row]:
    results = compared(options, "low", ["low-precision"], seeds=1, peers=FEW_BITS)
    level_4 = "1.0 of level 4, activations quantised in both"
    return [
        *against_the_best(results, "few bits", "1.0; none under 1.0"),
        *(against(results, name, Peer.ONNX_RUNTIME, level_4) for name in ("int4-int8-linear", "int4-int8-linear-16")),
        *tiles(results, detect()),
    ]


def tiles(results: Results, hardware: Hardware) -> list[Row]:
    """How the workloads do that AMX is for, compared with oneDNN, which PyTorch calls."""
    if not {"amx_int8", "amx_bf16"} & set(hardware.flags):
        return [("AMX: int8; bf16", "1.3; 1.2 of oneDNN", "this machine has no AMX, or Linux does not grant it")]
    return [
        against(results, "quantised-linear", Peer.TORCH, "1.3 of oneDNN, with AMX"),
        against(results, "bf16-matmul", Peer.TORCH, "1.2 of oneDNN, with AMX"),
    ]


def held_out(options: argparse.Namespace) -> list[Row]:
    results = compared(options, "held-out", ["matmul-int8", "held-out-low"], seeds=1, peers=FEW_BITS)
    wrong = [one.name for one in results.workloads if is_wrong(one)]
    found = f"wrong: {', '.join(wrong)}" if wrong else "none wrong"
    return [*against_the_best(results, "held out", "1.0; none under 1.0"), ("held out, results", "none wrong", found)]


def compared(
    options: argparse.Namespace, name: str, workloads: Sequence[str], seeds: int, peers: Sequence[Peer]
) -> Results:
    """COLT's winners and those of the libraries that are installed, timed in turn, by ``colt bench``."""
    out = options.out / name
    installed = [peer for peer in peers if find_spec(peer.package) is not None] or [NO_PEERS]
    size = ("--trials", options.trials, "--seeds", seeds)
    output(*COLT, "bench", *workloads, "--strategies", "colt", *size, "--peers", *installed, "--out", out)
    return load_results(BenchDirectory.load(out))


def against_the_best(results: Results, what: str, reach: str) -> list[Row]:
    """How many times faster than the fastest library, by workload and on the whole."""
    rows: list[Row] = []
    ratios = []
    for one in results.workloads:
        peer = one.best_peer(results.config.peers)
        ratio = None if peer is None else ratio_to(one, peer, results)
        if ratio is None:
            rows.append((one.name, "", "no winner" if peer is not None else "no library computes it here"))
            continue
        ratios.append(ratio.median)
        ours = one.latency(results.subject)
        assert ours is not None
        rows.append((one.name, "", f"{shown(ratio)} of {peer}; {ours.median_us:.1f} us"))
    found = f"{statistics.geometric_mean(ratios):.2f}; the least {min(ratios):.2f}" if ratios else "nothing compared"
    return [*rows, (f"{what}: geometric mean of {len(ratios)}", reach, found)]


def against(results: Results, name: str, peer: Peer, reach: str) -> Row:
    """How many times faster than one library on one workload."""
    (one,) = (one for one in results.workloads if one.name == name)
    ratio = ratio_to(one, peer, results)
    return f"{name}, of {peer}", reach, f"not timed: {why_not(one, peer)}" if ratio is None else shown(ratio)


def ratio_to(one: WorkloadResults, peer: Peer, results: Results) -> Estimate | None:
    ours, theirs = one.latency(results.subject), one.latency(peer)
    return None if ours is None or theirs is None else speedup(ours, theirs)


def shown(ratio: Estimate) -> str:
    ends = ratio.interval
    return f"{ratio.median:.2f}" + ("" if ends is None else f" ({ends.low:.2f} to {ends.high:.2f})")


def why_not(one: WorkloadResults, peer: Peer) -> str:
    """Why a winner or a library has no latency."""
    timed = () if one.remeasured is None else one.remeasured.contenders
    problems = [found.problem for found in timed if found.peer in (peer, None) and found.problem]
    return problems[0] if problems else "no winner, or the library is not installed"


def is_wrong(one: WorkloadResults) -> bool:
    """Whether a winner computes something else, or there is none."""
    timed = () if one.remeasured is None else one.remeasured.contenders
    return not one.cells or any(not cell.ok for cell in one.cells) or any(c.problem for c in timed if c.peer is None)


def is_intel(hardware: Hardware) -> bool:
    return hardware.cpu_identity.startswith("GenuineIntel")


def best_reach(hardware: Hardware) -> str:
    """What to reach on the main workloads: it was set for two kinds of machine."""
    if "avx512f" in hardware.flags:
        if is_intel(hardware):
            return "1.15"
        if hardware.cpu_identity.startswith("AuthenticAMD"):  # the first that have AVX-512 are Zen 4
            return "1.4"
    return "1.4 (AMD with AVX-512), 1.15 (Intel with AVX-512)"


def rank(options: argparse.Namespace) -> list[Row]:
    printed = output(sys.executable, HERE / "estimate_rank.py", "--schedules", 40, *names("main"))
    ranks = {one: float(found) for one, found in re.findall(r"^(\S+) .*rank +(-?[\d.]+)", printed, re.MULTILINE)}
    rows: list[Row] = [(f"rank, {one}", "", f"{found:.2f}") for one, found in ranks.items()]
    mean = statistics.geometric_mean(max(found, 0.01) for found in ranks.values())
    return [*rows, ("rank of the model, geometric mean", "0.85", f"{mean:.2f}")]


def truth(options: argparse.Namespace) -> list[Row]:
    printed = output(sys.executable, HERE / "measuring.py", "truth", "--candidates", 24, "--workloads", "matmul")
    losses = [float(found) for found in re.findall(r"called best is ([\d.]+) of the true best of them", printed)]
    found = ", ".join(f"{one:.3f}" for one in losses)
    return [("called best, of the true best", "1.03 every time", found)]


def ablation(options: argparse.Namespace) -> list[Row]:
    """What is known of the moves' worth, from what ``ablation.py`` has kept in DIR; it takes longer than this table."""
    out = options.out / "ablation"
    printed = output(sys.executable, HERE / "ablation.py", "--out", out, "--minutes", options.ablation_minutes)
    lines = re.findall(f"^{MOVE}$", printed, re.MULTILINE)
    return [(f"a space without {move}", "worth its knob", found) for move, found in lines]


PARTS = {one.__name__: one for one in (hardware, wall, fp32, low, held_out, rank, truth, ablation)}

if __name__ == "__main__":
    main()
