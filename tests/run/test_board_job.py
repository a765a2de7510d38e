"""The main job with kernels on a board: a tracker and a server on this machine."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tvm

import colt
from colt.errors import InputError, MeasureError
from colt.machine import detect
from colt.plan import plan
from colt.run import finish
from colt.store.receipt import load_receipt
from colt.tvm.devices.assumed import assumed_hardware, resolve_board_target, simd_of_target
from colt.tvm.devices.resolve import recorded_device
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from tests.helpers.command import colt as colt_command
from tests.helpers.command import refused
from tests.helpers.loopback_board import LoopbackBoard, free_port

TRIALS = ("--trials", "4", "--threads", "2")
PI = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, loopback_board: LoopbackBoard) -> Path:
    """A finished run of four trials by the command line."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("board")
    (folder / "own.py").write_text(OWN_PROGRAM)
    where = ("--rpc", loopback_board.address, "--key", loopback_board.key)
    done = colt_command("tune", f"{folder}/own.py:layer", *where, *TRIALS, "--run", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    assert f"board: {loopback_board.address}, key {loopback_board.key}" in done.stdout
    return folder / "out"


@pytest.mark.real
def test_a_run_on_a_board_finds_a_verified_winner_and_says_where(run: Path, loopback_board: LoopbackBoard) -> None:
    receipt = load_receipt(run)
    assert receipt.verified.ok
    assert receipt.best is None or receipt.best.latency_us < receipt.baseline.latency_us  # beside other loads
    assert receipt.trials.total == 4
    assert receipt.threads == 2
    hardware = receipt.hardware
    assert hardware.board == f"{loopback_board.address}, key {loopback_board.key}"
    assert (hardware.fma_gflops, hardware.bandwidth_gbs, hardware.fma_pattern, receipt.roofline) == (None,) * 4
    assert receipt.baseline.roofline_share is None
    assert any("the board is taken for" in message for message in receipt.messages)
    assert tvm.runtime.load_module(str(run / "kernel.so"))["main"] is not None


@pytest.mark.real
def test_the_config_records_the_board(run: Path, loopback_board: LoopbackBoard) -> None:
    asked = tomllib.loads((run / "config.toml").read_text())["run"]
    assert (asked["rpc"], asked["key"]) == (loopback_board.address, loopback_board.key)


@pytest.mark.real
def test_a_run_on_two_boards_replays_and_goes_on(loopback_board: LoopbackBoard, tmp_path: Path) -> None:
    from tests.conftest import OWN_PROGRAM

    for _ in range(2):
        loopback_board.start_server("two")
    (tmp_path / "own.py").write_text(OWN_PROGRAM)
    where = ("--rpc", loopback_board.address, "--key", "two", "--boards", "2")
    out = tmp_path / "out"
    done = colt_command(
        "tune", f"{tmp_path}/own.py:layer", *where, "--trials", "12", "--threads", "1", "--run", str(out)
    )
    assert done.returncode == 0, done.stderr
    receipt = load_receipt(out)
    assert receipt.verified.ok
    assert receipt.trials.total == 12
    assert receipt.fleet is not None
    assert receipt.fleet.base == receipt.fleet.hosts[0].name
    assert sorted(trial for host in receipt.fleet.hosts for trial in host.trials) == list(range(12))
    assert receipt.hardware.board == f"{loopback_board.address}, key two"
    timed = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines() if '"timed"' in line]
    assert sorted(one["trial"] for one in timed) == list(range(12))
    assert all(one["host"].startswith("127.0.0.1:") for one in timed if one["latency_us"] is not None)
    replayed = colt_command("replay", str(out))
    assert replayed.returncode == 0, replayed.stderr
    resumed = colt_command("resume", str(out), "--trials", "14")
    assert resumed.returncode == 0, resumed.stderr
    after = load_receipt(out)
    assert after.fleet is not None
    assert after.fleet.base == receipt.fleet.base  # latencies go on in its microseconds
    assert sorted(trial for host in after.fleet.hosts for trial in host.trials) == list(range(14))


@pytest.mark.real
def test_a_run_on_a_board_is_exported_linked_and_as_objects(run: Path, tmp_path: Path) -> None:
    for name in ("k.so", "k.tar"):
        done = colt_command("export", str(run), "-o", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert tvm.runtime.load_module(str(tmp_path / name))["main"] is not None
    assert (tmp_path / "k.tar").read_bytes()[:2] == b"\x1f\x8b"  # objects, not the library by another name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rpc": "board:9190"}, "with rpc it takes the key"),
        ({"key": "pi"}, "a key is for a board"),
        ({"rpc": "board", "key": "pi"}, "HOST:PORT"),
        ({"rpc": "board:9190", "key": "pi", "until_roofline": 0.9}, "peaks of a board are not known"),
        ({"rpc": "board:9190", "key": "pi", "threads": 0}, "integer from 1 to 1024"),
        ({"rpc": "board:9190", "key": "pi", "target": {"kind": "cuda"}}, "only llvm"),
        ({"rpc": "board:9190", "key": "pi", "target": {"kind": "llvm", "mcpu": "cortex-a72"}}, "num-cores"),
        ({"rpc": "board:9190", "key": "pi", "target": PI | {"mcpu": "cortex-z"}}, "unknown to LLVM for aarch64"),
        ({"rpc": "board:9190", "key": "pi", "target": PI | {"mcpu": "native"}}, "name its cpu"),
        ({"rpc": "board:9190", "key": "pi", "target": PI | {"mtriple": "abacus-linux"}}, "not understood"),
        ({"rpc": "board:9190", "key": "pi", "target": PI | {"num-cores": 0}}, "at least 1"),
        ({"target": PI}, "with rpc and key"),
    ],
)
def test_what_is_accepted_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan("matmul", **options)


def test_bad_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "HOST:PORT" in refused("tune", "matmul", "--rpc", "nowhere", "--key", "pi")
    assert list(tmp_path.iterdir()) == []


def test_threads_of_a_board_are_its_own() -> None:
    board = {"rpc": "board:9190", "key": "pi"}
    foreign = plan("matmul", target=json.dumps(PI), **board)
    assert (foreign.threads, foreign.device.assumptions) == (4, ())
    assert plan("matmul", target=PI, threads=3, **board).threads == 3
    assumed = plan("matmul", threads=64, **board)
    assert assumed.threads == int(assumed.target.attrs["num-cores"]) == 64
    generic = plan("matmul", target={name: PI[name] for name in ("kind", "mtriple", "num-cores")}, **board)
    assert generic.device.assumptions == ("the target names no mcpu: code is for any aarch64",)


@pytest.mark.real
def test_no_tracker_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="cannot be reached"):
        colt.tune("matmul", trials=4, rpc=f"127.0.0.1:{free_port()}", key="pi", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.real
def test_a_board_of_another_kind_than_the_target_is_an_error(loopback_board: LoopbackBoard, own_program: str) -> None:
    with pytest.raises(MeasureError, match="a processor as the target says"):
        colt.tune(own_program, trials=4, target=PI, rpc=loopback_board.address, key=loopback_board.key)


@pytest.mark.real
def test_a_kernel_that_cannot_be_linked_here_is_left_as_objects(tmp_path: Path, own_program: str) -> None:
    device = recorded_device(PI, 4, "board:9190", "pi")
    module = load_program(own_program, None).module
    notes: list[str] = []
    with LocalMeasurer(device.target, device.threads, workers=1) as measurer:
        job = SimpleNamespace(plan=SimpleNamespace(device=device), measurer=measurer, note=notes.append)
        finish._export(job, module, tmp_path)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] == ["kernel.tar"]
    assert notes == ["kernel.tar, not kernel.so: aarch64 is not linked here but where TVM loads it"]


@pytest.mark.parametrize(
    ("target", "vectors"),
    [
        (PI, ("NEON", 128, 32)),
        (PI | {"mcpu": "neoverse-v1"}, ("NEON", 128, 32)),
        ({"kind": "llvm", "mtriple": "armv7l-linux-gnueabihf", "mattr": ["+neon"], "num-cores": 4}, ("NEON", 128, 16)),
        ({"kind": "llvm", "mtriple": "riscv64-linux-gnu", "mcpu": "sifive-x280", "num-cores": 4}, ("RVV", 512, 32)),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "znver4", "num-cores": 4}, ("AVX-512", 512, 32)),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "haswell", "num-cores": 4}, ("AVX2", 256, 16)),
        ({"kind": "llvm", "mtriple": "powerpc64le-linux-gnu", "num-cores": 4}, ("unknown", 128, 16)),
    ],
)
def test_vectors_are_those_of_the_target(target: dict[str, Any], vectors: tuple[str, int, int]) -> None:
    simd = simd_of_target(resolve_board_target(target, None).target)
    assert (simd.name, simd.vector_bits, simd.registers) == vectors


def test_what_a_target_says_of_this_machine_is_true() -> None:
    here, assumed = detect(), assumed_hardware(resolve_board_target(None, 2).target)
    assert (assumed.simd, assumed.architecture, assumed.cores) == (here.simd, here.architecture, 2)
    assert "l2" in assumed.assumed
    assert not assumed.peaks.measured


@pytest.mark.real
@pytest.mark.parametrize("workload", ["matmul", "llama3-attention"])
def test_there_is_a_space_for_arm(workload: str) -> None:
    space = TvmSpace.generated(load_program(workload, None).module, resolve_board_target(PI, None).target)
    assert space.sketches
