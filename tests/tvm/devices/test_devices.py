"""What every device promises, on this machine's CPU and on a board; and what each accepts and says of itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tvm
from tvm_ffi import structural_equal

from colt.errors import InputError, MeasureError
from colt.machine import detect
from colt.measure.base import Fate, Job, Limits, Pace
from colt.store.directory import KERNEL, KERNEL_OBJECTS
from colt.tvm.devices import cpu
from colt.tvm.devices.base import Device
from colt.tvm.devices.board import BoardDevice
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.devices.resolve import recorded_device, resolve_device
from tests.helpers import measure_programs as programs
from tests.helpers.loopback_board import LoopbackBoard, free_port

PI = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 4}
BOARD = {"rpc": "board:9190", "key": "pi"}
QUICK = Limits(total_ms=30.0, connect_seconds=40.0)


@pytest.fixture(scope="module", params=["cpu", "board"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    if request.param == "cpu":
        yield resolve_device(threads=2)
    else:
        board: LoopbackBoard = request.getfixturevalue("loopback_board")
        yield resolve_device(threads=2, rpc=board.address, key=board.key)


# ---- every device ----


def test_it_is_looked_at(device: Device) -> None:
    hardware, notes = device.look()
    assert hardware.simd == detect().simd
    assert hardware.peaks.measured == (device.why_no_peaks is None)
    assert hardware.peaks.measured or notes, "what is assumed is said"


def test_it_measures_verifies_and_writes_the_kernel_under_its_name(device: Device, tmp_path: Path) -> None:
    peak = device.look()[0].peaks.fma_gflops_all_threads
    program, tuned = programs.matmul(64), programs.scheduled_matmul(64)
    with device.measurer(QUICK, peak_gflops=peak, pace=Pace.hasty()) as measurer:
        (result,) = measurer.measure([Job(0, tuned)])
        assert result.fate is Fate.OK
        assert result.seconds_waiting == 0.0  # the pace is the measurer's
        assert measurer.verify(program, tuned).ok
        measurer.export(tuned, tmp_path / device.kernel_name)
    assert tvm.runtime.load_module(str(tmp_path / device.kernel_name))["main"] is not None


def test_a_recorded_run_names_the_same_device(device: Device) -> None:
    again = recorded_device(str(device.target), device.threads, **device.to_config())
    assert type(again) is type(device)
    assert structural_equal(again.target, device.target)
    for name in ("place", "address", "threads", "why_no_peaks", "kernel_name", "why_not_linked"):
        assert getattr(again, name) == getattr(device, name)
    assert again.to_config() == device.to_config()


def test_no_peak_is_lower_after_it_is_looked_at_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware, _ = device.look()

    def higher(hardware: Any, threads: int) -> Any:
        warnings.warn("busy", stacklevel=1)
        return replace(hardware, cpu="seen again")

    monkeypatch.setattr(cpu, "measured_again", higher)
    again, notes = device.look_again(hardware)
    if device.why_no_peaks is None:
        assert (again.cpu, notes) == ("seen again", ("busy",))
    else:
        assert (again, notes) == (hardware, ())


def test_it_has_an_address_if_it_is_elsewhere(device: Device) -> None:
    elsewhere = device.address is not None
    assert elsewhere == bool(device.to_config())
    assert device.place == ("the board" if elsewhere else "this machine")


# ---- this machine ----


def test_warnings_of_the_look_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(threads: int) -> Any:
        warnings.warn("the peaks may be too low", stacklevel=1)
        return detect()

    monkeypatch.setattr(cpu, "hardware_with_peaks", warned)
    assert resolve_device(threads=2).look() == (detect(), ("the peaks may be too low",))


def test_a_second_look_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(hardware: Any, threads: int) -> Any:
        raise MeasureError("it took too long")

    monkeypatch.setattr(cpu, "measured_again", failing)
    assert resolve_device(threads=2).look_again(detect()) == (detect(), ("it took too long",))


def test_threads_of_this_machine_are_at_most_its_cores() -> None:
    cores = detect().cores
    assert resolve_device().threads == int(resolve_device().target.attrs["num-cores"]) == cores
    for threads in (0, cores + 1, True, 1.0, "2"):
        with pytest.raises(InputError, match=f"integer from 1 to {cores}, the cores of this machine"):
            resolve_device(threads=threads)  # type: ignore[arg-type]


# ---- boards ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rpc": "board:9190"}, "with rpc it takes the key"),
        ({"key": "pi"}, "a key is for a board"),
        ({"rpc": "board", "key": "pi"}, "HOST:PORT"),
        (BOARD | {"threads": 0}, "integer from 1 to 1024$"),
        (BOARD | {"threads": 1025}, "integer from 1 to 1024$"),
        (BOARD | {"target": {"kind": "cuda"}}, "only llvm"),
        (BOARD | {"target": {"kind": "llvm", "mcpu": "cortex-a72"}}, "num-cores"),
        (BOARD | {"target": PI | {"mcpu": "cortex-z"}}, "unknown to LLVM for aarch64"),
        (BOARD | {"target": PI | {"mcpu": "native"}}, "name its cpu"),
        (BOARD | {"target": PI | {"mtriple": "abacus-linux"}}, "not understood"),
        (BOARD | {"target": PI | {"num-cores": 0}}, "at least 1"),
        ({"target": PI}, "with rpc and key"),
        ({"target": {"kind": "cuda"}}, "cuda"),
        ({"target": "["}, "not understood"),
    ],
)
def test_what_is_accepted_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        resolve_device(**options)


def test_threads_of_a_board_are_its_own() -> None:
    foreign = resolve_device(json.dumps(PI), **BOARD)
    assert (foreign.threads, foreign.assumptions) == (4, ())
    assert resolve_device(PI, 3, **BOARD).threads == 3
    assumed = resolve_device(threads=64, **BOARD)
    assert assumed.threads == int(assumed.target.attrs["num-cores"]) == 64
    generic = resolve_device({name: PI[name] for name in ("kind", "mtriple", "num-cores")}, **BOARD)
    assert generic.assumptions == ("the target names no mcpu: code is for any aarch64",)


def test_a_board_of_another_architecture_gets_objects() -> None:
    foreign, like_this = resolve_device(PI, **BOARD), resolve_device(**BOARD)
    assert (foreign.kernel_name, like_this.kernel_name) == (KERNEL_OBJECTS, KERNEL)
    assert foreign.why_not_linked == "aarch64 is not linked here but where TVM loads it"
    assert like_this.why_not_linked is None
    assert foreign.address == "board:9190, key pi"


def test_a_board_that_is_not_there_is_seen_at_the_first_look() -> None:
    with pytest.raises(MeasureError, match="cannot be reached"):
        resolve_device(rpc=f"127.0.0.1:{free_port()}", key="pi").look()


def test_a_recorded_run_of_another_machine_keeps_its_device() -> None:
    there = recorded_device(json.dumps(PI), 3)
    assert isinstance(there, CpuDevice)
    assert (there.threads, there.kernel_name, there.why_not_linked) == (3, KERNEL, None)
    assert isinstance(recorded_device(PI, 3, **BOARD), BoardDevice)
    with pytest.raises(InputError, match="unknown to LLVM"):
        recorded_device(PI | {"mcpu": "abacus"}, 3)
