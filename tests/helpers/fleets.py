"""Fleets for tests: real Ray, real processes on its nodes; on the hosts latencies are made up unless a test measures.

A node has the label ``colt-host``, as nodes have that share a machine, so that each is a host of its own with a lock of
its own.

    python -P fleets.py tune ... --fleet HOST:PORT        the command line, with such hosts
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COLT = [sys.executable, "-P", __file__]
LABEL = "colt-host"
CORES = 2
"""That each host lends."""
_STORE = 80 << 20
_SETTINGS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,  # five times the head finds nobody before a node counts as dead
    "prestart_worker_first_driver": False,  # a process for each core, of which a host needs one in all
}


def hurry(patch: Any) -> None:
    """Have the driver wait for nobody for long."""
    from colt.fleet import session
    from colt.fleet.member import Patience

    patience = Patience(
        beat_s=0.5, grace_s=4.0, start_s=60.0, queued_s=15.0, join_s=60.0, queue_s=60.0, empty_s=30.0, look_s=0.3
    )
    patch.setattr(session, "PATIENCE", patience)


def make_up(patch: Any, trial_s: float) -> None:
    """Have hosts make latencies up, each in so long, and write libraries that are none."""
    from colt.tvm.devices import fleet
    from colt.tvm.own import packed
    from tests.helpers import fleet_side

    patch.setattr(fleet, "SIDE", packed(fleet_side.SimulatedSide(trial_s)))
    made_up_library(patch)


def made_up_library(patch: Any) -> None:
    """Have the driver write a library that is none."""
    from colt.measure.simulated import SimulatedMeasurer
    from colt.tvm.devices import fleet
    from colt.tvm.programs.program import fingerprint

    patch.setattr(fleet.FleetDevice, "_here", lambda device: SimulatedMeasurer(fingerprint))


@dataclass(frozen=True)
class NewHost:
    """A host that joins a cluster; ``env`` is what its processes find in their environment."""

    name: str
    cores: int = CORES
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Fleet:
    """A cluster whose head lends nothing."""

    cluster: Any
    client_port: int

    @property
    def address(self) -> str:
        """What ``--fleet`` takes."""
        return f"127.0.0.1:{self.cluster.address.rpartition(':')[2]}"

    @property
    def by_client(self) -> str:
        """The same, by Ray's client."""
        return f"ray://127.0.0.1:{self.client_port}"

    def add(self, host: NewHost) -> Any:
        """Its node, which is about to join."""
        given = {"env_vars": dict(host.env)} if host.env else {}
        return self.cluster.add_node(
            wait=False,
            num_cpus=host.cores,
            labels={LABEL: host.name},
            object_store_memory=_STORE,
            include_log_monitor=False,
            **given,
        )

    def drain(self, node: Any, seconds: float) -> None:
        """Have a node told that its machine will be taken away in so long, as whoever lends machines does."""
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        reason, deadline_ms = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION, int((time.time() + seconds) * 1e3)
        taken, why = GcsClient(address=self.cluster.address).drain_node(node.node_id, reason, "for a test", deadline_ms)
        assert taken, why

    @contextmanager
    def with_more(self, *hosts: NewHost) -> Iterator[list[Any]]:
        """While within, these are there, too; and what is added to the nodes that are yielded."""
        nodes: list[Any] = []
        try:
            nodes += map(self.add, hosts)
            yield nodes
        finally:
            for node in nodes:
                self.cluster.remove_node(node, allow_graceful=False)


@contextmanager
def fleet_of(hosts: Sequence[str]) -> Iterator[Fleet]:
    """A cluster on this machine with these hosts."""
    from ray.cluster_utils import Cluster

    from colt.fleet.cluster import own_signals

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", ""))))
    with pytest.MonkeyPatch.context() as patch, own_signals():  # Ray's handlers would outlive the cluster
        patch.setenv("PYTHONPATH", path)
        with socket.create_server(("127.0.0.1", 0)) as server:
            client_port = server.getsockname()[1]
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "ray_client_server_port": client_port,
                "num_cpus": 0,
                "object_store_memory": _STORE,
                "include_dashboard": False,
                "include_log_monitor": False,
                "no_monitor": True,
                "_system_config": _SETTINGS,
            },
        )
        try:
            fleet = Fleet(cluster, client_port)
            for name in hosts:
                fleet.add(NewHost(name))
            yield fleet
        finally:
            cluster.shutdown()


def await_that(true: Any, seconds: float = 30.0) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.1)


def _run() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from colt.tvm.own import leave_torch_out

    leave_torch_out()
    from colt.cli import process
    from colt.measure.base import Pace
    from colt.world.parts import current, using

    with pytest.MonkeyPatch.context() as patch, using(replace(current(), pace=Pace.hasty())):
        hurry(patch)
        make_up(patch, float(os.environ.get("COLT_TEST_TRIAL_S", "0.3")))
        process()


if __name__ == "__main__":
    _run()
