"""MetaSchedule's databases, stock or a stranger's: what is exported stock TVM reads, what is imported is only data."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tvm import te
from tvm.s_tir import meta_schedule as ms

from colt.errors import IllegalEdit
from colt.knobs import Schedule
from colt.plan import plan
from colt.records.database import write_database
from colt.records.record import words_of
from colt.store.directory import RECORDS, WORKLOADS
from colt.tvm.metaschedule.identify import identified
from colt.tvm.metaschedule.imports import read_source
from colt.tvm.metaschedule.records import Records
from colt.tvm.metaschedule.stock import stock_forms
from colt.tvm.programs.identity import program_key
from colt.tvm.programs.program import fingerprint, module_of_tensors
from colt.tvm.programs.workloads import get
from colt.tvm.space.adopt import Adopter
from colt.tvm.space.space import TvmSpace
from tests.helpers.stored import record


def matmul(m: int = 64, n: int = 64, k: int = 64, names: str = "ABC", scale: float = 2.0) -> Any:
    left, right, out = names
    a, b = te.placeholder((m, k), name=left), te.placeholder((k, n), name=right)
    r = te.reduce_axis((0, k), name="k")
    dot = te.compute((m, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name=out)
    return module_of_tensors([a, b, te.compute((m, n), lambda i, j: dot[i, j] * scale, name=f"{out}2")])


TARGET = plan("gemv").target


def space_of(module: Any) -> TvmSpace:
    return TvmSpace.generated(module, TARGET, vector_math=True)


def some(space: TvmSpace, count: int = 12) -> list[Schedule]:
    """Schedules of several sketches."""
    rng = random.Random(0)
    return [space.sample(rng, space.sketches[n % len(space.sketches)]) for n in range(count)]


def words(space: TvmSpace, schedule: Schedule) -> Any:
    plan = space.plans.find(schedule.variant, schedule.sketch)
    return words_of(schedule, [knob.name for knob in plan.knobs])


def test_the_key_of_a_program_depends_on_neither_names_nor_the_family_on_numbers() -> None:
    key = program_key(matmul())
    assert program_key(matmul(names="XYZ")) == key
    for other in (matmul(1, 64, 32), matmul(scale=3.0), matmul(128, 96, 80)):
        assert program_key(other).family == key.family
        assert program_key(other).structure != key.structure
    a = te.placeholder((64, 64), name="A")
    assert program_key(module_of_tensors([a, te.compute((64, 64), lambda i, j: a[i, j] + 1.0)])).family != key.family
    assert key.extents[:3] == (64, 64, 64)


def test_a_schedule_is_adopted_in_words_and_as_a_trace_without_loss() -> None:
    space = space_of(matmul())
    schedules = some(space)
    _, forms = stock_forms(matmul(), TARGET, [space.scheduled(schedule) for schedule in schedules])
    adopter = Adopter(space)
    renamed_space = space_of(matmul(names="XYZ"))
    renamed = Adopter(renamed_space)
    for schedule, form in zip(schedules, forms, strict=True):
        assert adopter.adopt(words(space, schedule), None) == schedule
        assert adopter.adopt(None, form.trace) == schedule
        assert renamed.adopt(words(space, schedule), form.trace).values == schedule.values


def test_a_relatives_schedule_becomes_one_that_is_legal_here() -> None:
    space = space_of(matmul())
    schedules = some(space)
    _, forms = stock_forms(matmul(), TARGET, [space.scheduled(schedule) for schedule in schedules])
    here = space_of(matmul(96, 80, 56))
    for schedule, form in zip(schedules, forms, strict=True):
        for found in (words(space, schedule), None):
            adopted = Adopter(here).adopt(found, form.trace)
            assert here.realise(adopted).schedule == adopted


def test_a_relatives_knob_for_a_loop_that_is_one_vector_here_is_left_out() -> None:
    """Rows of 32, padded from 28, are two vectors, which a knob deals out; those of 16, padded from 14, are one."""
    sizes = [replace(get("separable-conv").sizes["small"], side=side) for side in (28, 14)]
    there, here = (space_of(get("separable-conv").make_module(size)) for size in sizes)
    (sketch,) = (one for one in there.sketches if (one.variant, one.name) == ("padded", "fused"))
    schedule = there.sample(random.Random(0), sketch)
    names = [knob.name for knob in here.plans.find("padded", "fused").knobs]
    found = words(there, schedule)
    assert set(names) < set(found.knobs)
    adopted = Adopter(here).adopt(found, None)
    assert (adopted.variant, adopted.sketch) == ("padded", "fused")
    assert list(adopted.values[names.index("Y.o")]) == found.knobs["Y.o"]
    with pytest.raises(IllegalEdit, match="mostly other knobs"):
        Adopter(here).adopt(
            msgspec.structs.replace(found, knobs={"Y.o": found.knobs["Y.o"], "a.i": [1], "b.i": [1]}), None
        )


HOSTILE = [
    "",
    "[]",
    "{" * 100_000,
    "[[], []]",
    "[[[]], []]",
    '[[["GetSBlock", [], [], []]], [[0, [0, 0]]]]',
    '[[["Evil", ["b0"], [{"a": [1]}], ["b1"]]], []]',
    "x" * (2**20 + 1),
]


@pytest.mark.parametrize("trace", HOSTILE, ids=range(len(HOSTILE)))
def test_a_trace_that_is_no_schedule_of_ours_is_refused_without_tvm(trace: str) -> None:
    with pytest.raises(IllegalEdit):
        Adopter(space_of(matmul())).adopt(None, trace)


def test_hostile_decisions_become_legal_ones() -> None:
    """Zeros in tiles kill TVM's process; none of these reach it."""
    space = space_of(matmul())
    (schedule,) = some(space, 1)
    _, (form,) = stock_forms(matmul(), TARGET, [space.scheduled(schedule)])
    instructions, decisions = json.loads(form.trace)
    for bad in ([8, 0, 8, 1], [-1, 64, 1, 1], 2**40, [1.5] * 4, None, "x", [], [[1]], True):
        spoilt = json.dumps([instructions, [[place, bad] for place, _ in decisions]])
        adopted = Adopter(space).adopt(None, spoilt)
        assert space.realise(adopted).schedule == adopted


def test_stock_tvm_reads_what_is_exported(tmp_path: Path) -> None:
    space = space_of(matmul())
    schedules = some(space, 4)
    module, forms = stock_forms(matmul(), TARGET, [space.scheduled(schedule) for schedule in schedules])
    records = [record(n, 10.0 + n, stock=form) for n, form in enumerate(forms)]
    assert write_database(tmp_path / "stock", records, {forms[0].program: module}) == 4
    database = ms.database.JSONDatabase(work_dir=str(tmp_path / "stock"))
    assert len(database) == 4
    best = database.query_schedule(matmul(), TARGET, "main")
    assert fingerprint(best.mod) == fingerprint(space.scheduled(schedules[0]).mod)


def test_a_database_of_stock_tvm_is_imported_and_adopted(tmp_path: Path) -> None:
    space = space_of(matmul())
    schedules = some(space, 4)
    written = Records(tmp_path / WORKLOADS, tmp_path / RECORDS, matmul(), TARGET)
    for number, schedule in enumerate(schedules):
        written.add(number, space.scheduled(schedule), None if number == 3 else 5.0 + number)
    source = read_source(tmp_path)
    assert not source.refused
    assert [one.latency_us for one in source.records] == pytest.approx([5.0, 6.0, 7.0])
    assert not any(one.verified for one in source.records)
    assert {one.key.program for one in source.records} == {program_key(matmul())}
    adopter = Adopter(space)
    adopted = [adopter.adopt(one.words, one.stock.trace) for one in source.records if one.stock is not None]
    assert adopted == schedules[:3]


def test_a_torn_or_hostile_database_gives_what_is_whole_and_names_the_rest(tmp_path: Path) -> None:
    space = space_of(matmul())
    (schedule,) = some(space, 1)
    Records(tmp_path / WORKLOADS, tmp_path / RECORDS, matmul(), TARGET).add(0, space.scheduled(schedule), 5.0)
    good = (tmp_path / RECORDS).read_text()
    workload = (tmp_path / WORKLOADS).read_text()
    evil = base64.b64encode(b"\0" * 8 + b'{"root_index":0,"nodes":[{"type":"ir.IRModule","data":{"functions":7}}]}')
    (tmp_path / WORKLOADS).write_text(workload + json.dumps(["7", evil.decode()]) + "\n" + "torn")
    rows = [
        "",
        "[9,[[[],[]],[1],{},[]]]",
        "[1,[[[],[]],[1],{},[]]]",
        "[0,[[[],[]],[NaN],{},[]]]",
        "[" * 10_000,
        good[:50],
    ]
    (tmp_path / RECORDS).write_text(good + "\n".join(rows))
    source = read_source(tmp_path)
    assert [one.latency_us for one in source.records] == pytest.approx([5.0])
    assert len(source.refused) == 6  # three lines, the torn one, the torn workload, the program that is none


def test_a_program_that_kills_its_reader_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = stock_forms(matmul(), TARGET, [space_of(matmul()).scheduled(some(space_of(matmul()), 1)[0])])
    assert identified([module, "not base64!", module, base64.b64encode(b"\0" * 8 + b"[" * 10**6).decode(), module]) == [
        program_key(matmul()),
        None,
        program_key(matmul()),
        None,
        program_key(matmul()),
    ]
