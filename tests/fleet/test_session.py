"""Who joins, waits, is refused and is lost, on hosts that are objects of this process."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from colt.fleet.cluster import ClusterNode
from colt.fleet.host import HostActor
from colt.fleet.likeness import choose
from colt.fleet.member import Patience
from colt.fleet.session import Equipment, Session
from colt.fleet.share import HostTold, Share
from colt.measure.base import Job, Limits, Pace
from tests.helpers import measure_programs as programs
from tests.helpers.fleet_side import SimulatedSide
from tests.helpers.fleets import await_that
from tests.helpers.near_hosts import NearCluster

PATIENCE = Patience(
    beat_s=0.05, grace_s=1.0, start_s=0.4, join_s=5.0, gather_s=0.2, queue_s=10.0, empty_s=3.0, look_s=0.02
)

SIDE = pickle.dumps(SimulatedSide(0.0))


def node(identity: str, name: str = "") -> ClusterNode:
    return ClusterNode(identity, f"{name or identity}-{os.getpid()}", 2)


@contextmanager
def session_on(cluster: Any) -> Iterator[Session]:
    made = Session(cluster, SIDE, PATIENCE)
    try:
        yield made
    finally:
        made.close()


def test_a_run_waits_for_hosts_whose_cores_are_taken_if_there_are_no_others() -> None:
    cluster = NearCluster([node("taken")])
    threading.Timer(2 * PATIENCE.start_s, cluster.free.set).start()
    with session_on(cluster) as session:
        assert list(session.reports()) == [node("taken").name]


def equip(session: Session) -> None:
    session.admit(choose(session.reports(), None, None))
    session.equip(Equipment("llvm", 2, Limits(), Pace.hasty()))


def measured_by(session: Session) -> str:
    """Which host measures a candidate now."""
    share = Share("measure", Limits(), lambda host, jobs: (jobs, None, None), lambda item: True)
    share.add(Job(0, programs.scheduled_matmul(16)))
    share.close()
    session.share(share)
    answer = share.answer(0)
    assert isinstance(answer, HostTold)
    return answer.host.name


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
