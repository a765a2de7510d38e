"""What is known of all hosts, under one lock: who is there, who measures, who was refused, and what there is to do.

The threads of the hosts write it (:mod:`colt.fleet.life`), the driver's reads it (:mod:`colt.fleet.session`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, count
from time import monotonic
from typing import TypeVar

from colt.fleet.cluster import Cause, ClusterNode
from colt.fleet.likeness import Wanted
from colt.fleet.member import Lost, Member, Patience, Stopped
from colt.fleet.share import Deal, Share
from colt.fleet.wire import HostReport
from colt.measure.base import Limits, Pace
from colt.measure.muster import HostSeen, Muster, joined, left_by, resumed
from colt.measure.relative import Reference
from colt.util.interrupt import ENDLESS_S

MOST_WORKERS = 8
"""Candidates that a host builds side by side, as :class:`~colt.tvm.workers.local.LocalMeasurer` does."""
FORGIVEN = 50
"""A host that has done so many items may run out of memory once more."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Equipment:
    """What hosts measure with."""

    target: str
    threads: int
    limits: Limits
    pace: Pace


@dataclass(slots=True)
class HostEntry:
    """A node, and what has become of it."""

    node: ClusterNode
    name: str
    """The name of its host, which no other node has that is there. It may change until the host measures."""
    entered: bool = False
    """Whether it has ever measured."""
    report: HostReport | None = None
    member: Member | None = None
    held: bool = False
    waits: str = ""
    """What keeps it from measuring, as far as that passes."""
    late: str = ""
    """What seems to keep it from starting, before it is sure that it ``waits``."""
    leaving: str = ""
    """That the cluster takes its node away, in words. It stays so."""
    refused: str = ""
    lost: str = "it does not start"
    """Why it does not measure if nothing else is known."""
    losses: int = 0
    """In a row, without anything measured."""
    shortages: float = 0.0
    """How often its memory has run out, less what it has measured since, in parts of :data:`FORGIVEN`."""
    seen: HostSeen | None = None
    gone: bool = False

    @property
    def there(self) -> bool:
        """Whether it measures, or is about to for all that is known: one that was lost has yet to come back."""
        return bool(self.seen) or not (self.gone or self.leaving or self.losses)

    @property
    def out(self) -> bool:
        """Whether nothing is to be expected of it any more, but what it is at."""
        return bool(self.refused or self.gone or self.leaving)

    @property
    def why_not(self) -> str:
        """Why it does not measure."""
        return self.refused or self.leaving or self.waits or self.lost

    @property
    def decided(self) -> bool:
        """Whether nothing is to be expected of it soon."""
        return bool(self.seen or self.waits or self.out)


class Roster:
    """All hosts. For any thread: whoever reads or sets several things at once holds ``changed``, as methods do."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """The lock, and the sign that something is new."""
        self.muster = Muster()
        self.nodes: dict[str, HostEntry] = {}
        self.wanted: Wanted | None = None
        self.equipment: Equipment | None = None
        self.assembled = False
        """Whether those measure whom the run begins with. Who joins later is told of."""
        self.gone = ""
        """Why the cluster itself cannot be asked."""
        self.stopped = False
        self._shares: list[Share] = []
        self._remarks: list[str] = []
        self._empty_since = monotonic()

    # ---- who is there ----

    def in_order(self) -> list[HostEntry]:
        """As they joined, or else by name."""
        with self.changed:
            places = {host.name: place for place, host in enumerate(self.muster.hosts)}
            return sorted(self.nodes.values(), key=lambda one: (places.get(one.name, len(places)), one.name))

    def why_none(self) -> str:
        """Why no host measures."""
        reasons = [f"{one.name}: {one.why_not}" for one in self.in_order()]
        if self.gone:
            return f"no host of the fleet can measure: {self.gone}"
        return f"no host of the fleet can measure: {'; '.join(reasons) or 'the cluster lends no cores'}"

    def found(self, nodes: Iterable[ClusterNode]) -> list[HostEntry]:
        """These are there; those of them that are new and stay."""
        there = {node.id: node for node in nodes}
        new: list[HostEntry] = []
        with self.changed:
            for identity, known in self.nodes.items():
                known.gone = identity not in there
                if identity in there and not known.leaving:
                    known.leaving = there[identity].leaving
            for identity, node in there.items():
                if identity not in self.nodes:
                    known = HostEntry(node, node.name, leaving=node.leaving)
                    known.name = self._own_name(known)
                    self.nodes[identity] = known
                    if not known.leaving:
                        new.append(known)
                    else:
                        self.remark(f"host {known.name} does not measure: {known.leaving}")
            self.changed.notify_all()
        return new

    def _own_name(self, known: HostEntry) -> str:
        """What it is called: as when it measured before, or like its machine, or so with a number if a host that is
        there has that name. Two machines may be called the same."""
        taken = {one.name for one in self.nodes.values() if one is not known and one.there}
        kept = [known.name] if known.entered else []
        numbered = (f"{known.node.name}#{number}" for number in count(2))
        return next(own for own in chain(kept, [known.node.name], numbered) if own not in taken)

    # ---- what becomes of a host ----

    def note(self, known: HostEntry, **changes: object) -> None:
        """Something has become known of it."""
        with self.changed:
            for name, value in changes.items():
                setattr(known, name, value)
            self.changed.notify_all()

    def enter(self, known: HostEntry, host: HostSeen) -> None:
        """Have a host measure, unless it is of another kind than the first.

        What it is called is seen anew: a node may have come back before the loss of its host was noticed."""
        with self.changed:
            new = known.seen is None
            if new:
                known.name = self._own_name(known)
                host = replace(host, name=known.name)
            unlike = self.reference.why_unlike(host.name, host.reference_us) if self.muster.base else None
            known.seen = None if unlike else host
            if unlike:
                self.refuse(known, unlike)
                return
            known.entered = True
            if new and self.assembled:
                self._tell_joined(host)
            self.muster = joined(self.muster, host)
            self.changed.notify_all()

    def _tell_joined(self, host: HostSeen) -> None:
        again = " again" if host.name in [each.name for each in self.muster.hosts] else ""
        first = "at first" if host.name == self.muster.base else f"that of {self.muster.base}"
        times = f"{host.reference_us / self.muster.base_us:.2f} times as long as {first}"
        self.remark(f"host {host.name} joined{again}: its reference kernel takes {times}")

    def did(self, known: HostEntry, items: int) -> None:
        """It has done so many items."""
        if items:
            with self.changed:
                known.losses = 0
                known.shortages = max(0.0, known.shortages - items / FORGIVEN)

    def lose(self, known: HostEntry, lost: Lost, patience: Patience, doubt: str) -> None:
        """It does not serve any more; where that is too often for the ``patience``, it is refused, with a
        ``doubt`` if there is one and nothing was ever heard of it."""
        why = known.leaving or str(lost)
        with self.changed:
            if self.stopped or known.refused:
                return
            known.losses += 1
            known.shortages += lost.cause is Cause.MEMORY
            known.lost = f"it was lost: {why}"
            known.held, known.late = False, ""
            if known.seen is not None:
                self.muster = left_by(replace(self.muster, lost=self.muster.lost + 1), known.seen.name, why)
                self.remark(f"host {known.name} was lost: {why}")
                known.seen = None
            elif known.leaving:
                self.remark(f"host {known.name} does not measure: {why}")
            if known.out:
                pass  # nothing is tried there any more
            elif known.losses >= patience.attempts:
                beside = f"; {doubt}" if doubt and known.report is None else ""
                self.refuse(known, f"it was lost {known.losses} times in a row, at last: {why}{beside}")
            elif known.shortages >= patience.shortages:
                self.refuse(known, "its memory ran out again and again")
            self.changed.notify_all()

    def refuse(self, known: HostEntry, why: str, end: bool = True) -> None:
        """It may not measure; unless ``end`` is false, its process ends."""
        with self.changed:
            known.refused, known.held = why, False
            self.muster = replace(self.muster, refused=(*self.muster.refused, (known.name, why)))
            self.remark(f"host {known.name} does not measure: {why}")
            self.changed.notify_all()
        if known.member is not None and end:
            known.member.end()

    # ---- who measures ----

    @property
    def reference(self) -> Reference:
        """The host in whose microseconds latencies are told."""
        with self.changed:
            return Reference(self.muster.base, self.muster.base_us)

    def follow(self, before: Muster) -> None:
        """Go on after what another process had: those that measure have to be like its first host."""
        with self.changed:
            measuring = [(one, one.seen) for one in self.in_order() if one.seen]
            self.muster = resumed(before, self.muster)
            for known, host in measuring:
                self.enter(known, host)

    def count(self, **more: int) -> None:
        """So many more of what the muster counts."""
        with self.changed:
            counts = {name: getattr(self.muster, name) + number for name, number in more.items()}
            self.muster = replace(self.muster, **counts)

    def decided_by(self, name: str) -> None:
        """A host has timed programs in turn."""
        with self.changed:
            self.muster = replace(self.muster, decider=name)

    # ---- what there is to do ----

    def share(self, share: Share) -> None:
        """Have the hosts do the items of a share, before those of others."""
        with self.changed:
            self._shares = [share, *(each for each in self._shares if not each.given_up)]
            self._empty_since = monotonic()
            self.changed.notify_all()

    def deal(self, known: HostEntry) -> tuple[Share | None, Deal | None]:
        """What a host that measures does next, if there is anything for it."""
        with self.changed:
            measuring, workers = self.muster.measuring, min(known.node.cores, MOST_WORKERS)
            for share in self._shares:
                if share.alone and measuring[0].name != known.name:
                    continue
                deal = share.deal(1 if share.alone else len(measuring), workers, share.limits.ahead * workers)
                if deal is not None:
                    return share, deal
            return None, None

    def deal_to_builder(self, cores: int) -> tuple[Share | None, Deal | None]:
        """What one that builds does next, if there is anything for it."""
        with self.changed:
            for share in self._shares:
                deal = share.deal_to_builder(len(self.muster.measuring), cores)
                if deal is not None:
                    return share, deal
            return None, None

    def give_up_where_empty(self, empty_s: float) -> None:
        """Tell whoever waits for answers that nobody measures, if that has been so for ``empty_s`` seconds."""
        with self.changed:
            if self.muster.measuring:
                self._empty_since = monotonic()
            elif monotonic() - self._empty_since > empty_s:
                for share in self._shares:
                    share.fail(f"{self.why_none()}; `colt resume` goes on with the run")

    # ---- threads ----

    def awaited(self, found: Callable[[], T | None]) -> T:
        """What is found once it is there. Raises :class:`Stopped`."""
        with self.changed:
            while (value := found()) is None:
                if self.stopped:
                    raise Stopped
                self.changed.wait(ENDLESS_S)
            return value

    def pause(self, seconds: float) -> None:
        """Let so much time pass. Raises :class:`Stopped`."""
        with self.changed:
            if self.changed.wait_for(lambda: self.stopped, seconds):
                raise Stopped

    def wake(self) -> None:
        """There is something new."""
        with self.changed:
            self.changed.notify_all()

    def stop(self) -> list[Member] | None:
        """Let all threads end; the hosts whose processes are to end, or ``None`` if that was so already."""
        with self.changed:
            if self.stopped:
                return None
            self.stopped = True
            for share in self._shares:
                share.give_up()
            self.changed.notify_all()
            return [one.member for one in self.nodes.values() if one.member]

    # ---- what the user is told ----

    def remark(self, text: str) -> None:
        """The user should know."""
        with self.changed:
            self._remarks.append(text)

    def take_remarks(self) -> list[str]:
        """What the user should know and was not told yet."""
        with self.changed:
            found, self._remarks = self._remarks, []
            return found
