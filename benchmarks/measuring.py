"""Is measuring fast, true and safe? Ours against MetaSchedule's LocalBuilder and LocalRunner, and a long reference.

    .venv/bin/python benchmarks/measuring.py [candidates] [truth] [overlap] [faults] [endurance]

candidates  wall time of the same random matmul candidates: ours, stock with its slow import cured, stock as installed
truth       latencies against a long reference (all candidates in turn, 50 repeats; 10 for the slowest), and how good
            the candidate is that is called best
overlap     does building during a timing disturb the timing?
faults      the cost of every kind of bad candidate among good ones
endurance   2,000 candidates through one pool of workers: memory and file descriptors

All parts use all cores. Without arguments all parts run, which takes about an hour. To reach: 8 times and 2.5 times
faster than stock; rank correlation 0.97, median ratio 0.95 to 1.05, called best within 3 % of true best every time;
each fault costs its own trial only; memory grows by less than 5 %.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil

from colt.errors import Rejected
from colt.measure.base import Fate, Job, Limits, Pace
from colt.run.compare import rank_in_turn
from colt.run.holding import TRIAL_LIMITS
from colt.tvm.devices.host import prefer_cpu_intrinsics, resolve_target, set_threads
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.metaschedule.records import arguments_info
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import rank_correlation

THREADS = len(os.sched_getaffinity(0))
PARTS = ("candidates", "truth", "overlap", "faults", "endurance")
REFERENCE_LIMITS = Limits(build_seconds=30.0, min_repeat_ms=5.0)
REFERENCE_PASSES = 5
SLOW_MS = 50.0
ROUNDS, SLOW_ROUNDS = 10, 2
"""Rounds in each pass, for candidates under :data:`SLOW_MS` and for slower ones, which are far from each other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--endurance", type=int, default=2000)
    parser.add_argument("--workloads", nargs="+", default=["matmul", "flux-conv", "llama3-attention"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_threads(THREADS)
    for part in options.parts:
        globals()[f"show_{part}"](options)


def measurer(**options: Any) -> LocalMeasurer:
    """The measurer that a run uses."""
    peak = hardware_with_peaks(THREADS).peaks.fma_gflops_all_threads
    return LocalMeasurer(resolve_target(None, THREADS), THREADS, TRIAL_LIMITS, peak_gflops=peak, **options)


def random_schedules(name: str, count: int, seed: int) -> list[Any]:
    """TVM schedules of distinct random candidates."""
    space = TvmSpace.generated(workloads.get(name).build("small"), resolve_target(None, THREADS), cache_size=4 * count)
    rng, found = random.Random(seed), {}
    while len(found) < count:
        try:
            schedule = space.sample(rng)
        except Rejected:
            continue
        found[schedule] = space.scheduled(schedule)
    return list(found.values())


@contextmanager
def clock(label: str, seconds: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[label] = time.perf_counter() - started


# ---- wall time ----


def show_candidates(options: argparse.Namespace) -> None:
    schedules = random_schedules("matmul", options.candidates, options.seed)
    seconds: dict[str, float] = {}
    for label, run in (("ours", ours), ("stock, cured", stock_cured), ("stock", stock)):
        with clock(label, seconds):
            figures = run(schedules)
        each = seconds[label] / len(schedules)
        print(f"{label:14} {seconds[label]:6.1f} s, {each:5.2f} s a candidate, {len(figures)} ran", flush=True)
    print(f"ours is {seconds['stock, cured'] / seconds['ours']:.1f} times faster than stock with the import cured")
    print(f"ours is {seconds['stock'] / seconds['ours']:.1f} times faster than stock as installed")


def ours(schedules: Sequence[Any]) -> list[float]:
    with measurer() as made:
        results = list(made.measure(Job(i, schedule.mod) for i, schedule in enumerate(schedules)))
    return [result.latency_us for result in results if result.latency_us is not None]


def stock(schedules: Sequence[Any], initializer: Callable[[], None] | None = None) -> list[float]:
    """MetaSchedule's own builder and runner, as ``ms.tune_tir`` uses them."""
    from tvm.s_tir import meta_schedule as ms

    target = resolve_target(None, THREADS)
    builder = ms.builder.LocalBuilder(max_workers=THREADS, initializer=initializer)
    runner = ms.runner.LocalRunner(initializer=initializer)
    inputs = [ms.builder.BuilderInput(schedule.mod, target) for schedule in schedules]
    built = builder.build(inputs)
    figures = []
    for schedule, result in zip(schedules, built, strict=True):
        if result.error_msg is None:
            wanted = ms.runner.RunnerInput(result.artifact_path, "cpu", arguments_info(schedule.mod))
            found = runner.run([wanted])[0].result()
            if found.error_msg is None:
                figures.append(statistics.median(float(second) * 1e6 for second in found.run_secs))
    return figures


def stock_cured(schedules: Sequence[Any]) -> list[float]:
    return stock(schedules, prefer_cpu_intrinsics)


# ---- truth ----


@dataclass(frozen=True, slots=True)
class Round:
    """One measuring of all candidates: latencies by candidate (``nan`` if it did not run), and medians of the fifth of
    the reference that was measured just before."""

    figures: list[float]
    called_best: int
    beside: list[float]


def show_truth(options: argparse.Namespace) -> None:
    for name in options.workloads:
        modules = [schedule.mod for schedule in random_schedules(name, options.candidates, options.seed)]
        reference: list[list[float]] = [[] for _ in modules]
        rounds = []
        for _ in range(REFERENCE_PASSES):  # in turn, so that drifts of the machine affect both
            fifth = a_fifth(modules)
            for runs, more in zip(reference, fifth, strict=True):
                runs.extend(more)
            rounds.append(whole(modules, [statistics.median(runs) for runs in fifth]))
            print(f"{name}: pass {len(rounds)} of {REFERENCE_PASSES}", file=sys.stderr, flush=True)
        report_truth(name, [statistics.median(runs) for runs in reference], rounds)


def a_fifth(modules: Sequence[Any]) -> list[list[float]]:
    """A fifth of the reference measurement, in microseconds by candidate.

    All candidates take turns: this machine's clock drifts by a tenth within seconds, which repeats in a row would take
    for the candidate's own speed. Each fifth has its own process, and so its own memory layout.
    """
    runs = [[float("inf")] for _ in modules]
    with measurer(workers=1) as patient:
        jobs = [Job(i, module) for i, module in enumerate(modules)]
        built = [build.job for build in patient.build(jobs, REFERENCE_LIMITS) if build.fate is Fate.OK]
        once = patient.interleave([modules[job] for job in built], 1, REFERENCE_LIMITS)
        slow = {job for job, (us,) in zip(built, once, strict=True) if us >= SLOW_MS * 1e3}
        for group, rounds in (([job for job in built if job not in slow], ROUNDS), (sorted(slow), SLOW_ROUNDS)):
            if group:
                latencies = patient.interleave([modules[job] for job in group], rounds, REFERENCE_LIMITS)
                runs = [latencies[group.index(job)] if job in group else runs[job] for job in range(len(modules))]
    return runs


def whole(modules: Sequence[Any], beside: list[float]) -> Round:
    """Measure as a run does: stage all candidates, then time the leaders in turn."""
    with measurer() as made:
        results = list(made.measure(Job(i, module) for i, module in enumerate(modules)))
        ran = sorted((r.latency_us, r.trial) for r in results if r.latency_us is not None)
        in_turn = rank_in_turn(made, [modules[job] for _, job in ran[:5]], [us for us, _ in ran[:5]], Pace.usual())
    called_best = ran[in_turn.index(min(in_turn))][1]
    return Round([float("nan") if r.latency_us is None else r.latency_us for r in results], called_best, beside)


def report_truth(name: str, reference: Sequence[float], rounds: Sequence[Round]) -> None:
    print(f"{name}: {len(reference)} candidates, reference of up to {REFERENCE_PASSES * ROUNDS} repeats each")
    for made in rounds:
        pairs = [(ours, true) for ours, true in zip(made.figures, reference, strict=True) if ours == ours]
        rank = rank_correlation(*zip(*pairs, strict=True))
        ratio, near = (
            statistics.median(ours / true for ours, true in zip(made.figures, others, strict=True) if ours == ours)
            for others in (reference, made.beside)
        )
        loss, of_all = (reference[made.called_best] / min(best) for best in ([true for _, true in pairs], reference))
        print(
            f"  {len(pairs)} built in time and run  rank {rank:.3f}"
            f"  median ratio {ratio:.3f}, {near:.3f} to the fifth before it"
            f"  called best is {loss:.3f} of the true best of them, {of_all:.3f} of all",
            flush=True,
        )


# ---- building beside timing ----


def show_overlap(options: argparse.Namespace) -> None:
    """Time one candidate repeatedly, first with the other workers idle, then while one of them builds."""
    import threading

    schedules = random_schedules("matmul", 40, options.seed)
    with measurer() as timing, measurer(workers=1) as building:
        results = list(timing.measure(Job(i, s.mod) for i, s in enumerate(schedules)))
        best = min((r for r in results if r.latency_us is not None), key=lambda r: r.latency_us or 0.0)
        module = schedules[best.trial].mod
        unwatched = replace(TRIAL_LIMITS, noise_threshold=1e9, noise_queued=1.0)

        def times() -> list[float]:
            found = (next(timing.measure([Job(0, module)], limits=unwatched)) for _ in range(20))
            return [statistics.median(r.runs_us) for r in found]

        alone = times()
        stop = threading.Event()

        def build() -> None:
            number = 0
            while not stop.is_set():
                building.build([Job(0, random_schedules("matmul", 1, 1000 + number)[0].mod)])
                number += 1

        beside = threading.Thread(target=build)
        beside.start()
        time.sleep(1.0)
        disturbed = times()
        stop.set()
        beside.join()
    ratio = statistics.median(disturbed) / statistics.median(alone)
    spread = max(disturbed) / min(disturbed)
    print(f"a {statistics.median(alone):.0f} us matmul takes {ratio:.2f} times as long while another worker builds")
    print(f"(and varies by {spread:.2f} instead of {max(alone) / min(alone):.2f} times): building waits for timing")


# ---- faults ----


def show_faults(options: argparse.Namespace) -> None:
    """Measure the faulty programs of the tests."""
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
    from tests.tvm.workers.test_faults import FAULTS, LIMITS, jobs

    target = resolve_target(None, THREADS)
    for name, (module, _, _) in FAULTS.items():
        with LocalMeasurer(target, THREADS, LIMITS) as made:
            results = list(made.measure(jobs(module)))
        others = sum(result.latency_us is not None for result in results if result.trial != 1)
        print(f"{name:14} fate {results[1].fate:12} {others} of the {len(results) - 1} others ran")


# ---- endurance ----


def show_endurance(options: argparse.Namespace) -> None:
    """Measure the workers' memory, and the descriptors of parent and workers.

    Growth compares the last three twentieths with the fourth to sixth: by then workers hold the kernels that they
    keep, even a worker that was replaced early.
    """
    space = TvmSpace.generated(workloads.get("matmul").build("small"), resolve_target(None, THREADS))
    rng = random.Random(options.seed)
    seen: list[tuple[int, int]] = []
    with measurer() as made:
        for start in range(0, options.endurance, options.endurance // 20):
            jobs = []
            for i in range(options.endurance // 20):
                jobs.append(Job(start + i, space.module(space.sample(rng))))
            ran = sum(result.latency_us is not None for result in made.measure(jobs, 2000.0))
            resident, descriptors = _held(made)
            seen.append((resident, descriptors))
            print(
                f"{start + len(jobs):5} candidates, {ran} of the last {len(jobs)} ran:"
                f" workers {resident >> 20} MB, {descriptors} descriptors",
                flush=True,
            )
        restarts = made.restarts
    parts = (seen[3:6], seen[-3:])
    early, late = ([statistics.median(figures) for figures in zip(*part, strict=True)] for part in parts)
    growth, descriptors = late[0] / early[0] - 1, int(late[1] - early[1])
    print(f"memory {growth:+.1%}, descriptors {descriptors:+d}, {restarts} workers replaced")


def _held(made: LocalMeasurer) -> tuple[int, int]:
    workers = [psutil.Process(pid) for pid in made.pids]
    return sum(w.memory_info().rss for w in workers), sum(w.num_fds() for w in [*workers, psutil.Process()])


if __name__ == "__main__":
    main()
