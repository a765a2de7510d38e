"""Indices that wrap around mean the same in every schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te
from tvm.tirx import floordiv, floormod

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.source import load_program, saved_program
from colt.tvm.programs.wraps import wraps_chosen

ROWS, COLUMNS = 31, 43
ELEMENTS = np.arange(ROWS * COLUMNS, dtype="int32").reshape(ROWS, COLUMNS)
Index = Callable[[Any, Any], tuple[Any, Any]]
WRAPPING: dict[str, Index] = {
    "rolled along both axes": lambda i, j: (floormod(i - 5, ROWS), floormod(j + 7, COLUMNS)),
    "rolled along one": lambda i, j: (i, floormod(j + 7, COLUMNS)),
    "rolled and reversed": lambda i, j: (i, floormod(48 - j, COLUMNS)),
    "twice as far": lambda i, j: (i, floormod(2 * j + 1, COLUMNS)),
    "skewed": lambda i, j: (i, floormod(i + j, COLUMNS)),
}
ELSE: dict[str, Index] = {
    "many seams": lambda i, j: (i, floormod(j + 3, 5)),
    "no seam": lambda i, j: (floordiv(i, 2), j),
}


def program(index: Index) -> Any:
    x = te.placeholder((ROWS, COLUMNS), "int32", name="x")
    return te.create_prim_func([x, te.compute((ROWS, COLUMNS), lambda i, j: x[index(i, j)], name="y")])


def computed(module: Any) -> np.ndarray:
    found = tvm.runtime.tensor(np.full_like(ELEMENTS, -1))
    tvm.tirx.build(module, target=resolve_target(None, 2))["main"](tvm.runtime.tensor(ELEMENTS), found)
    return found.numpy()


def right(index: Index) -> np.ndarray:
    """By Python's own remainder."""
    rows, columns = np.indices(ELEMENTS.shape)
    if index is WRAPPING["rolled along both axes"]:
        return np.roll(ELEMENTS, (5, -7), (0, 1))
    return ELEMENTS[
        {
            "rolled along one": (rows, (columns + 7) % COLUMNS),
            "rolled and reversed": (rows, (48 - columns) % COLUMNS),
            "twice as far": (rows, (2 * columns + 1) % COLUMNS),
            "skewed": (rows, (rows + columns) % COLUMNS),
        }[next(name for name, one in WRAPPING.items() if one is index)]
    ]


@pytest.mark.parametrize("name", WRAPPING)
def test_the_program_is_right_whatever_loops_are_fused(name: str) -> None:
    module = load_program(program(WRAPPING[name])).module
    assert "Select" in module.script()
    np.testing.assert_array_equal(computed(module), right(WRAPPING[name]))
    schedule = s_tir.Schedule(module)
    fused = schedule.fuse(*schedule.get_loops(schedule.get_sblock("y")))
    np.testing.assert_array_equal(computed(schedule.mod), right(WRAPPING[name]))
    outer, inner = schedule.split(fused, [None, 16])
    schedule.parallel(outer)
    schedule.vectorize(inner)
    np.testing.assert_array_equal(computed(schedule.mod), right(WRAPPING[name]))


@pytest.mark.parametrize("name", ELSE)
def test_other_programs_stay_as_they_are(name: str) -> None:
    function = program(ELSE[name])
    assert wraps_chosen(function) is function


def test_recorded_programs_keep_the_form_of_their_edition() -> None:
    written = module_of_function(program(WRAPPING["skewed"]))
    assert "Select" not in saved_program(written, "skewed", None, 2).module.script()
    assert "Select" in saved_program(written, "skewed", None).module.script()
