"""Who joins, waits, is refused and is lost, on hosts that are objects of this process."""

from __future__ import annotations

import os
import pickle
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from colt.errors import InputError, MeasureError
from colt.fleet.cluster import Cause, Cluster, ClusterNode, HostLate, HostLost, Link
from colt.fleet.host import HostActor, cpu_here
from colt.fleet.likeness import choose
from colt.fleet.member import Patience
from colt.fleet.roster import Equipment
from colt.fleet.session import Session
from colt.fleet.share import HostTold, Share
from colt.measure.base import Job, Limits, Pace
from colt.measure.muster import HostSeen, Muster, resumed
from colt.measure.relative import UNLIKE
from colt.util.lock import HostLock
from colt.util.waiting import told_of_waiting
from tests.helpers import measure_programs as programs
from tests.helpers.fleet_side import REFERENCE_US, SimulatedSide
from tests.helpers.fleets import await_that
from tests.helpers.near_hosts import NearCluster, NearLink

PATIENCE = Patience(
    beat_s=0.05,
    grace_s=1.0,
    start_s=0.4,
    late_s=0.05,
    queued_s=0.1,
    join_s=5.0,
    gather_s=0.2,
    queue_s=10.0,
    empty_s=0.5,
    look_s=0.02,
)

SIDE = pickle.dumps(SimulatedSide(0.0))


def node(identity: str, name: str = "") -> ClusterNode:
    return ClusterNode(identity, f"{name or identity}-{os.getpid()}", 2)


@contextmanager
def session_on(cluster: Any, patience: Patience = PATIENCE) -> Iterator[Session]:
    made = Session(cluster, SIDE, patience)
    try:
        yield made
    finally:
        made.close()


def test_a_run_waits_for_hosts_whose_cores_are_taken_if_there_are_no_others() -> None:
    cluster = NearCluster([node("taken")])
    threading.Timer(2 * PATIENCE.start_s, cluster.free.set).start()
    told: list[str] = []
    with session_on(cluster) as session, told_of_waiting(told.append):
        assert list(session.reports()) == [node("taken").name]
        assert session.queued_s > 0
    assert told == [f"waiting for {node('taken').name}: its cores seem to be taken by other work on the cluster"]


def test_a_short_wait_is_told_of_and_counts_from_its_beginning() -> None:
    """Long before a host counts as one that others have."""
    cluster = NearCluster([node("taken")])
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        threading.Timer(0.3, cluster.free.set).start()

    with session_on(cluster, replace(PATIENCE, start_s=10.0, queued_s=60.0)) as session, told_of_waiting(hear):
        session.reports()
        assert session.queued_s > 0.2
    assert len(told) == 1


def test_a_wait_for_one_host_beside_another_is_told_of_and_does_not_count() -> None:
    """Whoever has a host could measure."""
    cluster = OneFree([node("free"), node("taken")])
    told: list[str] = []
    patience = replace(PATIENCE, start_s=10.0, late_s=0.7, queued_s=1.0)
    with session_on(cluster, patience) as session, told_of_waiting(told.append):
        assert list(session.reports()) == [node("free").name]
        assert session.queued_s == 0
        assert list(session.silent()) == [node("taken").name]
    assert told == [f"waiting for {node('taken').name}: its cores seem to be taken by other work on the cluster"]


class OneFree(NearCluster):
    """The cores of its node ``free`` are, those of others are not."""

    def start(self, node: ClusterNode, make: Any, *arguments: object) -> Any:
        if node.id != "free":
            return super().start(node, make, *arguments)
        link = self.links[node.id] = NearLink(make(*arguments), set_event())
        return link


def set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_a_cpu_that_no_host_has_is_refused_though_their_cores_are_taken() -> None:
    cluster = NearCluster([node("taken")])
    with session_on(cluster) as session:
        with pytest.raises(InputError, match=re.escape(f"is 'Nonsense'; there are {node('taken').name}: {cpu_here()}")):
            session.reports("Nonsense")
        threading.Timer(2 * PATIENCE.start_s, cluster.free.set).start()
        assert list(session.reports(cpu_here()[:6].upper())) == [node("taken").name]


@pytest.mark.parametrize("doubt", ["", "tokens are given"])
def test_hosts_that_never_say_anything_are_refused_with_what_may_keep_them(
    doubt: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def die(node: ClusterNode, make: Any) -> Any:
        os.write(2, b"[2026-01-01 10:00:00,370 W 28896 28896] core_worker.cc:210: InvalidAuthToken: missing\n")
        raise HostLost("the connection to it was lost")

    with session_on(NearCluster([node("1")], made=die, doubt=doubt)) as session:
        assert session.reports() == {}
        why = "it was lost 3 times in a row, at last: the connection to it was lost"
        assert session.silent() == {node("1").name: f"{why}; {doubt}" if doubt else why}
    printed = "".join(capfd.readouterr())
    assert printed.count("core_worker.cc") <= (1 if doubt else 3), "the first may come before anybody waits"


def test_a_run_says_whose_measuring_it_waits_for() -> None:
    cluster = NearCluster([node("held"), node("held-too")])
    cluster.free.set()
    locks = [HostLock(each.name, alone=True) for each in cluster.there]
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        if text.count("measures there") == 2:
            for lock in locks:
                lock.close()

    with session_on(cluster) as session, told_of_waiting(hear):
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        assert session.queued_s > 0
    reasons = (f"{each.name}: process {os.getpid()} measures there" for each in cluster.there)
    assert f"waiting for {'; '.join(reasons)}" in told


def equip(session: Session) -> None:
    session.admit(choose(session.reports(), None, None))
    session.equip(Equipment("llvm", 2, Limits(), Pace.hasty()))


def measured_by(session: Session) -> str:
    """Which host measures a candidate now."""
    (name,) = all_measured_by(session, 1)
    return name


def all_measured_by(session: Session, count: int) -> list[str]:
    """Which host measures each of so many candidates."""
    share = Share("measure", Limits(), lambda host, jobs: (jobs, None, None), lambda item: True)
    for number in range(count):
        share.add(Job(number, programs.scheduled_matmul(16)))
    share.close()
    session.share(share)
    answers = [share.answer(number) for number in range(count)]
    return [answer.host.name for answer in answers if isinstance(answer, HostTold)]


def names(session: Session) -> list[str]:
    return [host.name for host in session.muster.measuring]


def test_of_two_hosts_with_one_name_the_other_goes_on_when_one_is_lost() -> None:
    """Two machines may be called the same, and a node may be back before its loss is noticed."""
    first, second = node("1", "same"), node("2", "same")
    cluster = NearCluster([first], made=lambda node, make: HostActor(f"{node.name}-{node.id}", SIDE))
    cluster.free.set()
    with session_on(cluster) as session:
        equip(session)
        cluster.there.append(second)
        await_that(lambda: len(names(session)) == 2)
        assert names(session) == [first.name, f"{first.name}#2"]
        cluster.there.remove(first)
        cluster.links["1"].end()
        await_that(lambda: session.muster.lost == 1)
        assert names(session) == [f"{first.name}#2"]
        assert measured_by(session) == f"{first.name}#2"
        cluster.there.append(node("3", "same"))
        await_that(lambda: len(names(session)) == 2)
        assert names(session) == [first.name, f"{first.name}#2"], "it has its name again"


class Restarted(NearCluster):
    """Its node ``1`` starts nothing more once ``dead`` is set, though the cluster has it yet; node ``2`` starts what it
    is to once ``back`` is set."""

    dead: threading.Event
    back: threading.Event

    def start(self, node: ClusterNode, make: Any, *arguments: object) -> Any:
        free = self.back if node.id == "2" else self.free if self.dead.is_set() else set_event()
        link = self.links[node.id] = NearLink(make(*arguments), free)
        return link


def test_a_host_that_comes_back_before_the_cluster_has_noticed_its_loss_has_its_name_again() -> None:
    cluster = Restarted([node("1", "beta")])
    cluster.dead, cluster.back = threading.Event(), threading.Event()
    beta = node("1", "beta").name
    with session_on(cluster, replace(PATIENCE, empty_s=30.0)) as session, ThreadPoolExecutor(1) as beside:
        equip(session)
        cluster.there.append(node("2", "beta"))
        await_that(lambda: "2" in session.roster.nodes)
        assert session.roster.nodes["2"].name == f"{beta}#2", "both are there"
        cluster.dead.set()
        cluster.links["1"].end()
        measured = beside.submit(measured_by, session)  # nobody asks a host that has nothing to do
        await_that(lambda: session.muster.lost == 1)
        cluster.back.set()
        assert measured.result(30.0) == beta
        assert len(session.muster.hosts) == 1
        lost, joined = session.take_remarks()
    assert lost.startswith(f"host {beta} was lost: ")
    assert joined == f"host {beta} joined again: its reference kernel takes 1.00 times as long as at first"


def test_a_host_that_joins_late_is_told_of_and_none_that_the_run_begins_with() -> None:
    cluster = NearCluster([node("1"), node("2")])
    cluster.free.set()
    with session_on(cluster, replace(PATIENCE, late_s=10.0, gather_s=10.0)) as session:
        equip(session)
        assert len(names(session)) == 2
        assert session.take_remarks() == []
        cluster.there.append(node("late"))
        await_that(lambda: len(names(session)) == 3)
        (joined,) = session.take_remarks()
        session.follow(session.muster)
        assert session.take_remarks() == []
    base, late = session.muster.base, node("late").name
    assert joined == f"host {late} joined: its reference kernel takes 1.00 times as long as that of {base}"


def test_a_resumed_run_refuses_hosts_unlike_its_first() -> None:
    cluster = NearCluster([node("1"), node("2")])
    cluster.free.set()
    before = Muster(hosts=(HostSeen("gone", "cpu", 2, REFERENCE_US),), lost=1, builders=7, base="gone")
    with session_on(cluster) as session:
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        session.follow(replace(before, base_us=UNLIKE * REFERENCE_US))
        assert sorted(names(session)) == [node("1").name, node("2").name]
        assert session.reference.host == "gone"
        assert (session.muster.lost, session.muster.builders) == (1, 0)
        assert measured_by(session) in names(session)
        session.follow(replace(before, base_us=1.01 * UNLIKE * REFERENCE_US))
        assert names(session) == []
        assert all("its reference kernel takes 500 µs, that of gone" in why for _, why in session.muster.refused)
        with pytest.raises(MeasureError, match=r"no host of the fleet can measure: .* is not used"):
            measured_by(session)
    assert session.muster.lost == 1, "nobody was lost"


def test_what_a_resumed_run_had_and_what_it_has_go_together() -> None:
    before = Muster(hosts=(HostSeen("a", "cpu", 2, 500.0),), refused=(("b", "slow"),), again=3, base="a", base_us=500.0)
    here = Muster(hosts=(HostSeen("c", "cpu", 2, 400.0),), refused=(("d", "old"),), builders=4, base="c", base_us=400.0)
    found = resumed(before, here)
    assert found.refused == (("b", "slow"), ("d", "old"))
    assert (found.builders, found.again, found.base, found.base_us) == (4, 3, "a", 500.0)
    assert [(host.name, host.left) for host in found.hosts] == [("a", "the run broke off")]
    assert resumed(before, found) == found


def test_where_the_last_host_is_lost_the_run_ends_with_why() -> None:
    cluster = NearCluster([node("only")])
    cluster.free.set()
    with session_on(cluster) as session:
        equip(session)
        await_that(lambda: len(names(session)) == 1)
        cluster.there.clear()
        cluster.links["only"].end()
        with pytest.raises(MeasureError, match=f"{node('only').name}: it was lost: .*; `colt resume` goes on"):
            measured_by(session)


def test_a_slow_host_takes_less_of_the_work() -> None:
    sides = {"fast": SIDE, "slow": pickle.dumps(SimulatedSide(0.1))}
    cluster = NearCluster(list(map(node, sides)), made=lambda node, make: HostActor(node.name, sides[node.id]))
    cluster.free.set()
    with session_on(cluster) as session:
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        done = Counter(all_measured_by(session, 24))
    assert done[node("fast").name] > 2 * done[node("slow").name] > 0


class Cut:
    """A link to a host that can be cut off: until it is ``back`` nobody hears of it, and that it is to end is no news
    there."""

    def __init__(self, link: Any, back: threading.Event) -> None:
        self._link = link
        self._back = back

    def ask(self, method: str, *arguments: object) -> Any:
        return CutPending(self._link.ask(method, *arguments), self._back)

    def end(self) -> None:
        threading.Thread(target=lambda: self._back.wait(10.0) and self._link.end()).start()


class CutPending:
    def __init__(self, pending: Any, back: threading.Event) -> None:
        self._pending = pending
        self._back = back

    def get(self, seconds: float) -> object:
        if not self._back.wait(seconds):
            raise HostLate(f"it did not answer for {seconds:g} s")
        return self._pending.get(seconds)


class Parted(NearCluster):
    """Its node ``far`` is cut off as long as ``back`` is not set; the cluster takes no note of that."""

    back: threading.Event

    def start(self, node: ClusterNode, make: Any, *arguments: object) -> Any:
        link = super().start(node, make, *arguments)
        return Cut(link, self.back) if node.id == "far" else link


def test_a_host_that_the_network_cuts_off_is_lost_and_joins_again_when_its_old_process_has_ended() -> None:
    """The old one has the host's lock until then."""
    cluster, far = Parted([node("far"), node("near")]), node("far").name
    cluster.free.set()
    cluster.back = threading.Event()
    cluster.back.set()
    with session_on(cluster) as session:
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        cluster.back.clear()
        while far in names(session):
            measured_by(session)  # nobody asks a host that has nothing to do
        assert measured_by(session) == node("near").name
        (left,) = [host.left for host in session.muster.hosts if host.left]
        assert left.startswith("it did not answer for ")
        cluster.back.set()
        await_that(lambda: len(names(session)) == 2)
        assert session.muster.lost == 1


TAKEN = "the cluster takes its node away in 30 s"


class Heard(HostActor):
    """Sets ``heard`` when it has answered something."""

    def __init__(self, name: str, side: bytes) -> None:
        super().__init__(name, side)
        self.heard = threading.Event()

    def take(self, wait_s: float) -> list[bytes]:
        if found := super().take(wait_s):
            self.heard.set()
        return found


def take_away(cluster: NearCluster, identity: str) -> None:
    """The cluster says that it will."""
    cluster.there = [replace(each, leaving=TAKEN) if each.id == identity else each for each in cluster.there]


def test_a_host_whose_node_is_taken_away_leaves_its_work_to_others_and_ends() -> None:
    """Though the node is there for a while. When its machine is back, it has its name again."""
    side = pickle.dumps(SimulatedSide(0.1))
    actors: dict[str, Heard] = {}

    def made(node: ClusterNode, make: Any) -> Any:
        return actors.setdefault(node.id, Heard(node.name, side))

    cluster = NearCluster([node("1", "lent"), node("own")], made=made)
    cluster.free.set()
    lent = node("1", "lent").name
    with session_on(cluster) as session, ThreadPoolExecutor(1) as beside:
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        measured = beside.submit(all_measured_by, session, 24)
        assert actors["1"].heard.wait(30.0)
        take_away(cluster, "1")
        await_that(lambda: session.muster.lost == 1)
        link = cluster.links["1"]
        done = Counter(measured.result(30.0))
        assert sum(done.values()) == 24
        assert done[node("own").name] > done[lent] > 0
        assert 0 < session.muster.again < 24
        assert measured_by(session) == node("own").name
        with pytest.raises(HostLost, match="it was ended"):
            link.ask("process")
        assert cluster.links["1"] is link, "nothing more is started there"
        assert f"host {lent} was lost: {TAKEN}" in session.take_remarks()
        assert {host.name: host.left for host in session.muster.hosts}[lent] == TAKEN
        cluster.there.append(node("2", "lent"))
        await_that(lambda: lent in names(session))


def test_a_host_with_nothing_to_do_ends_when_its_node_is_taken_away() -> None:
    cluster = NearCluster([node("1"), node("2")])
    cluster.free.set()
    with session_on(cluster) as session:
        equip(session)
        await_that(lambda: len(names(session)) == 2)
        take_away(cluster, "1")
        await_that(lambda: names(session) == [node("2").name])


class Unfit(HostActor):
    """Is killed for its memory when it is to build."""

    def outfit(self, target: str, threads: int, settings: bytes) -> bytes:
        raise HostLost("its memory ran out", Cause.MEMORY)


@pytest.mark.parametrize(("actor", "why"), [(HostActor, TAKEN), (Unfit, "its memory ran out")])
def test_a_node_that_builds_for_others_ends_when_it_is_lost(actor: type[HostActor], why: str) -> None:
    def made(node: ClusterNode, make: Any) -> Any:
        return actor(node.name, SIDE) if node.id == "small" else make()

    small = ClusterNode("small", f"small-{os.getpid()}", 1)
    cluster = NearCluster([node("1"), small], made=made)
    cluster.free.set()
    remarks: list[str] = []

    def is_told() -> bool:
        remarks.extend(session.take_remarks())
        return f"host {small.name} builds no more: {why}" in remarks

    with session_on(cluster) as session:
        session.admit(choose(session.reports(), None, 2))
        session.equip(Equipment("llvm", 2, Limits(), Pace.hasty()))
        if why == TAKEN:
            await_that(lambda: session.muster.builders == 1)
            take_away(cluster, "small")
        await_that(is_told)
        assert session.muster.builders == 0
        with pytest.raises(HostLost, match="it was ended"):
            cluster.links["small"].ask("process")


class Doomed(HostActor):
    """Goes with its machine, with what it was asked for under way."""

    cluster: NearCluster
    session: Session
    identity: str
    _begun = False

    def begin(self, *request: Any) -> None:
        take_away(self.cluster, self.identity)
        await_that(lambda: self.session.roster.nodes[self.identity].leaving)
        self._begun = True

    def take(self, wait_s: float) -> list[bytes]:
        if self._begun:
            raise HostLost("its node has died")
        return super().take(wait_s)


def test_no_candidate_is_to_blame_for_machines_that_were_taken_away_with_it() -> None:
    actors: dict[str, Doomed] = {}

    def made(node: ClusterNode, make: Any) -> Any:
        return make() if node.id == "stays" else actors.setdefault(node.id, Doomed(node.name, SIDE))

    cluster = NearCluster([node("1"), node("2")], made=made)
    cluster.free.set()
    with session_on(cluster, replace(PATIENCE, empty_s=30.0)) as session, ThreadPoolExecutor(1) as beside:
        for identity in "12":
            await_that(lambda identity=identity: identity in actors)
            actors[identity].cluster, actors[identity].session, actors[identity].identity = cluster, session, identity
        equip(session)
        measured = beside.submit(measured_by, session)
        await_that(lambda: session.muster.lost == 2)
        cluster.there.append(node("stays"))
        assert measured.result(30.0) == node("stays").name


def test_where_all_nodes_are_being_taken_away_that_is_said_and_nothing_is_started() -> None:
    cluster = NearCluster([replace(node("1"), leaving=TAKEN)])
    with session_on(cluster, replace(PATIENCE, start_s=30.0)) as session:
        assert session.reports() == {}
        assert session.silent() == {node("1").name: TAKEN}
        assert cluster.links == {}
        assert session.take_remarks() == [f"host {node('1').name} does not measure: {TAKEN}"]


def test_a_host_that_waits_for_cores_is_not_waited_for_when_its_node_is_taken_away() -> None:
    cluster = NearCluster([node("1")])
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        take_away(cluster, "1")

    with session_on(cluster) as session, told_of_waiting(hear):
        assert session.reports() == {}
        assert session.silent() == {node("1").name: TAKEN}
        await_that(lambda: session.roster.nodes["1"].losses == 1)
        assert session.take_remarks() == [f"host {node('1').name} does not measure: {TAKEN}"]
    assert len(told) == 1


def test_that_nobody_says_which_nodes_leave_is_told_once() -> None:
    cluster = NearCluster([node("1")], deaf="ActorDiedError")
    with session_on(cluster) as session:
        time.sleep(3 * PATIENCE.look_s)
        assert session.take_remarks() == ["that nodes are taken away is not known beforehand: ActorDiedError"]


class Starved(HostActor):
    """Is killed for its memory when it has answered something."""

    _answered = False

    def take(self, wait_s: float) -> list[bytes]:
        if self._answered:
            raise HostLost("its memory ran out", Cause.MEMORY)
        found = super().take(wait_s)
        self._answered = bool(found)
        return found


def test_a_host_whose_memory_runs_out_again_and_again_is_left_out_though_it_measures_meanwhile() -> None:
    cluster = NearCluster([node("starved"), node("sound")], made=starved_or_sound)
    cluster.free.set()
    starved, sound = node("starved").name, node("sound").name
    done = Counter[str]()
    with session_on(cluster) as session:
        equip(session)

        def is_left_out() -> bool:
            done.update(all_measured_by(session, 8))
            return bool(session.muster.refused)

        await_that(is_left_out)
        assert session.muster.refused == ((starved, "its memory ran out again and again"),)
        assert measured_by(session) == sound
        assert session.muster.lost > PATIENCE.attempts
    assert done[starved] > 0


def starved_or_sound(node: ClusterNode, make: Any) -> Any:
    return Starved(node.name, SIDE) if node.id == "starved" else make()


class Peakless(HostActor):
    """Is killed for its memory while its peaks are measured."""

    def hardware(self, target: str, threads: int) -> bytes:
        raise HostLost("its memory ran out", Cause.MEMORY)


def test_where_a_host_is_lost_over_its_peaks_those_of_another_do() -> None:
    def made(node: ClusterNode, make: Any) -> Any:
        return make() if node.id == "2" else Peakless(node.name, SIDE)

    cluster = NearCluster([node("1"), node("2")], made=made)
    cluster.free.set()
    with session_on(cluster) as session:
        session.admit(choose(session.reports(), None, None))
        await_that(lambda: all(one.held for one in session.roster.nodes.values()))
        assert session.hardware("llvm", 2).hardware.peaks is not None
        cluster.there.pop()
        await_that(lambda: session.roster.nodes["2"].gone)
        session.roster.note(session.roster.nodes["2"], held=False)
        with pytest.raises(MeasureError, match=f"the peaks of {node('1').name} were not measured: its memory ran out"):
            session.hardware("llvm", 2)


class Headless(NearCluster):
    """Loses its head when ``lost`` is set."""

    lost = False

    def nodes(self) -> list[ClusterNode]:
        if self.lost:
            raise HostLost("the head of the cluster does not answer")
        return super().nodes()

    def start(self, node: ClusterNode, make: Any, *arguments: object) -> Any:
        self.nodes()
        return super().start(node, make, *arguments)


def test_a_run_whose_cluster_loses_its_head_ends_and_says_how_to_go_on() -> None:
    cluster = Headless([node("only")])
    cluster.free.set()
    with session_on(cluster) as session:
        equip(session)
        cluster.lost = True
        cluster.links["only"].end()
        with pytest.raises(MeasureError, match=r"the head of the cluster does not answer; `colt resume` goes on"):
            measured_by(session)


def test_nothing_of_ray_is_called_that_waits_for_a_head_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="fleets come with the extra fleet")
    for name in ("nodes", "kill", "shutdown", "remote"):
        monkeypatch.setattr(ray, name, lambda *given, **named: pytest.fail("it waits for the head"))
    monkeypatch.setattr(Cluster, "stuck", False)
    cluster = Cluster(opened=True, head="127.0.0.1:1")
    for call in (cluster.nodes, lambda: cluster.start(node("1"), HostActor)):
        with pytest.raises(HostLost, match=r"the head of the cluster, 127\.0\.0\.1:1, does not answer"):
            call()
    Link(None, cluster._is_headed).end()
    cluster.close()
    assert Cluster.stuck
