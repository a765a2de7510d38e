"""The next part of a large operand is asked for while the present one is gone over: what, when, and that results stay
the same."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm.target import Target
from tvm.tirx import For

from colt.knobs import Schedule
from colt.tvm.devices.host import resolve_target
from colt.tvm.dots.shims import PREFETCH
from colt.tvm.programs.constants import with_constants
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.program import module_of_tensors, with_changed_bodies
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.walks import every
from colt.tvm.space.next_parts import MOST_BYTES, asks_on, next_parts
from colt.tvm.space.space import TvmSpace

TARGET = resolve_target(None, 2)
SERVER = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})
LANES, LINE = 32, 64


def product(
    rows: int = 8, depth: int = 128, panels: int = 40, *, backwards: bool = False, strided: bool = False
) -> Any:
    """Rows times weights in panels of 32 columns, each of which is read from its end if ``backwards``, or lies in as
    many pieces as it has rows if ``strided``."""
    x = te.placeholder((rows, depth), name="X")
    w = te.placeholder((depth, panels, LANES) if strided else (panels, depth, LANES), name="W")
    k = te.reduce_axis((0, depth), name="k")

    def term(i: Any, p: Any, j: Any) -> Any:
        row = depth - 1 - k if backwards else k
        return te.sum(x[i, k] * (w[row, p, j] if strided else w[p, row, j]), axis=k)

    return module_of_tensors([x, w, te.compute((rows, panels, LANES), term, name="Y")])


def scheduled(
    mod: Any, *, tile: int = 2, cut: int = 1, order: str = "p i", parallel: bool = True, unrolled: str = "rows"
) -> Any:
    """The product in tiles of so many rows. ``cut``: the sum is cut in so many pieces, each of which goes over all
    rows. ``order``: what the threads share. ``unrolled``: the rows of a tile, none, or what there is room for."""
    schedule = s_tir.Schedule(mod)
    block = schedule.get_sblock("Y")
    i, p, j, k = schedule.get_loops(block)
    tiles, row = schedule.split(i, [None, tile])
    pieces, step = schedule.split(k, [cut, None])
    jobs = p
    if order == "p i":
        schedule.reorder(p, pieces, tiles, step, row, j)
    elif order == "p+i":
        schedule.reorder(p, tiles, pieces, step, row, j)
        jobs = schedule.fuse(p, tiles)
    else:
        schedule.reorder(tiles, p, pieces, step, row, j)
        jobs = tiles
    if parallel:
        schedule.parallel(jobs)
    if unrolled == "rows":
        schedule.unroll(row)
    elif unrolled == "some":
        schedule.unroll(row)
        schedule.annotate(jobs, "pragma_auto_unroll_max_step", 64)
    schedule.vectorize(j)
    return schedule.mod


def asking(mod: Any) -> Any:
    return with_changed_bodies(mod, next_parts)


def lines(mod: Any) -> Iterator[int]:
    """The line of the operand that each turn of the loops around the prefetch asks for, in order."""
    (call,) = [one for one in every(mod["main"].body, tvm.ir.Call) if str(one.args[0]) == f'"{PREFETCH}"'] or [None]
    loops = [loop for loop in every(mod["main"].body, For, pre=True) if call in every(loop, tvm.ir.Call)]
    for turns in itertools.product(*(range(int(loop.extent)) for loop in loops)):
        values = {loop.loop_var: tirx.IntImm(str(loop.loop_var.ty), n) for loop, n in zip(loops, turns, strict=True)}
        yield int(tvm.sym.Analyzer().simplify(substituted(call.args[2], values))) // LINE


def computed(mod: Any, rows: int, depth: int, panels: int) -> tuple[Any, Any]:
    """What the module computes, and what it should."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, depth)).astype("float32")
    w = rng.standard_normal((panels, depth, LANES)).astype("float32")
    y = tvm.runtime.tensor(np.zeros((rows, panels, LANES), "float32"))
    tvm.tirx.build(mod, target=TARGET)["main"](tvm.runtime.tensor(x), tvm.runtime.tensor(w), y)
    return y.numpy(), np.einsum("ik,pkj->ipj", x, w)


@pytest.mark.parametrize(
    ("options", "extents"),
    [
        ({}, {}),
        ({"tile": 4}, {"rows": 16}),
        ({"tile": 8}, {"rows": 40}),  # five turns for each step: no whole number of elements in each
        ({"order": "p+i"}, {}),
        ({"cut": 4}, {"depth": 256, "panels": 20}),
    ],
    ids=["tiles", "larger tiles", "five tiles", "one loop for the threads", "pieces"],
)
def test_by_the_time_a_part_begins_all_of_it_has_been_asked_for(options: Any, extents: Any) -> None:
    shape = {"rows": 8, "depth": 128, "panels": 40} | extents
    mod = asking(scheduled(product(**shape), **options))
    part = shape["depth"] // options.get("cut", 1) * LANES * 4 // LINE  # lines
    parts = shape["panels"] * options.get("cut", 1)
    turns = shape["rows"] // options.get("tile", 2) * shape["depth"] // options.get("cut", 1)
    found = list(itertools.islice(lines(mod), 3 * turns))
    for number in range(3):
        asked = found[number * turns : (number + 1) * turns]
        assert asked == sorted(asked)
        assert set(asked) == set(range((number + 1) * part, (number + 2) * part))
    assert parts * part * LINE == shape["depth"] * shape["panels"] * LANES * 4


def test_the_last_part_asks_for_nothing_behind_the_operand() -> None:
    mod = asking(scheduled(product(4, 128, 40), tile=1))
    assert max(lines(mod)) == 40 * 128 * LANES * 4 // LINE - 1


def test_several_loops_may_ask() -> None:
    x = te.placeholder((8, 128), name="X")
    weights = [te.placeholder((40, 128, LANES), name=name) for name in ("W", "V")]
    k = te.reduce_axis((0, 128), name="k")

    def times(w: Any, name: str) -> Any:
        return te.compute((8, 40, LANES), lambda i, p, j: te.sum(x[i, k] * w[p, k, j], axis=k), name=name)

    y, z = map(times, weights, "YZ")
    schedule = s_tir.Schedule(module_of_tensors([x, *weights, y, z]))
    for name in "YZ":
        i, p, j, step = schedule.get_loops(schedule.get_sblock(name))
        schedule.reorder(p, i, step, j)
        schedule.parallel(p)
        schedule.vectorize(j)
    mod = asking(schedule.mod)
    assert len([call for call in every(mod["main"].body, tvm.ir.Call) if str(call.args[0]) == f'"{PREFETCH}"']) == 2
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype("float32") for shape in ((8, 128), *[(40, 128, LANES)] * 2)]
    results = [tvm.runtime.tensor(np.zeros((8, 40, LANES), "float32")) for _ in "YZ"]
    tvm.tirx.build(mod, target=TARGET)["main"](*map(tvm.runtime.tensor, arrays), *results)
    for found, w in zip(results, arrays[1:], strict=True):
        np.testing.assert_allclose(found.numpy(), np.einsum("ik,pkj->ipj", arrays[0], w), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"order": "p+i"}, {"cut": 4}], ids=["p", "p+i", "cut"])
def test_results_stay_the_same(options: Any) -> None:
    mod = scheduled(product(), **options)
    changed = asking(mod)
    assert not changed.same_as(mod)
    found, wanted = computed(changed, 8, 128, 40)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found, computed(mod, 8, 128, 40)[0])


OTHERS = {
    "small": scheduled(product(panels=20)),
    "once": scheduled(product(rows=2)),
    "twice": scheduled(product(rows=4)),
    "serial": scheduled(product(), parallel=False),
    "rows first": scheduled(product(), order="i p"),
    "large parts": scheduled(product(depth=MOST_BYTES // (4 * LANES) + 32, panels=3)),
    "backwards": scheduled(product(backwards=True)),
    "tiles that are loops": scheduled(product(), unrolled="none"),
    "tiles that are unrolled later": scheduled(product(), unrolled="some"),
    "in pieces": scheduled(product(strided=True)),
    "no vectors": scheduled(product(rows=256, depth=1024, panels=3), order="i p"),
    "tiny parts": scheduled(product(depth=16, panels=320)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_asked_for(name: str) -> None:
    assert asking(OTHERS[name]).same_as(OTHERS[name])


def test_a_number_without_axes_is_no_large_operand() -> None:
    x, factor = te.placeholder((64, 256), name="X"), te.placeholder((), name="F")
    y = te.compute((64, 256), lambda i, j: x[i, j] * factor(), name="Y")
    schedule = s_tir.Schedule(module_of_tensors([x, factor, y]))
    rows, columns = schedule.get_loops(schedule.get_sblock("Y"))
    schedule.parallel(rows)
    schedule.vectorize(columns)
    assert asking(schedule.mod).same_as(schedule.mod)


def test_operands_of_dot_instructions_are_asked_for_as_well() -> None:
    x = te.placeholder((256, 512), "bfloat16", name="X")
    w = te.placeholder((512, 1024), "bfloat16", name="W")
    k = te.reduce_axis((0, 512), name="k")
    y = te.compute(
        (64, 1024), lambda i, j: te.sum(x[i, k].astype("float32") * w[k, j].astype("float32"), axis=k), name="Y"
    )
    target = Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2})
    space = TvmSpace.generated(module_of_tensors([x, w, y]), target)
    sketch = next(one for one in space.sketches if one.variant == "dot-packed")
    modules = (str(space.module(space.sample(random.Random(seed), sketch))) for seed in range(8))
    asked = [name for text in modules for name in re.findall(rf'"{PREFETCH}", T\.address_of\((\w+)\[', text)]
    assert set(asked) == {"W_global"}


def test_recorded_runs_ask_for_no_part() -> None:
    for edition, asked in ((16, False), (17, True)):
        space = TvmSpace.generated(matmul(), SERVER, edition=edition)
        modules = (space.module(Schedule(plan.variant, plan.name, plan.first)) for plan in space.plans)
        assert any(PREFETCH in str(module) for module in modules) is asked


def test_other_architectures_have_another_instruction() -> None:
    board = Target({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "num-cores": 2})
    assert asks_on(SERVER)
    assert asks_on(Target({"kind": "llvm", "mcpu": "x86-64", "num-cores": 2}))
    assert not asks_on(board)
    space = TvmSpace.generated(matmul(), board)
    assert not any(PREFETCH in str(space.module(Schedule(one.variant, one.name, one.first))) for one in space.plans)


def matmul() -> Any:
    x, w = te.placeholder((256, 256), name="X"), te.placeholder((256, 1024), name="W")
    k = te.reduce_axis((0, 256), name="k")
    mod = module_of_tensors([x, w, te.compute((256, 1024), lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), name="Y")])
    return with_constants(mod, ["W"], arguments_of(mod["main"]))
