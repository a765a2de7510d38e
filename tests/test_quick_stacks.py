"""Stacks as tests have them made are the interpreter's, with the source of the frames that TVMScript looks at."""

from __future__ import annotations

import inspect
import traceback

from tvm.script import tirx as T

from tests.helpers.quick_stacks import outer_frames


def test_frames_are_the_interpreters() -> None:
    found, expected = inspect.stack(), [frame for frame, _ in traceback.walk_stack(inspect.currentframe())]
    assert inspect.getouterframes is outer_frames
    assert [one.frame for one in found] == expected
    assert [one.code_context is not None for one in found[:4]] == [False, False, True, False]
    assert found[2].code_context == inspect.getframeinfo(expected[2]).code_context
    assert (found[-1].filename, found[-1].function) == (expected[-1].f_code.co_filename, expected[-1].f_code.co_name)


def test_a_program_may_use_what_is_around_it() -> None:
    rows = 24

    @T.prim_func(s_tir=True)
    def copy(a: T.Buffer((rows,), "float32"), b: T.Buffer((rows,), "float32")) -> None:
        for i in range(rows):
            with T.sblock("copy"):
                at = T.axis.spatial(rows, i)
                b[at] = a[at]

    assert [int(parameter.ty.shape[0]) for parameter in copy.params] == [rows, rows]
