"""The hosts of a cluster, from the plan to the end of a run: who is there, who was refused, who comes and goes.

A watch looks for nodes. Each has a thread in which its host joins and serves; where a host is lost, its node is tried
again as long as it is alive. There is one session at a time, like Ray's own connection: the plan opens it, since it has
to know what the hosts are, and the run's measurer closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from time import monotonic
from typing import TypeVar

from colt.errors import MeasureError
from colt.fleet.cluster import Cluster, ClusterNode, HostLost
from colt.fleet.host import cpu_here
from colt.fleet.likeness import Wanted, other_versions, require_cpu
from colt.fleet.member import Lost, Member, Patience, Stopped
from colt.fleet.share import Deal, Share
from colt.fleet.wire import HostHardware, HostReport
from colt.measure.base import Limits, Pace
from colt.measure.muster import HostSeen, Muster, joined, left_by, resumed
from colt.measure.relative import Reference
from colt.util.interrupt import ENDLESS_S
from colt.util.streams import keeping_remarks
from colt.util.text import counted
from colt.util.waiting import tell_waiting

MOST_WORKERS = 8
"""Candidates that a host builds side by side, as :class:`~colt.tvm.workers.local.LocalMeasurer` does."""


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Equipment:
    """What hosts measure with."""

    target: str
    threads: int
    limits: Limits
    pace: Pace


T = TypeVar("T")
_LONGEST = 200
"""Characters of a processor's name."""
_MOST_NAMED = 3
"""Hosts that a line names."""


@dataclass(slots=True)
class _Known:
    """A node, and what has become of it."""

    node: ClusterNode
    name: str
    """The name of its host, which no other node has that is there."""
    report: HostReport | None = None
    member: Member | None = None
    held: bool = False
    waits: str = ""
    """What keeps it from measuring, as far as that passes."""
    refused: str = ""
    lost: str = "it does not start"
    """Why it does not measure if nothing else is known."""
    losses: int = 0
    """In a row, without anything measured."""
    seen: HostSeen | None = None
    gone: bool = False

    @property
    def decided(self) -> bool:
        """Whether nothing is to be expected of it soon."""
        return bool(self.seen or self.refused or self.waits or self.gone)


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

    def of(self, hosts: Iterable[_Known]) -> None:
        """Say what keeps these from measuring, as far as that passes and is news."""
        left = [one for one in hosts if not (one.refused or one.gone)]
        reasons = [f"{one.name}: {one.waits}" for one in left if one.waits]
        if reasons and len(reasons) == len(left):
            self.queued_s = self.seconds
        more = len(reasons) - _MOST_NAMED
        text = "; ".join(reasons[:_MOST_NAMED]) + (f"; and {counted(more, 'other')}" if more > 0 else "")
        if text and text != self._text:
            tell_waiting(f"waiting for {text}")
        self._text = text


class Session:
    """All hosts. Its methods are for the driver's thread; what is private, for those of hosts, under ``_changed``."""

    def __init__(self, cluster: Cluster, side: bytes, patience: Patience) -> None:
        self.patience = patience
        self.muster = Muster()
        self._cluster = cluster
        self._side = side
        self._nodes: dict[str, _Known] = {}
        self._changed = threading.Condition()
        self._wanted: Wanted | None = None
        self._equipment: Equipment | None = None
        self._shares: list[Share] = []
        self._remarks: list[str] = []
        self._gone = ""
        """Why the cluster itself cannot be asked."""
        self._stopped = False
        self._empty_since = monotonic()
        self.queued_s = 0.0
        """For how long others' work has kept all hosts from this process, in seconds."""
        self._threads: list[threading.Thread] = []
        self._look()
        self._start(self._keep_looking, "colt-fleet")

    # ---- before the run ----

    def reports(self, cpu: str | None = None) -> dict[str, tuple[HostReport, int]]:
        """What the hosts say that they are, by name, each with the cores that it lends.

        Waits for those that start. Where there are none but hosts whose cores others use, it waits for these, unless
        none of them has ``cpu`` in its model's name. Raises :class:`~colt.errors.InputError` then.
        """
        unknown = cpu
        with keeping_remarks() if self._cluster.doubt else nullcontext(), self._waiting() as wait:
            while (worth_s := self._worth_waiting_s()) > wait.seconds:
                if unknown is not None and worth_s == self.patience.queue_s:
                    self._require_cpu(unknown)
                    unknown = None
                wait.of(one for one in self._nodes.values() if not one.report)
                self._changed.wait(self.patience.look_s)
            return {one.name: (one.report, one.node.cores) for one in self._nodes.values() if one.report}

    def _worth_waiting_s(self) -> float:
        """How long to wait, from the first on, for what hosts say that they are."""
        if not self._nodes:
            return self.patience.gather_s
        silent = [one for one in self._nodes.values() if not (one.report or one.refused or one.gone)]
        if any(not one.waits for one in silent):
            return self.patience.start_s
        heard = any(one.report for one in self._nodes.values())
        return self.patience.queue_s if silent and not heard else 0.0

    def _require_cpu(self, cpu: str) -> None:
        """Raise :class:`~colt.errors.InputError` if no node has it. One that does not say so at once may have it."""
        there = [one.node for one in self._nodes.values() if not (one.refused or one.gone)]
        with suppress(HostLost):
            found = self._cluster.asked_beside(there, cpu_here, self.patience.gather_s)
            names = {node.name: str(found[node.id])[:_LONGEST] for node in there if node.id in found}
            if len(found) == len(there):
                require_cpu(cpu, names)

    def silent(self) -> dict[str, str]:
        """Why hosts have not been heard of, by name."""
        with self._changed:
            return {
                one.name: one.refused or one.waits or "it does not start"
                for one in self._nodes.values()
                if not one.report
            }

    def admit(self, wanted: Wanted) -> None:
        """Have hosts join that are like that, now and later."""
        with self._changed:
            self._wanted = wanted
            self._changed.notify_all()

    def await_host(self) -> _Known:
        """The first host that is held. Raises :class:`MeasureError` if none is to be had."""
        return self._await(lambda: next((one for one in self._in_order() if one.held and one.member), None))

    def hardware(self, target: str, threads: int) -> HostHardware:
        """The first host that is held, with its peaks. Raises :class:`MeasureError` if there is none."""
        known = self.await_host()
        assert known.member is not None
        try:
            return known.member.hardware(target, threads)
        except (Lost, Stopped) as lost:
            raise MeasureError(f"the peaks of {known.name} were not measured: {lost}") from None

    # ---- the run ----

    def equip(self, equipment: Equipment) -> None:
        """Have hosts start their workers; waits for the first to be ready, and for the others that are about to be.

        Raises :class:`MeasureError` if none is.
        """
        with self._changed:
            self._equipment = equipment
            self._changed.notify_all()
        self._await(lambda: next((one for one in self._in_order() if one.seen), None))
        until = monotonic() + self.patience.gather_s
        with self._changed:
            while not all(one.decided for one in self._nodes.values()) and monotonic() < until:
                self._changed.wait(self.patience.look_s)

    def follow(self, before: Muster) -> None:
        """Go on after what another process had: latencies go on being told in the microseconds of the same host, so
        those that measure have to be like that one."""
        with self._changed:
            measuring = [(one, one.seen) for one in self._in_order() if one.seen]
            self.muster = resumed(before, self.muster)
            for known, host in measuring:
                self._enter(known, host)

    @property
    def reference(self) -> Reference:
        """The host in whose microseconds latencies are told."""
        with self._changed:
            return Reference(self.muster.base, self.muster.base_us)

    def share(self, share: Share) -> None:
        """Have the hosts do the items of a share, before those of others."""
        with self._changed:
            self._shares = [share, *(each for each in self._shares if not each.given_up)]
            self._empty_since = monotonic()
            self._changed.notify_all()

    def wake(self) -> None:
        """There is something new in the share."""
        with self._changed:
            self._changed.notify_all()

    def decided_by(self, name: str) -> None:
        """A host has timed programs in turn."""
        with self._changed:
            self.muster = replace(self.muster, decider=name)

    def take_remarks(self) -> list[str]:
        """What the user should know and was not told yet."""
        with self._changed:
            found, self._remarks = self._remarks, []
            return found

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._stopped

    def close(self) -> None:
        """End all processes on the hosts, and leave the cluster. May be repeated."""
        with self._changed:
            if self._stopped:
                return
            self._stopped = True
            for share in self._shares:
                share.give_up()
            members = [one.member for one in self._nodes.values() if one.member]
            self._changed.notify_all()
        for member in members:
            member.end()
        for thread in self._threads:
            thread.join(self.patience.beat_s + self.patience.look_s)
        self._cluster.close()

    # ---- hosts ----

    def _in_order(self) -> list[_Known]:
        """As they joined, or else by name."""
        places = {host.name: place for place, host in enumerate(self.muster.hosts)}
        return sorted(self._nodes.values(), key=lambda one: (places.get(one.name, len(places)), one.name))

    def _await(self, found: Callable[[], _Known | None]) -> _Known:
        """The first of the hosts that is so far; longer for those that wait for others' work there to end."""
        with self._waiting() as wait:
            while True:
                one = found()
                if one is not None:
                    return one
                wait.of(self._in_order())
                left = [each for each in self._nodes.values() if not (each.refused or each.gone)]
                allowed = self.patience.queue_s if any(each.waits for each in left) else self.patience.join_s
                if not left or wait.seconds > allowed:
                    raise MeasureError(self._why_none())
                self._changed.wait(self.patience.look_s)

    @contextmanager
    def _waiting(self) -> Iterator[_Wait]:
        """Within, the driver waits for hosts."""
        wait = _Wait()
        try:
            with self._changed:
                yield wait
        finally:
            self.queued_s += wait.queued_s

    def _why_none(self) -> str:
        reasons = [f"{one.name}: {one.refused or one.waits or one.lost}" for one in self._in_order()]
        if self._gone:
            return f"no host of the fleet can measure: {self._gone}"
        return f"no host of the fleet can measure: {'; '.join(reasons) or 'the cluster lends no cores'}"

    def _start(self, work: Callable[..., None], name: str, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_looking(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopped, self.patience.look_s):
                    return
                if self.muster.measuring:
                    self._empty_since = monotonic()
                elif monotonic() - self._empty_since > self.patience.empty_s:
                    for share in self._shares:
                        share.fail(f"{self._why_none()}; `colt resume` goes on with the run")
            self._look()

    def _look(self) -> None:
        """Take note of nodes that have come or gone."""
        try:
            nodes = {node.id: node for node in self._cluster.nodes()}
        except HostLost as lost:
            self._gone = str(lost)  # its hosts are lost as well, and say so
            return
        self._gone = ""
        with self._changed:
            for identity, known in self._nodes.items():
                known.gone = identity not in nodes
            for identity, node in nodes.items():
                if identity not in self._nodes:
                    self._nodes[identity] = known = _Known(node, self._own_name(node.name))
                    self._start(self._tend, f"colt-{known.name}", known)

    def _own_name(self, name: str) -> str:
        """The name, or one with a number if a host that is there has it: two machines may be called the same, and a
        node may be back before its loss is noticed."""
        taken = {one.name for one in self._nodes.values() if one.seen or not one.gone}
        numbered = (f"{name}#{number}" for number in count(2))
        return next(own for own in chain([name], numbered) if own not in taken)

    def _tend(self, known: _Known) -> None:
        """The life of a host, in a thread of its own."""
        with suppress(Stopped):
            while not (self._stopped or known.refused or known.gone):
                try:
                    self._join(known)
                    self._serve(known)
                except Lost as lost:
                    self._lose(known, str(lost))
                except Exception as error:  # noqa: BLE001 - whatever it is, the run is told what it loses with the host
                    self._lose(known, f"{type(error).__name__}: {error}")

    def _join(self, known: _Known) -> None:
        known.member = member = Member(self._cluster, known.node, self._side, self.patience, lambda: self._stopped)
        report = member.report(lambda why: self._note(known, waits=why))
        self._note(known, report=report, waits="")
        wanted = self._awaited(lambda: self._wanted)
        if why := wanted.why_not(report, known.node.cores):
            builds = self._may_build(report, wanted)
            self._refuse(known, f"{why}; it builds for the others" if builds else why, end=not builds)
            if builds:
                self._build(known, member)
            raise Stopped
        while by := member.hold():
            self._note(known, waits=f"{by} measures there")
            self._pause()
        self._note(known, waits="", held=True)
        equipment = self._awaited(lambda: self._equipment)
        settings = equipment.limits, equipment.pace
        ready = member.equip(equipment.target, equipment.threads, settings)
        host = HostSeen(known.name, report.cpu, equipment.threads, ready.reference_us, ready.disturbed)
        self._enter(known, host)
        if known.refused:
            raise Stopped

    def _enter(self, known: _Known, host: HostSeen) -> None:
        """Have a host measure, unless it is of another kind than the first."""
        with self._changed:
            unlike = self.reference.why_unlike(host.name, host.reference_us) if self.muster.base else None
            known.seen = None if unlike else host
            if unlike:
                self._refuse(known, unlike)
                return
            self.muster = joined(self.muster, host)
            self._changed.notify_all()

    def _may_build(self, report: HostReport, wanted: Wanted) -> bool:
        """Whether a host that may not measure can build for those that do."""
        with self._changed:
            reports = [each.report for each in self._nodes.values() if each.report]
        there = {each.architecture for each in reports if each.cpu == wanted.cpu}
        return report.architecture in there and not other_versions(report.versions)

    def _build(self, known: _Known, member: Member) -> None:
        """Build what waits, as long as the host is there. What is not built when a host takes it, it builds itself."""
        equipment, cores = self._awaited(lambda: self._equipment), known.node.cores
        host = HostSeen(known.name, "", equipment.threads, 0.0)
        try:
            member.outfit(equipment.target, equipment.threads, (equipment.limits, equipment.pace))
            self._count(builders=cores)
            while True:
                share, deal = self._built(cores)
                if share is not None and deal is not None:
                    member.build(share, deal, host)
        except Lost as lost:
            with self._changed:
                self._remarks.append(f"host {known.name} builds no more: {lost}")
            member.end()
        finally:
            self._count(builders=-cores)

    def _built(self, cores: int) -> tuple[Share | None, Deal | None]:
        """What a builder does next; nothing if nothing comes for a while."""
        with self._changed:
            if self._stopped:
                raise Stopped
            for share in self._shares:
                deal = share.deal_to_builder(len(self.muster.measuring), cores)
                if deal is not None:
                    return share, deal
            self._changed.wait(self.patience.look_s)
            return None, None

    def _count(self, **more: int) -> None:
        with self._changed:
            counts = {name: getattr(self.muster, name) + number for name, number in more.items()}
            self.muster = replace(self.muster, **counts)

    def _serve(self, known: _Known) -> None:
        assert known.member is not None
        while True:
            with self._changed:
                if self._stopped:
                    raise Stopped
                if known.refused:
                    raise Stopped
                host, (share, deal) = known.seen, self._dealt(known)
                if share is None or deal is None:
                    self._changed.wait(self.patience.look_s)
                    if known.gone:
                        raise Lost("its node is gone")
                    continue
            assert host is not None
            self._count(built_elsewhere=len(deal.libraries))
            try:
                known.member.serve(share, deal, host)
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the items are not lost with it
                why = str(error) if isinstance(error, Lost) else f"{type(error).__name__}: {error}"
                self._count(again=share.give_back(deal, f"{known.name} was lost: {why}"))
                self.wake()
                raise Lost(why) from None
            finally:
                if deal.done:
                    known.losses = 0

    def _dealt(self, known: _Known) -> tuple[Share | None, Deal | None]:
        """What a host does next, if there is anything for it."""
        measuring, workers = self.muster.measuring, min(known.node.cores, MOST_WORKERS)
        for share in self._shares:
            if share.alone and measuring[0].name != known.name:
                continue
            deal = share.deal(1 if share.alone else len(measuring), workers, share.limits.ahead * workers)
            if deal is not None:
                return share, deal
        return None, None

    def _lose(self, known: _Known, why: str) -> None:
        if known.member is not None:
            known.member.end()
        with self._changed:
            if self._stopped or known.refused:
                return
            known.losses += 1
            known.lost = f"it was lost: {why}"
            known.held = False
            if known.seen is not None:
                self.muster = left_by(replace(self.muster, lost=self.muster.lost + 1), known.seen.name, why)
                self._remarks.append(f"host {known.name} was lost: {why}")
                known.seen = None
            if not known.gone and known.losses >= self.patience.attempts:
                doubt = f"; {self._cluster.doubt}" if self._cluster.doubt and known.report is None else ""
                self._refuse(known, f"it was lost {known.losses} times in a row, at last: {why}{doubt}")
            self._changed.notify_all()
        if not known.refused:
            self._pause()

    def _refuse(self, known: _Known, why: str, end: bool = True) -> None:
        with self._changed:
            known.refused, known.held = why, False
            self.muster = replace(self.muster, refused=(*self.muster.refused, (known.name, why)))
            self._remarks.append(f"host {known.name} does not measure: {why}")
            self._changed.notify_all()
        if known.member is not None and end:
            known.member.end()

    def _note(self, known: _Known, **changes: object) -> None:
        with self._changed:
            for name, value in changes.items():
                setattr(known, name, value)
            self._changed.notify_all()

    def _awaited(self, found: Callable[[], T | None]) -> T:
        with self._changed:
            while (value := found()) is None:
                if self._stopped:
                    raise Stopped
                self._changed.wait(ENDLESS_S)
            return value

    def _pause(self) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, self.patience.look_s):
                raise Stopped


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
