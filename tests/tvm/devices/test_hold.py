"""Runs on this machine measure beside each other, and wait for a fleet that measures here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from colt.errors import MeasureError
from colt.tvm.devices import hold
from colt.tvm.devices.hold import hold_this_machine
from colt.util import lock as locks
from colt.util.lock import Busy, HostLock
from colt.util.waiting import told_of_waiting

HERE = f"here-{os.getpid()}"


@pytest.fixture(autouse=True)
def a_machine_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: HERE)
    monkeypatch.setattr(hold, "_LOOK_S", 0.01)


def test_fleets_are_kept_away_until_the_last_run_ends() -> None:
    first, second = hold_this_machine(), hold_this_machine()
    assert (first.before_s, first.waited_s, first.notes) == (0.0, 0.0, ())
    first.close()
    with pytest.raises(Busy):
        HostLock(HERE, alone=True)
    second.close()
    HostLock(HERE, alone=True).close()


def test_a_run_waits_for_a_fleet_and_says_for_whom() -> None:
    fleet = HostLock(HERE, alone=True)
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        fleet.close()

    with told_of_waiting(hear):
        found = hold_this_machine()
    assert told == [f"waiting for {HERE}: process {os.getpid()} measures here for a fleet"]
    assert found.waited_s > 0
    found.close()


def test_it_does_not_wait_for_ever() -> None:
    fleet = HostLock(HERE, alone=True)
    with pytest.raises(MeasureError, match=f"this machine is not free: process {os.getpid()} measures here"):
        hold_this_machine(longest_s=0.05)
    fleet.close()


def test_where_there_can_be_no_lock_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ALL_SHARE", tmp_path / "nowhere")
    (note,) = hold_this_machine().notes
    assert note.startswith("fleets are not kept from this machine meanwhile: [Errno 2] No such file")
