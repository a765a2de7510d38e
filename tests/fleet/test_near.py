"""Whole runs on a fleet without Ray: its hosts are objects of this process, which make latencies up."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tvm.target import Target

import colt
from colt import events
from colt.bench.config import Cell, StrategyName
from colt.bench.strategies import SEARCHES
from colt.bench.task import CellTask
from colt.errors import InputError, MeasureError
from colt.fleet import session
from colt.fleet.cluster import Cluster, ClusterNode
from colt.fleet.member import Patience
from colt.machine import detect
from colt.models import compile
from colt.models.compile import compile_model
from colt.models.options import CompileOptions
from colt.run.replay import read_config
from colt.store.receipt import load_receipt
from colt.tvm.devices import fleet, hold
from colt.util import lock
from colt.util.lock import HostLock
from colt.util.waiting import told_of_waiting
from tests.helpers import bench_records as records
from tests.helpers.fleets import make_up
from tests.helpers.near_hosts import NearCluster
from tests.helpers.small_models import Mlp

NODES = [ClusterNode(name, f"{name}-near-{os.getpid()}", 2) for name in "ab"]
NAMES = {node.name for node in NODES}
_TAKEN = rf"[ab]-near-{os.getpid()}: its cores seem to be taken by other work on the cluster"
TAKEN = re.compile(f"waiting for {_TAKEN}(; {_TAKEN})?")


PATIENCE = Patience(beat_s=0.05, gather_s=2.0, look_s=0.02)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[NearCluster]:
    """Two hosts, whose cores are ``free`` once that is set."""
    there = NearCluster(list(NODES))
    monkeypatch.setattr(Cluster, "connected", lambda address, cores: there)
    monkeypatch.setattr(session, "PATIENCE", PATIENCE)
    make_up(monkeypatch, 0.0)
    yield there
    session.leave()


@pytest.fixture
def taken(cluster: NearCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that do not start at once seem to be taken by others soon."""
    monkeypatch.setattr(session, "PATIENCE", replace(PATIENCE, late_s=0.1))


def test_a_run_is_shared_by_its_hosts_and_replays(cluster: NearCluster, own_program: str, tmp_path: Path) -> None:
    cluster.free.set()
    run = tmp_path / "run"
    receipt = colt.tune(own_program, fleet="local", trials=12, pool=["scout", "tuner"], run_dir=run).receipt
    assert receipt.fleet is not None
    assert {host.name for host in receipt.fleet.hosts} == NAMES
    assert sorted(trial for host in receipt.fleet.hosts for trial in host.trials) == list(range(12))
    assert "queueing" not in receipt.seconds
    assert colt.replay(run).identical


@pytest.mark.usefixtures("taken")
def test_whoever_listens_to_a_run_hears_what_it_waits_for_before_it_begins(
    cluster: NearCluster, own_program: str, tmp_path: Path
) -> None:
    heard: list[str] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Began):
            heard.append(event.phase)
            cluster.free.set()

    colt.tune(own_program, fleet="local", trials=2, pool=["scout"], run_dir=tmp_path / "run", on_event=[hear])
    assert TAKEN.fullmatch(heard[0])


@pytest.mark.real
def test_a_model_is_compiled_on_a_fleet_and_timed_once_no_fleet_measures_here(
    cluster: NearCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.free.set()
    monkeypatch.setattr(lock, "ALL_SHARE", tmp_path)
    monkeypatch.setattr(hold, "_LOOK_S", 0.01)
    other, told = HostLock(platform.node(), alone=True), list[str]()

    def hear(text: str) -> None:
        told.append(text)
        if text.endswith("measures here for a fleet"):
            other.close()

    mlp = Mlp(rows=4, width=8, inner=16)
    options = CompileOptions(
        trials=6, fleet="local", threads=1, records=tmp_path / "records.db", run_dir=tmp_path / "run"
    )
    with told_of_waiting(hear):
        found = compile_model(mlp.graph(), None, options)
    assert f"waiting for {platform.node()}: process {os.getpid()} measures here for a fleet" in told
    assert found.report.seconds["queueing"] > 0
    np.testing.assert_allclose(found(mlp.x), mlp.compute(mlp.x), rtol=1e-4, atol=1e-4)
    assert found.report.trials == sum(task.trials for task in found.report.tasks) >= 6
    assert all(task.trials for task in found.report.tasks)
    configs = [read_config(path.parent) for path in (tmp_path / "run").rglob("config.toml")]
    assert [config["run"]["fleet_cpu"] for config in configs] == [detect().cpu]


@pytest.mark.usefixtures("taken")
def test_a_search_of_a_benchmark_says_what_it_waits_for(cluster: NearCluster, tmp_path: Path) -> None:
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        if text.count("seem") == len(NODES):
            cluster.free.set()

    config = records.config(workloads=("gemv",), trials=2, seeds=1, threads=1, peers=(), fleet="local")
    with told_of_waiting(hear):
        found = SEARCHES[StrategyName.RANDOM](CellTask(config, Cell("gemv", StrategyName.RANDOM, 0), tmp_path))
    assert len(found.trials) == 2
    assert TAKEN.fullmatch(told[0])
    waited_s = load_receipt(tmp_path / "run").seconds["queueing"]
    assert waited_s > 0


def test_what_runs_here_in_the_end_needs_hosts_like_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fleet.FleetDevice.recorded("local", "Another CPU", Target("llvm"), 1)
    with pytest.raises(InputError, match=r"has hosts with Another CPU, this machine is .*: the model runs here"):
        fleet.require_like_here(made, "the model")
    monkeypatch.setattr(fleet, "available_cores", lambda: 1)
    made = fleet.FleetDevice.recorded("local", detect().cpu, Target("llvm"), 2)
    with pytest.raises(InputError, match="has kernels of 2 threads, this machine has 1 cores: the model runs here"):
        fleet.require_like_here(made, "the model")


def test_a_model_is_timed_all_the_same_if_this_machine_is_not_free_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> hold.Hold:
        raise MeasureError("this machine is not free: process 1 measures here for a fleet")

    monkeypatch.setattr(compile, "hold_this_machine", busy)
    held = compile._held_at_the_end(fleet.FleetDevice.recorded("local", None, Target("llvm"), 1))
    assert held.waited_s > 0
    assert held.notes == (
        "the whole model was timed all the same: this machine is not free: process 1 measures here for a fleet",
    )
