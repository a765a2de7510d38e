"""Run directories of strangers: every view ends, names what is damaged, shows the rest, and reads nothing elsewhere."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from colt.machine.disassembly import inner_loop
from colt.store import happened
from colt.tvm.programs.listing import listings
from colt.views.dashboard.runs import WatchedRun
from colt.views.report.panels.knobs import knob_names
from colt.views.report.source import load_run, read_config, task_folder
from colt.views.state import MOST_MEMBERS, MOST_TASKS
from tests.helpers.command import colt, refused
from tests.helpers.recorded import unpacked
from tests.helpers.running_dashboard import running_dashboard
from tests.views.test_dashboard import ask

pytest.importorskip("plotly", reason="pages come with the extra report")
pytest.importorskip("starlette", reason="the dashboard comes with the extra dashboard")

SECRET = "what-stands-elsewhere"
SCHEDULE = {"variant": "structured", "sketch": "x", "values": [1]}
OPENED = {"t": 0, "event": "opened", "schedule": SCHEDULE, "by": "scout", "next_member": "scout", "predicted_us": 1.0}
APPLIED = {"event": "applied", "ticket": 1, "transformation": [], "notes": [], "alias": False} | {
    name: OPENED[name] for name in ("t", "schedule", "by", "next_member")
}
ASKED = {"t": 0, "event": "asked", "proposed_by": "scout", "predicted_us": 1.0}
MEASURED = {"t": 0, "event": "measured", "fate": "ok", "message": ""}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return unpacked("builtin", tmp_path)


def with_lines(run: Path, *lines: dict[str, Any]) -> Path:
    """The run with more lines in its journal, and no receipt, so that its best is what the journal says."""
    (run / "receipt.json").unlink()
    with (run / "journal.jsonl").open("ab") as journal:
        journal.writelines(json.dumps(line).encode() + b"\n" for line in lines)
    return run


def said_of(run: Path, out: Path) -> str:
    """What of the run could not be read, according to the report; the other views make something of it, too."""
    for command in ("report", "trace"):
        done = colt(command, str(run), "-o", str(out / f"{command}.out"))
        assert done.returncode == 0, done.stderr
    assert SECRET not in (out / "report.out").read_text()
    assert colt("compare", str(run)).returncode == 0
    return done.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        # the root's parent is -1: a node of that number closed a circle
        (
            (
                {**OPENED, "node": -1},
                {**ASKED, "trial": 900, "node": -1},
                {**MEASURED, "trial": 900, "latency_us": 1e-3},
            ),
            2,
        ),
        (({**OPENED, "node": 10**15, "predicted_us": 1e300},), 1),
        (({**OPENED, "node": 10**25},), 1),
        (({**ASKED, "trial": 901, "node": 1}, {**MEASURED, "trial": 901, "latency_us": -1.0}), 1),
        (({**ASKED, "trial": 902, "node": 1}, {**MEASURED, "trial": 902, "latency_us": 1e308}), 1),
        (({"t": 1e308, "event": "began", "phase": "the end"},), 1),
        (({"t": 0, "event": "ofmodel", "calls": [["a", 10**300]]},), 1),
    ],
)
def test_numbers_that_no_run_has_are_damage(
    lines: tuple[dict[str, Any], ...], said: int, run: Path, tmp_path: Path
) -> None:
    assert f"note: {run}: {said} of " in said_of(with_lines(run, *lines), tmp_path)


@pytest.mark.parametrize(
    "lines",
    [
        ({**OPENED, "node": 0},),
        ({**OPENED, "node": 1},),
        ({**APPLIED, "node": 7000, "parent": 7000},),
        ({**APPLIED, "node": 7000, "parent": 7001}, {**APPLIED, "node": 7001, "parent": 7000}),
        ({**ASKED, "trial": 903, "node": 10**15}, {**MEASURED, "trial": 903, "latency_us": 1e-3}),
    ],
)
def test_nodes_that_are_not_there_or_there_twice_are_counted(
    lines: tuple[dict[str, Any], ...], run: Path, tmp_path: Path
) -> None:
    assert "1 events are about nodes or trials" in said_of(with_lines(run, *lines), tmp_path)
    task = load_run(run)[0].task
    assert all(task.path_to(node)[0] == 0 for node in task.nodes)


def test_more_members_and_programs_than_any_run_has_are_left_out(run: Path) -> None:
    members = MOST_MEMBERS + 50
    for_each = [{**OPENED, "node": 5000 + at, "by": f"m{at}"} for at in range(members)]
    with_lines(run, *for_each, *({"t": 0, "event": "turn", "task": f"t{at}"} for at in range(MOST_TASKS + 5)))
    seen = load_run(run)
    assert len(seen) == MOST_TASKS
    assert len(seen[0].members) == MOST_MEMBERS
    assert any("more than 200 members" in problem for problem in seen[0].problems)
    assert "programs beyond the first 1,000 are left out" in seen[0].problems


def test_of_a_journal_that_has_no_end_the_beginning_is_shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happened, "MOST_BYTES", 1 << 23)
    nodes = load_run(run)[0].task.nodes.keys()
    with (run / "journal.jsonl").open("ab") as journal:
        journal.truncate(1 << 40)  # takes no room
    (seen,) = load_run(run)
    assert seen.task.nodes.keys() == nodes
    assert any("longer than any run writes" in problem for problem in seen.problems)
    watched = WatchedRun("builtin", run)
    watched.update()
    assert not watched.is_reading


def test_a_pool_that_names_a_member_again_and_again_has_it_once(run: Path) -> None:
    receipt, members = json.loads((run / "receipt.json").read_text()), load_run(run)[0].members
    (run / "receipt.json").write_text(json.dumps(receipt | {"pool": receipt["pool"] * 1000}))
    assert load_run(run)[0].members == members


def test_very_many_knobs_of_very_many_names_take_no_time_for_each_pair(run: Path) -> None:
    many = 20_000
    before = {"variant": "v", "sketch": "s", "values": [0] * many}
    after = {**before, "values": [1] + [0] * (many - 1)}
    edits = [{"knob": f"k{at}", "value": 1} for at in range(many)]
    with_lines(
        run,
        {**OPENED, "node": 5000, "schedule": before},
        {**APPLIED, "node": 5001, "parent": 5000, "transformation": edits, "schedule": after},
    )
    names = knob_names(load_run(run)[0])["v", "s"]
    assert names[:2] == ["k0", "knob 2"]
    assert len(names) == many


@pytest.mark.parametrize("name", ["..", "a/..", "/", "a\0b", "link"])
def test_no_name_of_a_program_leads_out_of_the_directory(name: str, run: Path) -> None:
    elsewhere = unpacked("models", run.parent / "elsewhere")
    (run / "link").symlink_to(elsewhere)
    with_lines(run, {"t": 0, "event": "turn", "task": name})
    seen = load_run(run)[-1]
    assert (seen.folder, seen.receipt) == (run, None)
    assert task_folder(run, name)[1][0] in seen.problems


# ---- what is no file, or a link ----


def as_pipe(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def as_folder(path: Path, elsewhere: Path) -> None:
    path.mkdir()


def as_socket(path: Path, elsewhere: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))  # names of sockets are short


def as_link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def as_link_to_nothing(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "none")


KINDS = (as_pipe, as_folder, as_socket, as_link, as_link_to_nothing)
READ = ("receipt.json", "config.toml", "program.json", "winner.json", "kernel.so")
"""Files of a run that pages show, beside the journal."""


def replaced(run: Path, name: str, kind: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """Put something else in the file's place; why it is not read."""
    monkeypatch.chdir(run)
    elsewhere = run.parent / f"elsewhere-{name}"
    if (run / name).exists():
        (run / name).rename(elsewhere)
    elsewhere.write_text(
        elsewhere.read_text(errors="replace").replace("scout", SECRET) if elsewhere.exists() else SECRET
    )
    kind(run / name, elsewhere)
    return "symbolic link" if kind in (as_link, as_link_to_nothing) else "not a file"


@pytest.mark.parametrize("kind", KINDS)
def test_reports_read_only_files_of_the_run(
    kind: Callable[[Path, Path], None], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whys = {name: replaced(run, name, kind, monkeypatch) for name in READ}
    said = said_of(run, tmp_path)
    for name in READ[:2]:
        assert any(name in line and whys[name] in line for line in said.splitlines())
    untuned, tuned = listings([run / "program.json", run / "winner.json"])
    assert whys["program.json"] in untuned.problem
    assert whys["winner.json"] in tuned.problem
    assert whys["kernel.so"] in inner_loop(run / "kernel.so").problem
    why = replaced(run, "journal.jsonl", kind, monkeypatch)
    for command in ("report", "trace", "compare"):
        assert why in refused(command, str(run), "-o", str(tmp_path / "new"))


@pytest.fixture
def address(run: Path) -> Iterator[str]:
    with running_dashboard(run.parent) as address:
        yield address


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, kind) for name in ("journal.jsonl", *READ[:2]) for kind in KINDS if kind is not as_folder),
        ("receipt.json", as_folder),  # without the other two it is no run
    ],
)
def test_the_dashboard_reads_only_files_of_the_run(
    name: str, kind: Callable[[Path, Path], None], run: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = replaced(run, name, kind, monkeypatch)
    rows = json.loads(ask(f"{address}/list")[2])
    assert [row["status"].split(": ")[0] for row in rows] == [f"{name} is not read"]
    assert why in rows[0]["status"]
    for page in ("content", "tree", "compare"):
        status, _, text = ask(f"{address}/{page}?{urlencode({'run': 'builtin', 'program': '0'})}")
        assert (status, SECRET in text) in {(200, False), (404, False), (409, False)}
        if page == "content":
            assert why in text
            assert status == (409 if name == "journal.jsonl" else 200)


# ---- receipts and configs ----


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("seconds", {"total": 1e308}),
        ("course_alterations", 10**400),
        ("baseline", {"latency_us": 1e-320, "gflops": None, "roofline_share": None}),
        ("target", json.loads("[" * 90 + "]" * 90)),
    ],
)
def test_a_receipt_with_numbers_that_no_run_has_is_refused(part: str, value: Any, run: Path, tmp_path: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    value = {"keys": value} if part == "target" else value
    (run / "receipt.json").write_text(json.dumps(receipt | {part: value}))
    assert "not a receipt that a run writes" in said_of(run, tmp_path)
    assert "not a receipt that a run writes" in refused("show", str(run))


def test_a_receipt_too_large_to_be_one_is_not_read(run: Path, tmp_path: Path) -> None:
    for name in ("receipt.json", "config.toml"):
        with (run / name).open("ab") as file:
            file.truncate(1 << 40)  # takes no room
    assert said_of(run, tmp_path).count("it is larger than") == 2


@pytest.mark.parametrize(
    "content",
    [
        "run = 1",
        "run = [1]",
        "[[run]]\ntrials = 1",
        "[run]\ntrials = " + "9" * 5000,
        "[run]\nname = 0x" + "f" * 5000 + "\ntrials = 0x" + "f" * 5000,
        ".".join("a" * 100) + " = 1",
        ".".join("a" * 100_000) + " = 1",
        "[run]\ntrials = 1979-05-27\nname = nan\nprogram = {a = inf}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_whatever_a_config_holds_there_is_a_page(content: str, run: Path, tmp_path: Path) -> None:
    (run / "config.toml").write_text(content)
    (run / "receipt.json").unlink()
    said_of(run, tmp_path)
    assert isinstance(read_config(run)[0], dict)
    with running_dashboard(tmp_path) as address:
        assert [row["id"] for row in json.loads(ask(f"{address}/list")[2])] == ["builtin"]
        assert ask(f"{address}/content?run=builtin")[0] == 200
