"""Indices whose quotients are the same throughout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te
from tvm.script import tirx as T

from colt.knobs import EDITION
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.quotients import quotients_resolved
from colt.tvm.sketches.structured.designs import derive

HEADS, ROWS, WIDTH = 3, 7, 16


@T.prim_func(s_tir=True)
def reshaped(x: T.Buffer((1, HEADS, ROWS, WIDTH), "float32"), y: T.Buffer((HEADS, ROWS, WIDTH), "float32")) -> None:
    for i, j, k in T.grid(HEADS, ROWS, WIDTH):
        with T.sblock("y"):
            b, r, c = T.axis.remap("SSS", [i, j, k])
            y[b, r, c] = x[0, ((c // WIDTH + r) // ROWS + b) % HEADS, (c // WIDTH + r) % ROWS, c % WIDTH]


@T.prim_func(s_tir=True)
def resolved(x: T.Buffer((1, HEADS, ROWS, WIDTH), "float32"), y: T.Buffer((HEADS, ROWS, WIDTH), "float32")) -> None:
    for i, j, k in T.grid(HEADS, ROWS, WIDTH):
        with T.sblock("y"):
            b, r, c = T.axis.remap("SSS", [i, j, k])
            y[b, r, c] = x[0, b, r, c]


@T.prim_func(s_tir=True)
def shifted(x: T.Buffer((16,), "float32"), y: T.Buffer((8,), "float32")) -> None:
    for i in range(8):
        with T.sblock("y"):
            v = T.axis.spatial(8, i)
            y[v] = x[(v + 16) % 8 + (v + 16) // 8 + (v - 8) // 8]


@T.prim_func(s_tir=True)
def flattened(x: T.Buffer((4, 6), "float32"), y: T.Buffer((24,), "float32")) -> None:
    for i in range(24):
        with T.sblock("y"):
            v = T.axis.spatial(24, i)
            y[v] = x[v // 6, v % 6]


def test_a_reshape_that_only_sets_an_axis_of_1_apart_has_plain_indices() -> None:
    assert quotients_resolved(reshaped).script() == resolved.with_attr("global_symbol", "reshaped").script()


def test_regions_that_blocks_declare_follow() -> None:
    block = quotients_resolved(reshaped).body.block.body.body.body.body.block
    (region,) = [[str(one.min) for one in read.region] for read in block.reads]
    assert region == ["0", *(str(axis.var) for axis in block.iter_vars)]


def test_quotients_that_change_stay() -> None:
    assert quotients_resolved(flattened) is flattened
    assert quotients_resolved(resolved) is resolved


def test_quotients_other_than_0_count() -> None:
    """(v + 16) % 8 is v, as v is below 8; the quotients are 2 and -1."""
    x, y = (tvm.runtime.tensor(np.arange(size, dtype="float32")) for size in (16, 8))
    changed = quotients_resolved(shifted)
    assert "//" not in changed.script()
    assert "%" not in changed.script()
    tvm.tirx.build(tvm.IRModule({"main": changed.with_attr("global_symbol", "main")}), target="llvm")["main"](x, y)
    np.testing.assert_array_equal(y.numpy(), np.arange(8) + 2 - 1)


def attention() -> tvm.IRModule:
    """Two products, of which the second is reshaped and transposed, as a model's attention has it."""
    x, w, v = (te.placeholder((HEADS, 64, 64), name=name) for name in "xwv")
    k, m = te.reduce_axis((0, 64), name="k"), te.reduce_axis((0, 64), name="m")
    s = te.compute((HEADS, 64, 64), lambda b, i, j: te.sum(x[b, i, k] * w[b, j, k], axis=k), name="s")
    o = te.compute((HEADS, 64, 64), lambda b, i, j: te.sum(s[b, i, m] * v[b, m, j], axis=m), name="o")

    def of_batch(_: Any, b: Any, i: Any, j: Any) -> Any:
        return o[((j // 64 + i) // 64 + b) % HEADS, (j // 64 + i) % 64, j % 64]

    r = te.compute((1, HEADS, 64, 64), of_batch, name="r")
    y = te.compute((1, 64, HEADS, 64), lambda _, i, b, j: r[0, b, i, j], name="y")
    return module_of_tensors([x, w, v, y])


@pytest.mark.parametrize(
    ("edition", "nest"),
    [(15, "y in parallel tiles of j with o inside"), (EDITION, "y in parallel tiles of i·b with s, o")],
)
def test_what_a_reshape_kept_apart_is_computed_together(edition: int, nest: str) -> None:
    module = tvm.IRModule({"main": normal_form(attention()["main"], edition)})
    designs, _ = derive(module, resolve_target(None, 2), edition=edition)
    assert nest in designs[0].summary
