"""From what a user names, or a recorded run has named, to a device.

To add a kind of device, write its file beside ``cpu.py``, and say here which targets or options name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm.target import Target

from colt.errors import ArgumentError
from colt.tvm.devices.assumed import resolve_board_target
from colt.tvm.devices.base import Device
from colt.tvm.devices.board import BoardDevice
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.devices.fleet import FleetDevice
from colt.tvm.workers import Board


def resolve_device(
    target: str | Mapping[str, Any] | Target | None = None,
    threads: int | None = None,
    rpc: str | None = None,
    key: str | None = None,
    boards: int = 1,
    fleet: str | None = None,
    fleet_cpu: str | None = None,
) -> Device:
    """The boards with ``key`` at the tracker ``rpc``, so many at a time, the hosts of the cluster ``fleet``, or this
    machine if neither is named.

    Raises
    ------
    InputError
        One of them is not accepted, or they do not go together; the message says what is.
    """
    board = Board.parse(rpc, key)
    if board is None and boards != 1:
        raise ArgumentError("boards", f"is {boards}; it is for boards of a tracker, with rpc and key", ("rpc", "key"))
    if fleet is not None:
        if board is not None:
            raise ArgumentError("fleet", "and rpc exclude each other", ("rpc",))
        return FleetDevice.resolved(fleet, fleet_cpu, target, threads)
    if fleet_cpu is not None:
        raise ArgumentError("fleet_cpu", "goes with fleet", ("fleet",))
    if board is not None:
        return BoardDevice.resolved(board, target, threads, boards)
    return CpuDevice.resolved(target, threads)


def recorded_device(
    target: str | Mapping[str, Any],
    threads: int,
    rpc: str | None = None,
    key: str | None = None,
    fleet: str | None = None,
    fleet_cpu: str | None = None,
) -> Device:
    """The device of a run that is over: as :func:`resolve_device`, but nothing of this machine has a say in it.

    Raises
    ------
    InputError
        The target is not understood, or is not a complete one.
    """
    board = Board.parse(rpc, key)
    found = resolve_board_target(target, threads).target
    if fleet is not None:
        return FleetDevice.recorded(fleet, fleet_cpu, found, threads)
    return CpuDevice(found, threads) if board is None else BoardDevice(board, found, threads)
