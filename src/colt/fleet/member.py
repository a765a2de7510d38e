"""One host as the driver sees it: it joins, serves, and may be lost at any moment.

join       its actor starts once its cores are free; it says what it is; it is refused if it is unlike the others
hold       it takes the lock of its host, and waits for whoever has it
equip      its workers start, and the reference kernel is timed
serve      it takes items of the present call, and answers them one by one

All of it in a thread of its own, so that hosts wait for none but themselves.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from colt.fleet.cluster import Cause, Cluster, ClusterNode, HostLate, HostLost, Link, Pending
from colt.fleet.host import BUILD, HostActor
from colt.fleet.share import Deal, HostTold, Share
from colt.fleet.wire import (
    HostAccounts,
    HostBuilt,
    HostDone,
    HostError,
    HostFailed,
    HostHardware,
    HostHeld,
    HostReady,
    HostReport,
    Item,
    Said,
    decode,
    decode_said,
)
from colt.measure.base import Limits
from colt.measure.muster import HostSeen
from colt.util.waiting import LONGEST_S

M = TypeVar("M", HostReport, HostHeld, HostHardware, HostReady)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the driver waits for hosts, in seconds."""

    beat_s: float = 2.0
    """A host says at least so often that it is there."""
    grace_s: float = 15.0
    """It may be late by so much. Then it counts as lost."""
    start_s: float = 120.0
    """For a process to start and to say what it is, once its cores are free."""
    late_s: float = 3.0
    """After so long a process that has not started seems to wait for cores, and that is told."""
    queued_s: float = 20.0
    """After so long it counts as one that does, and is not waited for if there are others."""
    join_s: float = 300.0
    """For starting the workers and timing the reference kernel, or for measuring peaks."""
    gather_s: float = 15.0
    """How long a run that begins waits for more hosts, once it has one; and for nodes, if there are none."""
    queue_s: float = LONGEST_S
    """How long a run that begins waits for hosts on which others measure."""
    empty_s: float = 90.0
    """How long a run goes on waiting when its last host is gone."""
    look_s: float = 2.0
    """How often the driver looks for nodes that have come, and for hosts whose cores or lock are free again."""
    attempts: int = 3
    """How many times in a row a host may be lost without having measured anything."""
    shortages: int = 5
    """How many times the memory of a host may run out, but for what it has measured meanwhile."""


_NOTHING = HostAccounts(building=0.0, timing=0.0, probes=0, disturbed=0, worst_slowdown=1.0, waiting=0.0)


class Lost(Exception):
    """The host does not serve any more; the text says why, the ``cause`` what kind of thing that is."""

    def __init__(self, text: str, cause: Cause = Cause.DEATH) -> None:
        super().__init__(text)
        self.cause = cause


class Stopped(Exception):
    """The session ends."""


class Member:
    """The actor of one host. For the thread of the host.

    ``stopped`` says whether the session ends, ``leaving`` that the cluster takes the node away, in words.
    """

    def __init__(
        self,
        cluster: Cluster,
        node: ClusterNode,
        side: bytes,
        patience: Patience,
        stopped: Callable[[], bool],
        leaving: Callable[[], str] = lambda: "",
    ) -> None:
        self.node = node
        self._patience = patience
        self._stopped = stopped
        self._leaving = leaving
        self._requests = 0
        self._accounts = _NOTHING
        try:
            self._link: Link = cluster.start(node, HostActor, node.name, side)
        except HostLost as lost:
            raise Lost(str(lost), lost.cause) from None

    def start(self, told: Callable[[str, bool], None]) -> None:
        """Wait until its process has started, which it does once its cores are free. Calls ``told`` with what it seems
        to wait for, and whether that has lasted so long that it is sure. Raises :class:`Lost` and :class:`Stopped`."""
        asked, since = self._ask("started"), monotonic()
        while True:
            try:
                asked.get(self._patience.look_s)
                return
            except HostLost:
                return  # whoever asks for more hears why
            except HostLate:
                self.heed()
                passed_s = monotonic() - since
                if passed_s > self._patience.late_s:
                    told("its cores seem to be taken by other work on the cluster", passed_s > self._patience.queued_s)

    def report(self) -> HostReport:
        """What the host is. Raises :class:`Lost` and :class:`Stopped`."""
        return self._call("report", HostReport, self._patience.start_s)

    def hold(self) -> str:
        """Take the lock; who has it if it is not free."""
        return self._call("hold", HostHeld, self._patience.start_s).by

    def hardware(self, target: str, threads: int) -> HostHardware:
        """The host with its peaks."""
        return self._call("hardware", HostHardware, self._patience.join_s, target, threads)

    def equip(self, target: str, threads: int, settings: Any) -> HostReady:
        """Start the workers and time the reference kernel."""
        return self._call("equip", HostReady, self._patience.join_s, target, threads, pickle.dumps(settings))

    def outfit(self, target: str, threads: int, settings: Any) -> None:
        """Start the workers of one that only builds."""
        self._call("outfit", HostHeld, self._patience.join_s, target, threads, pickle.dumps(settings))

    def heed(self) -> None:
        """Raise :class:`Stopped` if the session ends, and :class:`Lost` if the cluster takes the node away."""
        self._require_session()
        if why := self._leaving():
            raise Lost(why, Cause.TAKEN)

    def end(self) -> None:
        """End its process."""
        self._link.end()

    def serve(self, share: Share, deal: Deal, host: HostSeen) -> None:
        """Have what is dealt done by the ``host``, and tell the share each answer. A host whose node is taken away does
        what it is at, and leaves the others. Raises :class:`Lost` and :class:`Stopped`."""
        for number, said in self._answers(share.kind, share.arguments(host, deal.items), share, deal):
            if not isinstance(said, HostFailed) and not share.answered_by(said):
                raise Lost("it answered what it was not asked, or figures that there cannot be")
            share.told(number, HostTold(host, said, self._spent(said.accounts)))

    def build(self, share: Share, deal: Deal, host: HostSeen) -> None:
        """Have what is dealt built for other hosts, and tell the share. Raises as :meth:`serve`."""
        jobs = [job for job, *_ in deal.items]
        for number, said in self._answers(BUILD, (jobs, share.limits), share, deal):
            if not isinstance(said, HostBuilt):
                raise Lost("it answered what it was not asked")
            if (failure := said.failure()) is not None:
                share.take_out(number, HostTold(host, failure, self._spent(said.accounts)))
            elif said.linked:
                share.built(number, self._ask("library", said.request, said.index).reference)

    def _answers(self, kind: str, arguments: tuple[Any, ...], share: Share, deal: Deal) -> Iterator[tuple[int, Item]]:
        """Ask for what is dealt; the number and the answer of each item, in order."""
        number = self._begin(kind, arguments, deal)
        heard, allowed = monotonic(), most_seconds(share.limits, share.runs)
        dropped = False
        while True:
            for said in self._taken():
                if isinstance(said, HostDone):
                    if said.request != number:
                        continue
                    if deal.done < len(deal.items) and not (dropped or share.given_up):
                        raise Lost(f"it answered {deal.done} of {len(deal.items)} items and said that it was done")
                    return
                if said.request != number or said.index != deal.done or deal.done >= len(deal.items):
                    raise Lost("it answered what it was not asked")
                if isinstance(said, HostFailed) and said.fault:
                    raise Lost(said.message)
                yield deal.numbers[deal.done], said
                deal.done += 1
                heard = monotonic()
            if monotonic() - heard > allowed:
                raise Lost(f"nothing came of it for {allowed:.0f} s, more than all limits together")
            if (share.given_up or self._leaving()) and not dropped:
                dropped = True
                self._ask("drop", number)

    def _begin(self, kind: str, arguments: tuple[Any, ...], deal: Deal) -> int:
        """Send a request, with what others have built of it as far as that is still to be had; its number."""
        request = pickle.dumps((kind, arguments))
        for libraries in (deal.libraries, {}):
            self._requests += 1
            try:
                asked = self._ask("begin", self._requests, request, tuple(libraries), *libraries.values())
                self._get(asked, self._patience.grace_s)
            except Lost:
                if not libraries:
                    raise
                continue
            break
        deal.begun = True
        return self._requests

    def _spent(self, now: HostAccounts) -> HostAccounts:
        """What the accounts have grown by since the last answer."""
        before, self._accounts = self._accounts, now
        return HostAccounts(
            building=max(0.0, now.building - before.building),
            timing=max(0.0, now.timing - before.timing),
            probes=max(0, now.probes - before.probes),
            disturbed=max(0, now.disturbed - before.disturbed),
            worst_slowdown=now.worst_slowdown,
            waiting=max(0.0, now.waiting - before.waiting),
        )

    def _taken(self) -> list[Said]:
        self._require_session()
        found = self._get(self._ask("take", self._patience.beat_s), self._patience.beat_s + self._patience.grace_s)
        if not isinstance(found, list):
            raise Lost("it answered nonsense: no list of messages")
        try:
            return [decode_said(message) for message in found]
        except HostError as error:
            raise Lost(f"it answered nonsense: {error}") from None

    def _call(self, method: str, kind: type[M], seconds: float, *arguments: object) -> M:
        """Call a method that takes long, and stop waiting for it when the session ends."""
        asked, until = self._ask(method, *arguments), monotonic() + seconds
        while True:
            try:
                return self._decoded(asked.get(min(self._patience.look_s, max(0.01, until - monotonic()))), kind)
            except HostLate:
                self.heed()
                if monotonic() >= until:
                    raise Lost(f"it did not {method} within {seconds:g} s") from None
            except HostLost as lost:
                raise Lost(str(lost), lost.cause) from None

    def _ask(self, method: str, *arguments: object) -> Pending:
        try:
            return self._link.ask(method, *arguments)
        except HostLost as lost:
            raise Lost(str(lost), lost.cause) from None

    def _get(self, asked: Pending, seconds: float) -> object:
        try:
            return asked.get(seconds)
        except HostLost as lost:
            raise Lost(str(lost), lost.cause) from None
        except HostLate as late:
            raise Lost(str(late)) from None

    def _decoded(self, content: object, kind: type[M]) -> M:
        try:
            return decode(content, kind)
        except HostError as error:
            raise Lost(f"it answered nonsense: {error}") from None

    def _require_session(self) -> None:
        if self._stopped():
            raise Stopped


def most_seconds(limits: Limits, runs: int) -> float:
    """Longer than a host can take to say anything new, if its own limits hold: it builds and times so many programs."""
    worker = limits.start_seconds * limits.start_attempts + 2 * limits.prepare_seconds
    one = max(limits.run_seconds, limits.reference_seconds) + limits.timing_seconds + 2 * limits.noise_wait_seconds
    return worker + runs * (2 * one + limits.build_seconds)
