"""What the next job reads is asked for: where, and that results stay the same."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te
from tvm.target import Target

from colt.knobs import Schedule
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.space.ahead import MOST_BYTES, with_next_jobs
from colt.tvm.space.space import TvmSpace

TARGET = resolve_target(None, 1)
SERVER = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})
ASKED = re.compile(r'"llvm\.prefetch", T\.address_of\((.*)\), 0, 3, 1\)')


def centred(rows: int = 6, columns: int = 64, times: int = 2, dtype: str = "float32") -> Any:
    """Rows less their largest elements, or less 1 where they are read once."""
    x = te.placeholder((rows, columns), dtype, name="X")
    k = te.reduce_axis((0, columns), name="k")
    top = te.compute((rows,), lambda i: te.max(x[i, k], axis=k), name="top")
    y = te.compute((rows, columns), lambda i, j: x[i, j] - (top[i] if times > 1 else 1), name="Y")
    return module_of_tensors([x, y])


def scheduled(mod: Any, jobs: int, lanes: int = 16, parallel: bool = True) -> Any:
    """The module with so many jobs, each of which goes through its rows in vectors."""
    schedule = s_tir.Schedule(mod)
    y = schedule.get_sblock("Y")
    i, j = schedule.get_loops(y)
    job, _ = schedule.split(i, [jobs, None])
    _, vector = schedule.split(j, [None, lanes])
    if len(schedule.get_child_blocks(schedule.get_sblock("root"))) > 1:
        schedule.compute_at(schedule.get_sblock("top"), job)
    if parallel:
        schedule.parallel(job)
    schedule.vectorize(vector)
    return schedule.mod


def asked(mod: Any) -> list[str]:
    """The elements whose lines are asked for."""
    return ASKED.findall(str(mod))


@pytest.mark.parametrize("jobs", [6, 3, 2])
def test_the_last_time_through_the_rows_asks_for_those_of_the_next_job(jobs: int) -> None:
    mod = scheduled(centred(), jobs)
    changed = with_next_jobs(mod)
    (place,) = asked(changed)
    assert place.startswith(f"X[T.min(i_0 + 1, {jobs - 1})")
    x = np.random.default_rng(1).standard_normal((6, 64)).astype("float32")
    y = tvm.runtime.tensor(np.zeros_like(x))
    tvm.tirx.build(changed, target=TARGET)["main"](tvm.runtime.tensor(x), y)
    np.testing.assert_array_equal(y.numpy(), x - x.max(axis=1, keepdims=True))


OTHERS = {
    "once": scheduled(centred(times=1), 3),
    "one job": scheduled(centred(), 1),
    "serial": scheduled(centred(), 3, parallel=False),
    "short": scheduled(centred(), 3, lanes=4),
    "long": scheduled(centred(6, MOST_BYTES // 4), 3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_asked_for(name: str) -> None:
    assert with_next_jobs(OTHERS[name]).same_as(OTHERS[name])


def test_what_fits_is_asked_for() -> None:
    assert asked(with_next_jobs(scheduled(centred(6, MOST_BYTES // 8), 3)))


def test_recorded_runs_ask_for_nothing() -> None:
    for edition, ahead in ((13, False), (14, True)):
        space = TvmSpace.generated(centred(67, 1024), SERVER, edition=edition)
        plan = space.plans[0]
        assert bool(asked(space.module(Schedule(plan.variant, plan.name, plan.first)))) is ahead
