"""The file of records: what is kept, found, migrated, and refused without being touched."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from colt.records import file
from colt.records.place import records_path
from colt.records.record import RecordsError, StoredRecord
from colt.records.schema import APPLICATION, FIRST, VERSION
from colt.records.store import MOST_PER_KEY, Matches, Store
from tests.helpers.stored import ORIGIN, key, record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "records.db", patience_s=0.2)


def found(what: Matches) -> list[StoredRecord]:
    assert not what.unreadable
    return [one.record for one in what.records]


def test_what_is_put_in_is_found_again_verified_ones_first_then_the_fastest(store: Store) -> None:
    quick, slow, unproven = record(8, 50.0), record(4, 80.0), record(2, 20.0, verified=False)
    store.put([slow, unproven, quick], {"123": "module"})
    assert found(store.known(key())) == [quick, slow, unproven]
    assert found(store.known(key(2))) == []
    assert store.programs(["123", "124"]) == {"123": "module"}
    assert [store[one.number] for one in store.all().records] == [slow, unproven, quick]


def test_reading_makes_no_file(store: Store) -> None:
    assert found(store.known(key())) == found(store.relatives(key())) == found(store.all()) == []
    assert not store.path.parent.exists()


def test_a_schedule_measured_again_has_its_newest_figures_but_none_that_nobody_has_proven(store: Store) -> None:
    store.put([record(latency_us=50.0)], {})
    store.put([record(latency_us=70.0)], {})
    store.put([record(latency_us=1.0, verified=False)], {})
    assert [one.latency_us for one in found(store.known(key()))] == [70.0]


def test_the_slowest_of_too_many_make_room(store: Store) -> None:
    others = [record(tile, of=key(9)) for tile in (1, 2)]
    store.put(others, {})
    store.put([record(tile, 100.0 + tile) for tile in range(1, MOST_PER_KEY + 5)], {})
    assert [one.latency_us for one in found(store.known(key()))] == [100.0 + n for n in range(1, MOST_PER_KEY + 1)]
    assert len(found(store.known(key(9)))) == 2


def test_relatives_are_of_one_family_and_processor_the_same_program_first_then_the_nearest(store: Store) -> None:
    near, far = record(of=key(2, extents=(64, 64, 128))), record(of=key(3, extents=(64, 64, 4096)))
    same = record(of=key(1, threads=1), latency_us=900.0)
    strangers = [record(of=key(4, family=2)), record(of=key(5, features="neon")), record(of=key(6, target="{}"))]
    store.put([far, near, same, *strangers, record()], {})
    assert found(store.relatives(key())) == [same, near, far]


def test_removing_records_removes_programs_that_none_is_left_of(store: Store) -> None:
    store.put([record(1), record(2)], {"123": "module"})
    first, second = (one.number for one in store.all().records)
    assert store.remove([first, first, 999]) == 1
    assert store.programs(["123"]) == {"123": "module"}
    assert store.remove([second]) == 1
    assert store.programs(["123"]) == {}


def test_the_records_of_one_relative_come_by_what_they_promise(store: Store) -> None:
    """What was written first promises no more than what was written later."""
    of = key(2, extents=(64, 64, 128))
    once = record(2, 50.0, of, interval_us=None)
    unproven = record(16, 40.0, of, verified=False)
    slower, faster = record(4, 90.0, of), record(8, 80.0, of)
    store.put([unproven, once, slower, faster], {})
    assert found(store.relatives(key())) == [faster, slower, once, unproven]


def test_a_winner_comes_before_what_the_search_saw_of_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs are other latencies: of one timing, under another load."""
    winner, seen = record(2, 52.4), record(4, 16.7, interval_us=None)
    store.put([seen, winner, record(8, 40.0, verified=False)], {})
    assert found(store.known(key()))[:2] == [winner, seen]
    monkeypatch.setattr("colt.records.store.MOST_PER_KEY", 1)
    store.put([seen], {})
    assert found(store.known(key())) == [winner]


def test_nothing_is_kept_of_records_that_can_not_all_be(store: Store) -> None:
    store.put([record(1)], {})
    with pytest.raises(RecordsError, match="a program of more than"):
        store.put([record(2)], {"1": "m", "2": "m" * (16 * 2**20 + 1)})
    assert len(found(store.all())) == 1
    assert store.programs(["1"]) == {}


def test_an_import_does_not_replace_a_program(store: Store) -> None:
    store.put([record(1)], {"123": "ours"})
    imported = record(2, verified=False, origin=ORIGIN.__class__(by="x", when=ORIGIN.when, imported=True))
    store.put([imported], {"123": "theirs"})
    assert store.programs(["123"]) == {"123": "ours"}


def test_a_record_that_somebody_has_damaged_is_counted_and_left_out(store: Store) -> None:
    store.put([record(1), record(2), record(4)], {})
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE records SET body = X'7B7D' WHERE id = 1")
        connection.execute("UPDATE records SET body = 7 WHERE id = 2")
        connection.commit()
    known = store.known(key())
    assert (len(known.records), known.unreadable) == (1, 2)
    with pytest.raises(RecordsError, match="has no record 1 that can be read"):
        store[1]


def test_an_older_file_is_migrated_and_keeps_what_it_has(store: Store) -> None:
    store.put([record()], {"123": "module"})
    new = store.path.with_name("new.db")
    with closing(sqlite3.connect(store.path)) as old, closing(sqlite3.connect(new)) as made:
        made.executescript(f"PRAGMA application_id = {APPLICATION}; {FIRST} PRAGMA user_version = 1;")
        for table in ("programs", "records"):
            for row in old.execute(f"SELECT * FROM {table}"):
                made.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        made.commit()
    assert found(Store(new).known(key())) == [record()]
    with closing(sqlite3.connect(new)) as migrated:
        assert migrated.execute("PRAGMA user_version").fetchone() == (VERSION,)
        indexes = {name for (name,) in migrated.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert "records_by_family" in indexes


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE records (id)")
        connection.commit()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _garbled(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_newer, f"has version {VERSION + 1} of records, this COLT reads 1 to {VERSION}"),
        (_foreign, "is not a file of records of COLT"),
        (lambda path: path.write_text("notes\n"), "is not a file of records of COLT"),
        (lambda path: path.write_bytes(b""), "is not a file of records of COLT"),
        (_cut, "is torn"),
        (_garbled, "cannot be used: it is damaged"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_and_left_as_it_is(store: Store, spoil: object, why: str) -> None:
    store.put([record(tile) for tile in range(1, 9)], {"123": "module" * 10_000})
    spoil(store.path)  # type: ignore[operator]
    content = store.path.read_bytes()
    for act in (lambda: store.put([record()], {}), lambda: store.known(key()), lambda: store.remove([1])):
        with pytest.raises(RecordsError, match=why):
            act()
    assert store.path.read_bytes() == content


def test_who_waits_too_long_for_another_is_told_so(store: Store) -> None:
    store.put([record(1)], {})
    with file.opened(store.path) as other, file.transaction(other):
        with pytest.raises(RecordsError, match="locked"):
            store.put([record(2)], {})
        assert len(found(store.known(key()))) == 1  # readers do not wait
    store.put([record(2)], {})


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="it is not a file"):
        Store(tmp_path).put([record()], {})


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("COLT_RECORDS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert records_path() == tmp_path / ".local/share/colt/records.db"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert records_path() == tmp_path / ".local/share/colt/records.db"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert records_path() == Path("/data/colt/records.db")
    monkeypatch.setenv("COLT_RECORDS", "mine.db")
    assert records_path() == Path("mine.db")
    monkeypatch.setenv("COLT_RECORDS", "off")
    assert records_path() is None
