"""Who joins, waits, is refused and is lost, on hosts that are objects of this process."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from colt.fleet.cluster import ClusterNode
from colt.fleet.member import Patience
from colt.fleet.session import Session
from tests.helpers.fleet_side import SimulatedSide
from tests.helpers.near_hosts import NearCluster

PATIENCE = Patience(beat_s=0.05, grace_s=1.0, start_s=0.4, join_s=5.0, gather_s=0.2, queue_s=10.0, look_s=0.02)


def node(identity: str, name: str = "") -> ClusterNode:
    return ClusterNode(identity, f"{name or identity}-{os.getpid()}", 2)


@contextmanager
def session_on(cluster: Any) -> Iterator[Session]:
    made = Session(cluster, pickle.dumps(SimulatedSide(0.0)), PATIENCE)
    try:
        yield made
    finally:
        made.close()


def test_a_run_waits_for_hosts_whose_cores_are_taken_if_there_are_no_others() -> None:
    cluster = NearCluster([node("taken")])
    threading.Timer(2 * PATIENCE.start_s, cluster.free.set).start()
    with session_on(cluster) as session:
        assert list(session.reports()) == [node("taken").name]
