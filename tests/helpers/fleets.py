"""Fleets for tests: real Ray, real processes on its nodes; on the hosts latencies are made up unless a test measures.

A node has the label ``colt-host``, as nodes have that share a machine, so that each is a host of its own with a lock of
its own.

    python -P fleets.py tune ... --fleet HOST:PORT        the command line, with such hosts
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COLT = [sys.executable, "-P", __file__]
LABEL = "colt-host"
CORES = 2
"""That each host lends."""
_STORE = 80 << 20


def _simulated_side(trial_s: float) -> bytes:
    """What hosts do, pickled as the driver does it."""
    from tests.helpers import fleet_side

    return pickle.dumps(fleet_side.SimulatedSide(trial_s))


def hurry(patch: pytest.MonkeyPatch | None, trial_s: float) -> None:
    """Have the hosts of fleets make latencies up, each in so long, and have the driver wait for nobody for long."""
    from colt.fleet import session
    from colt.fleet.member import Patience
    from colt.tvm.devices import fleet

    patience = Patience(beat_s=0.5, grace_s=4.0, start_s=60.0, join_s=60.0, queue_s=60.0, empty_s=30.0, look_s=0.3)
    for owner, name, value in ((fleet, "SIDE", _simulated_side(trial_s)), (session, "PATIENCE", patience)):
        if patch is None:
            setattr(owner, name, value)
        else:
            patch.setattr(owner, name, value)


@dataclass
class Fleet:
    """A cluster whose head lends nothing."""

    cluster: Any

    @property
    def address(self) -> str:
        """What ``--fleet`` takes."""
        return f"127.0.0.1:{self.cluster.address.rpartition(':')[2]}"

    def add(self, name: str, cores: int = CORES, env: Mapping[str, str] | None = None) -> Any:
        """One more host."""
        given = {} if env is None else {"env_vars": dict(env)}
        return self.cluster.add_node(
            num_cpus=cores, labels={LABEL: name}, object_store_memory=_STORE, include_log_monitor=False, **given
        )

    def kill(self, node: Any) -> None:
        """``kill -9`` of the node's daemon, with which all its processes go."""
        from ray._private import ray_constants

        for info in node.all_processes[ray_constants.PROCESS_TYPE_RAYLET]:
            os.kill(info.process.pid, 9)
            info.process.wait()


@contextmanager
def fleet_of(hosts: Sequence[str]) -> Iterator[Fleet]:
    """A cluster on this machine with these hosts."""
    from ray.cluster_utils import Cluster

    from colt.fleet.cluster import own_signals

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", ""))))
    with pytest.MonkeyPatch.context() as patch, own_signals():  # Ray's handlers would outlive the cluster
        patch.setenv("PYTHONPATH", path)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": _STORE, "include_dashboard": False},
        )
        try:
            fleet = Fleet(cluster)
            for name in hosts:
                fleet.add(name)
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
    from colt.cli import process
    from colt.measure.base import Pace
    from colt.world.parts import current, using

    hurry(None, float(os.environ.get("COLT_TEST_TRIAL_S", "0.3")))
    with using(replace(current(), pace=Pace.hasty())):
        process()


if __name__ == "__main__":
    _run()
