"""Whole runs on real Ray clusters, whose nodes are processes of this machine.

On the hosts latencies are made up, so that a candidate takes a moment; one run measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.fleet import session
from colt.fleet.host import lock_folder
from colt.store.directory import RECORDING
from colt.store.receipt import FleetPart, Receipt
from colt.util.lock import FolderLock
from colt.world.answers import MeasuredAnswer
from colt.world.recording import read_recording
from tests.helpers.fleet_side import DIES, HANGS
from tests.helpers.fleets import COLT, Fleet, await_that, fleet_of, hurry

pytest.importorskip("ray", reason="fleets come with the extra fleet")
pytestmark = pytest.mark.real

A, B = (f"{name}-{os.getpid()}" for name in "ab")
TRIAL_S = 0.2
OPTIONS: dict[str, Any] = {"pool": ["scout", "tuner"]}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Two hosts; tests add others and take them away."""
    with fleet_of([A, B]) as made:
        yield made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hurry(monkeypatch, TRIAL_S)
    yield
    session.leave()


def tuned(fleet: Fleet, program: str, folder: Path, trials: int, **options: Any) -> Receipt:
    """The receipt of a run on the fleet, in which every trial is recorded once and timed by one host."""
    receipt = colt.tune(program, fleet=fleet.address, trials=trials, run_dir=folder, **OPTIONS, **options).receipt
    require_each_once(receipt, folder, trials)
    return receipt


def require_each_once(receipt: Receipt, folder: Path, trials: int) -> None:
    assert receipt.trials.total == trials
    lines = read_recording(folder / RECORDING).lines
    asked = [line.asked.partition(":")[0] for line in lines if isinstance(line.answer, MeasuredAnswer)]
    assert len(set(asked)) == len(asked) == trials + 1, "the untuned program is measured, too"
    timed = [trial for host in fleet_part(receipt).hosts for trial in host.trials]
    assert len(set(timed)) == len(timed) == trials


def fleet_part(receipt: Receipt) -> FleetPart:
    assert receipt.fleet is not None
    return receipt.fleet


def test_a_run_on_two_hosts_replays_without_ray(
    fleet: Fleet, own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = tuned(fleet, own_program, tmp_path / "run", 12)
    found = fleet_part(receipt)
    assert [host.name for host in found.hosts] in ([A, B], [B, A])
    assert all(host.trials for host in found.hosts)
    assert (found.lost, found.measured_again, found.refused) == (0, 0, {})
    assert found.decided_on == found.base == found.hosts[0].name
    assert receipt.hardware.board is None
    monkeypatch.setitem(sys.modules, "ray", None)
    assert colt.replay(tmp_path / "run").identical


def test_hosts_that_die_or_hang_lose_no_trial(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    """One node is killed and one stopped, each with candidates under way."""
    dying, hanging = f"dying-{os.getpid()}", f"hanging-{os.getpid()}"
    dies = fleet.add(dying, env={DIES: str(tmp_path / "died")})
    hangs = fleet.add(hanging, env={HANGS: str(tmp_path / "hung")})
    try:
        found = fleet_part(tuned(fleet, own_program, tmp_path / "run", 24))
    finally:
        fleet.kill(dies)
        fleet.cluster.remove_node(hangs)
    assert (tmp_path / "died").exists()
    assert (tmp_path / "hung").exists()
    left = {host.name: host.left for host in found.hosts}
    assert left[dying]
    assert found.lost == 2
    assert found.measured_again >= 2


def test_a_host_that_comes_later_measures(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    late, timed = f"late-{os.getpid()}", []
    nodes: list[Any] = []

    def listen(event: events.Event) -> None:
        if not isinstance(event, events.Timed):
            return
        timed.append(event.host)
        if len(timed) == 4:
            nodes.append(fleet.add(late))
            await_that(lambda: late in [host.name for host in _session().muster.measuring])

    try:
        found = fleet_part(tuned(fleet, own_program, tmp_path / "run", 16, on_event=[listen]))
    finally:
        for node in nodes:
            fleet.cluster.remove_node(node)
    assert late in timed
    assert [host.name for host in found.hosts][-1] == late


def test_unlike_hosts_are_refused_with_what_differs_and_may_build(
    fleet: Fleet, own_program: str, tmp_path: Path
) -> None:
    def listen(event: events.Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 2:
            await_that(lambda: _session().muster.builders > 0)

    other = tmp_path / "other" / "apache_tvm-0.20.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: apache-tvm\nVersion: 0.20.0\n")
    path = os.pathsep.join([str(other.parent), os.environ.get("PYTHONPATH", "")])
    old = fleet.add(f"old-{os.getpid()}", env={"PYTHONPATH": path})
    small = fleet.add(f"small-{os.getpid()}", cores=1)
    try:
        found = fleet_part(
            tuned(fleet, own_program, tmp_path / "run", 40, threads=2, on_event=[listen], config={"batch_size": 24})
        )
    finally:
        for node in (old, small):
            fleet.cluster.remove_node(node)
    assert {host.name for host in found.hosts} == {A, B}
    assert "it has apache-tvm 0.20.0, the driver" in found.refused[f"old-{os.getpid()}"]
    why = "it lends 1 of its cores, kernels use 2; it builds for the others"
    assert found.refused[f"small-{os.getpid()}"] == why
    assert found.built_elsewhere > 0


def test_a_run_waits_for_hosts_on_which_another_measures(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    locks = [FolderLock(lock_folder(name)) for name in (A, B)]
    released: list[float] = []

    def release() -> None:
        released.append(time.monotonic())
        for lock in locks:
            lock.close()

    began: list[float] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Baseline):
            began.append(time.monotonic())

    timer = threading.Timer(6.0, release)
    timer.start()
    try:
        tuned(fleet, own_program, tmp_path / "run", 4, on_event=[listen])
    finally:
        timer.join()
    assert began[0] > released[0]


def test_a_run_goes_on_whose_driver_was_killed(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*COLT, "tune", own_program, "--fleet", fleet.address, "--trials", "20", "--run", str(folder)]
    driver = subprocess.Popen([*command, "--pool", "scout,tuner"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        recording = folder / RECORDING
        await_that(lambda: recording.is_file() and recording.read_bytes().count(b'"kind":"measured"') > 5, 60.0)
    finally:
        driver.kill()
        driver.wait()
    before = recording.read_bytes().count(b'"kind":"measured"')
    assert before < 20
    receipt = colt.resume(folder).receipt
    require_each_once(receipt, folder, 20)
    assert colt.replay(folder).identical


def test_kernels_are_built_timed_and_verified_on_a_host(
    fleet: Fleet, own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colt.tvm.devices import fleet as device
    from colt.tvm.own import packed

    monkeypatch.setattr(device, "SIDE", packed(device.CpuSide()))
    receipt = tuned(fleet, own_program, tmp_path / "run", 4)
    assert receipt.verified.ok
    assert receipt.best is not None
    assert all(host.reference_us > 0 for host in fleet_part(receipt).hosts)
    assert (tmp_path / "run" / "kernel.so").is_file()


def _session() -> session.Session:
    found = session._Current.session
    assert found is not None
    return found
