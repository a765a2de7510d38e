"""A finished run is searched again from its recording, with hardware and network away.

One of the runs is real from end to end, and one on a board. The others differ in what they are told, which is handed
in.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.errors import InputError
from colt.events import Event
from colt.machine import Peaks
from colt.measure.base import Fate, Measurement, Measurer, NoLinker, Verification
from colt.measure.simulated import SimulatedMeasurer
from colt.options import SpaceKind
from colt.plan import plan
from colt.run import roofline
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.replay import METHODS, Replay
from colt.store.directory import RECORDING
from colt.store.receipt import load_receipt
from colt.strategies.tree import TREE
from colt.tvm.devices.board import BoardDevice
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.programs.export import load_module
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import load_program
from colt.tvm.programs.workloads import matmul
from colt.tvm.workers import LocalMeasurer
from colt.world.recording import read_recording
from colt.world.world import Live
from tests.helpers.chat_members import KEY
from tests.helpers.chat_server import ChatServer, Part
from tests.helpers.command import Done
from tests.helpers.command import colt as colt_command
from tests.helpers.hurry import COLT
from tests.helpers.loopback_board import LoopbackBoard
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.simulated_runs import Watched, measured_by, simulated, tune_simulated


def tune(program: Any, folder: Path, measurer: Measurer | None = None, **options: Any) -> Result:
    return tune_simulated(program, measurer, run_dir=folder, **options)


def tune_really(program: Any, folder: Path, **options: Any) -> Result:
    return colt.tune(program, config=colt.SearchConfig(batch_size=3), run_dir=folder, **options)


@contextmanager
def nothing_outside() -> Iterator[None]:
    """No process, no socket, no measurer, no look at this machine, and nothing kept for later runs."""

    def refuse(*rest: Any, **options: Any) -> Any:
        raise AssertionError("a replay reaches outside")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", refuse)
        patch.setattr(subprocess, "Popen", refuse)
        patch.setattr(LocalMeasurer, "__init__", refuse)
        for device in (CpuDevice, BoardDevice):
            for name in ("look", "look_again", "keep_peaks", "measurer"):
                patch.setattr(device, name, refuse)
        patch.setattr(signal, "signal", refuse)
        yield


def replayed(folder: Path, **options: Any) -> Replay:
    with nothing_outside():
        return colt.replay(folder, **options)


def assert_identical(folder: Path) -> None:
    replay = replayed(folder)
    assert replay.difference is None
    assert replay.warnings == ()
    assert replay.identical
    assert replay.events == len((folder / "journal.jsonl").read_text().splitlines())
    assert replay.nodes == load_receipt(folder).space.nodes


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of the user's own program, whose file is no longer what it was."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("replay")
    (folder / "own.py").write_text(OWN_PROGRAM)
    tune(f"{folder}/own.py:layer", folder / "run", trials=12, seed=3)
    (folder / "own.py").write_text("raise SystemExit('nobody imports this again')")
    return folder / "run"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be damaged."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in finished.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def change(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


# ---- identical ----


def test_a_finished_run_is_replayed_identically_and_nothing_is_measured(finished: Path) -> None:
    assert_identical(finished)


@pytest.mark.real
def test_a_run_on_this_machine_is_replayed_identically(own_program: str, tmp_path: Path) -> None:
    tune_really(own_program, tmp_path / "run", trials=6)
    assert_identical(tmp_path / "run")


def test_a_replay_says_so(finished: Path) -> None:
    replay = replayed(finished)
    assert str(replay) == f"identical: {replay.events} events, {replay.nodes} nodes, receipt equal"


def test_the_directory_of_a_replay_is_that_of_the_run(finished: Path, tmp_path: Path) -> None:
    assert replayed(finished, run_dir=tmp_path / "again").identical
    names = {path.name for path in finished.iterdir()} - {"kernel.so"}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    for name in names - {"journal.jsonl", "winner.json"}:  # the one has times, the other is a graph in any order
        assert (tmp_path / "again" / name).read_bytes() == (finished / name).read_bytes(), name
    winners = [load_module((folder / "winner.json").read_bytes()) for folder in (finished, tmp_path / "again")]
    assert fingerprint(winners[0]) == fingerprint(winners[1])
    assert_identical(tmp_path / "again")


def test_a_replay_leaves_the_run_as_it_was(finished: Path) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    replayed(finished)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.real
def test_a_run_whose_cost_model_took_over_is_replayed_by_another_process(own_program: str, tmp_path: Path) -> None:
    config = colt.SearchConfig(cost_model_warmup=8, cost_model_min_rank=-1)
    result = tune(own_program, tmp_path / "run", trials=24, config=config)
    assert result.receipt.scorer.cost_model_samples >= 8
    for seed in ("1", "2"):  # of the hashes of texts, on which the order of sets depends
        done = subprocess.run(
            [*COLT, "replay", str(tmp_path / "run")],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert (done.returncode, done.stdout[:10]) == (0, "identical:"), done.stdout + done.stderr


def test_a_workload_is_replayed(tmp_path: Path) -> None:
    tune("gru-cell", tmp_path / "run", simulated(untuned_us=1e7), trials=3, exact_math=True, threads=1)
    assert_identical(tmp_path / "run")


def test_a_program_that_was_an_object_is_replayed(own_program: str, tmp_path: Path) -> None:
    tune(load_program(own_program).module, tmp_path / "run")
    assert_identical(tmp_path / "run")


def test_a_run_over_metaschedules_space_is_replayed(own_program: str, tmp_path: Path) -> None:
    made = plan(own_program, trials=3, run_dir=tmp_path / "run", pool=["scout"])
    with measured_by(simulated()):
        run(replace(made, space=SpaceKind.METASCHEDULE))
    assert_identical(tmp_path / "run")


@pytest.mark.parametrize("after", [0, 4])
def test_a_run_that_was_interrupted_is_replayed(after: int, own_program: str, tmp_path: Path) -> None:
    """Before the first trial, and in the middle of the second batch."""

    def interrupt(event: Event) -> None:
        if isinstance(event, events.Asked if after == 0 else events.Timed) and event.trial == max(0, after - 1):
            os.kill(os.getpid(), signal.SIGINT)

    result = tune(own_program, tmp_path / "run", trials=9, on_event=[interrupt])
    assert (result.receipt.stop_reason, result.receipt.trials.total) == ("interrupted", after)
    assert_identical(tmp_path / "run")


def test_a_run_that_the_clock_stopped_is_replayed(own_program: str, tmp_path: Path) -> None:
    result = tune(own_program, tmp_path / "run", simulated(trial_s=0.05), trials=10_000, seconds=1.5)
    assert result.receipt.stop_reason == "seconds"
    assert_identical(tmp_path / "run")


def test_a_run_that_stopped_at_the_roofline_is_replayed(own_program: str, tmp_path: Path) -> None:
    peaks = Peaks(100.0, 200.0, 30.0, "copy", 2, "2026-01-01T00:00:00")
    result = tune(own_program, tmp_path / "run", peaks=peaks, until_roofline=1e-6)
    assert result.receipt.stop_reason == "roofline"
    assert_identical(tmp_path / "run")


def test_a_run_whose_peaks_were_measured_again_is_replayed(
    own_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    low, true = (Peaks(1.0, gflops, 30.0, "copy", 2, "2026-01-01T00:00:00") for gflops in (0.001, 0.002))
    monkeypatch.setattr(roofline, "MISCOUNT", 1e9)
    result = tune(own_program, tmp_path / "run", peaks=low, again=true, until_roofline=0.95)
    assert any("void and measured again" in message for message in result.receipt.messages)
    assert any("its own figure counts from now on" in message for message in result.receipt.messages)
    assert_identical(tmp_path / "run")


class Failing(Watched):
    """Some trials fail in some way, the first that is verified is wrong, and nothing can be exported."""

    def __init__(self) -> None:
        fates = {0: Fate.CRASH, 1: Fate.SKIPPED, 4: Fate.BUILD_TIMEOUT, 5: Fate.RUN_ERROR}
        super().__init__(right=lambda index: index > 0, fates=fates)

    def measure(self, *rest: Any, **options: Any) -> Iterator[Measurement]:
        yield from (replace(result, disturbed=result.fate.timed) for result in super().measure(*rest, **options))

    def verify(self, *rest: Any, **options: Any) -> Verification:
        found = super().verify(*rest, **options)
        return found if found.ok else replace(found, max_abs_error=math.inf, max_rel_error=math.inf)

    def export(self, *rest: Any, **options: Any) -> None:
        raise NoLinker("no compiler")

    def take_remarks(self) -> list[str]:
        return ["said each time"]


def test_trials_that_fail_in_all_ways_are_replayed(own_program: str, tmp_path: Path) -> None:
    result = tune(own_program, tmp_path / "run", Failing(), trials=9)
    fates_seen = {name for name, count in result.receipt.trials.fates.items() if count}
    assert fates_seen >= {"ok", "wrong", "crash", "skipped", "build-timeout", "run-error"}
    assert {"said each time", "no kernel.so: no compiler"} <= set(result.receipt.messages)
    assert any("another load disturbs" in message for message in result.receipt.messages)
    assert_identical(tmp_path / "run")


def test_a_run_without_a_winner_is_replayed(own_program: str, tmp_path: Path) -> None:
    assert tune(own_program, tmp_path / "run", Watched(right=lambda index: False)).best is None
    assert_identical(tmp_path / "run")


@pytest.mark.real
def test_a_run_on_a_board_is_replayed_without_it(
    own_program: str, loopback_board: LoopbackBoard, tmp_path: Path
) -> None:
    board = {"rpc": loopback_board.address, "key": loopback_board.key}
    result = tune_really(own_program, tmp_path / "run", trials=2, threads=2, **board)
    assert any("the board is taken for" in message for message in result.receipt.messages)
    assert_identical(tmp_path / "run")


def test_a_recording_serves_as_the_measurer_of_another_run(own_program: str, tmp_path: Path) -> None:
    """As a simulation of the hardware that the run met: the same programs take as long and come to the same ends."""

    def timed(measurer: Measurer, name: str, seed: int) -> list[events.Timed]:
        seen: list[Event] = []
        tune(own_program, tmp_path / name, measurer, seed=seed, on_event=[seen.append])
        return [event for event in seen if isinstance(event, events.Timed)]

    first = timed(simulated(untuned_us=7000.0, fates={1: Fate.CRASH}), "first", seed=1)
    lines = read_recording(tmp_path / "first" / RECORDING).lines
    assert timed(SimulatedMeasurer.from_recording(lines, fingerprint), "again", seed=1) == first
    other = timed(SimulatedMeasurer.from_recording(lines, fingerprint), "other", seed=2)
    assert len(other) == len(first)
    assert load_receipt(tmp_path / "other").baseline.latency_us == 7000.0


# ---- different ----


def test_a_latency_that_was_tampered_with_is_found(copied: Path) -> None:
    lines = [json.loads(line) for line in (copied / "recording.jsonl").read_text().splitlines()]
    number = next(index for index, line in enumerate(lines) if str(line.get("asked")).startswith("measure 7:"))
    latency = lines[number]["answer"]["latency_us"]
    lines[number]["answer"]["latency_us"] = 2 * latency
    (copied / "recording.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    replay = replayed(copied)
    assert not replay.identical
    assert replay.difference is not None
    assert replay.difference.endswith(f"timed: latency_us is {latency}, in the replay {2 * latency}")
    journal = [json.loads(line) for line in (copied / "journal.jsonl").read_text().splitlines()]
    assert journal[replay.events]["event"] == "timed"
    assert journal[replay.events]["trial"] == 7
    assert str(replay) == f"different after {replay.events} events: {replay.difference}"


def test_a_final_timing_that_was_tampered_with_is_found_in_the_receipt(copied: Path) -> None:
    lines = (copied / "recording.jsonl").read_text().splitlines(keepends=True)
    number = max(index for index, line in enumerate(lines) if '"kind":"timed in turn"' in line)
    answer = json.loads(lines[number])
    answer["answer"]["latencies_us"][1] = [1e6] * len(answer["answer"]["latencies_us"][1])
    lines[number] = json.dumps(answer) + "\n"
    (copied / "recording.jsonl").write_text("".join(lines))
    difference = replayed(copied).difference or ""
    assert difference.startswith("receipt.json: baseline.latency_us is")
    assert difference.endswith("in the replay 1000000.0")


def test_a_timing_of_other_programs_is_a_difference(copied: Path) -> None:
    lines = (copied / "recording.jsonl").read_text().splitlines(keepends=True)
    number = max(index for index, line in enumerate(lines) if '"kind":"timed in turn"' in line)
    answer = json.loads(lines[number])
    answer["answer"]["latencies_us"].pop()
    lines[number] = json.dumps(answer) + "\n"
    (copied / "recording.jsonl").write_text("".join(lines))
    assert replayed(copied).difference == "3 programs are timed in turn, recorded are 2"


def test_a_recorded_failure_of_the_untuned_program_is_a_difference(copied: Path) -> None:
    lines = (copied / "recording.jsonl").read_text().splitlines(keepends=True)
    answer = json.loads(lines[2])
    assert answer["asked"].startswith("measure -1:")
    answer["answer"] |= {"fate": "crash", "latency_us": None}
    lines[2] = json.dumps(answer) + "\n"
    (copied / "recording.jsonl").write_text("".join(lines))
    assert "the untuned program does not run (crash)" in (replayed(copied).difference or "")


def test_another_seed_is_another_run(copied: Path) -> None:
    change(copied / "config.toml", "seed = 3", "seed = 4")
    replay = replayed(copied)
    assert "in the replay" in (replay.difference or "")
    assert replay.nodes == 0


def test_another_program_is_another_run(copied: Path, own_program: str) -> None:
    change(Path(own_program.rpartition(":")[0]), "m=64", "m=32")
    tune(own_program, copied.parent / "other", trials=1)
    (copied / "program.json").write_bytes((copied.parent / "other" / "program.json").read_bytes())
    difference = replayed(copied).difference or ""
    assert difference.startswith("question ")
    assert "'measure -1: " in difference


@pytest.mark.parametrize("keep", [5, -1])
def test_a_journal_that_ends_too_soon_is_a_difference(keep: int, copied: Path) -> None:
    lines = (copied / "journal.jsonl").read_text().splitlines(keepends=True)
    (copied / "journal.jsonl").write_text("".join(lines[:keep]))
    assert "journal.jsonl ends there, the replay goes on with" in (replayed(copied).difference or "")


def test_a_journal_that_goes_on_is_a_difference(copied: Path) -> None:
    with (copied / "journal.jsonl").open("a") as file:
        file.write('{"t":9.0,"event":"noted","message":"and then"}\n')
    assert 'the replay ends there, journal.jsonl goes on with {"event": "noted"' in (replayed(copied).difference or "")


def test_a_receipt_that_was_tampered_with_is_found(copied: Path) -> None:
    receipt = json.loads((copied / "receipt.json").read_text())
    fates = receipt["trials"]["fates"]
    fates["ok"] -= 1
    fates["crash"] = fates.get("crash", 0) + 1
    receipt["messages"].append("all is well")
    (copied / "receipt.json").write_text(json.dumps(receipt))
    difference = replayed(copied).difference or ""
    assert difference.startswith("receipt.json: trials.fates.")
    fates["ok"] += 2
    (copied / "receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(InputError, match=r"not a receipt that a run writes: it counts \d+ trials, but fates of \d+"):
        replayed(copied)


def test_other_versions_are_warned_about_first(copied: Path) -> None:
    receipt = json.loads((copied / "receipt.json").read_text())
    receipt["versions"] |= {"apache-tvm": "0.26.0"}
    (copied / "receipt.json").write_text(json.dumps(receipt))
    seen: list[Event] = []
    replay = replayed(copied, on_event=[seen.append])
    (warning,) = replay.warnings
    assert warning.startswith("the run was made with apache-tvm 0.26.0, this is 0.27")
    assert seen[0] == events.Noted(warning)
    assert replay.identical


def test_a_workload_that_has_changed_since_is_warned_about(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune("matmul", tmp_path / "run", simulated(untuned_us=1e6), trials=2)
    changed = load_program(own_program).module
    other = replace(matmul.WORKLOAD, make_module=lambda shape: changed)
    monkeypatch.setattr("colt.tvm.programs.source.workloads.get", lambda name: other)
    replay = replayed(tmp_path / "run")
    assert replay.warnings == ("the workload matmul is not what it was then; program.json is used",)
    assert replay.identical


# ---- unusable ----


def drop(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def changed(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: change(folder / name, old, new)


def cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("receipt.json"), "holds no finished run: there is no receipt.json"),
        (drop("recording.jsonl"), "holds no recording: there is no recording.jsonl"),
        (drop("journal.jsonl"), "journal.jsonl cannot be read"),
        (drop("program.json"), "program.json cannot be read"),
        (drop("config.toml"), "config.toml cannot be read"),
        (cut("recording.jsonl", 3), "recording.jsonl is cut short after line"),
        (cut("journal.jsonl", 5), r"journal.jsonl, line \d+, is not an event"),
        (cut("program.json", 50), "program.json: the saved module cannot be read"),
        (cut("receipt.json", 50), "is not a receipt"),
        (changed("recording.jsonl", '"schema":6', '"schema":7'), "has schema 7; this version of COLT reads 1 to 6"),
        (changed("config.toml", "seed = 3", "seed = -3"), "config.toml: seed is -3; it takes an integer"),
        (changed("config.toml", "seed = 3", "seeds = 3"), "config.toml: unknown option 'seeds'; did you mean seed"),
        (changed("config.toml", "trials = 12", "trials = -1"), "config.toml: trials is -1"),
        (changed("config.toml", '"scout"', '"nobody"'), "config.toml: there is no built-in expert 'nobody'"),
        (changed("config.toml", "batch_size = 3", "batch_size = 0"), "config.toml: batch_size is 0"),
        (changed("config.toml", '\\"llvm\\"', '\\"cuda\\"'), "config.toml: target"),
        (changed("config.toml", '"tree"', '"list"'), "config.toml: method 'list' is not one of colt tune"),
        (changed("config.toml", "[run]", '[run]\nsize = "small"'), "config.toml: .*no workload"),
        (changed("config.toml", "[run]", "[run"), "config.toml is not the config of a run"),
    ],
)
def test_what_cannot_be_used_is_refused(damage: Callable[[Path], object], message: str, copied: Path) -> None:
    damage(copied)
    with pytest.raises(InputError, match=message):
        replayed(copied)


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        colt.replay(tmp_path)
    with pytest.raises(InputError, match="is not a run directory"):
        colt.replay(tmp_path / "missing")


def test_no_file_that_a_config_names_is_imported(copied: Path, tmp_path: Path) -> None:
    """Not even if it is made to look like a workload: whoever sends a run is not to run code here."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for old, new in (('name = "layer"', f'name = "{tmp_path}/evil.py:f"'), ("[run]", '[run]\nsize = "small"')):
        change(copied / "config.toml", old, new)
    with pytest.raises(InputError):
        replayed(copied)
    assert not (tmp_path / "ran").exists()


def test_a_directory_for_the_replay_that_is_taken_is_refused(finished: Path) -> None:
    with pytest.raises(InputError, match="another run"):
        replayed(finished, run_dir=finished)


def test_every_method_of_colt_tune_can_be_replayed() -> None:
    assert {TREE.name: TREE} == METHODS


def test_the_command_line_says_identical_different_or_what_is_wrong(copied: Path) -> None:
    def replay() -> Done:
        return colt_command("replay", str(copied))

    done = replay()
    assert done.returncode == 0
    assert done.stdout.startswith("identical: ")
    assert "trial 12/12" in done.stderr
    change(copied / "config.toml", "seed = 3", "seed = 4")
    done = replay()
    assert (done.returncode, done.stdout[:15]) == (1, "different after")
    (copied / "recording.jsonl").unlink()
    done = replay()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("colt: ")
    assert "there is no recording.jsonl" in done.stderr


# ---- language models ----


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ChatServer, Path]]:
    """A server that plays two models, and their pool file."""
    pytest.importorskip("openai", reason="language models come with the extra models")
    monkeypatch.setenv("COLT_TEST_KEY", KEY)
    rng = random.Random(0)
    with ChatServer() as server:
        server.think = lambda body: simulated_reply(body, rng)
        pool = tmp_path / "pool.toml"
        pool.write_text(
            "".join(
                f'[[member]]\nname = "{name}"\nbase_url = "{server.url}"\nsize_b = {size}\n'
                'api_key_env = "COLT_TEST_KEY"\n'
                "prices = { input = 0.25, cached_input = 0.025, output = 2 }\n"
                for name, size in (("small", 7), ("large", 70))
            )
        )
        yield server, pool


FAULTS = [Part.GARBAGE, Part.WELL, Part.NOT_FOUND, Part.WELL, Part.EMPTY, Part.UNKNOWN_KNOBS, Part.WELL, Part.NO_USAGE]


@pytest.mark.real
@pytest.mark.parametrize("parts", [[], FAULTS, [Part.UNAUTHORISED] * 50], ids=["well", "faults", "nobody"])
def test_a_run_with_language_models_is_replayed_without_them(
    parts: list[Part],
    models: tuple[ChatServer, Path],
    own_program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, pool = models
    server.parts += parts
    server.delay_s = 0.1
    measurer = simulated(trial_s=0.02)
    receipt = tune(own_program, tmp_path / "run", measurer, pool=pool, trials=16, max_usd=1, config=None).receipt
    assert receipt.models is not None
    asked = len(server.asked)
    assert asked > 0
    monkeypatch.delenv("COLT_TEST_KEY")
    again = replayed(tmp_path / "run", run_dir=tmp_path / "again")
    assert again.identical, str(again)
    assert len(server.asked) == asked
    assert replayed(tmp_path / "again").identical
    for path in (tmp_path / "run").rglob("*"):
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.real
def test_an_answer_or_a_prompt_that_was_tampered_with_is_found(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path
) -> None:
    server, pool = models
    rng, turns = random.Random(0), cycle(["large", "small"])
    server.think = lambda body: simulated_reply(body, rng, next(turns))  # so that both are asked, and named
    tune(own_program, tmp_path / "run", simulated(trial_s=0.1), pool=pool, trials=16, config=None)
    recording = tmp_path / "run" / RECORDING
    before = recording.read_bytes()
    recording.write_bytes(before.replace(b'\\"next_model\\": \\"small\\"', b'\\"next_model\\": \\"large\\"'))
    assert recording.read_bytes() != before
    assert not replayed(tmp_path / "run").identical
    recording.write_bytes(before.replace(b"You are large.", b"You are little."))
    assert recording.read_bytes() != before
    assert "was not asked what it is recorded to have been" in str(replayed(tmp_path / "run"))
    recording.write_bytes(before.replace(b"# Members", b"# Mumbers"))
    assert recording.read_bytes() != before
    assert "the text that every prompt begins with is another one" in str(replayed(tmp_path / "run"))


def test_words_of_an_older_version_are_not_compared(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "edition", 1)  # of the design space that such a version had
    tune(own_program, tmp_path / "run", pool=models[1], trials=8, config=None)
    for name, old, new in (
        ("recording.jsonl", b'"schema":6', b'"schema":1'),
        ("recording.jsonl", b"You are ", b"This is "),
        ("recording.jsonl", b"# Members", b"# Models"),
        ("journal.jsonl", b"constructing openings", b"making openings"),
    ):
        content = (tmp_path / "run" / name).read_bytes()
        assert old in content
        (tmp_path / "run" / name).write_bytes(content.replace(old, new))
    journal = tmp_path / "run" / "journal.jsonl"
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(row for row in rows if b'"event":"named"' not in row))  # knobs were not named then
    replay = replayed(tmp_path / "run")
    assert replay.identical, str(replay)
    assert "words are not compared" in " ".join(replay.warnings)


@pytest.mark.parametrize("name", ["recording.jsonl", "config.toml", "program.json", "receipt.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(copied: Path, name: str) -> None:
    (copied / name).unlink()
    os.mkfifo(copied / name)
    with pytest.raises(InputError, match=f"{name} cannot be read: it is not a file"):
        replayed(copied)
