"""What a fleet gains and what it costs.

    python benchmarks/fleet.py scaling [HOSTS ...]     # trials a second on so many hosts, of simulated work
    python benchmarks/fleet.py overhead [TRIALS]       # one local host through Ray, and the same machine without

``scaling``: Ray, its actors and object store, the measurer and the way of every message are real; building and timing
are sleeps, whose lengths differ from candidate to candidate as those of real ones do, so that two cores have room for
64 hosts. Hosts are actors of one Ray node. Candidates come in batches, as runs ask for them: of several hosts two are
in flight, each half of ``trials_at_once``. The efficiency is the trials a second of so many hosts, over so many times
those of one host, started and equipped before the clock is.

``overhead``: the same schedules of a workload, built and timed by ``LocalMeasurer`` and by a fleet of this machine,
in turn, batch by batch.
"""

from __future__ import annotations

import os
import pickle
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from colt.fleet.cluster import Cluster, ClusterNode, Link
from colt.fleet.likeness import Wanted
from colt.fleet.measurer import FleetMeasurer
from colt.fleet.member import Patience
from colt.fleet.roster import Equipment
from colt.fleet.session import Session
from colt.fleet.wire import HostReport
from colt.machine import Hardware, Peaks, detect
from colt.measure.base import Fate, Job, Limits, Measurement, Measurer, Noise, Pace
from colt.measure.batches import trials_at_once
from colt.util.version import versions

PAYLOAD = os.urandom(20_000)
"""About what a program takes as a pickle."""
BUILD_S, TIME_S, SPREAD = 0.25, 0.25, 0.5
"""A candidate builds and is timed for about so long: from half to one and a half times that."""
BATCHES = 12
HOSTS = (1, 2, 4, 8, 16, 32, 64)


class Sleeping(Measurer):
    """Builds and times by sleeping; ``builders`` build side by side."""

    def __init__(self, builders: int) -> None:
        self.seconds_building = self.seconds_timing = 0.0
        self.noise = Noise()
        self._builders = ThreadPoolExecutor(builders)

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        chosen = list(jobs)
        list(self._builders.map(lambda job: time.sleep(lengths(job.id)[0]), chosen))
        for job in chosen:
            seconds = lengths(job.id)[1]
            time.sleep(seconds)
            yield Measurement(job.id, Fate.OK, 100.0, seconds, runs_us=(100.0,), reference_us=500.0)

    def take_remarks(self) -> list[str]:
        return []

    def close(self) -> None:
        self._builders.shutdown()


class SleepingSide:
    """What a simulated host does."""

    def report(self) -> HostReport:
        found = detect()
        return HostReport(
            cpu=found.cpu,
            architecture=found.architecture,
            features=found.vector_flags,
            cores=1,
            mcpu="none",
            versions=versions(),
        )

    def hardware(self, target: str, threads: int) -> tuple[Hardware, tuple[str, ...]]:
        return replace(detect(), peaks=Peaks()), ()

    def measurer(self, target: str, threads: int, limits: Limits, pace: Pace) -> Measurer:
        return Sleeping(threads)

    def references_us(self, measurer: Measurer) -> Sequence[float]:
        return [500.0]


class Slots(Cluster):
    """Each core that the cluster lends is a host."""

    def nodes(self) -> list[ClusterNode]:
        return [
            ClusterNode(f"{node.id}/{slot}", f"bench-{os.getpid()}-{slot}", 1)
            for node in super().nodes()
            for slot in range(node.cores)
        ]

    def start(self, node: ClusterNode, make: Any, *arguments: object) -> Link:
        return super().start(replace(node, id=node.id.partition("/")[0]), make, *arguments)


def lengths(trial: int) -> tuple[float, float]:
    """How long a candidate builds, and is timed."""
    draw = random.Random(trial)
    low, high = 1 - SPREAD, 1 + SPREAD
    return BUILD_S * draw.uniform(low, high), TIME_S * draw.uniform(low, high)


@contextmanager
def fleet_of(hosts: int) -> Iterator[FleetMeasurer]:
    """A measurer on so many simulated hosts."""
    session = Session(Slots.connected("local", hosts), pickle.dumps(SleepingSide()), Patience(start_s=300, join_s=300))
    reports = session.reports()
    report = next(iter(reports.values()))[0]
    session.admit(Wanted(report.cpu, 1, report.features))
    session.equip(Equipment("", 1, Limits(), Pace()))
    assert len(session.muster.measuring) == hosts, session.muster
    with FleetMeasurer(session, Limits(), str, lambda: Sleeping(1)) as measurer:
        yield measurer


def trials_per_second(hosts: int) -> tuple[float, float]:
    """The rate, and how long the start took."""
    began = time.monotonic()
    with fleet_of(hosts) as measurer:
        started = time.monotonic()
        size = trials_at_once(hosts) // (1 if hosts == 1 else 2)
        batches = [[Job(number * size + place, PAYLOAD) for place in range(size)] for number in range(BATCHES)]
        if hosts > 1:
            measurer.expect(batches[0])
        for batch, after in zip(batches, [*batches[1:], []], strict=True):
            if hosts > 1:
                measurer.expect(after)
            done = list(measurer.measure(batch))
            assert [one.trial for one in done] == [job.id for job in batch]
        return BATCHES * size / (time.monotonic() - started), started - began


def scaling(counts: Sequence[int]) -> None:
    """Print the rates and efficiencies; 1 host comes first."""
    alone, _ = trials_per_second(1)
    print("| hosts | batch | trials/s | efficiency | start, s |\n|---|---|---|---|---|")
    print(f"| 1 | {trials_at_once(1)} | {alone:.2f} | 1.00 | |", flush=True)
    for hosts in counts:
        if hosts > 1:
            rate, start = trials_per_second(hosts)
            print(
                f"| {hosts} | {trials_at_once(hosts)} | {rate:.2f} | {rate / hosts / alone:.2f} | {start:.1f} |",
                flush=True,
            )


def overhead(trials: int) -> None:
    """Print how much longer batches take through Ray."""
    from colt.plan import plan
    from colt.tvm.space.space import TvmSpace
    from colt.tvm.workers import LocalMeasurer

    made = plan("matmul", fleet="local", pool=["scout"])
    space = TvmSpace.generated(made.program.module, made.target)
    schedules = [space.sample(random.Random(number)) for number in range(trials)]
    jobs = [Job(number, space.module(one)) for number, one in enumerate(schedules)]
    took: dict[str, list[float]] = {"fleet": [], "local": []}
    made.device.look()
    with (
        made.device.measurer() as fleet,
        LocalMeasurer(made.target, made.threads) as local,
    ):
        list(fleet.measure(jobs[:1]))
        list(local.measure(jobs[:1]))
        batches = [jobs[first : first + 8] for first in range(1, trials, 8)]
        for number, batch in enumerate(batches):
            order: list[tuple[str, Measurer]] = [("fleet", fleet), ("local", local)]
            for name, measurer in order if number % 2 else order[::-1]:
                began = time.monotonic()
                list(measurer.measure(batch))
                took[name].append(time.monotonic() - began)
    ratios = [one / other for one, other in zip(took["fleet"], took["local"], strict=True)]
    print(f"{len(ratios)} batches of 8: local {sum(took['local']):.1f} s, fleet {sum(took['fleet']):.1f} s, ", end="")
    print(f"together {sum(took['fleet']) / sum(took['local']):.3f}, median of ratios {statistics.median(ratios):.3f}")


def main(arguments: list[str]) -> None:
    """See the top of the file."""
    match arguments:
        case ["scaling", *counts]:
            scaling([int(count) for count in counts] or HOSTS)
        case ["overhead", *trials]:
            overhead(int(trials[0]) if trials else 65)
        case _:
            print(__doc__)
            sys.exit(2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import fleet  # the hosts import it by this name

    fleet.main(sys.argv[1:])
