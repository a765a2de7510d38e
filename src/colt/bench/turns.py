"""Times contenders in turn, so that all see the same machine and ratios can be taken round by round.

A round is one lap of every contender; every other round runs backwards. A round in which another load took a core is
repeated after a pause: such a load slows libraries whose threads wait for each other ten times as much as others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from colt.bench.contenders.client import Contenders, PeerLost
from colt.bench.records import ContenderRecord, ModelContender
from colt.util.stats import FEWEST_FOR_ORDER

SITTINGS = 3
"""The rounds are spread over this many sittings, each with new processes. Each process has new addresses, which change
the latency of a kernel or a library by a factor of up to 1.5."""
MOST_ROUNDS = 15
ROUNDS_SECONDS = 120.0
"""About how long all rounds may take together. Slow contenders get fewer rounds, but as many as intervals need."""
LAP_SECONDS = 0.05
PAUSE_SECONDS = 0.1
"""The pause before another process has its turn: thread pools keep cores busy for a while."""
SLOW_US = 2e6
"""A contender that takes longer is not timed in turn: it is timed once."""
QUEUED = 0.05
"""A lap is disturbed if a thread waited for a core for more than this share of it."""
PATIENCE_SECONDS = 2.0
"""The pause after a disturbed round, for the load to pass."""


RecordT = TypeVar("RecordT", ContenderRecord, ModelContender)


@dataclass(slots=True)
class Entry(Generic[RecordT]):
    """A contender whose record is in the making."""

    record: RecordT
    home: Contenders | None = None
    """The process in which it is ready to run; ``None`` if it is not ready."""
    us: float = 0.0
    """About how long a run takes."""
    laps_us: list[float] = field(default_factory=list)
    dropped: bool = False
    """It does not take part any more."""

    @property
    def wanted(self) -> bool:
        """Whether it should be timed in turn."""
        return not self.dropped and self.us <= SLOW_US

    def drop(self, problem: str) -> None:
        """Exclude it from further rounds, and from the figures."""
        self.home, self.dropped = None, True
        self.record = msgspec.structs.replace(self.record, problem=problem)

    def finished(self) -> RecordT:
        """The record with its latencies; a dropped contender has none."""
        return msgspec.structs.replace(self.record, latencies_us=() if self.dropped else tuple(self.laps_us))


@dataclass(frozen=True, slots=True)
class Rounds:
    """The number of rounds, and how many of them other loads disturbed in spite of repeating."""

    count: int = 0
    disturbed: int = 0

    def __add__(self, other: Rounds) -> Rounds:
        return Rounds(self.count + other.count, self.disturbed + other.disturbed)


def time_in_turn(entries: Sequence[Entry[Any]]) -> Rounds:
    """Time all entries that are ready in the rounds of one sitting, and add the laps to them."""
    ready = [entry for entry in entries if entry.home is not None]
    for entry in ready:
        if not entry.wanted:
            entry.laps_us = [entry.us]
    fast = [entry for entry in ready if entry.wanted]
    if not fast:
        return Rounds()
    wanted = rounds_for([entry.us for entry in fast])
    quiet: list[Mapping[str, float]] = []
    disturbed: list[Mapping[str, float]] = []
    for number in range(2 * wanted):
        laps_us, queued = _round(fast if number % 2 == 0 else fast[::-1])
        if queued > QUEUED:
            disturbed.append(laps_us)
            time.sleep(PATIENCE_SECONDS)
            continue
        quiet.append(laps_us)
        if len(quiet) == wanted:
            break
    kept = (quiet + disturbed)[:wanted]
    for entry in fast:
        if not entry.dropped:
            entry.laps_us += [laps_us[entry.record.name] for laps_us in kept]
    return Rounds(wanted, wanted - len(quiet))


def rounds_for(latencies_us: Sequence[float]) -> int:
    """The number of rounds in one sitting."""
    seconds = sum(us / 1e6 + max(us / 1e6, LAP_SECONDS) for us in latencies_us)
    rounds = max(FEWEST_FOR_ORDER, min(MOST_ROUNDS, int(ROUNDS_SECONDS / seconds)))
    return math.ceil(rounds / SITTINGS)


def _round(entries: Sequence[Entry[Any]]) -> tuple[Mapping[str, float], float]:
    """One lap of each entry, in microseconds, and the largest share of a lap that a thread waited for a core."""
    laps_us: dict[str, float] = {}
    queued = 0.0
    before: Contenders | None = None
    for entry in entries:
        home = entry.home
        if home is None:  # its process was lost meanwhile
            continue
        if home is not before:
            time.sleep(PAUSE_SECONDS)
            before = home
        try:
            lap = home.lap(entry.record.name, LAP_SECONDS)
        except PeerLost as lost:
            drop_all(home, entries, lost)
            continue
        laps_us[entry.record.name] = lap.us
        queued = max(queued, lap.queued)
    return laps_us, queued


def drop_all(home: Contenders, entries: Sequence[Entry[Any]], lost: PeerLost) -> None:
    """Drop all entries of a lost process."""
    for entry in entries:
        if entry.home is home:
            entry.drop(f"its process is lost: {lost}")
