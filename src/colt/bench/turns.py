"""Timing contenders in turn, so that all see the same machine and ratios can be taken round by round.

A round is one lap of every contender, every other round backwards. One in which another load took a core is repeated
after a while: such a load hits libraries that wait for each other's threads ten times harder than others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from colt.bench.contenders.client import Contenders, PeerLost
from colt.bench.records import ContenderRecord
from colt.util.stats import FEWEST_FOR_ORDER

SITTINGS = 3
"""Rounds are spread over so many, each with new processes: addresses, which are drawn anew for each process, decide by
up to one and a half times how long a kernel or a library takes."""
MOST_ROUNDS = 15
ROUNDS_SECONDS = 120.0
"""About how long all rounds take together; fewer are made if a round is slow, but no less than intervals need."""
LAP_SECONDS = 0.05
PAUSE_SECONDS = 0.1
"""Before another process has its turn: thread pools keep cores busy for a while."""
SLOW_US = 2e6
"""A contender that takes longer is not timed in turn: it has the one figure."""
QUEUED = 0.05
"""A lap is disturbed if a thread waited for a core for more than this share of it."""
PATIENCE_SECONDS = 2.0
"""After a disturbed round, for the load to pass."""


@dataclass(slots=True)
class Entry:
    """A contender on its way to a record."""

    record: ContenderRecord
    home: Contenders | None = None
    """The process in which it is ready to run; ``None`` if it is not, or not yet."""
    us: float = 0.0
    """What a run takes, about."""
    laps_us: list[float] = field(default_factory=list)
    out: bool = False
    """It does not take part, or no longer."""

    @property
    def wanted(self) -> bool:
        """Whether there is something to time, or more of it."""
        return not self.out and self.us <= SLOW_US

    def drop(self, problem: str) -> None:
        """It is out."""
        self.home, self.out = None, True
        self.record = msgspec.structs.replace(self.record, problem=problem)

    def finished(self) -> ContenderRecord:
        """The record with what was timed; one that is out has no figures."""
        return msgspec.structs.replace(self.record, latencies_us=() if self.out else tuple(self.laps_us))


@dataclass(frozen=True, slots=True)
class Rounds:
    """How many there are, and how many of these met other loads in spite of repeating."""

    count: int = 0
    disturbed: int = 0

    def __add__(self, other: Rounds) -> Rounds:
        return Rounds(self.count + other.count, self.disturbed + other.disturbed)


def time_in_turn(entries: Sequence[Entry]) -> Rounds:
    """Time all that are ready, in the rounds of one sitting; their laps are added to the entries'."""
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
        if not entry.out:
            entry.laps_us += [laps_us[entry.record.name] for laps_us in kept]
    return Rounds(wanted, wanted - len(quiet))


def rounds_for(latencies_us: Sequence[float]) -> int:
    """How many rounds there is time for in one sitting."""
    seconds = sum(us / 1e6 + max(us / 1e6, LAP_SECONDS) for us in latencies_us)
    rounds = max(FEWEST_FOR_ORDER, min(MOST_ROUNDS, int(ROUNDS_SECONDS / seconds)))
    return math.ceil(rounds / SITTINGS)


def _round(entries: Sequence[Entry]) -> tuple[Mapping[str, float], float]:
    """One lap of each, in microseconds, and the largest share of a lap that a thread waited for a core."""
    laps_us: dict[str, float] = {}
    queued = 0.0
    before: Contenders | None = None
    for entry in entries:
        home = entry.home
        if home is None:  # lost meanwhile
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


def drop_all(home: Contenders, entries: Sequence[Entry], lost: PeerLost) -> None:
    """A process is lost, and with it all that were ready there."""
    for entry in entries:
        if entry.home is home:
            entry.drop(f"its process is lost: {lost}")
