"""The command line as a process: signals, a terminal, pipes and an exit code, on real hardware."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from colt.util.interrupt import ENDING
from colt.views.terminal import ENDED_ALREADY, STOPPING
from tests.helpers import simulated_command
from tests.helpers.command import AS_INSTALLED, colt, refused
from tests.helpers.hurry import COLT
from tests.helpers.lean import without_torch

pytestmark = pytest.mark.real


def process(
    *arguments: str, cwd: Path | None = None, timeout: float = 120, command: Sequence[str] = AS_INSTALLED
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL
    )


def test_help_lists_the_commands() -> None:
    done = process("--help")
    assert done.returncode == 0
    for command in ("tune", "show", "export", "workloads", "hardware"):
        assert command in done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small program, made by the command line."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("cli")
    (folder / "own.py").write_text(OWN_PROGRAM)
    done = process(
        *("tune", "own.py:layer", "--trials", "6", "--batch-size", "3", "--run", "out"), cwd=folder, command=COLT
    )
    assert done.returncode == 0, done.stderr
    assert "speed-up" in done.stdout
    assert "run directory: out" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("trial ")]
    assert len(lines) == 2  # one plain line per batch when stderr is no terminal
    assert re.match(r"trial 3/6  best .* µs \(.*x\)  last .* by .*  next .* s left", lines[0])
    return folder / "out"


def test_export_writes_a_library_and_lines_that_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(monkeypatch)
    done = colt("export", str(run), "-o", str(tmp_path / "k.so"))
    assert done.returncode == 0
    code = done.stdout.split("\n\n", 1)[1]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "0." in ran.stdout  # the output array of zeros


def test_export_builds_the_kernel_anew_where_the_run_could_not(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("receipt.json", "winner.json"):
        (copy / name).write_bytes((run / name).read_bytes())
    done = colt("export", str(copy), "-o", str(tmp_path / "k.so"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "k.so").stat().st_size > 1000


def test_a_broken_kernel_is_not_exported_as_good(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "receipt.json").write_bytes((run / "receipt.json").read_bytes())
    (copy / "kernel.so").write_bytes(b"junk")
    assert "holds neither" in refused("export", str(copy), "-o", str(tmp_path / "k.so"))
    (copy / "winner.json").write_text("{}")
    assert "winner.json" in refused("export", str(copy), "-o", str(tmp_path / "k.so"))
    (copy / "winner.json").write_bytes((run / "winner.json").read_bytes())
    assert colt("export", str(copy), "-o", str(tmp_path / "k.so")).returncode == 0
    assert (tmp_path / "k.so").stat().st_size > 1000


def test_an_output_that_takes_nothing_is_an_error_without_a_traceback(run: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*AS_INSTALLED, "show", str(run), "--json"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_json_prints_the_receipt_and_nothing_else(tmp_path: Path, own_program: str) -> None:
    done = process("tune", own_program, "--trials", "2", "--json", cwd=tmp_path, command=COLT)
    assert done.returncode == 0
    assert done.stderr == ""
    receipt = json.loads(done.stdout)
    assert receipt["trials"]["total"] == 2
    assert receipt["best"]["latency_us"] > 0
    assert receipt["verified"]["ok"] is True
    assert receipt["stop_reason"] == "trials"
    low, high = receipt["speedup_interval"]
    assert low <= receipt["speedup"] <= high
    assert receipt["verdict"] in ("faster", "no significant difference")
    assert receipt["roofline"]["bound"] == "fma"
    assert (tmp_path / "runs" / "layer-1" / "receipt.json").exists()  # the default run directory


def test_a_refused_run_writes_nothing_and_the_process_ends_with_2(tmp_path: Path) -> None:
    done = process("tune", "matmul", "--trials", "0", "--run", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "command"), [(signal.SIGINT, COLT), *((number, simulated_command.COLT) for number in ENDING)]
)
def test_a_signal_ends_with_a_verified_result(
    number: signal.Signals, command: list[str], tmp_path: Path, own_program: str
) -> None:
    """With workers at work, and, as for them a signal is like another, without."""
    command = [*command, "tune", own_program, "--trials", "10000", "--run", "out"]
    before = signal.signal(number, signal.SIG_DFL)  # under nohup a process is born deaf to SIGHUP, and is to stay so
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(number, before)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("trial "):
            process.send_signal(number)
            break
    said = process.stderr.read()  # on a busy machine it may be told after the search, and in the middle of a line
    assert STOPPING in said or ENDED_ALREADY in said, said
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped: interrupted" in out
    assert "verified: ok" in out or "verified: nothing, as the untuned program is kept" in out
    assert json.loads((tmp_path / "out" / "receipt.json").read_text())["stop_reason"] == "interrupted"


def test_a_terminal_gets_a_live_display(tmp_path: Path, own_program: str) -> None:
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*COLT, "tune", own_program, "--trials", "6"], cwd=tmp_path, stdout=child, stderr=child, env=environment
    )
    os.close(child)
    seen = b""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            chunk = os.read(parent, 65536)
        except OSError:  # the other side has gone
            break
        if not chunk:
            break
        seen += chunk
    assert process.wait(timeout=30) == 0
    text = seen.decode()
    for shown in ("best so far", "of 6", "speed-up"):
        assert shown in text


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen([*AS_INSTALLED, "workloads"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.wait(timeout=30)


PHASES = (
    "looking at the hardware",
    "generating the design space",
    "measuring the untuned program",
    "constructing openings",
)


@pytest.mark.parametrize(
    ("phase", "number"), [*((phase, signal.SIGINT) for phase in PHASES), *zip(PHASES[1:3], ENDING, strict=True)]
)
def test_a_signal_before_the_search_ends_the_process_at_once_and_leaves_no_files(
    phase: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Whatever it is doing: a compiled library may be at work, or a worker may be starting."""
    command = [*AS_INSTALLED, "tune", "flux-attention", "--trials", "64"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert any(line.startswith(phase) for line in child.stderr)
    time.sleep(0.1)
    began = time.monotonic()
    child.send_signal(number)
    assert child.wait(timeout=60) == 128 + number
    assert time.monotonic() - began < 5  # usually 0.3 s
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.4])
def test_a_very_early_interruption_prints_no_traceback_of_ours(delay_s: float, tmp_path: Path) -> None:
    child = subprocess.Popen([*AS_INSTALLED, "workloads"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(delay_s)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert "colt/cli" not in said
    assert "colt/tvm" not in said
