"""``colt dashboard``: it only reads, to those who may, and tells of what is new."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the dashboard comes with the extra dashboard")
pytest.importorskip("starlette", reason="the dashboard comes with the extra dashboard")

from colt.store import happened
from colt.views.dashboard import runs
from colt.views.dashboard.app import COOKIE
from colt.views.dashboard.runs import WatchedRun
from colt.views.dashboard.serve import listen
from colt.views.report.source import RunFiles, load_run
from tests.helpers.command import refused
from tests.helpers.recorded import unpacked
from tests.helpers.running_dashboard import running_dashboard

TOKEN = "a-token-of-the-test"


class Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else."""

    def redirect_request(self, *given: Any) -> None:
        return None


def ask(address: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer."""
    request = urllib.request.Request(address, headers=headers or {}, method=method)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def query(path: str, **values: str) -> str:
    """A path with a query."""
    return f"{path}?{urllib.parse.urlencode(values)}"


def tree_of(address: str, run: str) -> dict[str, Any]:
    """The tree of a run's first program."""
    return dict(json.loads(ask(address + query("/tree", run=run, program="0"))[2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some runs, one of them not finished, one deeper."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("builtin", "models", "no-winner"):
        unpacked(name, folder)
    (unpacked("interrupted", folder / "older") / "receipt.json").unlink()
    (folder / "elsewhere").mkdir()
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with running_dashboard(folder) as address:
        yield address


def test_runs_are_listed_with_what_they_came_to(address: str) -> None:
    status, headers, text = ask(f"{address}/list")
    rows = {row["id"]: row for row in json.loads(text)}
    assert status == 200
    assert sorted(rows) == ["builtin", "models", "no-winner", "older/interrupted"]
    assert (rows["models"]["status"], rows["models"]["speedup"]) == ("faster", "85.19x")
    assert rows["older/interrupted"]["status"] in ("in progress", "not finished")
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_content_of_a_run_is_that_of_a_report(address: str) -> None:
    status, _, text = ask(address + query("/content", run="models"))
    content = json.loads(text)
    assert status == 200
    assert "faster: 85.2x" in content["runs"][0]["html"]
    assert content["trees"] == {"r0-tree-chart": 0}
    assert len(tree_of(address, "models")["parent"]) == 39
    assert content["charts"]["r0-best-dollars-chart"]["data"]


@pytest.mark.parametrize(
    "name", ["none", "../builtin", "/etc", "older", "builtin/../models", "elsewhere", "builtin\0", ""]
)
def test_what_no_scan_finds_is_not_there(name: str, address: str) -> None:
    for path in ("/run", "/content", "/tree", "/events", "/compare"):
        assert ask(address + query(path, run=name))[0] == 404


@pytest.mark.parametrize("program", ["1", "-1", "x", "", "9" * 5000, "²"])
def test_a_run_has_a_tree_for_each_of_its_programs_and_no_other(program: str, address: str) -> None:
    assert ask(address + query("/tree", run="models", program=program))[0] == 404


def test_a_run_is_found_by_the_name_that_people_see(tmp_path: Path) -> None:
    names = [os.fsdecode(b"\xff"), "a\u202eb"]
    for name in names:
        unpacked("builtin", tmp_path).rename(tmp_path / name)
    with running_dashboard(tmp_path) as address:
        assert sorted(row["id"] for row in json.loads(ask(f"{address}/list")[2])) == ["\\udcff", "a\\u202eb"]
        for name in ("\\udcff", "a\\u202eb"):
            assert ask(address + query("/content", run=name))[0] == 200


def test_links_are_not_followed(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "link").symlink_to(folder / "models")
    with running_dashboard(tmp_path) as address:
        assert json.loads(ask(f"{address}/list")[2]) == []


def test_it_only_reads(address: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(f"{address}/", method=method)[0] == 405


def test_static_files_are_our_own(address: str) -> None:
    assert "plotly.js" in ask(f"{address}/static/plotly.js")[2][:200]
    assert ask(f"{address}/static/..%2f..%2fpage.py")[0] == 404
    assert ask(f"{address}/static/page.py")[0] == 404


def test_a_page_from_elsewhere_cannot_reach_it_under_its_own_name(address: str) -> None:
    assert ask(f"{address}/list", {"Host": "evil.example"})[0] == 400
    assert ask(f"{address}/list", {"Host": "localhost:8642"})[0] == 200


def test_strangers_need_the_token(folder: Path) -> None:
    with running_dashboard(folder, TOKEN, ["*"]) as address:
        for path in ("/", "/list", "/run?run=models", "/static/plotly.js", "/events", "/?token=wrong"):
            assert ask(address + path)[0] == 403
        status, headers, _ = ask(f"{address}/run?run=models&token={TOKEN}")
        assert (status, headers["location"]) == (303, "/run?run=models")
        assert "HttpOnly" in headers["set-cookie"]
        assert "samesite=strict" in headers["set-cookie"].lower()
        assert ask(f"{address}/list", {"Cookie": f"{COOKIE}={TOKEN}"})[0] == 200
        assert ask(f"{address}/list", {"Cookie": f"{COOKIE}=wrong"})[0] == 403


def test_only_loopback_goes_without_a_token() -> None:
    for host, needed in (("127.0.0.1", False), ("0.0.0.0", True)):
        place = listen(host, 0)
        place.listening.close()
        assert (place.token is not None) == needed
        assert ("?token=" in place.address) == needed


def versions(stream: Any) -> Iterator[int]:
    """What a stream says."""
    for line in stream:
        if line.startswith(b"data: "):
            yield int(line[6:])


def test_the_stream_tells_of_what_a_run_has_written_since(tmp_path: Path) -> None:
    run = unpacked("models", tmp_path)
    whole = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    receipt = (run / "receipt.json").read_bytes()
    (run / "receipt.json").unlink()
    (run / "journal.jsonl").write_bytes(b"".join(whole[:60]))

    def nodes(address: str) -> int:
        return len(tree_of(address, "models")["parent"])

    with (
        running_dashboard(tmp_path) as address,
        urllib.request.urlopen(address + query("/events", run="models"), timeout=30) as stream,
    ):
        told = versions(stream)
        first = next(told)
        few = nodes(address)
        with (run / "journal.jsonl").open("ab") as journal:
            journal.write(b"".join(whole[60:]))
        second = next(told)
        assert second > first
        assert few < nodes(address) == 39
        (run / "receipt.json").write_bytes(receipt)
        assert next(told) > second
        assert "faster" in ask(address + query("/content", run="models"))[2]


def test_of_a_long_journal_trials_are_shown_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = unpacked("models", tmp_path)
    monkeypatch.setattr(happened, "CHUNK", 4096)
    monkeypatch.setattr(runs, "PIECE", 4096)
    (whole,) = load_run(run)
    watched = WatchedRun("models", run)
    first, content = watched.update(), watched.content()
    (seen,) = watched.seen()
    assert (watched.is_reading, content["reading"], content["trees"], watched.tree(0)) == (True, True, {}, None)
    assert seen.task.trials.keys() == whole.task.trials.keys()
    assert seen.task.improvements == whole.task.improvements
    assert (seen.state.usd, seen.problems) == (whole.state.usd, ())
    assert "nodes</span>" not in content["runs"][0]["html"]  # how many is not known yet
    for _ in range(100):
        assert watched.content() is content  # whoever asks waits for nothing
    while watched.is_reading:
        assert watched.update() == first or not watched.is_reading
    assert watched.update() == first + 1
    content = watched.content()
    assert (content["reading"], content["trees"]) == (False, {"r0-tree-chart": 0})
    (seen,) = watched.seen()
    assert seen.state == whole.state


def test_a_resumed_run_is_read_anew_where_it_went_another_way(tmp_path: Path) -> None:
    run = unpacked("models", tmp_path)
    whole = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    files = RunFiles(run)
    assert files.update()
    many = len(files.state.task.nodes)
    (run / "journal.jsonl").write_bytes(b"".join(whole[:60]) + b'{"t":9,"event":"wenton","trials":99}\n')
    assert files.update()
    assert 1 < len(files.state.task.nodes) < many
    (seen,) = files.seen()
    assert seen.trials_asked == 99
    assert files.state.stray == 0


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    assert "no such folder" in refused("dashboard", str(tmp_path / "none"))
    assert "0 to 65535" in refused("dashboard", str(tmp_path), "--port", "70000")
    assert "takes an integer" in refused("dashboard", str(tmp_path), "--port", "many")
    assert "cannot be listened on" in refused("dashboard", str(tmp_path), "--host", "no.such.host.invalid")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot be listened on" in refused("dashboard", str(tmp_path), "--port", port)
