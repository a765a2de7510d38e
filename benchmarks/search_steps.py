"""What one iteration of the search costs a reader: calls, functions and files of ``colt.search``.

Prints, as mean and median over the iterations of a toy search whose proposer answers at once,

    calls       of functions of ``src/colt/search`` in one ``Search.iterate``
    functions   different ones among them
    files       that they stand in
    crossings   calls from one of these files into another

Comprehensions, generated constructors and the resumption of generators are no calls here, and the toy space and its
scorer stand for the world outside.

    python benchmarks/search_steps.py [--iterations 200] [--members 3]
"""

from __future__ import annotations

import argparse
import inspect
import random
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import colt.search
from colt.options import SearchConfig
from colt.search.search import Search
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, Observation, Proposal
from colt.testing import SpaceCase

MEMBERS = (MemberSpec("small", 7.0), MemberSpec("middle", 32.0), MemberSpec("large", 400.0))
FOLDER = Path(next(iter(colt.search.__path__)))


@dataclass(slots=True)
class Steps:
    """Counts the calls made while it is entered."""

    calls: int = 0
    crossings: int = 0
    functions: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    _begun: set[FrameType] = field(default_factory=set)
    """Generators that have been called; they are kept, so that no other frame takes their place."""

    def __enter__(self) -> Steps:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event != "call" or not _counts(code.co_filename) or code.co_name.startswith("<"):
            return
        if code.co_flags & inspect.CO_GENERATOR:
            if frame in self._begun:
                return
            self._begun.add(frame)
        self.calls += 1
        self.functions.add(f"{code.co_filename}:{code.co_qualname}")
        self.files.add(code.co_filename)
        caller = frame.f_back
        while caller is not None and not _counts(caller.f_code.co_filename):
            caller = caller.f_back
        self.crossings += caller is not None and caller.f_code.co_filename != code.co_filename


def _counts(file: str) -> bool:
    path = Path(file)
    return path.parent == FOLDER and path.name != "toy.py"


def main() -> None:
    """Grow one tree and print what its iterations took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--members", type=int, choices=(1, 2, 3), default=3)
    arguments = parser.parse_args()

    space, members = ToySpace(32), MEMBERS[: arguments.members]
    search = Search(space, ToyScorer(space), members, SearchConfig(rollouts=2))
    samples = SpaceCase(space, cases=24).schedules("openings")
    search.open([(schedule, "sampled") for schedule in samples], space.latency_us(space.untuned))

    def propose(seen: Observation) -> Proposal:
        rng = random.Random(seen.seed)
        return Proposal((space.random_transformation(seen.node.schedule, rng),), rng.choice(members).name)

    taken = []
    for _ in range(arguments.iterations):
        with Steps() as steps:
            search.iterate(propose)
        taken.append((steps.calls, len(steps.functions), len(steps.files), steps.crossings))
    for name, counts in zip(("calls", "functions", "files", "crossings"), zip(*taken, strict=True), strict=True):
        print(f"{name:10} mean {statistics.mean(counts):5.1f}   median {statistics.median(counts):3.0f}")


if __name__ == "__main__":
    main()
