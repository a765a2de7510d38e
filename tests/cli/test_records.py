"""``colt records``: the commands, on records made up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from colt.cli import main
from colt.records.store import Store
from colt.util.text import counted
from tests.helpers.stored import key, record


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two of one program, one of another."""
    path = tmp_path / "records.db"
    monkeypatch.setenv("COLT_RECORDS", str(path))
    store = Store(path)
    other = record(4, 9.0, of=key(2), name="other\x1b[31m", verified=False, stock=None)
    store.put([record(8, 50.0), record(2, 80.0), other], {"123": "bW9kdWxl"})
    return store


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["records", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_the_list_has_the_fastest_of_each_program_first_and_no_control_characters(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "list")
    assert text.index("50.0") < text.index("80.0") < text.index("other\\x1b[31m")
    assert "\x1b" not in text
    assert "50.0" not in said(capsys, "list", "nothing")
    lines = [json.loads(line) for line in said(capsys, "list", "matmul", "--json").splitlines()]
    assert [line["record"]["latency_us"] for line in lines[1:]] == [50.0, 80.0]


def test_one_record_is_shown_in_full(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "show", "1"))["words"]["knobs"]["C.i"] == [8, 1, 1, 8]
    for number in ("99", "0", str(2**63 - 1), str(2**63), "9" * 40):
        assert f"has no record {number}" in said(capsys, "show", number, code=2).replace("\n", "")


def test_what_is_exported_can_be_imported_elsewhere_as_not_verified(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, there = tmp_path / "records.jsonl", Store(tmp_path / "there.db")
    assert said(capsys, "export", "-o", str(file)) == f"wrote 3 records to {file}\n"
    assert "imported 3 records" in said(capsys, "import", str(file), "--records", str(there.path))
    assert [one.record.verified for one in there.all().records] == [False] * 3
    assert [one.record.latency_us for one in there.known(key()).records] == [50.0, 80.0]
    assert there.programs(["123"]) == {"123": "bW9kdWxl"}
    assert "exists; name a new file" in said(capsys, "export", "-o", str(file), code=2)


def test_an_import_takes_what_is_right_and_names_what_is_not(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "theirs.jsonl"
    assert said(capsys, "export", "matmul", "-o", str(file))
    file.write_text(file.read_text() + '{"kind":"record","record":{"latency_us":"quick"}}\n')
    text = said(capsys, "import", str(file), "--records", str(tmp_path / "there.db"))
    assert f"left out: {file}, line 5: " in text.replace("\n", " ")
    assert "imported 2 records" in text
    assert "1 refused" in text


def test_an_import_of_nothing_fails(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, there = tmp_path / "theirs.jsonl", tmp_path / "there.db"
    assert said(capsys, "export", "matmul", "-o", str(file))
    file.write_text(re.sub(r'"latency_us":[0-9.]+', '"latency_us":-1', file.read_text()))
    text = said(capsys, "import", str(file), "--records", str(there), code=2)
    assert "has no records that can be imported (2 refused)" in text
    assert not there.exists()


def test_imported_records_replace_none_that_is_verified(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = Store(tmp_path / "theirs.db")
    theirs.put([record(8, 0.001)], {})
    text = said(capsys, "import", str(theirs.path)).replace("\n", " ")
    assert "imported 0 records" in text
    assert "1 left out" in text
    assert [one.record.latency_us for one in store.known(key()).records] == [50.0, 80.0]


def test_a_stock_database_is_two_files_of_lines(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stock"
    assert "wrote 2 records" in said(capsys, "export", "-o", str(folder), "--stock")
    assert (folder / "database_workload.json").read_text() == '["123","bW9kdWxl"]\n'
    lines = (folder / "database_tuning_record.json").read_text().splitlines()
    assert json.loads(lines[0]) == [0, [[[], []], [50.0 / 1e6], {}, []]]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--keep", "1"], [50.0, 9.0]),
        (["--keep", "0"], []),
        (["--keep", "1", "matmul"], [50.0, 9.0]),
        (["--unverified"], [50.0, 80.0]),
        (["--before", "2026-01-01"], [50.0, 80.0, 9.0]),
        (["--before", "2026-01-02"], []),
    ],
)
def test_pruning_removes_what_was_asked_for(
    store: Store, capsys: pytest.CaptureFixture[str], options: list[str], left: list[float]
) -> None:
    assert f"removed {counted(3 - len(left), 'record')} from" in said(capsys, "prune", *options)
    assert [one.record.latency_us for one in store.all().records] == left


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["prune"], "say what to remove"),
        (["prune", "--keep", "1", "--before", "2026-01-01"], "are alternatives; one at a time"),
        (["prune", "--keep", "-1"], "--keep is -1"),
        (["prune", "--before", "yesterday"], "--before is 'yesterday'; it takes a day"),
        (["import", "nowhere"], "nowhere does not exist; records are read from a run directory"),
        (["export", "nothing", "-o", "x"], "has no records of programs named nothing to export"),
    ],
)
def test_what_cannot_be_done_is_refused(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert why in said(capsys, *arguments, code=2)
    assert len(store.all().records) == 3


def test_nothing_is_pruned_from_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.db"
    for how in (["--keep", "1"], ["--before", "2026-01-31"], ["--unverified"]):
        told = said(capsys, "prune", *how, "--records", str(path), code=2)
        assert f"{path} is not a file of records: it does not exist" in told
    assert not path.exists()


def test_without_a_place_for_records_one_has_to_be_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLT_RECORDS", "off")
    assert "name a --records PATH" in said(capsys, "list", code=2)
