"""MetaSchedule's evolutionary search over any space, with COLT's builder and runner."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest
from tvm.s_tir import meta_schedule as ms
from tvm_ffi import structural_equal

from colt.measure.base import Fate
from colt.options import SpaceKind
from colt.tvm.devices.host import resolve_target
from colt.tvm.metaschedule import evolutionary
from colt.tvm.metaschedule.evolutionary import Candidate, evolutionary_search
from colt.tvm.space.space import TvmSpace, design_space
from colt.util.clock import Stopwatch
from tests.helpers import space_programs as programs
from tests.helpers.small_disk import small_disk

TARGET = resolve_target(None, 2)


def search(folder: Path, mod: Any, trials: int, first: Any) -> Any:
    logging.getLogger("tvm.s_tir.meta_schedule").handlers.clear()  # TVM stumbles over pytest's, which has no name
    found: list[Candidate] = []
    watch = Stopwatch()
    evolutionary_search(
        mod,
        design_space(mod, TARGET, SpaceKind.COLT),
        TARGET,
        2,
        trials,
        folder,
        seed=0,
        first=first,
        watch=watch,
        on_measured=found.append,
    )
    return found, watch


def records(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "database_tuning_record.json").read_text().splitlines()]


def test_first_schedules_count_as_trials_and_are_in_its_database(tmp_path: Path) -> None:
    mod = programs.matmul(64, 64, 64)
    space = TvmSpace(mod, design_space(mod, TARGET, SpaceKind.COLT))
    first = [space.scheduled(space.sample(random.Random(seed))) for seed in range(2)]
    found, watch = search(tmp_path, mod, 6, first)
    assert len(found) == len(records(tmp_path)) == 6
    assert all(structural_equal(found[n].module, first[n].mod) for n in range(2))
    assert all(one.fate is Fate.OK and one.latency_us > 0 for one in found)
    assert {record[0] for record in records(tmp_path)} == {0}  # one workload: the search finds them
    seconds = [record[1][1][0] for record in records(tmp_path)]
    assert seconds == pytest.approx([one.latency_us / 1e6 for one in found])
    assert watch.seconds["building"] > 0
    assert watch.seconds["timing"] > 0


@pytest.mark.parametrize("room_for_first", [True, False])
def test_a_full_disk_ends_it_with_an_error_that_names_the_file(tmp_path: Path, room_for_first: bool) -> None:
    mod = programs.matmul(64, 64, 64)
    space = TvmSpace(mod, design_space(mod, TARGET, SpaceKind.COLT))
    first = [space.scheduled(space.sample(random.Random(seed))) for seed in range(2)]
    with small_disk(tmp_path / "disk") as disk:
        disk.fill(leave=3 if room_for_first else 1)  # the program takes one block; two records go into two
        with disk.full(disk.path / "database_tuning_record.json"):
            search(disk.path, mod, 24 if room_for_first else 2, first)
        assert all(record[0] == 0 for record in records(disk.path))


def test_a_budget_of_first_schedules_alone_is_kept(tmp_path: Path) -> None:
    mod = programs.matmul(64, 64, 64)
    space = TvmSpace(mod, design_space(mod, TARGET, SpaceKind.COLT))
    first = [space.scheduled(space.sample(random.Random(seed))) for seed in range(3)]
    found, _ = search(tmp_path, mod, 2, first)
    assert len(found) == 2


def test_candidates_come_from_the_designs_of_the_space() -> None:
    mod = programs.softmax()
    for kind in SpaceKind:
        space = design_space(mod, TARGET, kind)
        schedules = evolutionary._schedules(mod, space, 0)
        assert len(schedules) == len(space.designs)
        explicit = [any(step.kind.name == "Parallel" for step in one.trace.insts) for one in schedules]
        assert any(explicit) is (kind is SpaceKind.COLT)  # structured sketches say themselves what runs in parallel


def test_a_program_that_crashes_a_rule_has_designs_without_it() -> None:
    mod = programs.swiglu()
    space = design_space(mod, TARGET, SpaceKind.METASCHEDULE)
    assert any("does not fit" in message for message in space.messages)
    assert len(evolutionary._schedules(mod, space, 0)) == len(space.designs) > 0


@pytest.mark.parametrize(
    ("message", "fate"),
    [
        ("crash: killed by SIGSEGV", Fate.CRASH),
        ("skipped: building is predicted to take 97 s", Fate.SKIPPED),
        ("RuntimeError: something else", Fate.RUN_ERROR),
    ],
)
def test_failures_have_the_fate_that_builder_and_runner_say(message: str, fate: Fate) -> None:
    found = evolutionary._candidate(None, ms.runner.RunnerResult(None, message))
    assert (found.fate, found.latency_us, found.message) == (fate, None, message)


def test_a_latency_is_the_mean_of_the_runs() -> None:
    assert evolutionary._candidate(None, ms.runner.RunnerResult([1e-6, 3e-6], None)).latency_us == pytest.approx(2.0)
