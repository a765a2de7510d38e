"""The life of a host: it joins, serves or builds, and is lost. Then it is tried again, as long as its node is there."""

from __future__ import annotations

from contextlib import suppress

from colt.fleet.cluster import Cause, Cluster
from colt.fleet.likeness import Wanted, other_versions
from colt.fleet.member import Lost, Member, Patience, Stopped
from colt.fleet.roster import HostEntry, Roster
from colt.fleet.share import Deal, Share
from colt.fleet.wire import HostReport
from colt.measure.muster import HostSeen


class Life:
    """What happens on one node. :meth:`lead` is for a thread of its own."""

    def __init__(self, known: HostEntry, roster: Roster, cluster: Cluster, side: bytes, patience: Patience) -> None:
        self._known = known
        self._roster = roster
        self._cluster = cluster
        self._side = side
        self._patience = patience

    def lead(self) -> None:
        """Join and serve until the session ends, the node is gone, or the host is refused."""
        known = self._known
        with suppress(Stopped):
            while not (self._roster.stopped or known.out):
                try:
                    self._join()
                    self._serve()
                except Lost as lost:
                    self._lose(lost)
                except Exception as error:  # noqa: BLE001 - whatever it is, the run is told what it loses with the host
                    self._lose(Lost(f"{type(error).__name__}: {error}"))

    def _member(self) -> Member:
        known, roster = self._known, self._roster
        return Member(
            self._cluster,
            known.node,
            self._side,
            self._patience,
            stopped=lambda: roster.stopped,
            leaving=lambda: known.leaving,
        )

    def _join(self) -> None:
        known, roster = self._known, self._roster
        known.member = member = self._member()
        member.start(lambda why, sure: roster.note(known, late=why, waits=why if sure else known.waits))
        report = member.report()
        roster.note(known, report=report, late="", waits="")
        wanted = roster.awaited(lambda: roster.wanted)
        if why := wanted.why_not(report, known.node.cores):
            builds = self._may_build(report, wanted)
            roster.refuse(known, f"{why}; it builds for the others" if builds else why, end=not builds)
            if builds:
                self._build(member)
            raise Stopped
        while by := member.hold():
            member.heed()
            roster.note(known, waits=f"{by} measures there")
            roster.pause(self._patience.look_s)
        roster.note(known, waits="", held=True)
        equipment = roster.awaited(lambda: roster.equipment)
        ready = member.equip(equipment.target, equipment.threads, (equipment.limits, equipment.pace))
        member.heed()
        host = HostSeen(known.name, report.cpu, equipment.threads, ready.reference_us, ready.disturbed)
        roster.enter(known, host)
        if known.refused:
            raise Stopped

    def _serve(self) -> None:
        known, roster = self._known, self._roster
        assert known.member is not None
        while True:
            with roster.changed:
                if known.refused:
                    raise Stopped
                known.member.heed()
                host, (share, deal) = known.seen, roster.deal(known)
                if share is None or deal is None:
                    roster.changed.wait(self._patience.look_s)
                    if known.gone:
                        raise Lost("its node is gone")
                    continue
            assert host is not None
            roster.count(built_elsewhere=len(deal.libraries))
            try:
                known.member.serve(share, deal, host)
                self._give_back(share, deal, Lost(known.leaving, Cause.TAKEN))
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the items are not lost with it
                lost = error if isinstance(error, Lost) else Lost(f"{type(error).__name__}: {error}")
                self._give_back(share, deal, lost)
                raise lost from None
            finally:
                roster.did(known, deal.done)

    def _give_back(self, share: Share, deal: Deal, lost: Lost) -> None:
        """What is left of a deal is for others. A host that is taken away says nothing against what it was at."""
        taken = lost.cause is Cause.TAKEN or bool(self._known.leaving)
        why = f"{self._known.name} was lost: {lost}"
        if again := share.give_back(deal, why, blame=not taken):
            self._roster.count(again=again)
            self._roster.wake()

    def _lose(self, lost: Lost) -> None:
        known = self._known
        if known.member is not None:
            known.member.end()
        self._roster.lose(known, lost, self._patience, self._cluster.doubt)
        if not (known.refused or known.leaving):
            self._roster.pause(self._patience.look_s)

    # ---- building for others ----

    def _may_build(self, report: HostReport, wanted: Wanted) -> bool:
        """Whether a host that may not measure can build for those that do."""
        with self._roster.changed:
            reports = [each.report for each in self._roster.nodes.values() if each.report]
        there = {each.architecture for each in reports if each.cpu == wanted.cpu}
        return report.architecture in there and not other_versions(report.versions)

    def _build(self, member: Member) -> None:
        """Build what waits, as long as the host is there. What is not built when a host takes it, it builds itself."""
        known, roster = self._known, self._roster
        equipment, cores = roster.awaited(lambda: roster.equipment), known.node.cores
        host = HostSeen(known.name, "", equipment.threads, 0.0)
        try:
            member.outfit(equipment.target, equipment.threads, (equipment.limits, equipment.pace))
            roster.count(builders=cores)
            try:
                while True:
                    member.heed()
                    share, deal = self._to_build(cores)
                    if share is not None and deal is not None:
                        member.build(share, deal, host)
            finally:
                roster.count(builders=-cores)
        except Lost as lost:
            member.end()
            roster.remark(f"host {known.name} builds no more: {lost}")

    def _to_build(self, cores: int) -> tuple[Share | None, Deal | None]:
        """What a builder does next; nothing if nothing comes for a while."""
        with self._roster.changed:
            if self._roster.stopped:
                raise Stopped
            share, deal = self._roster.deal_to_builder(cores)
            if deal is None:
                self._roster.changed.wait(self._patience.look_s)
            return share, deal
