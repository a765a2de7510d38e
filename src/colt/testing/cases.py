"""What checks are given, and how they say that a rule is broken."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from colt.errors import Rejected
from colt.knobs import Schedule, Sketch
from colt.search.types import Proposer, Scorer, Space


class NotConforming(AssertionError):
    """An implementation breaks a rule of its contract."""


@dataclass(frozen=True, slots=True)
class SpaceCase:
    """A space under test. Each check looks at ``cases`` random schedules."""

    space: Space
    seed: int = 0
    cases: int = 20

    def rng(self, purpose: str) -> random.Random:
        """A generator for each purpose, the same in every run."""
        return random.Random(f"{self.seed}/{purpose}")

    def schedules(self, purpose: str, count: int | None = None) -> Iterator[Schedule]:
        """Random schedules of all sketches in turn. The rule is broken if most samples are rejected."""
        rng = self.rng(purpose)
        sketches = list(self.space.sketches)
        wanted = self.cases if count is None else min(count, self.cases)
        rejected = 0
        for index in range(wanted):
            sketch = sketches[index % len(sketches)]
            while (schedule := self._sample(rng, sketch)) is None:
                rejected += 1
                require(rejected <= 10 + 2 * wanted, f"{rejected} samples of {wanted} were rejected")
            yield schedule

    def _sample(self, rng: random.Random, sketch: Sketch) -> Schedule | None:
        try:
            return self.space.sample(rng, sketch)
        except Rejected:
            return None


@dataclass(frozen=True, slots=True)
class ScorerCase:
    """A scorer under test, and the space whose schedules it predicts."""

    scorer: Scorer
    space: Space
    seed: int = 0
    cases: int = 20


@dataclass(frozen=True, slots=True)
class ProposerCase:
    """A proposer under test, the space it proposes in, and the scorer of the observations it is shown.

    ``make`` is called several times and must make an equal proposer each time.
    """

    make: Callable[[], Proposer]
    space: Space
    scorer: Scorer
    seed: int = 0
    cases: int = 4


def require(holds: bool, message: str) -> None:
    """Raise :class:`NotConforming` unless ``holds``."""
    if not holds:
        raise NotConforming(message)


def rule(check: Callable[..., None]) -> str:
    """The rule that a check holds, in words, for a test's id."""
    return check.__name__.replace("_", " ")


def as_json(schedule: Schedule) -> str:
    """The schedule in JSON, as in journals and receipts. The rule is broken if its values are not plain data."""
    for value in schedule.values:
        parts: tuple[Any, ...] = value if type(value) is tuple else (value,)
        plain = all(type(part) is int for part in parts) or (type(value) is str)
        require(plain, f"{schedule.sketch}: the value {value!r} is no tuple of int, no int and no str")
    return json.dumps([schedule.variant, schedule.sketch, schedule.values])


def from_json(text: str) -> Schedule:
    """The inverse of :func:`as_json`."""
    variant, sketch, values = json.loads(text)
    return Schedule(variant, sketch, tuple(tuple(value) if isinstance(value, list) else value for value in values))
