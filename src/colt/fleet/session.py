"""The hosts of a cluster, from the plan to the end of a run, as the driver has them.

A watch looks for nodes. Each has a thread in which its host lives (:mod:`colt.fleet.life`); what is known of all of
them is in one place (:mod:`colt.fleet.roster`). There is one session at a time, like Ray's connection: the plan opens
it, since it has to know what the hosts are, and the run's measurer closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from time import monotonic

from colt.errors import MeasureError
from colt.fleet.cluster import Cluster, HostLost
from colt.fleet.host import cpu_here
from colt.fleet.life import Life
from colt.fleet.likeness import Wanted, require_cpu
from colt.fleet.member import Lost, Patience, Stopped
from colt.fleet.roster import Equipment, HostEntry, Roster
from colt.fleet.share import Share
from colt.fleet.wire import HostHardware, HostReport
from colt.measure.muster import Muster
from colt.measure.relative import Reference
from colt.util.streams import keeping_remarks
from colt.util.text import counted
from colt.util.waiting import tell_waiting

PATIENCE = Patience()
_LONGEST = 200
"""Characters of a processor's name."""
_MOST_NAMED = 3
"""Hosts that a line names."""


class _Wait:
    """Waiting for hosts: what was said of them, so that it is said once, and how long others' work kept all of them."""

    def __init__(self) -> None:
        self.queued_s = 0.0
        """Seconds until the last moment at which it did."""
        self._since = monotonic()
        self._text = ""

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return monotonic() - self._since

    def of(self, hosts: Iterable[HostEntry]) -> None:
        """Say what keeps these from measuring, as far as that passes and is news."""
        left = [one for one in hosts if not one.out]
        reasons = [f"{one.name}: {one.waits or one.late}" for one in left if one.waits or one.late]
        if reasons and len(reasons) == len(left):
            self.queued_s = self.seconds
        more = len(reasons) - _MOST_NAMED
        text = "; ".join(reasons[:_MOST_NAMED]) + (f"; and {counted(more, 'other')}" if more > 0 else "")
        if text and text != self._text:
            tell_waiting(f"waiting for {text}")
        self._text = text


class Session:
    """All hosts. For the driver's thread."""

    def __init__(self, cluster: Cluster, side: bytes, patience: Patience) -> None:
        self.patience = patience
        self.roster = Roster()
        self.queued_s = 0.0
        """For how long others' work has kept all hosts from this process, in seconds."""
        self._cluster = cluster
        self._side = side
        self._threads: list[threading.Thread] = []
        self._deaf = False
        """Whether it was told that nobody says which nodes leave."""
        self._look()
        self._start(self._keep_looking, "colt-fleet")

    # ---- before the run ----

    def reports(self, cpu: str | None = None) -> dict[str, tuple[HostReport, int]]:
        """What the hosts say that they are, by name, each with the cores that it lends.

        Waits for those that start. Where there are none but hosts whose cores others use, it waits for these, unless
        none of them has ``cpu`` in its model's name. Raises :class:`~colt.errors.InputError` then.
        """
        unknown, nodes = cpu, self.roster.nodes
        with keeping_remarks() if self._cluster.doubt else nullcontext(), self._waiting() as wait:
            while (worth_s := self._worth_waiting_s()) > wait.seconds:
                if unknown is not None and worth_s == self.patience.queue_s:
                    self._require_cpu(unknown)
                    unknown = None
                wait.of(nodes.values())
                self.roster.changed.wait(self.patience.look_s)
            return {one.name: (one.report, one.node.cores) for one in nodes.values() if one.report}

    def _worth_waiting_s(self) -> float:
        """How long to wait, from the first on, for what hosts say that they are."""
        known = self.roster.nodes.values()
        if not known:
            return self.patience.gather_s
        silent = [one for one in known if not (one.report or one.out)]
        if any(not one.waits for one in silent):
            return self.patience.start_s
        heard = any(one.report for one in known)
        return self.patience.queue_s if silent and not heard else 0.0

    def _require_cpu(self, cpu: str) -> None:
        """Raise :class:`~colt.errors.InputError` if no node has it. One that does not say so at once may have it."""
        there = [one.node for one in self.roster.nodes.values() if not one.out]
        with suppress(HostLost):
            found = self._cluster.asked_beside(there, cpu_here, self.patience.gather_s)
            names = {node.name: str(found[node.id])[:_LONGEST] for node in there if node.id in found}
            if len(found) == len(there):
                require_cpu(cpu, names)

    def silent(self) -> dict[str, str]:
        """Why hosts have not been heard of, by name."""
        with self.roster.changed:
            return {
                one.name: one.refused or one.leaving or one.waits or "it does not start"
                for one in self.roster.nodes.values()
                if not one.report
            }

    def admit(self, wanted: Wanted) -> None:
        """Have hosts join that are like that, now and later."""
        with self.roster.changed:
            self.roster.wanted = wanted
            self.roster.changed.notify_all()

    def await_host(self) -> HostEntry:
        """The first host that is held. Raises :class:`MeasureError` if none is to be had."""
        return self._await(_is_held)

    def hardware(self, target: str, threads: int) -> HostHardware:
        """A host that is held, with its peaks: the first that is not lost over that.

        Raises :class:`MeasureError` if none is left."""
        left: list[HostEntry] = [self.await_host()]
        lost: list[str] = []
        while left:
            known, *_ = left
            assert known.member is not None
            try:
                return known.member.hardware(target, threads)
            except (Lost, Stopped) as error:
                lost.append(known.name)
                why = f"the peaks of {known.name} were not measured: {error}"
            left = [one for one in self.roster.in_order() if _is_held(one) and one.name not in lost]
        raise MeasureError(why)

    # ---- the run ----

    def equip(self, equipment: Equipment) -> None:
        """Have hosts start their workers; waits for the first to be ready, and for the others that are about to be.

        Raises :class:`MeasureError` if none is.
        """
        with self.roster.changed:
            self.roster.equipment = equipment
            self.roster.changed.notify_all()
        self._await(lambda one: one.seen is not None)
        until = monotonic() + self.patience.gather_s
        with self.roster.changed:
            while not all(one.decided for one in self.roster.nodes.values()) and monotonic() < until:
                self.roster.changed.wait(self.patience.look_s)
            self.roster.assembled = True

    @property
    def muster(self) -> Muster:
        """Who measures, and what has become of the hosts."""
        return self.roster.muster

    @property
    def reference(self) -> Reference:
        """The host in whose microseconds latencies are told."""
        return self.roster.reference

    def follow(self, before: Muster) -> None:
        """Go on after what another process had: latencies go on being told in the microseconds of the same host, so
        those that measure have to be like that one."""
        self.roster.follow(before)

    def share(self, share: Share) -> None:
        """Have the hosts do the items of a share, before those of others."""
        self.roster.share(share)

    def wake(self) -> None:
        """There is something new in the share."""
        self.roster.wake()

    def decided_by(self, name: str) -> None:
        """A host has timed programs in turn."""
        self.roster.decided_by(name)

    def take_remarks(self) -> list[str]:
        """What the user should know and was not told yet."""
        return self.roster.take_remarks()

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self.roster.stopped

    def close(self) -> None:
        """End all processes on the hosts, and leave the cluster. May be repeated."""
        members = self.roster.stop()
        if members is None:
            return
        for member in members:
            member.end()
        for thread in self._threads:
            thread.join(self.patience.beat_s + self.patience.look_s)
        self._cluster.close()

    # ---- waiting ----

    def _await(self, ready: Callable[[HostEntry], bool]) -> HostEntry:
        """The first of the hosts that is so far; longer for those that wait for others' work there to end."""
        with self._waiting() as wait:
            while True:
                one = next(filter(ready, self.roster.in_order()), None)
                if one is not None:
                    return one
                wait.of(self.roster.in_order())
                left = [each for each in self.roster.nodes.values() if not each.out]
                allowed = self.patience.queue_s if any(each.waits for each in left) else self.patience.join_s
                if not left or wait.seconds > allowed:
                    raise MeasureError(self.roster.why_none())
                self.roster.changed.wait(self.patience.look_s)

    @contextmanager
    def _waiting(self) -> Iterator[_Wait]:
        """Within, the driver waits for hosts."""
        wait = _Wait()
        try:
            with self.roster.changed:
                yield wait
        finally:
            self.queued_s += wait.queued_s

    # ---- the watch ----

    def _start(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_looking(self) -> None:
        with suppress(Stopped):
            while True:
                self.roster.pause(self.patience.look_s)
                self.roster.give_up_where_empty(self.patience.empty_s)
                self._look()

    def _look(self) -> None:
        """Take note of nodes that have come or gone."""
        try:
            nodes = self._cluster.nodes()
        except HostLost as lost:
            self.roster.gone = str(lost)  # its hosts are lost as well, and say so
            return
        self.roster.gone = ""
        if self._cluster.deaf and not self._deaf:
            self._deaf = True
            self.roster.remark(f"that nodes are taken away is not known beforehand: {self._cluster.deaf}")
        for known in self.roster.found(nodes):
            life = Life(known, self.roster, self._cluster, self._side, self.patience)
            self._start(life.lead, f"colt-{known.name}")


def _is_held(one: HostEntry) -> bool:
    return one.held and one.member is not None and not one.leaving


class _Current:
    """The session of this process, if there is one."""

    session: Session | None = None
    address = ""


def entered(address: str, cores: int, side: bytes) -> Session:
    """The session with the cluster at that address: the present one, or a new one. Raises
    :class:`~colt.errors.InputError`."""
    if _Current.session is not None and not _Current.session.closed and _Current.address == address:
        return _Current.session
    if _Current.session is not None:
        _Current.session.close()
    _Current.session = Session(Cluster.connected(address, cores), side, PATIENCE)
    _Current.address = address
    return _Current.session


def leave() -> None:
    """Close the session of this process, if there is one."""
    if _Current.session is not None:
        _Current.session.close()


def queued_s() -> float:
    """For how long others' work has kept all hosts from the session of this process, in seconds; 0 if there is none."""
    there = _Current.session
    return 0.0 if there is None or there.closed else there.queued_s
