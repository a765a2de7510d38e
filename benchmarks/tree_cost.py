"""What the tree itself costs: iterations per second and the time of one ``tell``, on a space that is nearly free.

The real search grows a tree of the toy space by random edits: selection, observation, transposition look-up, scoring,
rollouts, course alterations, backup and ``ask``, with a ``tell`` after every 1,000 iterations. A language model
answers in seconds and TVM builds in tenths of them: what this prints must only stay far below that.

    python benchmarks/tree_cost.py [--nodes 100000] [--preset default]

Wall time and the process's own time are both shown, since the machine may be shared. Figures to reach at 100,000
nodes: 3,000 iterations a second, and 0.5 s for a ``tell``.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass

from colt.measure.base import Fate, Measurement
from colt.options import PRESETS, SearchConfig
from colt.search.search import Propose, Search
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, Observation, Proposal, Trial
from colt.testing import SpaceCase

MODELS = (MemberSpec("small", 7.0), MemberSpec("middle", 32.0), MemberSpec("large", 400.0))
CHUNK = 1_000
"""Iterations between two tells."""
LAST = 10_000
"""Iterations whose speed is shown apart, at the full size of the tree."""


@dataclass(slots=True)
class Clock:
    """Seconds of wall time and of this process."""

    wall: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        self.wall -= time.perf_counter()
        self.cpu -= time.process_time()

    def stop(self) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def random_proposer(space: ToySpace) -> Propose:
    """Edits at random, and names a random model next."""

    def propose(observation: Observation) -> Proposal:
        rng = random.Random(observation.seed)
        transformation = space.random_transformation(observation.node.schedule, rng)
        return Proposal((transformation,), rng.choice(MODELS).name)

    return propose


def grow(search: Search, space: ToySpace, nodes: int) -> tuple[Clock, list[Clock], Clock, int]:
    """Grow to ``nodes``; the clocks of all iterations, of each chunk and of the last tell, and the iterations."""
    propose = random_proposer(space)
    count = CHUNK // search.config.iterations_per_trial
    whole, chunks, tell = Clock(), [], Clock()
    while len(search.tree.nodes) < nodes:
        chunk = Clock()
        for clock in (whole, chunk):
            clock.start()
        trials = search.ask(count, propose)
        for clock in (chunk, whole):
            clock.stop()
        chunks.append(chunk)
        tell = Clock()
        tell.start()
        search.tell(measure(space, trial) for trial in trials)
        tell.stop()
    return whole, chunks, tell, search.iterations


def measure(space: ToySpace, trial: Trial) -> Measurement:
    """The toy space's own hardware."""
    return Measurement(trial.id, Fate.OK, space.latency_us(trial.schedule), 0.1)


def main() -> None:
    """Grow one tree and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="default")
    parser.add_argument("--extent", type=int, default=1024, help="of the toy space's loops, a power of two")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    space = ToySpace(arguments.extent)
    config = SearchConfig.preset(arguments.preset)
    search = Search(space, ToyScorer(space), MODELS, config, seed=arguments.seed)
    samples = SpaceCase(space, arguments.seed, cases=64).schedules("openings")
    search.open([(schedule, "sampled") for schedule in samples], space.latency_us(space.untuned))

    whole, chunks, tell, iterations = grow(search, space, arguments.nodes)
    last = chunks[-LAST // CHUNK :]
    done = CHUNK * len(last)
    wall, cpu = sum(clock.wall for clock in last), sum(clock.cpu for clock in last)
    tree = search.tree
    depth = max(sum(1 for _ in node.path()) for node in tree.nodes)
    print(f"{len(tree.nodes):,} nodes, {len(tree.known):,} schedules, depth {depth}, {iterations:,} iterations")
    print(f"{'':24}{'of the process':>16}{'wall':>16}")
    print(f"{'iterations/s, all':24}{iterations / whole.cpu:16,.0f}{iterations / whole.wall:16,.0f}")
    print(f"{f'iterations/s, last {done:,}':24}{done / cpu:16,.0f}{done / wall:16,.0f}")
    print(f"{'tell, s':24}{tell.cpu:16.3f}{tell.wall:16.3f}")


if __name__ == "__main__":
    main()
