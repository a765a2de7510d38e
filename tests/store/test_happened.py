"""Journals are read as events again, as far as they are sound and as far as they have been written."""

from __future__ import annotations

import os
import typing
from pathlib import Path
from typing import Annotated, Any

import pytest

from colt import events
from colt.errors import InputError
from colt.events import Event, to_record
from colt.store import happened
from colt.store.happened import JournalReader
from colt.store.journal import Journal, read_journal
from tests.helpers.recorded import RUNS, unpacked
from tests.test_events import ONE_OF_EACH


def written(folder: Path, *happening: Event) -> Path:
    """A journal of these events."""
    path = folder / "journal.jsonl"
    with Journal(path) as journal:
        for event in happening:
            journal(event)
    return path


def test_every_event_comes_back_as_it_was(tmp_path: Path) -> None:
    reader = JournalReader(written(tmp_path, *ONE_OF_EACH))
    assert [event for _, event in reader.read()] == ONE_OF_EACH
    assert (reader.lines, reader.skipped, reader.torn) == (len(ONE_OF_EACH), 0, 0)


@pytest.mark.parametrize("name", RUNS)
def test_journals_of_earlier_versions_come_back(name: str, tmp_path: Path) -> None:
    path = unpacked(name, tmp_path) / "journal.jsonl"
    reader = JournalReader(path)
    assert [to_record(event) for _, event in reader.read()] == read_journal(path)
    assert reader.skipped == 0


def test_a_growing_journal_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = written(tmp_path, events.Began("a"), events.Began("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    reader = JournalReader(path)
    assert [event for _, event in reader.read()] == [events.Began("a")]
    assert reader.torn == len(whole.splitlines()[1]) + 1 - 9
    assert list(reader.read()) == []
    path.write_bytes(whole)
    assert [event for _, event in reader.read()] == [events.Began("b")]
    assert (reader.lines, reader.skipped, reader.torn) == (2, 0, 0)


BAD = (
    b"",
    b"{",
    b"[]",
    b'{"t":0,"event":"unheard"}',
    b'{"t":0,"event":"closed","node":"1"}',
    b'{"t":1e999,"event":"closed","node":1}',
    b'{"t":0,"event":"baseline","latency_us":1e999}',
    b'{"t":0,"event":"baseline","latency_us":' + b"1" * 400 + b"}",
    b'{"t":0,"event":"baseline","latency_us":NaN}',
    b'{"t":0,"event":"baseline","latency_us":0}',
    b'{"t":0,"event":"baseline","latency_us":-1.0}',
    b'{"t":0,"event":"baseline","latency_us":1e308}',
    b'{"t":0,"event":"baseline","latency_us":1e-320}',
    b'{"t":0,"event":"measured","trial":0,"fate":"ok","latency_us":-1.0,"message":""}',
    b'{"t":-1,"event":"closed","node":1}',
    b'{"t":1e300,"event":"closed","node":1}',
    b'{"t":0,"event":"closed","node":-1}',
    b'{"t":0,"event":"closed","node":1' + b"0" * 30 + b"}",
    b'{"t":0,"event":"altered","ticket":1,"kept":2,"pruned":-2}',
    b'{"t":0,"event":"ofmodel","calls":[["a",-1]]}',
    b'{"t":0,"event":"opened","node":-1,"schedule":{"variant":"a","sketch":"b","values":[]},"by":"a","next_member":"b",'
    b'"predicted_us":1.0}',
    b'{"t":0,"event":"noted","message":"\xff"}',
    b'{"event":"closed","node":1}',
    b"[" * 100_000,
    b'{"t":0,"event":"noted","message":"' + b"x" * happened.LONGEST_LINE + b'"}',
)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad[:40]))
def test_a_line_that_is_no_event_is_skipped_and_counted(bad: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, events.Began("a"), events.Began("b"))
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join((first, bad, second, b"")))
    reader = JournalReader(path)
    assert [event for _, event in reader.read()] == [events.Began("a"), events.Began("b")]
    assert (reader.lines, reader.skipped, reader.first_skipped) == (3, 1, 2)


def unbounded(name: str, hint: Any) -> list[str]:
    """The numbers in a type that may be any."""
    if typing.get_origin(hint) is Annotated:
        return []
    if hint in (int, float):
        return [name]
    return [found for part in typing.get_args(hint) for found in unbounded(name, part)]


def test_every_number_of_every_event_has_bounds() -> None:
    lines = [typing.get_type_hints(kind, include_extras=True) for kind in happened._MAKERS]
    assert len(lines) == len(ONE_OF_EACH)
    assert [found for line in lines for name, hint in line.items() for found in unbounded(name, hint)] == []


def test_a_line_longer_than_what_is_read_at_a_time_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happened, "CHUNK", 100)
    path = written(tmp_path, events.Began("a"), events.Noted("x" * 450), events.Began("b"), events.Began("c"))
    reader = JournalReader(path)
    assert [event for _, event in reader.read()] == [events.Began("a"), events.Began("b"), events.Began("c")]
    assert reader.skipped >= 1


def test_a_long_journal_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happened, "CHUNK", 100)
    phases = [events.Began(f"phase {number}") for number in range(20)]
    reader, read = JournalReader(written(tmp_path, *phases)), list[Event]()
    while not reader.at_end:
        assert (reader.unread > 0, reader.torn) == (True, 0) or not read
        piece = [event for _, event in reader.read(most=200)]
        assert len(piece) < 10
        read += piece
    assert read == phases
    assert (reader.unread, reader.torn) == (0, 0)


def test_only_events_of_some_kinds_are_given(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        *(events.Closed(0), events.Began("closed"), events.Closed(1)),
        *(events.Noted('\n{"t":0,"event":"closed","node":9}'), events.Closed(2)),
    )
    path.write_bytes(path.read_bytes() + b'{"t":0,"event":"closed"}\n{"t":0,"event":"began"}\nnonsense\n')
    reader = JournalReader(path, only=(events.Closed,))
    assert [event for _, event in reader.read()] == [events.Closed(0), events.Closed(1), events.Closed(2)]
    assert (reader.lines, reader.skipped) == (0, 0)  # who reads all of it counts them


def test_a_journal_whose_end_was_replaced_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, events.Began("a"), events.Began("b"))
    reader = JournalReader(path)
    assert not reader.is_another()
    assert len(list(reader.read())) == 2
    assert not reader.is_another()
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + second)
    assert not reader.is_another()
    path.write_bytes(first + second.replace(b'"b"', b'"c"') + second)
    assert reader.is_another()
    path.write_bytes(first)
    assert reader.is_another()
    path.unlink()
    assert reader.is_another()


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        list(JournalReader(tmp_path / "none.jsonl").read())
    with pytest.raises(InputError, match="it is not a file"):
        list(JournalReader(tmp_path).read())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(written(tmp_path, events.Began("elsewhere")))
    for name, why in (("pipe", "it is not a file"), ("link", "it is a symbolic link, which is not followed")):
        reader = JournalReader(tmp_path / name)
        assert not reader.is_another()
        with pytest.raises(InputError, match=why):
            list(reader.read())
