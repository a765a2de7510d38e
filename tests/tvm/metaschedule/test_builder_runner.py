"""COLT's builder and runner inside stock MetaSchedule: ``ms.tune_tir(..., builder=..., runner=...)``."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tvm
import tvm_ffi
from tvm import te
from tvm.s_tir import meta_schedule as ms

import colt.tvm
from colt.errors import InputError
from colt.measure.base import Job, Limits
from colt.options import SearchConfig
from colt.tvm.devices.host import available_cores, cpu_intrinsics, prefer_cpu_intrinsics, resolve_target
from colt.tvm.metaschedule import artifact
from colt.tvm.metaschedule.builder import TaskNames
from colt.tvm.metaschedule.records import arguments_info
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space import shared
from colt.tvm.workers import LocalMeasurer, process
from tests.helpers import measure_programs as measured
from tests.helpers import space_programs as programs
from tests.helpers.lean import without_torch

TARGET = resolve_target(None, 2)
QUICK = Limits(run_seconds=1.0, total_ms=10.0, min_repeat_ms=1.0, noise_wait_seconds=0.001)
CORES = available_cores()


def added(n: int = 64) -> Any:
    """Far cheaper than :func:`programs.matmul`, with the same arguments."""
    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    return module_of_tensors([a, b, te.compute((n, n), lambda i, j: a[i, j] + b[i, j], name="C")])


CRASHES, HANGS, UNBUILDABLE = measured.divides_by_zero, measured.never_ends, measured.cannot_be_built
GOOD = programs.matmul(64, 64, 64)


@pytest.fixture(scope="module")
def builder() -> Iterator[Any]:
    made = colt.tvm.Builder(limits=QUICK)
    yield made
    made.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[Any]:
    made = colt.tvm.Runner(limits=QUICK)
    yield made
    made.close()


def build(builder: Any, *modules: Any, target: Any = TARGET) -> list[Any]:
    return list(builder.build([ms.builder.BuilderInput(mod, target) for mod in modules]))


def run(runner: Any, *artifacts: Any, mod: Any = GOOD) -> list[Any]:
    inputs = [ms.runner.RunnerInput(str(path), "cpu", arguments_info(mod)) for path in artifacts]
    return [future.result() for future in runner.run(inputs)]


def paths(built: list[Any]) -> list[str]:
    assert [each.error_msg for each in built] == [None] * len(built)
    return [str(each.artifact_path) for each in built]


def measurer_of(user: Any) -> LocalMeasurer:
    (workers,) = user._in_use._workers.values()
    return workers._measurer


def tune(mod: Any, folder: Path, builder: Any, runner: Any, strategy: Any = None, trials: int = 4) -> Any:
    logging.getLogger("tvm.s_tir.meta_schedule").handlers.clear()  # TVM stumbles over pytest's, which has no name
    small = ms.search_strategy.EvolutionarySearch(population_size=8, init_min_unmeasured=4, genetic_num_iters=1)
    with cpu_intrinsics():
        return ms.tune_tir(
            mod,
            TARGET,
            str(folder),
            max_trials_global=trials,
            num_trials_per_iter=2,
            builder=builder,
            runner=runner,
            cost_model="random",
            num_tuning_cores=1,
            strategy=strategy or small,
            seed=1,
        )


# ---- tuning ----


def test_stock_search_tunes_two_tasks_in_turn_with_both(tmp_path: Path, builder: Any, runner: Any) -> None:
    before, left = len(runner._best_us), set(artifact._folder().iterdir())
    two = tvm.IRModule({"dear": GOOD["main"], "cheap": added()["main"]})
    tune(two, tmp_path, builder, runner, trials=8)
    database = ms.database.JSONDatabase(work_dir=str(tmp_path))
    records = database.get_all_tuning_records()
    assert len(records) >= 8  # MetaSchedule finishes its round
    assert all(0 < float(record.run_secs[0]) < 1 for record in records)
    assert len(runner._best_us) == before + 2  # tasks with the same arguments do not set each other's bar
    assert set(artifact._folder().iterdir()) <= left

    best = min(float(r.run_secs[0]) for r in database.get_top_k(database.commit_workload(GOOD), 1))
    with LocalMeasurer(TARGET, min(2, CORES), QUICK) as measurer:
        (again,) = measurer.measure([Job(0, database.query_ir_module(GOOD, TARGET, "main"))])
    assert 0.01 < min(again.runs_us) / 1e6 / best < 100  # as timed, on a machine that may be busy


def test_it_goes_with_the_search_strategy(tmp_path: Path, builder: Any, runner: Any) -> None:
    strategy = colt.tvm.SearchStrategy(config=SearchConfig(batch_size=4), seed=1)
    records = tune(GOOD, tmp_path, builder, runner, strategy).get_all_tuning_records()
    assert len(records) == 4
    assert all(0 < float(record.run_secs[0]) < 1 for record in records)


def test_weights_whose_layout_is_free_are_tuned(tmp_path: Path, builder: Any, runner: Any) -> None:
    free = tvm.IRModule({"main": GOOD["main"].with_attr("layout_free_buffers", [1])})
    records = tune(free, tmp_path, builder, runner, trials=2).get_all_tuning_records()
    assert all(float(record.run_secs[0]) < 1 for record in records)


def test_libraries_go_to_stock_runners(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    libraries = colt.tvm.Builder("library", limits=QUICK)
    built = paths(build(libraries, GOOD, added()))
    assert [Path(path).suffix for path in built] == [".so", ".so"]
    assert len({Path(path).parent for path in built}) == 2
    for result in run(ms.runner.LocalRunner(), *built):
        assert result.error_msg is None
        assert 0 < float(result.run_secs[0]) < 1


def test_libraries_of_stock_builders_are_timed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    stock, runner = ms.builder.LocalBuilder(initializer=prefer_cpu_intrinsics), colt.tvm.Runner()
    with pytest.warns(UserWarning, match="at its speed"):
        (result,) = run(runner, *paths(build(stock, GOOD)))
    assert result.error_msg is None
    assert 0 < float(result.run_secs[0]) < 1
    assert runner.timed_by_stock == 1
    runner.close()


# ---- failures ----


def test_each_failure_costs_its_own_trial(builder: Any, runner: Any) -> None:
    built = build(builder, GOOD, CRASHES, UNBUILDABLE, HANGS, added())
    assert [each.error_msg is None for each in built] == [True, True, False, True, True]
    assert str(built[2].error_msg).startswith("build-error: ")
    results = run(runner, *(each.artifact_path for each in built if each.artifact_path))
    assert [result.error_msg is None for result in results] == [True, False, False, True]
    assert str(results[1].error_msg).startswith("crash: killed by SIGFPE")
    assert str(results[2].error_msg).startswith("run-timeout: ")


def test_what_is_no_good_artifact_is_an_error(tmp_path: Path, runner: Any, builder: Any) -> None:
    (good,) = paths(build(builder, GOOD))
    content = Path(good).read_bytes()
    bad = {
        "flipped": content.replace(b"znver", b"Znver").replace(b"float32", b"float64"),
        "torn": content[:-100],
        "empty": b"",
        "pickle": b"cos\nsystem\n(S'false'\ntR.",
        "foreign": artifact._digest(b"[1]") + b"\n[1]",
    }
    files = [tmp_path / "missing.colt", tmp_path / "module.json"]
    for name, damaged in bad.items():
        files.append(tmp_path / f"{name}.colt")
        files[-1].write_bytes(damaged)
    told = artifact.Artifact.of(GOOD, str(TARGET), 1, None)
    for name, changes in {"module": {"module": "{}"}, "target": {"target": "x"}, "threads": {"threads": 9999}}.items():
        files.append(tmp_path / f"no-{name}.colt")
        artifact.Artifact(**{f: getattr(told, f) for f in told.__struct_fields__} | changes).write(files[-1])
    *results, last = run(runner, *files, good)
    assert all(result.error_msg and result.run_secs is None for result in results)
    assert last.error_msg is None


def test_candidates_for_other_devices_are_errors(runner: Any, builder: Any) -> None:
    (future,) = runner.run([ms.runner.RunnerInput("x.so", "cuda", arguments_info(GOOD))])
    assert "'cuda'" in str(future.result().error_msg)
    other = tvm.target.Target({"kind": "llvm", "mtriple": "riscv64-linux-gnu", "num-cores": 2})
    (built,) = build(builder, GOOD, target=other)
    assert "riscv64" in str(built.error_msg)


def test_without_workers_all_trials_are_errors(monkeypatch: pytest.MonkeyPatch, builder: Any) -> None:
    artifacts = paths(build(builder, GOOD, added()))
    monkeypatch.setattr(process, "_command", lambda *arguments: [sys.executable, "-c", "raise SystemExit('no luck')"])
    lonely, idle = colt.tvm.Builder(threads=1), colt.tvm.Runner(threads=1)
    for result in (*build(lonely, GOOD, added()), *run(idle, *artifacts)):
        assert "no luck" in str(result.error_msg)


def test_ctrl_c_arrives_as_such_and_the_runner_lives_on(builder: Any) -> None:
    runner = colt.tvm.Runner(limits=Limits(run_seconds=60.0, noise_wait_seconds=0.001))
    hangs, good = paths(build(builder, HANGS, GOOD))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(runner, hangs)
    assert run(runner, good)[0].error_msg is None


@pytest.mark.parametrize("threads", [0, -1, True, 1.0, "2", 10_000])
@pytest.mark.parametrize("make", [colt.tvm.Builder, colt.tvm.Runner])
def test_threads_are_checked_at_once(make: Any, threads: Any) -> None:
    with pytest.raises(InputError, match="threads is"):
        make(threads=threads)


def test_the_kind_of_artifact_is_checked_at_once() -> None:
    with pytest.raises(InputError, match="accepted are 'kept' and 'library'"):
        colt.tvm.Builder("tar")


# ---- what is shared, and its end ----


def test_a_kernel_is_timed_where_it_was_built(builder: Any, runner: Any) -> None:
    mod = programs.matmul(32, 32, 48)
    (built,) = paths(build(builder, mod))
    assert run(runner, built)[0].error_msg is None
    assert measurer_of(builder) is measurer_of(runner)
    assert tvm_ffi.structural_equal(artifact.read_artifact(Path(built)).load(), mod)  # workers know kernels by this


def test_a_kernel_that_is_gone_is_built_again(builder: Any, runner: Any) -> None:
    built = paths(build(builder, GOOD))
    builder.close()
    assert run(runner, *built)[0].error_msg is None


def test_workers_end_with_their_last_user() -> None:
    builder, runner = colt.tvm.Builder(threads=1, limits=QUICK), colt.tvm.Runner(limits=QUICK)
    assert run(runner, *paths(build(builder, GOOD)))[0].error_msg is None
    pids = measurer_of(builder).pids
    del builder
    gc.collect()
    assert all(map(psutil.pid_exists, pids))
    del runner
    gc.collect()
    assert not any(map(psutil.pid_exists, pids))


def test_a_forked_process_leaves_its_parents_workers_alone(builder: Any, runner: Any) -> None:
    built = paths(build(builder, GOOD))
    (workers,) = builder._in_use._workers.values()
    child = os.fork()
    if child == 0:
        workers._end()  # as at the child's exit
        new = builder._in_use.workers(shared.conditions(TARGET, None))
        os._exit(0 if new is not workers and not workers.usable and new.usable and not new.close() else 1)
    assert os.waitpid(child, 0)[1] == 0
    restarts = measurer_of(runner).restarts
    assert run(runner, *built)[0].error_msg is None
    assert measurer_of(runner).restarts == restarts


def test_they_serve_several_threads(builder: Any, runner: Any) -> None:
    results: list[Any] = []

    def work(n: int) -> None:
        results.extend(run(runner, *paths(build(builder, programs.matmul(n, n, n)))))

    threads = [threading.Thread(target=work, args=(n,)) for n in (16, 32, 48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.error_msg for result in results] == [None] * 3


def test_num_cores_says_how_many_threads(builder: Any) -> None:
    one = tvm.target.Target({"kind": "llvm", "num-cores": 1})
    assert shared.conditions(one, None).threads == 1
    assert shared.conditions(tvm.target.Target({"kind": "llvm", "num-cores": 500}), None).threads == CORES
    assert shared.conditions(tvm.target.Target({"kind": "llvm"}), None).threads == CORES
    assert shared.conditions(one, CORES).threads == CORES


def test_folders_of_artifacts_go(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    before = set(artifact._folder().iterdir())
    with pytest.raises(OSError, match="disk full"):
        artifact.write_alone("a", fails)
    assert set(artifact._folder().iterdir()) == before
    artifact.write_alone("a", Path.touch)
    folder = artifact._folder()
    artifact._remove_folders()
    assert not folder.exists()


# ---- tasks ----


def copied(mod: Any) -> Any:
    return tvm.ir.load_json(tvm.ir.save_json(mod))


def scheduled(mod: Any) -> Any:
    schedule = tvm.s_tir.Schedule(mod)
    schedule.parallel(schedule.get_loops(schedule.get_sblock("C"))[0])
    return schedule.mod


def test_tasks_are_told_apart_by_their_parameters() -> None:
    names = TaskNames()
    mine, thread_1, thread_2 = copied(GOOD), copied(GOOD), copied(GOOD)
    first = names.name([mine, thread_1])
    assert names.name([scheduled(thread_1), scheduled(thread_2)]) == first
    assert names.name([scheduled(thread_2)]) == first
    assert names.name([copied(GOOD)]) != first
    assert names.name([tvm.IRModule({})]) is None
    assert TaskNames().name([mine]) != first


def test_a_tasks_best_decides_about_its_later_batches_only(
    builder: Any, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | None] = []
    measure = LocalMeasurer.measure
    monkeypatch.setattr(
        LocalMeasurer,
        "measure",
        lambda self, jobs, best, limits: told.append(best) or measure(self, jobs, best, limits),
    )
    task, other = copied(GOOD), copied(GOOD)
    first, later, another = (paths(build(builder, each)) for each in (task, scheduled(task), other))
    (result,) = run(runner, *first)
    run(runner, *later)
    run(runner, *another)
    assert told == [None, pytest.approx(float(result.run_secs[0]) * 1e6), None]
