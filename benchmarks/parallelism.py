"""What trials in flight cost: how many more it takes to come as far if so many are chosen before any is measured.

    python benchmarks/parallelism.py --out DIR [--seconds 200]     # goes on where it stopped
    python benchmarks/parallelism.py --out DIR --report            # only the tables
    python benchmarks/parallelism.py --hosts                       # how busy batches keep hosts; a moment

The search is the real one, over the real space of each workload, with the built-in pool. Nothing is built: the latency
of a schedule is made up. It is that of the analytical model, which the search predicts with too, times a distortion
that is fixed for each schedule: a factor for each sketch, and one for each knob that depends on its own value and on
that of the next knob, so that there are many optima, which edits of single knobs do not lead out of (an NK landscape,
K = 1). What is measured has noise besides. How large all these are was seen in 21 real runs of seven workloads, in what
they measured over what the model predicted: sketches differ by 0.1 to 0.3 (standard deviations of logarithms),
schedules of one sketch by 0.04 in attention to 0.37 in convolutions, more the more knobs they differ in, and a schedule
that is measured again by 0.02.

The goal of a workload is 95 % of the final speed of runs with one trial in flight, the median over seeds. What counts
is the number of the first trial whose true speed is that or more; for a run that does not come as far, one more than it
had. Ratios to runs with one in flight and the same seed are geometric means over seeds and workloads, with 95 %
intervals. To reach: 1.3 times at 8.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec

from colt.analysis.processor import Machine
from colt.knobs import Schedule
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.proposers.experts import builtin
from colt.proposers.openings import openings
from colt.search.search import Search
from colt.search.types import Observation, Proposal, Scorer
from colt.tvm.cost.scorer import AnalyticalScorer
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace

WORKLOADS = ("matmul", "deepseek-r1-moe", "flux-conv", "gru-cell")
AT_ONCE = (1, 2, 4, 8, 16, 32, 64)
SEEDS = 20
SHARE = 0.95
THREADS = 2
TARGET = {"kind": "llvm", "mcpu": "znver4", "num-cores": THREADS}
MACHINE = Machine(
    vector_bits=512,
    registers=32,
    threads=THREADS,
    peak_gflops=120.0,
    l1_bytes=48 << 10,
    l2_bytes=1 << 20,
    l3_bytes=32 << 20,
    dram=30.0,
)
SKETCH, KNOBS, NOISE = 0.2, 0.3, 0.02
"""Standard deviations of the logarithms of what makes a latency differ from its prediction: by sketch, by knobs, and
from one measurement to the next."""


BATCHES = 40
"""How many are simulated to see how busy hosts are."""


class Predictions:
    """Implements :class:`~colt.search.types.Scorer`: the analytical model, which remembers what it said."""

    def __init__(self, space: TvmSpace) -> None:
        self._model = AnalyticalScorer(space, MACHINE)
        self.version = self._model.version
        self._known: dict[Schedule, float] = {}

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """See :class:`~colt.search.types.Scorer`."""
        fresh = [one for one in dict.fromkeys(schedules) if one not in self._known]
        self._known.update(zip(fresh, self._model.predict(fresh), strict=True))
        return [self._known[one] for one in schedules]


class Landscape:
    """The latencies of a workload's schedules, as they are made up; the same for all runs."""

    def __init__(self, name: str, predictions: Scorer) -> None:
        self._name = name
        self._predictions = predictions

    def true_us(self, schedule: Schedule) -> float:
        """What the schedule takes."""
        (predicted_us,) = self._predictions.predict([schedule])
        place = f"{self._name}/{schedule.variant}/{schedule.sketch}"
        values = list(map(str, schedule.values))
        terms = [_normal(f"{place}/{number}/{pair}") for number, pair in enumerate(pairwise([*values, *values[:1]]))]
        distortion = SKETCH * _normal(place) + KNOBS * sum(terms) / math.sqrt(max(1, len(terms)))
        return predicted_us * math.exp(distortion)

    def measure(self, trial: int, schedule: Schedule, seed: int) -> Measurement:
        """What a measurement of it gives."""
        noise = math.exp(NOISE * random.Random(f"{seed}/{trial}").gauss(0, 1))
        return Measurement(trial, Fate.OK, self.true_us(schedule) * noise, 0.1)


@lru_cache(maxsize=1_000_000)
def _normal(name: str) -> float:
    return random.Random(name).gauss(0, 1)


class Run(msgspec.Struct, frozen=True):
    """The true latencies of a run's trials, in order, and the share of trials that differ in one knob at most from
    another in flight."""

    latencies: tuple[float, ...]
    copies: float

    @property
    def final_us(self) -> float:
        """The least latency."""
        return min(self.latencies)

    def needed(self, goal_us: float) -> int:
        """The number of the first trial that is as fast; one more than there were if none is."""
        numbered = enumerate(self.latencies, 1)
        return next((number for number, us in numbered if us <= goal_us), len(self.latencies) + 1)


class Row(msgspec.Struct, frozen=True):
    """One seed of a workload, with each number of trials in flight."""

    workload: str
    seed: int
    trials: int
    runs: dict[str, Run]


class Ground:
    """One workload: its space, and the latencies in it."""

    def __init__(self, name: str) -> None:
        module = workloads.get(name).build("small")
        self.space = TvmSpace.generated(module, resolve_target(TARGET, THREADS), vector_math=True, cache_size=4096)
        self.predictions = Predictions(self.space)
        self.landscape = Landscape(name, self.predictions)

    def run(self, at_once: int, seed: int, trials: int) -> Run:
        """One run."""
        config = SearchConfig(batch_size=at_once)
        search = Search(self.space, self.predictions, builtin.specs(), config, seed=seed, trials_total=trials)
        experts = {one.spec.name: one for one in builtin.make(builtin.DEFAULT, self.space, self.predictions)}

        def propose(observation: Observation) -> Proposal:
            return experts[observation.acting.name].propose(observation)

        made = openings(self.space, tuple(experts.values()), config, random.Random(seed))
        search.open(made, 100 * self.predictions.predict([self.space.untuned])[0])
        taken: list[float] = []
        copies = 0
        while len(taken) < trials:
            batch = search.ask(min(at_once, trials - len(taken)), propose)
            if not batch:
                break
            schedules = [trial.schedule for trial in batch]
            copies += sum(any(near(one, other) for other in schedules[:n]) for n, one in enumerate(schedules))
            taken += map(self.landscape.true_us, schedules)
            search.tell(self.landscape.measure(trial.id, trial.schedule, seed) for trial in batch)
        return Run(tuple(round(us, 3) for us in taken), copies / max(1, len(taken)))


def near(one: Schedule, other: Schedule) -> bool:
    """Whether two schedules differ in one knob at most."""
    if (one.variant, one.sketch) != (other.variant, other.sketch):
        return False
    return sum(here != there for here, there in zip(one.values, other.values, strict=True)) <= 1


# ---- tables ----


def report(rows: Sequence[Row]) -> None:
    """How many more trials are needed, by workload and over all."""
    counts = [count for count in rows[0].runs if all(count in row.runs for row in rows)]
    names = list(dict.fromkeys(row.workload for row in rows))
    goals_us = {name: statistics.median(r.runs["1"].final_us for r in rows if r.workload == name) for name in names}

    def needed(row: Row, count: str) -> int:
        return row.runs[count].needed(goals_us[row.workload] / SHARE)

    def line(head: str, cell: Callable[[str], str]) -> None:
        print(f"{head:42}" + "".join(f"{cell(count):>18}" for count in counts))

    line("trials in flight", str)
    for name in (*names, "all"):
        mine = [row for row in rows if name in (row.workload, "all")]
        times = {count: [needed(row, count) / needed(row, "1") for row in mine] for count in counts}
        line(f"times as many trials, {name} ({len(mine)})", lambda count, times=times: in_words(times[count]))
    line("trials, median", lambda count: f"{statistics.median(needed(row, count) for row in rows):.0f}")
    line("runs that do not come as far", lambda count: f"{sum(needed(row, count) > row.trials for row in rows)}")
    finals = {count: [row.runs[count].final_us / row.runs["1"].final_us for row in rows] for count in counts}
    line("latency at the end, over that of 1", lambda count: in_words(finals[count]))
    copies = {count: statistics.fmean(row.runs[count].copies for row in rows) for count in counts}
    line("differ in one knob from one in flight", lambda count: f"{copies[count]:.0%}")


def in_words(ratios: Iterable[float]) -> str:
    """The geometric mean, with its 95 % interval."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    reach = 1.96 * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
    return f"{math.exp(mean):.2f} ({math.exp(mean - reach):.2f}-{math.exp(mean + reach):.2f})"


def hosts_table(spread: float = 0.5, per_trial: float = 0.03) -> None:
    """How busy hosts are kept, if the times of trials vary by ``spread``, as a share of their mean, and the search
    takes ``per_trial`` of that mean for each trial. What is in flight is one batch, or two halves that overlap."""
    each = (1, 2, 4)
    heads = [f"{n} a host" for n in each] + [f"{n}, halves" for n in each]
    print(f"{'share of the time that hosts are busy':42}" + "".join(f"{head:>14}" for head in heads))
    for hosts in (2, 4, 8, 16, 32, 64):
        shares = [
            statistics.fmean(busy(hosts, n * hosts, halves, spread, per_trial, seed) for seed in range(8))
            for halves in (1, 2)
            for n in each
        ]
        print(f"{f'{hosts} hosts':42}" + "".join(f"{share:14.2f}" for share in shares))


def busy(hosts: int, at_once: int, halves: int, spread: float, per_trial: float, seed: int) -> float:
    """The share of the time in which hosts measure, each taking the next trial when it is free.

    Of ``at_once`` trials in flight each of ``halves`` batches has its part. A batch is chosen when the one that many
    before it has been told.
    """
    rng, sigma = random.Random(seed), math.sqrt(math.log1p(spread**2))
    batch, worked, chosen = max(1, at_once // halves), 0.0, 0.0
    free, told = [0.0] * hosts, [0.0] * halves
    for _ in range(BATCHES * halves):
        chosen = max(chosen, told[-halves]) + per_trial * batch
        ends = []
        for _ in range(batch):
            seconds = rng.lognormvariate(-(sigma**2) / 2, sigma)
            ends.append(max(free[0], chosen) + seconds)
            worked += seconds
            heapq.heapreplace(free, ends[-1])
        told.append(max(*ends, told[-1]))
    return worked / (hosts * told[-1])


def main() -> int:
    """Measure what is missing, as long as there is time, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a folder for what was measured")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--at-once", default=",".join(map(str, AT_ONCE)))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin nothing new after so many")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--hosts", action="store_true")
    given = parser.parse_args()
    if given.hosts:
        hosts_table()
        return 0
    if given.out is None:
        parser.error("--out is needed")
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "runs.jsonl"
    rows = [msgspec.json.decode(line, type=Row) for line in file.read_bytes().splitlines()] if file.exists() else []
    if not given.report:
        end = time.monotonic() + given.seconds
        add_missing(rows, file, given, lambda: time.monotonic() < end)
    report([row for row in rows if row.trials == given.trials])
    return 0


def add_missing(rows: list[Row], file: Path, given: argparse.Namespace, on_time: Callable[[], bool]) -> None:
    """Measure what is not there yet."""
    there = {(row.workload, row.seed, row.trials) for row in rows}
    counts = list(map(int, given.at_once.split(",")))
    for name in given.workloads.split(","):
        seeds = [seed for seed in range(given.seeds) if (name, seed, given.trials) not in there]
        ground = Ground(name) if seeds and on_time() else None
        for seed in seeds:
            if ground is None or not on_time():
                return
            runs = {str(count): ground.run(count, seed, given.trials) for count in counts}
            rows.append(Row(name, seed, given.trials, runs))
            with file.open("ab") as out:
                out.write(msgspec.json.encode(rows[-1]) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
