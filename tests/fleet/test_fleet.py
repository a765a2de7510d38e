"""Whole runs on real Ray clusters, whose nodes are processes of this machine.

On the hosts latencies are made up, so that a candidate takes a moment; one run measures.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.fleet import session
from colt.store.directory import RECORDING
from colt.store.receipt import FleetPart, Receipt
from colt.util.lock import HostLock
from colt.world.answers import MeasuredAnswer
from colt.world.recording import read_recording
from tests.helpers.fleet_side import DIES, EATS, HANGS, MOST_EATEN
from tests.helpers.fleets import COLT, Fleet, NewHost, await_that, fleet_of, hurry, made_up_library, make_up

pytest.importorskip("ray", reason="fleets come with the extra fleet")
pytestmark = pytest.mark.real

A = f"a-{os.getpid()}"
OPTIONS: dict[str, Any] = {"pool": ["scout", "tuner"]}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """One host; tests add others and take them away. Each that a run has is 2.5 processor-seconds of imports."""
    with fleet_of([A]) as made:
        yield made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hurry(monkeypatch)
    yield
    session.leave()


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    make_up(monkeypatch, 0.2)


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


@contextmanager
def another_run_on(host: str) -> Iterator[list[str]]:
    """Another run measures there until this one waits for it: ``"over"`` stands in what is yielded then."""
    lock = HostLock(host, alone=True)
    found: list[str] = []

    def end() -> None:
        try:
            await_that(lambda: _waits_for(host))
            found.append("over")
        finally:
            lock.close()

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield found
    finally:
        thread.join()


def _waits_for(host: str) -> bool:
    there = session._Current.session
    known = there.roster.nodes.values() if there is not None and not there.closed else ()
    return any(one.name == host and one.waits.endswith("measures there") for one in known)


@pytest.mark.usefixtures("made_up")
def test_hosts_that_die_hang_and_come_later_lose_no_trial(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    """One node is killed and one stopped, each with candidates under way; then another comes."""
    dying, hanging, late = (f"{name}-{os.getpid()}" for name in ("dying", "hanging", "late"))
    frail = NewHost(dying, env={DIES: str(tmp_path / "died")}), NewHost(hanging, env={HANGS: str(tmp_path / "hung")})
    timed: list[str] = []

    def listen(event: events.Event) -> None:
        if not isinstance(event, events.Timed):
            return
        timed.append(event.host)
        if len(timed) == 4:
            nodes.append(fleet.add(NewHost(late)))
            await_that(lambda: late in [host.name for host in _session().muster.measuring])

    with fleet.with_more(*frail) as nodes:
        found = fleet_part(tuned(fleet, own_program, tmp_path / "run", 24, on_event=[listen]))
    assert (tmp_path / "died").exists()
    assert (tmp_path / "hung").exists()
    left = {host.name: host.left for host in found.hosts}
    assert left[dying]
    assert found.lost == 2
    assert found.measured_again >= 2
    assert late in timed
    assert [host.name for host in found.hosts][-1] == late


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("address", ["address", "by_client"])
def test_a_host_whose_machine_will_be_taken_away_ends_before_that(
    fleet: Fleet, own_program: str, tmp_path: Path, address: str
) -> None:
    """Long before: what it was at counts, the rest is measured elsewhere, and its node ends since it has no work."""
    lent = NewHost(f"lent-{address}-{os.getpid()}")
    timed: list[str] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Timed):
            timed.append(event.host)
            if timed.count(lent.name) == 1 and timed[-1] == lent.name:
                fleet.drain(node, 300.0)

    with fleet.with_more(lent) as (node,):
        options = {"trials": 40, "run_dir": tmp_path / "run", "on_event": [listen], **OPTIONS}
        receipt = colt.tune(own_program, fleet=getattr(fleet, address), **options).receipt
        await_that(lambda: not has_raylet(node))
    require_each_once(receipt, tmp_path / "run", 40)
    found = fleet_part(receipt)
    assert (found.lost, found.refused) == (1, {})
    left = {host.name: host.left for host in found.hosts}
    assert re.fullmatch(r"the cluster takes its node away in [23]\d\d s", left[lent.name])
    assert f"host {lent.name} was lost: {left[lent.name]}" in receipt.messages
    assert 0 < timed.count(lent.name) < timed.count(A)


def has_raylet(node: Any) -> bool:
    """Whether the daemon of a node runs."""
    return any(one.process.poll() is None for one in node.all_processes["raylet"])


@pytest.mark.usefixtures("made_up")
def test_a_node_without_memory_is_left_out(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    """Ray ends what runs there at once."""
    full = NewHost(f"full-{os.getpid()}", env={"RAY_memory_usage_threshold": "0.0"})
    with fleet.with_more(full):
        found = fleet_part(tuned(fleet, own_program, tmp_path / "run", 4))
    assert [host.name for host in found.hosts] == [A]
    assert found.refused == {full.name: "it was lost 3 times in a row, at last: its memory ran out"}


@pytest.mark.usefixtures("made_up")
def test_a_host_that_is_killed_for_its_memory_loses_no_trial(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    allowed, there = get_used_memory() + MOST_EATEN // 2, get_system_memory()
    if allowed + MOST_EATEN > there:
        pytest.skip("it takes more memory than this machine has")
    env = {EATS: str(tmp_path / "ate"), "RAY_memory_usage_threshold": f"{allowed / there:.3f}"}
    with fleet.with_more(eating := NewHost(f"eating-{os.getpid()}", env=env)):
        receipt = tuned(fleet, own_program, tmp_path / "run", 24)
    assert (tmp_path / "ate").exists()
    assert f"host {eating.name} was lost: its memory ran out" in receipt.messages
    found = fleet_part(receipt)
    assert found.lost >= 1, "what others take counts as well"
    assert found.measured_again >= 1


def test_a_run_waits_for_a_host_refuses_others_that_may_build_and_replays_without_ray(
    fleet: Fleet, own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen(event: events.Event) -> None:
        if isinstance(event, events.Baseline):
            happened.append("begun")
        if isinstance(event, events.Timed) and event.trial == 2:
            await_that(lambda: _session().muster.builders > 0)

    make_up(monkeypatch, 0.05)
    other = tmp_path / "other" / "apache_tvm-0.20.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: apache-tvm\nVersion: 0.20.0\n")
    path = os.pathsep.join([str(other.parent), os.environ.get("PYTHONPATH", "")])
    old, small = NewHost(f"old-{os.getpid()}", env={"PYTHONPATH": path}), NewHost(f"small-{os.getpid()}", cores=1)
    options = {"threads": 2, "config": {"batch_size": 24}, "on_event": [listen]}
    with fleet.with_more(old, small), another_run_on(A) as happened:
        receipt = tuned(fleet, own_program, tmp_path / "run", 48, **options)
    assert happened == ["over", "begun"]
    assert receipt.seconds["queueing"] > 0
    found = fleet_part(receipt)
    assert [host.name for host in found.hosts] == [A]
    assert (found.lost, found.measured_again, found.decided_on, found.base) == (0, 0, A, A)
    assert "it has apache-tvm 0.20.0, the driver" in found.refused[old.name]
    why = "it lends 1 of its cores, kernels use 2; it builds for the others"
    assert found.refused[small.name] == why
    assert found.built_elsewhere > 0
    assert receipt.hardware.board is None
    monkeypatch.setitem(sys.modules, "ray", None)
    assert colt.replay(tmp_path / "run").identical


@pytest.mark.usefixtures("made_up")
def test_a_run_goes_on_whose_driver_was_killed(fleet: Fleet, own_program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*COLT, "tune", own_program, "--fleet", fleet.address, "--trials", "14", "--run", str(folder)]
    driver = subprocess.Popen([*command, "--pool", "scout,tuner"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        recording = folder / RECORDING
        await_that(lambda: recording.is_file() and recording.read_bytes().count(b'"kind":"measured"') > 5, 60.0)
    finally:
        driver.kill()
        driver.wait()
    before = recording.read_bytes().count(b'"kind":"measured"')
    assert before < 14
    receipt = colt.resume(folder, fleet=fleet.by_client).receipt
    require_each_once(receipt, folder, 14)
    assert colt.replay(folder).identical


def test_kernels_are_built_timed_and_verified_on_a_host(
    fleet: Fleet, own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_library(monkeypatch)
    receipt = tuned(fleet, own_program, tmp_path / "run", 4)
    assert receipt.verified.ok
    assert receipt.best is not None
    (host,) = fleet_part(receipt).hosts
    assert host.name == A
    assert host.reference_us > 0
    assert receipt.build is not None
    assert receipt.build.total > 0


def _session() -> session.Session:
    found = session._Current.session
    assert found is not None
    return found
