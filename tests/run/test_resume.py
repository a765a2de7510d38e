"""Runs that were killed, interrupted or ended go on in their own directories, and nothing is done or lost twice."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import colt
from colt import cli, events
from colt.errors import InputError, StorageError
from colt.events import Event
from colt.measure.base import Fate, Measurement, Pace
from colt.measure.simulated import SimulatedMeasurer
from colt.proposers.experts.scout import Scout
from colt.proposers.experts.tuner import Tuner
from colt.run import same
from colt.run.resume import charged, finish, go_on
from colt.search.types import Observation, Proposal
from colt.store.receipt import load_receipt
from colt.tvm.programs.program import fingerprint
from colt.util.lock import FolderLock
from colt.world.answers import MeasuredAnswer
from colt.world.parts import Parts, using
from colt.world.recording import SCHEMA, read_recording
from tests.helpers.chat_members import KEY
from tests.helpers.chat_server import ChatServer
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.simulated_runs import THINK_LESS, measured_by, simulated, tune_simulated, whole_run
from tests.helpers.small_disk import small_disk

CALL_AT_ONCE = {"batch_size": 4, "structure_after": 0, **THINK_LESS}
"""Settings with which few trials take many calls."""
FILES = ("config.toml", "program.json", "recording.jsonl", "journal.jsonl")
TRIALS = 8


class Counting(SimulatedMeasurer):
    """Notes which trials it is asked to measure."""

    def __init__(self) -> None:
        super().__init__(fingerprint)
        self.trials: list[int] = []

    def measure(self, *rest: Any, **options: Any) -> Iterator[Measurement]:
        for result in super().measure(*rest, **options):
            self.trials.append(result.trial)
            yield result


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that came to its end; to be copied."""
    return whole_run(tmp_path_factory.mktemp("whole"), TRIALS)


def broken(whole: Path, folder: Path, lines: int, torn: bytes = b"") -> Path:
    """The run as kill -9 leaves it after so many lines of the recording."""
    folder.mkdir()
    for path in whole.iterdir():
        if path.name in FILES or path.name.startswith("database"):
            shutil.copyfile(path, folder / path.name)
    recording = folder / "recording.jsonl"
    kept = recording.read_bytes().splitlines(keepends=True)[:lines]
    recording.write_bytes(b"".join(kept) + torn)
    return folder


def resumed(folder: Path, measurer: SimulatedMeasurer | None = None, **options: Any) -> colt.Result:
    with measured_by(measurer or simulated()):
        return colt.resume(folder, **options)


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All that happened, without times and without that the run went on."""
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [{**record, "t": 0} for record in records if record["event"] != "wenton"]


def assert_replays(folder: Path) -> None:
    replay = colt.replay(folder)
    assert replay.difference is None


# ---- wherever a run breaks off ----


@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.8, 0.95, 1.0])
def test_a_killed_run_ends_as_the_unbroken_one(whole: Path, share: float, tmp_path: Path) -> None:
    lines = (whole / "recording.jsonl").read_bytes().count(b"\n")
    kept = max(3, int(share * lines))
    folder = broken(whole, tmp_path / "run", kept)
    before = (folder / "recording.jsonl").read_text()
    measurer = Counting()
    result = resumed(folder, measurer)
    assert events_of(folder) == events_of(whole)
    assert (folder / "recording.jsonl").read_text().startswith(before)
    assert result.receipt.trials.total == TRIALS
    done = [line for line in before.splitlines() if '"asked":"measure ' in line]
    assert measurer.trials == list(range(len(done) - 1, TRIALS))  # the untuned program has number -1
    database = (folder / "database_tuning_record.json").read_text()
    assert database == (whole / "database_tuning_record.json").read_text()
    assert_replays(folder)


def test_journal_and_database_that_lag_behind_are_made_up_for(whole: Path, tmp_path: Path) -> None:
    """As after a power cut, which they are not protected from; the recording is."""
    lines = (whole / "recording.jsonl").read_bytes().count(b"\n")
    folder = broken(whole, tmp_path / "run", lines - 6)
    for name in ("journal.jsonl", "database_tuning_record.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    resumed(folder)
    assert events_of(folder) == events_of(whole)
    for name in ("database_workload.json", "database_tuning_record.json"):
        assert (folder / name).read_text() == (whole / name).read_text()


def test_experts_need_not_think_again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they said is in the journal; what is damaged there they say again."""
    lines = (whole / "recording.jsonl").read_bytes().count(b"\n")
    asked: list[int] = []

    def think(expert: Tuner | Scout, observation: Observation) -> Proposal:
        asked.append(observation.seed)
        return thinking[type(expert)](expert, observation)

    thinking = {kind: kind.propose for kind in (Tuner, Scout)}
    for kind in thinking:
        monkeypatch.setattr(kind, "propose", think)
    resumed(broken(whole, tmp_path / "whole", lines - 2))
    assert asked == []
    folder = broken(whole, tmp_path / "damaged", lines - 2)
    rows = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    number = max(index for index, row in enumerate(rows) if b'"event":"proposed"' in row)
    (folder / "journal.jsonl").write_bytes(b"".join([*rows[:number], rows[number][:50]]))
    resumed(folder)
    assert len(asked) >= 1
    assert events_of(folder) == events_of(whole)


def test_times_go_on_from_where_they_were(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 8)
    recording = folder / "recording.jsonl"
    rows = [json.loads(row) for row in recording.read_text().splitlines()]
    rows[-1]["answer"]["totals"]["clock"] = {"total": 1000.0, "activities": {"measuring": 900.0}}
    recording.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    seconds = resumed(folder).receipt.seconds
    assert 1000 < seconds["total"] < 1100
    assert json.loads((folder / "journal.jsonl").read_text().splitlines()[-1])["t"] > 1000
    with pytest.raises(InputError, match="has come to its end"):
        resumed(folder, seconds=1.0)  # the trials were done nevertheless


def test_a_torn_last_line_is_left_out_and_said(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 7, torn=b'{"line":8,"question":')
    seen: list[Event] = []
    resumed(folder, on_event=[seen.append])
    assert seen[0] == events.Noted(f"the last line of {folder}/recording.jsonl is torn and left out")
    assert events_of(folder) == events_of(whole)
    assert_replays(folder)


class Shown:
    """A view that keeps what it shows."""

    def __init__(self) -> None:
        self.muted = False
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        if not self.muted:
            self.events.append(event)


def test_that_a_line_is_left_out_is_shown_though_what_is_recorded_is_not(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 7, torn=b'{"line":8,"question":')
    view = Shown()
    with measured_by(simulated()):
        go_on(folder, {}, views=[view])
    assert events.Noted(f"the last line of {folder}/recording.jsonl is torn and left out") in view.events
    assert 1 < len(view.events) < len(events_of(folder))


def test_a_torn_line_in_the_middle_is_refused_with_its_place(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 9)
    recording = folder / "recording.jsonl"
    rows = recording.read_bytes().splitlines(keepends=True)
    rows[4] = rows[4][:40] + b"\n"
    recording.write_bytes(b"".join(rows))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="line 5, is damaged"):
        resumed(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_it_may_break_off_any_number_of_times(whole: Path, tmp_path: Path) -> None:
    lines = (whole / "recording.jsonl").read_bytes().count(b"\n")
    folder = broken(whole, tmp_path / "0", 3)
    for number, kept in enumerate(range(6, lines + 4, 4), 1):
        resumed(folder)
        folder = broken(folder, tmp_path / str(number), kept)
    resumed(folder)
    assert events_of(folder) == events_of(whole)
    assert_replays(folder)


# ---- interrupted, out of room, out of budget ----


def interrupted(program: str, folder: Path, after: int, **options: Any) -> colt.Result:
    def interrupt(event: Event) -> None:
        if isinstance(event, events.Timed) and event.trial == after - 1:
            os.kill(os.getpid(), signal.SIGINT)

    return tune_simulated(program, run_dir=folder, on_event=[interrupt], **options)


@pytest.mark.parametrize("after", [3, 5, 8])
def test_an_interrupted_run_goes_on_and_measures_everything_once(after: int, own_program: str, tmp_path: Path) -> None:
    """Between two batches, within one, and within the last."""
    folder = tmp_path / "run"
    first = interrupted(own_program, folder, after, trials=9)
    assert (first.receipt.stop_reason, first.receipt.trials.total) == ("interrupted", after)
    measurer = Counting()
    result = resumed(folder, measurer)
    assert (result.receipt.stop_reason, result.receipt.trials.total) == ("trials", 9)
    assert measurer.trials == list(range(after, 9))
    assert_replays(folder)


def test_a_run_that_is_killed_while_an_interruption_ends_it_goes_on(own_program: str, tmp_path: Path) -> None:
    """It was to stop within its last batch, and was killed, or interrupted once more, while it verified."""
    interrupted(own_program, tmp_path / "run", 8, trials=9)
    rows = (tmp_path / "run" / "recording.jsonl").read_bytes().splitlines()
    stopped = next(number for number, row in enumerate(rows, 1) if b'"reason":"interrupted"' in row)
    for kept in range(stopped, len(rows)):
        folder = broken(tmp_path / "run", tmp_path / str(kept), kept)
        measurer = Counting()
        receipt = resumed(folder, measurer).receipt
        assert (receipt.stop_reason, receipt.trials.total) == ("trials", 9)
        assert measurer.trials == [8]
        assert_replays(folder)


def test_a_finished_run_goes_on_with_a_larger_budget(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    measurer = Counting()
    assert resumed(folder, measurer, trials=12).receipt.trials.total == 12
    assert measurer.trials == list(range(TRIALS, 12))
    assert "trials = 12" in (folder / "config.toml").read_text()
    assert_replays(folder)
    assert resumed(folder, trials=14, seconds=500).receipt.trials.total == 14
    assert_replays(folder)
    replayed = tmp_path / "replayed"
    assert colt.replay(folder, run_dir=replayed).identical
    assert (replayed / "recording.jsonl").read_bytes() == (folder / "recording.jsonl").read_bytes()


def test_a_budget_that_was_changed_survives_that_the_run_breaks_off(whole: Path, tmp_path: Path) -> None:
    """The recording has it before the config does."""
    changed = Path(shutil.copytree(whole, tmp_path / "changed"))
    resumed(changed, trials=11)
    lines = (changed / "recording.jsonl").read_bytes().splitlines()
    went_on = next(number for number, line in enumerate(lines, 1) if b'"went_on"' in line and b'"trials":11' in line)
    folder = broken(changed, tmp_path / "run", went_on)
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("trials = 11", f"trials = {TRIALS}"))
    assert resumed(folder).receipt.trials.total == 11
    assert "trials = 11" in (folder / "config.toml").read_text()
    assert_replays(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"it stopped at its 8 trials; to go on, give it more \(--trials above 8\)"),
        ({"trials": 8}, "has come to its end"),
        ({"seconds": 900.0}, "has come to its end"),
        ({"trials": -1}, "trials is -1; it takes an integer"),
        ({"trials": 20, "max_usd": 1.0}, "max_usd is for pools with language models"),
    ],
)
def test_what_has_nothing_left_to_do_is_refused(options: dict[str, Any], said: str, whole: Path) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    with pytest.raises(InputError, match=said):
        resumed(whole, **options)
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


def test_a_run_whose_disk_was_full_goes_on(own_program: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=512) as disk:
        folder = disk.path / "run"

        def fill(event: Event) -> None:
            if isinstance(event, events.Timed) and event.trial == 4:
                disk.fill(leave=0)

        first = tune_simulated(own_program, trials=12, run_dir=folder, on_event=[fill])
        assert first.receipt.stop_reason == "storage"
        disk.clear()
        result = resumed(folder)
        assert result.receipt.trials.total == 12
        assert_replays(folder)


def test_a_disk_that_is_full_before_anything_new_is_found_is_named(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by that, and the recording is not to blame."""

    def full(path: Path, *rest: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    folder = broken(whole, tmp_path / "run", 8)
    monkeypatch.setattr("colt.run.task.Records", full)
    for again in (colt.resume, finish):
        with pytest.raises(StorageError, match=r"database_workload\.json cannot be written"), measured_by(simulated()):
            again(folder)
    monkeypatch.undo()
    assert resumed(folder).receipt.trials.total == TRIALS


def test_a_finished_one_of_what_was_left_can_still_go_on(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 7)
    with measured_by(simulated()):
        ended = finish(folder)
    assert ended.receipt.stop_reason == "broken off"
    result = resumed(folder)
    assert (result.receipt.stop_reason, result.receipt.trials.total) == ("trials", TRIALS)
    assert_replays(folder)


@pytest.mark.parametrize("trials", [1, 4])
def test_fewer_trials_than_there_are_is_no_budget(trials: int, own_program: str, tmp_path: Path) -> None:
    tune_simulated(own_program, trials=4, run_dir=tmp_path / "run")
    before = (tmp_path / "run" / "recording.jsonl").read_bytes()
    with pytest.raises(InputError, match="4 trials"):
        resumed(tmp_path / "run", trials=trials)
    assert resumed(tmp_path / "run", trials=5).receipt.trials.total == 5
    with pytest.raises(InputError, match="has measured 5 trials already; --trials takes more"):
        resumed(tmp_path / "run", trials=3)
    assert (tmp_path / "run" / "recording.jsonl").read_bytes()[: len(before) // 2] == before[: len(before) // 2]


@pytest.mark.parametrize("ended", [False, True])
def test_what_was_begun_counts_against_fewer_trials(ended: bool, whole: Path, tmp_path: Path) -> None:
    """All of a batch was chosen before its first is measured, whether the run was killed or was finished since."""
    lines = (whole / "recording.jsonl").read_bytes().splitlines()
    folder = broken(whole, tmp_path / "run", next(n for n, line in enumerate(lines, 1) if b'"measure 3: ' in line))
    if ended:
        with measured_by(simulated()):
            finish(folder)
    config = (folder / "config.toml").read_text()
    with pytest.raises(InputError, match="has measured 4 trials already and begun 2 more; --trials takes 6 or more"):
        resumed(folder, trials=5)  # batches have 3
    assert (folder / "config.toml").read_text() == config
    assert b'"went_on":{' not in (folder / "recording.jsonl").read_bytes()
    assert resumed(folder, trials=6).receipt.trials.total == 6
    assert_replays(folder)


def test_skipped_trials_do_not_count_against_fewer_trials(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 100)
    recording = read_recording(folder / "recording.jsonl")
    measured = [line for line in recording.lines if isinstance(line.answer, MeasuredAnswer)]

    def skipped(line: Any) -> Any:
        if line not in measured[-2:]:
            return line
        answer = msgspec.structs.replace(line.answer, fate=Fate.SKIPPED, latency_us=None)
        return msgspec.structs.replace(line, answer=answer)

    assert charged(recording) == TRIALS
    assert charged(replace(recording, lines=tuple(map(skipped, recording.lines)))) == TRIALS - 2


def test_a_directory_with_a_link_does_not_go_on(whole: Path, tmp_path: Path) -> None:
    """A run writes into its files, and a stranger's link leads to anything."""
    folder = broken(whole, tmp_path / "run", 8)
    (tmp_path / "mine").write_text("precious")
    (folder / "journal.jsonl").unlink()
    (folder / "journal.jsonl").symlink_to(tmp_path / "mine")
    for attempt in (lambda: resumed(folder), lambda: finish(folder)):
        with pytest.raises(InputError, match=r"has a link in it, 'journal\.jsonl'"):
            attempt()
    assert (tmp_path / "mine").read_text() == "precious"


# ---- what differs is named ----


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("recording.jsonl", '"apache-tvm":"', '"apache-tvm":"9', "made with apache-tvm 9"),
        ("recording.jsonl", '"cores":', '"cores":7', "cores was 7"),
        ("recording.jsonl", f'"schema":{SCHEMA}', '"schema":2', "recorded by an earlier version of COLT"),
        ("config.toml", "znver", "znwer", "target"),
        ("config.toml", '"num-cores\\": 2', '"num-cores\\": 1', "target|threads"),
    ],
)
def test_what_differs_is_named(name: str, old: str, new: str, said: str, whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 8)
    text = (folder / name).read_text()
    if old not in text:
        pytest.skip(f"the target of this machine has no {old}")
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        resumed(folder)


def test_a_program_that_has_changed_is_refused_and_its_file_is_not_run(own_program: str, tmp_path: Path) -> None:
    tune_simulated(own_program, trials=3, run_dir=tmp_path / "run")
    path = Path(own_program.rpartition(":")[0])
    text = path.read_text()
    path.write_text(f"# the same\n{text}")
    with pytest.raises(InputError, match=f"{path} has changed since the run began"):
        resumed(tmp_path / "run", trials=4)
    assert resumed(tmp_path / "run", program=own_program, trials=4).receipt.trials.total == 4
    with pytest.raises(InputError, match="has changed since the run began"):
        finish(tmp_path / "run")
    path.write_text(text.replace("m=64", "m=32"))
    with pytest.raises(InputError, match="is another program than that of the run"):
        resumed(tmp_path / "run", program=own_program, trials=5)
    path.write_text("raise SystemExit('nobody runs this')")
    with pytest.raises(InputError, match="has changed"):
        resumed(tmp_path / "run", trials=5)
    path.unlink()
    assert resumed(tmp_path / "run", trials=5).receipt.trials.total == 5


def test_another_program_in_the_directory_is_refused(whole: Path, own_program: str, tmp_path: Path) -> None:
    path = Path(own_program.rpartition(":")[0])
    path.write_text(path.read_text().replace("m=64", "m=32"))
    tune_simulated(own_program, trials=3, run_dir=tmp_path / "other")
    folder = broken(whole, tmp_path / "run", 8)
    shutil.copyfile(tmp_path / "other" / "program.json", folder / "program.json")
    with pytest.raises(InputError, match=r"program\.json holds another program"):
        resumed(folder)
    shutil.copyfile(whole / "winner.json", folder / "program.json")  # of which no plan can be made
    with pytest.raises(InputError, match=r"program\.json holds another program"):
        resumed(folder)


def test_a_search_that_goes_otherwise_is_refused_and_nothing_is_written(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 10)
    config = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config.replace("seed = 0", "seed = 1"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="the search does not go as it is recorded"):
        resumed(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_cycles_are_collected_again_once_the_recording_is_used_up(whole: Path, tmp_path: Path) -> None:
    collected: dict[str, list[bool]] = {}

    def listen(event: events.Event) -> None:
        collected.setdefault(type(event).__name__, []).append(gc.isenabled())

    lines = (whole / "recording.jsonl").read_bytes().count(b"\n")
    resumed(broken(whole, tmp_path / "run", lines - 8), on_event=[listen])
    assert set(collected["Opened"]) == {False}
    assert collected["Measured"][0] is False
    assert collected["Measured"][-1] is True
    changed = broken(whole, tmp_path / "other", 10)
    config = (changed / "config.toml").read_text()
    (changed / "config.toml").write_text(config.replace("seed = 0", "seed = 1"))
    with pytest.raises(InputError):
        resumed(changed)
    assert gc.isenabled()


def test_all_that_schedules_depend_on_is_compared() -> None:
    assert "flags" in same._SAME


# ---- one at a time ----


def test_a_second_process_is_refused_with_who_is_there(whole: Path, tmp_path: Path) -> None:
    folder = broken(whole, tmp_path / "run", 8)
    here = f"process {os.getpid()} works on"
    with FolderLock(folder):
        for attempt in (lambda: resumed(folder), lambda: finish(folder)):
            with pytest.raises(InputError, match=here):
                attempt()
        with pytest.raises(InputError, match=f"holds another run, which process {os.getpid()} works on"):
            tune_simulated("matmul", run_dir=folder)
    resumed(folder)
    assert not (folder / ".lock").exists()


def test_a_run_is_locked_while_it_goes_on(own_program: str, tmp_path: Path) -> None:
    said: list[str] = []

    def try_it(event: Event) -> None:
        if isinstance(event, events.Timed):
            with pytest.raises(InputError) as refused:
                colt.resume(tmp_path / "run")
            said.append(str(refused.value))

    tune_simulated(own_program, trials=2, run_dir=tmp_path / "run", on_event=[try_it])
    assert said == [f"{tmp_path}/run is in use: process {os.getpid()} works on this run"] * 2


# ---- language models ----


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ChatServer, Path]]:
    """A server that plays two models, and their pool file."""
    pytest.importorskip("openai", reason="language models come with the extra models")
    monkeypatch.setenv("COLT_TEST_KEY", KEY)
    rng = random.Random(0)
    with ChatServer() as server:
        server.think = lambda body: simulated_reply(body, rng)
        server.delay_s = 0.03
        pool = tmp_path / "pool.toml"
        pool.write_text(
            "".join(
                f'[[member]]\nname = "{name}"\nbase_url = "{server.url}"\nsize_b = {size}\n'
                'api_key_env = "COLT_TEST_KEY"\nprices = { input = 0.25, output = 2 }\n'
                for name, size in (("small", 7), ("large", 70))
            )
        )
        yield server, pool


def test_requests_that_were_under_way_count_as_spent_and_nothing_is_asked_twice(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path
) -> None:
    server, pool = models
    options = {"pool": pool, "trials": 16, "config": colt.SearchConfig.preset("models", **CALL_AT_ONCE)}
    tune_simulated(own_program, simulated(trial_s=0.02), run_dir=tmp_path / "whole", max_usd=1, **options)
    prompts = [asked.body["messages"][1]["content"] for asked in server.asked]
    lines = (tmp_path / "whole" / "recording.jsonl").read_bytes().splitlines(keepends=True)
    cuts = [number for number, line in enumerate(lines, 1) if b'"set aside"' in line][:: max(1, len(prompts) // 3)]
    for number, kept in enumerate(cuts):
        folder = broken(tmp_path / "whole", tmp_path / str(number), kept)
        recording = read_recording(folder / "recording.jsonl", unfinished=True)
        assert recording.set_aside
        had = len(server.asked)
        told: list[Event] = []
        parts = Parts(measurer=lambda limits, peak: simulated(trial_s=0.02), pace=Pace.hasty())
        with using(parts):
            receipt = colt.resume(folder, on_event=[told.append]).receipt
        assert receipt.models is not None
        lost = sum(part.failed.get("lost", 0) for part in receipt.models.values())
        assert lost == len(recording.set_aside)
        answered = sum(len(line.answer.calls) for line in recording.lines if hasattr(line.answer, "calls"))
        assert sum(part.requests for part in receipt.models.values()) == answered + lost + len(server.asked) - had
        worst = sum(charge.picodollars for charge in recording.set_aside.values()) / 1e12
        assert any("under way when the run broke off" in m and f"${worst:.4f}" in m for m in receipt.messages)
        assert receipt.spending is not None
        assert receipt.spending.usd <= 1
        assert_replays(folder)


def test_ceilings_hold_over_processes_and_can_be_raised(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path
) -> None:
    server, pool = models
    options = {"pool": pool, "trials": 12, "config": colt.SearchConfig.preset("models", **CALL_AT_ONCE)}
    first = tune_simulated(
        own_program, simulated(trial_s=0.02), run_dir=tmp_path / "run", max_calls=3, **options
    ).receipt
    assert first.spending is not None
    assert (first.spending.requests, len(server.asked)) == (3, 3)
    second = resumed(tmp_path / "run", simulated(trial_s=0.02), trials=20).receipt
    assert second.spending is not None
    assert (second.spending.requests, len(server.asked)) == (3, 3)
    third = resumed(tmp_path / "run", simulated(trial_s=0.02), trials=32, max_calls=6).receipt
    assert third.spending is not None
    assert third.spending.requests == len(server.asked) > 3
    assert third.spending.max_calls == 6
    assert_replays(tmp_path / "run")


def test_a_run_that_its_ceiling_stopped_goes_on_with_a_higher_one(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path
) -> None:
    server, pool = models
    config = colt.SearchConfig.preset("models", **CALL_AT_ONCE)
    options = {"pool": pool, "trials": 12, "config": config, "strict_pool": True, "run_dir": tmp_path / "run"}
    first = tune_simulated(own_program, simulated(trial_s=0.02), max_usd=0.0001, **options).receipt
    assert (first.stop_reason, len(server.asked)) == ("pool", 0)
    second = resumed(tmp_path / "run", simulated(trial_s=0.02), max_usd=1).receipt
    assert (second.stop_reason, second.trials.total) == ("trials", 12)
    assert second.spending is not None
    assert second.spending.requests == len(server.asked) > 0
    assert_replays(tmp_path / "run")


# ---- models that change structures ----


def test_a_run_whose_models_change_structures_goes_on_and_is_replayed(
    models: tuple[ChatServer, Path], own_program: str, tmp_path: Path
) -> None:
    """The order of work, what prompts tell, and the looks at inner loops follow from the recording."""
    server, pool = models
    config = colt.SearchConfig.preset("models", batch_size=4, **(THINK_LESS | {"structure_after": 2, "root_width": 2}))
    options = {"pool": pool, "trials": 24, "config": config, "keep_paying": True}
    whole = tune_simulated(own_program, simulated(trial_s=0.02), run_dir=tmp_path / "run", **options).receipt
    prompts = [str(asked.body["messages"][-1]["content"]) for asked in server.asked]
    assert any("change the structure" in prompt for prompt in prompts)
    assert sum(part.structures or 0 for part in whole.proposers.values()) > 0
    said = [message for message in whole.messages if message.startswith("language models are not told of inner loops")]
    assert len(said) == 1, "the made-up measurer's kernels cannot be disassembled, which is said once"
    assert_replays(tmp_path / "run")
    lines = (tmp_path / "run" / "recording.jsonl").read_bytes().count(b"\n")
    folder = broken(tmp_path / "run", tmp_path / "broken", lines // 2)
    assert resumed(folder, simulated(trial_s=0.02)).receipt.trials.total == 24
    assert_replays(folder)


# ---- the command ----


def test_the_command_goes_on_and_says_what_it_found(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = broken(whole, tmp_path / "run", 8)
    with using(Parts(measurer=lambda limits, peak: simulated(), pace=Pace.hasty())):
        assert cli.main(["resume", str(folder), "--trials", "10"]) == 0
        out, err = capsys.readouterr()
        assert f"run directory: {folder}" in out
        assert err.count("went on after ") == 1
        assert "trial 10/10" in err
        assert "trial 3/" not in err  # what is recorded is not shown again
        assert cli.main(["resume", str(folder), "--json", "--trials", "11"]) == 0
        assert json.loads(capsys.readouterr().out)["trials"]["total"] == 11
    assert cli.main(["resume", str(folder)]) == 2
    assert "--trials above 11" in capsys.readouterr().err
    assert cli.main(["resume", str(tmp_path / "missing")]) == 2
    assert cli.main(["resume", str(folder), "--seed", "3"]) == 2


def test_an_interrupted_run_says_how_to_resume(
    own_program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = interrupted(own_program, tmp_path / "run", 3, trials=9)
    cli.output.show_result(result, json=False)
    assert f"it was interrupted; colt resume {tmp_path}/run goes on from here" in capsys.readouterr().out
    assert load_receipt(tmp_path / "run").stop_reason == "interrupted"
