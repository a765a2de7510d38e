"""The command line in this process: what each command takes, prints and returns."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NoReturn

import pytest

from colt.cli import main
from colt.errors import MeasureError, Rejected
from colt.machine import Peaks
from colt.run.context import Run
from colt.tvm.devices import peaks
from colt.tvm.space.space import TvmSpace
from tests.helpers.command import colt, refused
from tests.helpers.simulated_runs import measured_by, simulated


def test_workloads_lists_names_shapes_and_flops() -> None:
    done = colt("workloads")
    assert done.returncode == 0
    assert re.search(r"deepseek-r1-moe.*paper.*B\[7168, 2048\].*0\.470", done.stdout)


def test_hardware_shows_caches_and_peaks() -> None:
    done = colt("hardware")
    assert done.returncode == 0
    for row in ("cpu", "SIMD", "L2", "FMA peak, 1 thread", "memory bandwidth"):
        assert row in done.stdout
    # Which kernel reached a peak depends on the machine: on some it reads fastest, on some it copies.
    assert re.search(r"FMA peak, \d+ threads? .* [\d.]+ GFLOPS \(.+\)", done.stdout)
    assert re.search(r"memory bandwidth .* [\d.]+ GB/s \(.+\)", done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small program, made by the command line."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("cli")
    (folder / "own.py").write_text(OWN_PROGRAM)
    settings = ("--trials", "6", "--batch-size", "3", "--pool", "scout", "--run", str(folder / "out"))
    with measured_by(simulated()):
        done = colt("tune", f"{folder}/own.py:layer", *settings)
    assert done.returncode == 0, done.stderr
    assert "speed-up" in done.stdout
    assert f"run directory: {folder / 'out'}" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("trial ")]
    assert len(lines) == 2  # one plain line per batch when stderr is no terminal
    assert re.match(r"trial 3/6  best .* µs \(.*x\)  last .* by .*  next .* s left", lines[0])
    return folder / "out"


def test_names_are_shown_as_they_are(run: Path, tmp_path: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    receipt["workload"]["name"] = "a[/b] [red]c"
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    done = colt("show", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "a[/b] [red]c" in done.stdout


def test_show_prints_the_result_again(run: Path) -> None:
    done = colt("show", str(run))
    assert done.returncode == 0
    assert "speed-up" in done.stdout
    assert json.loads(colt("show", str(run), "--json").stdout) == json.loads((run / "receipt.json").read_text())


def test_a_receipt_of_another_schema_is_refused(run: Path, tmp_path: Path) -> None:
    changed = json.loads((run / "receipt.json").read_text()) | {"schema": 99}
    (tmp_path / "receipt.json").write_text(json.dumps(changed))
    assert "schema 99" in refused("show", str(tmp_path))


def test_a_program_that_no_rule_can_schedule_is_kept_and_the_reason_given(
    own_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def rejected(*rest: object) -> NoReturn:
        raise Rejected("nothing fits")

    for name in ("sample", "apply", "realise"):
        monkeypatch.setattr(TvmSpace, name, rejected)
    monkeypatch.chdir(tmp_path)
    with measured_by(simulated()):
        done = colt("tune", own_program, "--trials", "4", "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert (receipt["best"], receipt["speedup"], receipt["trials"]["total"]) == (None, 1.0, 0)
    assert "no schedule of this program could be made: nothing fits" in receipt["messages"]


def test_the_config_of_a_run_repeats_its_settings(
    run: Path, tmp_path: Path, own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(run / "config.toml")
    monkeypatch.chdir(tmp_path)
    arguments = ("--trials", "2", "--json", "--config", config, "--rollouts", "1", "--pool", "scout")
    with measured_by(simulated()):
        done = colt("tune", own_program, *arguments)
    settings = json.loads(done.stdout)["config"]
    assert settings["batch_size"] == 3  # from the file
    assert settings["rollouts"] == 1  # an option beats the file


def test_bad_arguments_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "did you mean" in refused("tune", "matmull").lower() or "matmul" in refused("tune", "matmull")
    assert "trials" in refused("tune", "matmul", "--trials", "0", "--no-records")
    assert "trials" in refused("tune", "matmul", "--trials", "many")
    assert "no_such.py" in refused("tune", "no_such.py:f")
    assert "understood" in refused("tune", "matmul", "--target", "{bad")
    assert "no such device" in refused("tune", "matmul", "--target", "nvidia/nvidia-h100")
    assert "size" in refused("tune", "matmul", "--size", "huge")
    assert "nobody" in refused("tune", "matmul", "--pool", "nobody")
    assert "branching" in refused("tune", "matmul", "--branching", "0")
    assert "until-roofline is 1.5" in refused("tune", "matmul", "--until-roofline", "1.5")
    assert "until-roofline" in refused("tune", "matmul", "--until-roofline", "most")
    assert "receipt" in refused("show", str(tmp_path))
    assert "receipt" in refused("export", str(tmp_path), "-o", "x.so")
    refused("export", str(tmp_path))  # no output named
    refused("frobnicate")
    (tmp_path / "bad.toml").write_text("[search]\nbranching = 'two'\n")
    assert "branching" in refused("tune", "matmul", "--config", str(tmp_path / "bad.toml"))
    (tmp_path / "worse.toml").write_text("[search\n")
    assert "TOML" in refused("tune", "matmul", "--config", str(tmp_path / "worse.toml"))
    (tmp_path / "receipt.json").write_text('{"schema": 1}')
    assert "not a receipt" in refused("show", str(tmp_path))
    assert "cannot be measured here" in refused(
        "tune", "matmul", "--target", '{"kind":"llvm","mtriple":"sparc-linux-gnu"}'
    )
    assert "empty name" in refused("tune", "matmul", "--run", "")
    assert "pool is empty" in refused("tune", "matmul", "--pool", "")
    (tmp_path / "misspelt.toml").write_text("[serach]\nepsilon = 0.1\n")
    assert "serach" in refused("tune", "matmul", "--config", str(tmp_path / "misspelt.toml"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "reason", "command"),
    [
        ("tune matmul --trials abc", "--trials is 'abc'; it takes an integer of at least 0", "colt tune"),
        ("tune matmul --trials=-1", "--trials is -1; it takes an integer of at least 0", "colt tune"),
        (
            "tune matmul --until-roofline abc",
            "--until-roofline is 'abc'; it takes a number above 0 and up to 1",
            "tune",
        ),
        (
            "tune matmul --max-usd abc",
            "--max-usd is 'abc'; it takes a number of dollars from 0 to 1000000",
            "colt tune",
        ),
        ("tune matmul --batch-size 1.5", "--batch-size is '1.5'; it takes an integer from 1 to 1024", "colt tune"),
        ("tune matmul --deal none", "--deal is 'none'; it takes one of pool, largest", "colt tune"),
        ("tune matmul --trails 3", "colt tune has no option --trails; did you mean --trials?", "colt tune"),
        ("tune --trails 3", "colt tune has no option --trails; did you mean --trials?", "colt tune"),
        ("tune matmul --trials", "--trials needs a value", "colt tune"),
        ("tune matmul --json=yes", "--json takes no value", "colt tune"),
        ("tune matmul gemv", "unexpected argument: gemv", "colt tune"),
        ("tune", "PROGRAM is missing", "colt tune"),
        ("tun matmul", "colt has no command 'tun'; did you mean tune?", "colt"),
        ("", "COMMAND is missing", "colt"),
        ("--verbose", "colt has no option --verbose; did you mean --version?", "colt"),
        ("show", "DIR is missing", "colt show"),
        ("show runs/a --jsno", "colt show has no option --jsno; did you mean --json?", "colt show"),
        ("replay", "DIR is missing", "colt replay"),
        ("export", "DIR, -o/--output are missing", "colt export"),
        ("bench --out x --seeds abc", "--seeds is 'abc'; it takes an integer", "colt bench"),
        ("pool", "COMMAND is missing", "colt pool"),
        ("pool chek", "colt pool has no command 'chek'; did you mean check?", "colt pool"),
        ("pool check", "POOL is missing", "colt pool check"),
        ("workloads all", "unexpected argument: all", "colt workloads"),
        ("hardware --threads two", "--threads is 'two'; it takes an integer", "colt hardware"),
    ],
)
def test_the_reason_comes_first_and_the_help_is_named(
    arguments: str, reason: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    first, hint = shown.err.splitlines()
    assert shown.out == ""
    assert first.startswith(f"colt: {reason}")
    assert hint.endswith(f"{command} --help)")


def test_what_does_not_fit_together_is_said_in_the_words_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*options: str) -> str:
        assert main(["tune", "matmul", *options]) == 2
        return capsys.readouterr().err

    many = said("--max-usd", "1", "--keep-paying")
    assert many == (
        "colt: --max-usd, --keep-paying are for pools with language models; this one has built-in experts alone\n"
    )
    assert said("--threads", "1000").startswith("colt: --threads is 1000; it takes an integer from 1 to ")
    board = ("--rpc", "board:9190", "--key", "pi", "--until-roofline", "0.9")
    assert said(*board) == "colt: --until-roofline is 0.9, but the peaks of a board are not known\n"
    assert said("--preset", "papers") == "colt: unknown preset 'papers'; did you mean paper?\n"
    (tmp_path / "bad.toml").write_text("[search]\nbatch_size = 0\n")
    assert said("--config", f"{tmp_path}/bad.toml").startswith(f"colt: {tmp_path}/bad.toml: batch_size is 0; it takes")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tune", "matmul", "--rpc", "nowhere", "--key", "k"), "colt: --rpc is 'nowhere'"),
        (("tune", "matmul", "--rpc", "here:9190"), "colt: --key is None"),
        (("tune", "matmul", "--key", "pi"), "colt: --rpc is missing"),
        (("tune", "matmul", "--max-usd", "-1"), "--max-usd is -1; it takes"),
        (("bench", "--out", "o", "--seeds", "0"), "colt: --seeds is 0"),
        (("bench", "--out", "o", "--warm-start", "-1"), "colt: --warm-start is -1"),
        (("bench", "--out", "o", "--space", "all"), "colt: --space is 'all'"),
        (("tune", "matmul", "--run", "/proc/nowhere/run"), "cannot be used as a run directory"),
    ],
)
def test_options_have_the_names_that_they_have_on_the_command_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_warnings_about_peaks_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    def disturbed(threads: int) -> Peaks:
        return Peaks(125.0, 125.0 * threads, 30.0, "copy", threads, "2026-01-01T00:00:00", True)

    monkeypatch.setattr(peaks, "measure_peaks", disturbed)
    done = colt("hardware", "--refresh")
    assert done.returncode == 0
    assert done.stderr == "note: other programs kept the processor busy: the measured peaks may be too low\n"


def test_a_refused_run_leaves_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_program: str
) -> None:
    def broken(*rest: object) -> NoReturn:
        raise MeasureError("no worker starts")

    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "_start", broken)
    assert "no worker starts" in refused("tune", own_program)
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_no_file_can_have_is_no_fault_of_writing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "x" * 500]) == 2
    assert "is not a usable path: File name too long" in capsys.readouterr().err
