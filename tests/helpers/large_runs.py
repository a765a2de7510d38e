"""Run directories of any size without hardware: the real search over a toy space, its real events in a real journal.

The receipt is that of a recorded run, since a toy program has none.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from colt import events
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.search.search import Search
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, Observation, Proposal, Trial
from colt.store.journal import Journal
from colt.testing import SpaceCase
from tests.helpers.recorded import unpacked

MEMBERS = (MemberSpec("small", 7.0), MemberSpec("middle", 32.0), MemberSpec("large", 400.0))
FAILING = 20
"""One trial of so many has no latency."""


def large_run(folder: Path, trials: int, nodes: int, batch: int = 100, extent: int = 1024) -> Path:
    """A run directory with so many trials and, at least, nodes."""
    run = unpacked("builtin", folder)
    (run / "journal.jsonl").unlink()
    space = ToySpace(extent)
    with Journal(run / "journal.jsonl") as journal:
        _search(space, journal, trials, nodes, batch)
    return run


def _search(space: ToySpace, journal: Journal, trials: int, nodes: int, batch: int) -> None:
    config = SearchConfig(iterations_per_trial=max(1, round(nodes / trials)))
    search = Search(space, ToyScorer(space), MEMBERS, config, trials_total=trials, emit=journal)
    journal(events.Began("searching"))
    journal(events.Baseline(space.latency_us(space.untuned)))
    openings = SpaceCase(space, 0, cases=64).schedules("openings")
    search.open([(schedule, "sampled") for schedule in openings], space.latency_us(space.untuned))

    def propose(observation: Observation) -> Proposal:
        rng = random.Random(observation.seed)
        edit = space.random_transformation(observation.node.schedule, rng)
        return Proposal((edit,), rng.choice(MEMBERS).name)

    for begin in itertools.count(step=batch):
        if begin >= trials:
            return
        results = [_measure(space, trial) for trial in search.ask(min(batch, trials - begin), propose)]
        for done in results:
            journal(events.Timed(done.trial, done.fate, done.latency_us, 0.0001, 0.0001))
        search.tell(results)


def _measure(space: ToySpace, trial: Trial) -> Measurement:
    if trial.id % FAILING == FAILING - 1:
        return Measurement(trial.id, Fate.CRASH, None, seconds_building=0.1, message="signal 11")
    return Measurement(trial.id, Fate.OK, space.latency_us(trial.schedule), seconds_building=0.1)
