"""Runs begin from records and add to them; what was read is an answer of the world, so that a replay needs no store."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tvm import te

import colt
from colt import events
from colt.bench.config import OWN_SPACE, BenchConfig, Cell, StrategyName
from colt.bench.task import CellTask
from colt.plan import Plan, plan
from colt.records.file import opened, transaction
from colt.records.lines import write_lines
from colt.records.record import StoredRecord
from colt.records.store import Store
from colt.run import remember
from colt.run.promise import suited
from colt.run.replay import replay
from colt.store.directory import CONFIG, RECEIPT
from colt.store.receipt import load_receipt
from colt.tvm.metaschedule.imports import read_source
from colt.tvm.programs.export import load_module
from colt.tvm.programs.program import module_of_tensors
from tests.helpers.simulated_runs import THINK_LESS, measured_by, simulated, tune_simulated


def matmul(m: int = 64, n: int = 64, k: int = 64, names: str = "ABC") -> Any:
    """A matmul of those extents; ``names`` are those of its arguments, the last of its block."""
    left, right, out = names
    a, b = te.placeholder((m, k), name=left), te.placeholder((k, n), name=right)
    r = te.reduce_axis((0, k), name="k")
    return module_of_tensors([a, b, te.compute((m, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name=out)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "records.db", patience_s=0.2)


def tune(store: Store | None, program: Any = None, **options: Any) -> Any:
    """A short run, with the notes that it gave as ``notes``, and the ``by`` of its trials in their order."""
    seen: list[Any] = []
    given = {"config": colt.SearchConfig(batch_size=3, **THINK_LESS), "on_event": [seen.append]} | options
    if store is not None:
        given["records"] = store.path
    result = tune_simulated(matmul() if program is None else program, **given)
    notes = [event.message for event in seen if isinstance(event, events.Noted)]
    asked = [event.proposed_by for event in seen if isinstance(event, events.Asked)]
    return result, notes, asked


def records(store: Store) -> list[StoredRecord]:
    return [one.record for one in store.all().records]


def test_a_run_adds_its_winner_and_other_fast_schedules(store: Store, tmp_path: Path) -> None:
    result, _, _ = tune(store, run_dir=tmp_path / "first")
    kept = sorted(records(store), key=lambda record: record.latency_us)
    assert result.receipt.records == msgspec.structs.replace(
        result.receipt.records, known=0, relatives=0, added=len(kept), failure=None
    )
    best = result.receipt.best
    (winner,) = [record for record in kept if record.interval_us is not None]
    assert winner.verified
    assert winner.words is not None
    assert winner.words.knobs == best.values
    assert (winner.latency_us, winner.origin.by) == (best.latency_us, best.proposed_by)
    assert (winner.origin.run, winner.origin.trials) == ("first", 6)
    assert len({record.schedule_id for record in kept}) == len(kept) > 1
    assert winner.stock is not None
    assert winner.stock.program in store.programs([winner.stock.program])


def test_a_known_program_is_said_to_be_and_measured_again_first(store: Store, tmp_path: Path) -> None:
    first, _, _ = tune(store)
    count = len(records(store))
    again, notes, asked = tune(store, run_dir=tmp_path / "again", seed=1)
    assert any(note.startswith(f"this program is known: {count} records, the best ") for note in notes)
    part = again.receipt.records
    assert part.known == min(4, first.receipt.records.added)
    assert asked[: part.known] == ["records"] * part.known
    assert "records" not in asked[part.known :]
    assert again.receipt.best.latency_us <= first.receipt.best.latency_us * 1.0001  # the measurer has no noise
    assert again.receipt.trials.total == 6  # what is measured again counts


def test_names_make_no_difference(store: Store) -> None:
    tune(store)
    again, _, _ = tune(store, matmul(names="XYZ"))
    assert again.receipt.records.known > 0
    assert again.receipt.records.unusable == 0


def test_fresh_looks_nothing_up_and_still_adds(store: Store) -> None:
    tune(store)
    before = len(records(store))
    again, notes, asked = tune(store, fresh=True, seed=5)
    assert (again.receipt.records.known, "records" in asked) == (0, False)
    assert not any("known" in note for note in notes)
    assert len(records(store)) > before


def test_no_trials_compile_from_records_alone(store: Store, tmp_path: Path) -> None:
    first, _, _ = tune(store)
    made, _, asked = tune(store, trials=0, run_dir=tmp_path / "made")
    assert len(asked) == made.receipt.records.known > 0  # one of them may have been drawn again beforehand
    assert "records" in asked
    assert made.receipt.stop_reason == "records"
    assert made.receipt.best.values == first.receipt.best.values
    assert made.receipt.verified.ok
    assert (tmp_path / "made" / "winner.json").exists()


def test_no_trials_without_records_are_refused_and_nothing_is_written(store: Store, tmp_path: Path) -> None:
    tune(store, matmul(64, 64, 128))  # a relative is not the program
    with pytest.raises(colt.InputError, match="trials is 0, which compiles from records alone, but none is known of"):
        tune(store, trials=0, run_dir=tmp_path / "made")
    assert not (tmp_path / "made").exists()
    for options in ({"use_records": False}, {"fresh": True}):
        with pytest.raises(colt.InputError, match=r"trials is 0, .*but none are to be used"):
            plan(matmul(), trials=0, **options)


def measured(store: Store | None, program: Any, **options: Any) -> list[tuple[str, Any]]:
    """Who proposed what, in the order of measuring."""
    seen: list[Any] = []
    tune(store, program, on_event=[seen.append], **options)
    schedules = {event.node: event.schedule for event in seen if isinstance(event, events.Opened | events.Applied)}
    asked = {event.trial: event for event in seen if isinstance(event, events.Asked)}
    order = [asked[event.trial] for event in seen if isinstance(event, events.Timed)]
    return [(event.proposed_by, schedules[event.node]) for event in order]


def test_relatives_are_measured_first_with_values_that_are_legal_here(store: Store) -> None:
    tune(store)
    other, notes, asked = tune(store, matmul(48, 96, 80))
    part = other.receipt.records
    assert (part.known, part.relatives) == (0, asked.count("relative"))
    assert 0 < part.relatives <= 3  # of one relative at most
    assert any(note.startswith("relatives of this program are known") for note in notes)


def test_relatives_schedules_are_suited_to_this_program_and_its_own_are_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def noted(schedule: Any, *others: Any) -> Any:
        asked.append(schedule)
        return suited(schedule, *others)

    monkeypatch.setattr("colt.run.recall.suited", noted)
    tune(store)
    tune(store)
    assert not asked
    tune(store, matmul(48, 96, 80))
    assert asked


def test_relatives_take_turns_with_what_the_run_begins_with_by_itself(store: Store) -> None:
    """So a bad relative costs its trials, and the run nothing else."""
    tune(store)
    alone = measured(None, matmul(48, 96, 80), use_records=False)[:3]
    order = measured(store, matmul(48, 96, 80))
    by = [who for who, _ in order]
    leads = by.count("relative")
    assert [who == "relative" for who in by[: leads + 3]] == [n % 2 == 0 and n < 2 * leads for n in range(leads + 3)]
    assert [one for one in order if one[0] != "relative"][:3] == alone


@pytest.mark.parametrize("trials", [1, 2, 4])
def test_relatives_leave_no_more_trials_than_there_are(store: Store, trials: int) -> None:
    tune(store)
    by = [who for who, _ in measured(store, matmul(48, 96, 80), trials=trials)]
    assert len(by) == trials
    assert by[0] == "relative"


def test_another_kind_of_program_or_of_math_is_no_relative(store: Store) -> None:
    tune(store)
    a = te.placeholder((64, 64), name="A")
    added = module_of_tensors([a, te.compute((64, 64), lambda i, j: a[i, j] + 1.0, name="C")])
    other, _, _ = tune(store, added, pool=["scout"])
    assert (other.receipt.records.known, other.receipt.records.relatives) == (0, 0)
    exact, _, _ = tune(store, exact_math=True)
    assert (exact.receipt.records.known, exact.receipt.records.relatives > 0) == (0, True)


def test_a_replay_is_identical_without_the_store(store: Store, tmp_path: Path) -> None:
    tune(store)
    result, _, _ = tune(store, run_dir=tmp_path / "run", seed=3)
    assert result.receipt.records.known > 0
    size = store.path.stat().st_size
    shutil.move(store.path, tmp_path / "moved.db")
    assert str(replay(tmp_path / "run")).startswith("identical")
    assert not store.path.exists()
    assert (tmp_path / "moved.db").stat().st_size == size


def test_a_store_that_cannot_be_written_costs_a_note_and_never_the_run(store: Store, tmp_path: Path) -> None:
    tune(store)
    usual = Store(tmp_path / "usual.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLT_RECORDS", str(usual.path))
        usual.path.write_text("not records")
        result, notes, _ = tune(None, run_dir=tmp_path / "run")
        assert usual.path.read_text() == "not records"
    assert result.receipt.verified.ok
    assert any(note.startswith("records are not used: ") for note in notes)
    assert any(note.startswith("nothing was added to the records: ") for note in notes)
    assert "is not a file of records" in (result.receipt.records.failure or "")
    assert str(replay(tmp_path / "run")).startswith("identical")


def test_a_locked_store_is_waited_for_and_then_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(store)
    monkeypatch.setattr(remember, "Store", partial(Store, patience_s=0.1))
    with opened(store.path) as other, transaction(other):
        result, notes, _ = tune(store, seed=2)
    assert result.receipt.records.known > 0  # reading does not wait
    assert "locked" in (result.receipt.records.failure or "")
    assert any("nothing was added" in note for note in notes)


def test_a_named_store_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(colt.ColtError, match=r"notes\.txt is not a file of records"):
        plan(matmul(), records=tmp_path / "notes.txt")
    with pytest.raises(colt.InputError, match="exclude each other"):
        plan(matmul(), records=tmp_path / "new.db", use_records=False)
    with pytest.raises(colt.InputError, match="nowhere does not exist; records are read from a run directory"):
        plan(matmul(), begin_from=tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["run", "store", "lines"])
def test_a_run_begins_from_a_named_source_for_once(store: Store, tmp_path: Path, kind: str) -> None:
    first, _, _ = tune(store, run_dir=tmp_path / "run")
    lines = tmp_path / "records.jsonl"
    lines.write_bytes(write_lines(records(store), {}))
    source = {"run": tmp_path / "run", "store": store.path, "lines": lines}[kind]
    made, notes, asked = tune(None, trials=0, begin_from=source, use_records=False)
    (said,) = [note for note in notes if note.startswith("this program is known: ")]
    assert ("from the database run;" in said, "on 1970" in said) == (kind == "run", False)
    assert len(asked) == made.receipt.records.known > 0  # one of them may have been drawn again beforehand
    assert "records" in asked
    assert made.receipt.best.values == first.receipt.best.values


def test_what_was_imported_of_the_program_is_no_relative(store: Store, tmp_path: Path) -> None:
    first, _, _ = tune(store, run_dir=tmp_path / "run")
    imported = Store(tmp_path / "imported.db")
    source = read_source(tmp_path / "run")
    imported.put(source.records, source.programs)
    made, notes, _ = tune(imported, trials=0)
    assert any(note.startswith(f"this program is known: {len(source.records)} records") for note in notes)
    assert not any("relatives" in note for note in notes)
    assert made.receipt.records.known == min(4, len(source.records))
    assert made.receipt.best.values == first.receipt.best.values


def test_what_is_imported_of_a_run_bears_the_name_of_its_program(store: Store, tmp_path: Path) -> None:
    first, _, _ = tune(store, run_dir=tmp_path / "run")
    assert {one.name for one in read_source(tmp_path / "run").records} == {first.receipt.workload.name}
    (tmp_path / "run" / RECEIPT).write_text("no receipt")
    assert {one.name for one in read_source(tmp_path / "run").records} == {"run"}


def test_a_source_that_knows_nothing_of_the_program_is_said_to(store: Store) -> None:
    tune(store)
    a = te.placeholder((64, 64), name="A")
    added = module_of_tensors([a, te.compute((64, 64), lambda i, j: a[i, j] + 1.0, name="C")])
    _, notes, _ = tune(None, added, pool=["scout"], begin_from=store.path)
    assert f"{store.path} knows nothing of this program, nor of a relative" in notes


def test_a_record_that_is_illegal_here_is_counted_and_left_out(store: Store) -> None:
    tune(store)
    with closing(sqlite3.connect(store.path)) as connection:
        for number, body in connection.execute("SELECT id, body FROM records").fetchall():
            spoilt = msgspec.json.decode(body)
            spoilt["words"]["sketch"], spoilt["stock"]["trace"] = "unheard-of", "[[], []]"
            connection.execute("UPDATE records SET body = ? WHERE id = ?", (msgspec.json.encode(spoilt), number))
        connection.commit()
    result, notes, _ = tune(store)
    assert (result.receipt.records.known, result.receipt.records.unusable > 0) == (0, True)
    assert any("cannot be carried out here" in note for note in notes)


def test_the_plan_of_a_strangers_run_makes_no_file_wherever_it_likes(store: Store, tmp_path: Path) -> None:
    tune(store, run_dir=tmp_path / "run")
    made = plan(matmul(), records=tmp_path / "elsewhere.db").to_config("tree")
    read = Plan.from_config(made, load_module((tmp_path / "run" / "program.json").read_bytes()))
    assert (read.records, read.may_make_records) == (tmp_path / "elsewhere.db", False)
    assert "records" not in plan(matmul(), use_records=False).to_config("tree")["run"]  # type: ignore[operator]
    assert load_receipt(tmp_path / "run").records is not None
    assert (tmp_path / "run" / CONFIG).exists()


def test_a_run_that_goes_on_needs_no_store_for_what_it_began_from_and_adds_again(store: Store, tmp_path: Path) -> None:
    tune(store)
    tune(store, run_dir=tmp_path / "run", seed=3)
    with measured_by(simulated()):
        result = colt.resume(tmp_path / "run", trials=9)
    assert result.receipt.trials.total == 9
    assert result.receipt.records.known > 0
    assert result.receipt.records.added > 0
    assert {record.origin.run for record in records(store)} == {"", "run"}
    assert str(replay(tmp_path / "run")).startswith("identical")


def test_methods_that_are_compared_use_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLT_RECORDS", str(tmp_path / "usual.db"))
    config = BenchConfig(
        workloads=("gemv",),
        size="small",
        strategies=(StrategyName.COLT,),
        trials=4,
        seeds=1,
        space=OWN_SPACE,
        warm_start=0,
        peers=(),
        threads=1,
    )
    cell = CellTask(config, Cell("gemv", StrategyName.COLT, 0), tmp_path)
    assert plan("gemv").records == tmp_path / "usual.db"
    assert (cell.plan().records, cell.plan().recalls) == (None, False)
