"""Runs that broke off, finished from what they had measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import colt
from colt.cli import main
from colt.measure.base import Pace
from colt.run.replay import replay
from colt.run.resume import finish as finish_broken
from colt.util.lock import FolderLock
from colt.world.parts import Parts, using
from tests.helpers.simulated_runs import simulated

pytestmark = pytest.mark.real  # runs are killed in processes of their own

DIES = """
import os, signal, sys
from colt.tvm.own import leave_torch_out
leave_torch_out()
import colt
from colt.world import recording
from tests.helpers.simulated_runs import measured_by, simulated, tune_simulated

put, left = recording.RecordingWriter._put, int(sys.argv[3])

def counted(self, *arguments):
    global left
    put(self, *arguments)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

recording.RecordingWriter._put = counted
if os.path.exists(sys.argv[2]):
    with measured_by(simulated()):
        colt.resume(sys.argv[2])
else:
    tune_simulated(sys.argv[1], run_dir=sys.argv[2], trials=6)
"""
"""A run of six trials, begun or resumed, that is killed after so many answers."""
PARTS = Parts(measurer=lambda limits, peak_gflops: simulated(), pace=Pace.hasty())


def killed(program: str, folder: Path, answers: int) -> Path:
    """The directory of a run that was killed with SIGKILL."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", DIES, program, str(folder), str(answers)]
    done = subprocess.run(command, env=env, timeout=120, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after a few trials; to be copied."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("broken")
    (folder / "own.py").write_text(OWN_PROGRAM)
    return killed(f"{folder}/own.py:layer", folder / "run", 4)


@pytest.mark.parametrize("answers", [2, 3, 6, 9, 11])
def test_a_killed_run_is_finished_and_replays(answers: int, broken: Path, tmp_path: Path) -> None:
    folder = killed(f"{broken.parent}/own.py:layer", tmp_path / "run", answers)
    measured = (folder / "recording.jsonl").read_text().count('"kind":"measured"')
    with using(PARTS):
        result = finish_broken(folder)
    assert result.receipt.trials.total == measured - (measured > 0)  # one is the untuned program
    assert result.receipt.stop_reason == ("trials" if measured > 6 else "broken off")
    assert {"receipt.json", "recording.jsonl", "journal.jsonl", "winner.json"} <= {one.name for one in folder.iterdir()}
    assert not list(folder.glob(".*"))
    assert replay(folder).identical
    with pytest.raises(colt.InputError, match="holds a finished run"):
        finish_broken(folder)


def test_a_run_that_is_killed_again_and_again_is_resumed_to_its_end(broken: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "run"))
    before = b""
    for answers in (2, 3, 4):  # the first of them is the opening of the file
        killed(f"{broken.parent}/own.py:layer", folder, answers)
        content = (folder / "recording.jsonl").read_bytes()
        assert content.startswith(before)
        assert len(content) > len(before)
        before = content
    with using(PARTS):
        result = colt.resume(folder)
    assert (result.receipt.trials.total, result.receipt.stop_reason) == (6, "trials")
    measured = re.findall(r'"asked":"measure (-?[0-9]+):', (folder / "recording.jsonl").read_text())
    assert measured == [str(number) for number in range(-1, 6)]
    assert replay(folder).identical


def test_a_torn_last_line_is_dropped_and_a_torn_middle_is_refused(broken: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "run"))
    recording = folder / "recording.jsonl"
    whole = recording.read_bytes()
    recording.write_bytes(whole.replace(b'"line":3', b'"line":"3', 1))
    with pytest.raises(colt.InputError, match="line 3, is damaged"):
        finish_broken(folder)
    assert not (folder / "receipt.json").exists()
    recording.write_bytes(whole[:-20])
    with using(PARTS):
        finish_broken(folder)
    assert replay(folder).identical


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("recording.jsonl", '"apache-tvm":"', '"apache-tvm":"9', "made with apache-tvm 9"),
        ("recording.jsonl", '"colt":"', '"colt":"9', "made with colt 9"),
        ("recording.jsonl", '"cores":', '"cores":7', "cores was 7"),
    ],
)
def test_another_machine_or_version_is_refused_by_name(
    name: str, old: str, new: str, said: str, broken: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "run"))
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(colt.InputError, match=said):
        finish_broken(folder)


def test_a_run_that_goes_on_is_left_alone(broken: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "run"))
    with FolderLock(folder), pytest.raises(colt.InputError, match=f"in use: process {os.getpid()} works on this run"):
        finish_broken(folder)


def test_a_finish_that_fails_leaves_the_run_as_it_was(broken: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(broken, tmp_path / "run"))
    (folder / ".lock").unlink()  # what is left of that of the process that was killed
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(limits: object, peak_gflops: object) -> None:
        raise KeyboardInterrupt

    with using(Parts(measurer=fail, pace=Pace.hasty())), pytest.raises(KeyboardInterrupt):  # type: ignore[arg-type]
        finish_broken(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("command", [["show"], ["replay"], ["export", "-o", "k.so"]])
def test_other_commands_name_those_that_help(
    command: list[str], broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, str(broken)]) == 2
    said = capsys.readouterr().err
    assert f"colt resume {broken} goes on with the run, colt finish {broken} makes one" in said


def test_the_command_prints_the_receipt(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(broken, tmp_path / "run")
    with using(PARTS):
        assert main(["finish", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stop_reason"] == "broken off"
