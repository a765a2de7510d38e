"""Programs that are certain to leave their tensors are refused in a sentence; guarded and undecided ones are not."""

# No future import: TVMScript evaluates the annotations.
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import te, tirx, topi
from tvm.script import tirx as T
from tvm.tirx import PrimFunc

import colt
from colt.errors import InputError
from colt.tvm.programs import workloads
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.out_of_bounds import require_in_bounds
from colt.tvm.programs.source import load_program
from tests.helpers import odd_programs, space_programs, sparse_programs, structured_programs
from tests.helpers.operators import FILES
from tests.helpers.random_programs import DTYPES, Program

N = 64
ZERO = tirx.const(0.0, "float32")


def computed(body: Callable[..., Any], *shapes: tuple[int, ...], out: tuple[int, ...] = (N,)) -> Any:
    """A program ``Y`` of tensors ``X``, ``W``, ..., whose element is ``body`` of them and its own indices."""
    tensors = [te.placeholder(shape, name=name) for shape, name in zip(shapes, "XWV", strict=False)]
    return te.create_prim_func([*tensors, te.compute(out, lambda *at: body(*tensors, *at), name="Y")])


def window(steps: int, of: int) -> Any:
    x, k = te.placeholder((N,), name="X"), te.reduce_axis((0, steps), name="k")
    return te.create_prim_func([x, te.compute((of,), lambda i: te.sum(x[i * 2 + k], axis=k), name="Y")])


@T.prim_func(s_tir=True)
def matched(x: T.handle, y: T.handle):
    X = T.match_buffer(x, (N,), "float32")
    Y = T.match_buffer(y, (N,), "float32")
    for i in range(N):
        with T.sblock("shifted"):
            vi = T.axis.spatial(N, i)
            Y[vi] = X[vi + 1]


@T.prim_func(s_tir=True)
def written(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            Y[vi + 3] = X[vi]


@T.prim_func(s_tir=True)
def past_its_domain(X: T.Buffer((16,), "float32"), Y: T.Buffer((16,), "float32")):
    for i in range(16):
        with T.sblock("Y"):
            vi = T.axis.spatial(16, i + 8)
            Y[vi - 8] = X[vi - 8]


@T.prim_func(s_tir=True)
def too_wide_a_tail(X: T.Buffer((100,), "float32"), Y: T.Buffer((100,), "float32")):
    for i, j in T.grid(7, 16):
        with T.sblock("Y"):
            vi = T.axis.spatial(112, i * 16 + j)
            T.where(i * 16 + j < 101)
            Y[vi] = X[vi]


@T.prim_func(s_tir=True)
def under_a_wrong_if(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            if vi >= 2:
                Y[vi] = X[vi - 3]
            else:
                Y[vi] = X[vi]


@T.prim_func(s_tir=True)
def scratch(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    kept = T.sblock_alloc_buffer((N - 1,), "float32")
    for i in range(N):
        with T.sblock("first"):
            vi = T.axis.spatial(N, i)
            kept[vi] = X[vi]
    for i in range(N - 1):
        with T.sblock("Y"):
            vi = T.axis.spatial(N - 1, i)
            Y[vi] = kept[vi]


@T.prim_func(s_tir=True)
def wrong_triangle(A: T.Buffer((N, N), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        for j in range(i + 2):
            with T.sblock("Y"):
                vi, vj = T.axis.remap("SR", [i, j])
                with T.init():
                    Y[vi] = T.float32(0)
                Y[vi] = Y[vi] + A[vi, vj]


REFUSED: dict[str, tuple[Any, str]] = {
    "shift": (
        computed(lambda x, i: x[i + 1], (N,)),
        "main reads outside of X: in block Y, the index i0 + 1 of X[i0 + 1] "
        "lies within 1 to 64 and is 64 at i0 = 63; accepted are 0 to 63, as X has 64 elements, ",
    ),
    "before": (computed(lambda x, i: x[i - 1], (N,)), "X[i0 - 1] lies within -1 to 62 and is -1 at i0 = 0; accepted"),
    "row": (
        computed(lambda x, i, j: x[i, j + 1], (4, 8), out=(4, 8)),
        "the index i1 + 1 of X[i0, i1 + 1] lies within 1 "
        "to 8 and is 8 at i1 = 7; accepted are 0 to 7, as X has 8 elements in dimension 1, ",
    ),
    "constant": (computed(lambda x, i: x[5, i], (4, N)), "the index 5 of X[5, i0] lies outside; accepted are 0 to 3, "),
    "negative constant": (computed(lambda x, i: x[-1, i], (4, N)), "the index -1 of X[-1, i0] lies outside; accepted"),
    "intermediate": (scratch, "writes outside of kept: in block first, the index vi of kept[vi] lies within 0 to 63"),
    "window": (window(4, 32), "X[i * 2 + k] lies within 0 to 65 and is 64 at i = 31, k = 2"),
    "long window": (
        window(5, 31),
        "the index i * 2 + k of X[i * 2 + k] lies within 0 to 64 and is 64 at i = 30, k = 4",
    ),
    "huge": (computed(lambda x, i, j: x[i, j * 3], (1 << 14, 1 << 14), out=(1 << 14, 1 << 14)), "reads outside of X"),
    "pad": (computed(lambda x, i: tirx.if_then_else(i < 60, x[i + 5], ZERO), (N,)), "is 64 at i0 = 59; accepted"),
    "other branch": (computed(lambda x, i: tirx.if_then_else(i < 60, ZERO, x[i + 1]), (N,)), "is 64 at i0 = 63"),
    "select": (computed(lambda x, i: tirx.Select(i > 3, x[i - 5], ZERO), (N,)), "is -1 at i0 = 4"),
    "and": (
        computed(lambda x, i: tirx.if_then_else(tirx.all(i > 3, x[i - 5] > 0), ZERO, ZERO), (N,)),
        "is -1 at i0 = 4",
    ),
    "two axes": (
        computed(lambda x, i, j: tirx.if_then_else(i + j < 20, x[i + j * 2], ZERO), (28,), out=(16, 12)),
        "reads outside of X",
    ),
    "divided": (
        computed(lambda x, i: x[i // 4 + tirx.floormod(i, 4)], (18,)),
        "lies within 0 to 18 and is 18 at i0 = 63",
    ),
    "gather": (
        computed(lambda x, i: x[tirx.floormod(x[i].astype("int32"), 4) + N], (N,)),
        "lies within 64 to 67; accep",
    ),
    "int64": (computed(lambda x, i: x[i.astype("int64") + 1], (N,)), "is 64 at"),
    "matched": (matched, "matched reads outside of X: in block shifted, the index vi + 1 of X[vi + 1]"),
    "write": (written, "written writes outside of Y: in block Y, the index vi + 3 of Y[vi + 3] lies within 3 to 66"),
    "domain": (
        past_its_domain,
        "leaves the domain of an axis: in block Y, axis vi is bound to i + 8, which lies within "
        "8 to 23 and is 16 at i = 8; accepted are values in its domain, 0 to 15, ",
    ),
    "tail": (too_wide_a_tail, "the index vi of Y[vi] lies within 0 to 100 and is 100; accepted are 0 to 99"),
    "if": (under_a_wrong_if, "the index vi - 3 of X[vi - 3] lies within -1 to 60 and is -1 at vi = 2; accepted"),
    "triangle": (wrong_triangle, "the index vj of A[vi, vj]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_leaves_its_tensors_is_refused_in_a_sentence(name: str) -> None:
    program, words = REFUSED[name]
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        load_program(program)
    assert "accepted are " in str(refused.value)
    assert "\n" not in str(refused.value)


@T.prim_func(s_tir=True)
def tail(X: T.Buffer((100,), "float32"), Y: T.Buffer((100,), "float32")):
    for i, j in T.grid(7, 16):
        with T.sblock("Y"):
            vi = T.axis.spatial(100, i * 16 + j)
            T.where(i * 16 + j < 100)
            Y[vi] = X[vi]


@T.prim_func(s_tir=True)
def fused(X: T.Buffer((10, 12), "float32"), Y: T.Buffer((10, 12), "float32")):
    for f in range(128):
        with T.sblock("Y"):
            vi = T.axis.spatial(10, f // 12)
            vj = T.axis.spatial(12, f % 12)
            T.where(T.likely(f < 120))
            Y[vi, vj] = X[vi, vj]


@T.prim_func(s_tir=True)
def under_an_if(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            if vi >= 3:
                Y[vi] = X[vi - 3]
            else:
                Y[vi] = X[vi + 61]


@T.prim_func(s_tir=True)
def triangle(A: T.Buffer((N, N), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        for j in range(i):
            with T.sblock("Y"):
                vi, vj = T.axis.remap("SR", [i, j])
                with T.init():
                    Y[vi] = T.float32(0)
                Y[vi] = Y[vi] + A[vi - vj - 1, vj]


@T.prim_func(s_tir=True)
def loops_over_nothing(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    for i, j in T.grid(N, 0):
        with T.sblock("nothing"):
            vi, vj = T.axis.remap("SS", [i, j])
            Y[vi] = X[vi + vj + 9]
    for i in range(N):
        for j in range(i, i):
            with T.sblock("never"):
                vi, vj = T.axis.remap("SS", [i, j])
                Y[vi] = X[vi + 9]
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            Y[vi] = X[vi]


@T.prim_func(s_tir=True)
def repeated(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    count = T.sblock_alloc_buffer((1,), "int32")
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            count[0] = vi
            while count[0] < N - 1:
                Y[vi] = X[vi + 1]
                count[0] = N - 1


@T.prim_func(s_tir=True)
def read_before(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    count = T.sblock_alloc_buffer((1,), "int32")
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            count[0] = 0
            before: T.let[T.int32] = count[0]
            count[0] = 1
            Y[vi] = X[before - count[0] + N]


@T.prim_func(s_tir=True)
def broken_off(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    with T.sblock("Y"):
        for i in range(N):
            if i == N - 1:
                break
            Y[i] = X[i + 1]


@T.prim_func(s_tir=True)
def address_of_the_end(X: T.Buffer((N,), "float32"), Y: T.Buffer((N,), "float32")):
    for i in range(N):
        with T.sblock("Y"):
            vi = T.axis.spatial(N, i)
            Y[vi] = T.call_extern("float32", "sum", T.address_of(X[0]), T.address_of(X[N]))


@T.prim_func(s_tir=True)
def a_view(X: T.Buffer((4, 16), "float32"), Y: T.Buffer((4, 16), "float32")):
    for i in range(4):
        with T.sblock("Y"):
            vi = T.axis.spatial(4, i)
            T.reads(X[vi, 0:16])
            T.writes(Y[vi, 0:16])
            one = T.match_buffer(X[vi, 0:16], (16,), "float32")
            for j in range(16):
                Y[vi, j] = one[j]


def concatenated() -> Any:
    parts = [te.placeholder((rows, 8), name=f"X{rows}") for rows in (3, 5, 7)]
    return te.create_prim_func([*parts, topi.concatenate(parts, axis=0)])


def of_topi(act: Callable[[Any], Any], *shape: int) -> Any:
    x = te.placeholder(shape, name="X")
    return te.create_prim_func([x, act(x)])


def image(stride: int, pad: int, kernel: int = 3, dilation: int = 1) -> Any:
    x, w = te.placeholder((1, 4, 15, 17), name="X"), te.placeholder((6, 4, kernel, kernel), name="W")
    return te.create_prim_func([x, w, topi.nn.conv2d_nchw(x, w, stride, pad, dilation)])


def reflected(x: Any, i: Any) -> Any:
    there = i - 3
    there = tirx.if_then_else(there < 0, 0 - there, there)
    return x[tirx.if_then_else(there >= N, 2 * (N - 1) - there, there)]


ACCEPTED: dict[str, Any] = {
    "float as a condition": computed(
        lambda x, i: tirx.if_then_else(tirx.Cast("bool", (i + 1).astype("float32") * 0.01), x[i], x[i + 1]), (N,)
    ),
    "float as an index": computed(lambda x, i: x[i.astype("float16").astype("int32")], (2049,), out=(2050,)),
    "equal to itself": computed(lambda x, i: tirx.if_then_else(x[i] - x[i] <= 0, x[i], x[i + 1]), (N,)),
    "pad": computed(lambda x, i: tirx.if_then_else(tirx.all(i >= 3, i < N + 3), x[i - 3], ZERO), (N,), out=(N + 6,)),
    "pad or": computed(lambda x, i: tirx.if_then_else(tirx.any(i < 3, i >= N + 3), ZERO, x[i - 3]), (N,), out=(N + 6,)),
    "pad by select": computed(lambda x, i: tirx.Select(i < N - 1, x[i + 1], ZERO), (N,)),
    "pad likely": computed(lambda x, i: tirx.if_then_else(tirx.likely(i < N - 1), x[i + 1], ZERO), (N,)),
    "not": computed(lambda x, i: tirx.if_then_else(tirx.Not(i >= N - 1), x[i + 1], ZERO), (N,)),
    "only one": computed(lambda x, i: tirx.if_then_else(i == 0, x[i + N - 1], ZERO), (N,)),
    "all but one": computed(lambda x, i: tirx.if_then_else(i != 0, x[i - 1], ZERO), (N,)),
    "and": computed(lambda x, i: tirx.if_then_else(tirx.all(i > 0, x[i - 1] > 0), ZERO, x[i]), (N,)),
    "or": computed(lambda x, i: tirx.if_then_else(tirx.any(i == 0, x[i - 1] > 0), ZERO, x[i]), (N,)),
    "clamped": computed(lambda x, i: x[te.max(te.min(i - 5, N - 1), 0)], (N,), out=(N + 10,)),
    "diagonal": computed(
        lambda x, i, j: tirx.if_then_else(tirx.all(i + j >= 5, i * 2 + j < 33), x[i * 2 + j - 5 - i], ZERO),
        (28,),
        out=(16, 12),
    ),
    "remainder": computed(lambda x, i: x[tirx.floormod(i * 5 + 3, N)], (N,)),
    "rows of one": computed(lambda x, i: x[i // 8, i % 8], (8, 8)),
    "reflected": computed(reflected, (N,), out=(N + 6,)),
    "data index": computed(lambda x, i: x[x[i].astype("int32") + N], (N,)),
    "data condition": computed(lambda x, i: tirx.if_then_else(x[i] > 0, x[i + 1], ZERO), (N,)),
    "data and loops": computed(lambda x, i: tirx.if_then_else(tirx.all(i < 70, x[0] > i), x[i + 1], ZERO), (N,)),
    "division by nothing": computed(lambda x, i: x[i + tirx.floordiv(i, tirx.floordiv(i, N))], (N,)),
    "condition by nothing": computed(
        lambda x, i: tirx.if_then_else(tirx.floordiv(i, tirx.floordiv(i, N)) < 3, x[i + 1], ZERO), (N,)
    ),
    "window": window(4, 31),
    "tail": tail,
    "fused": fused,
    "if": under_an_if,
    "triangle": triangle,
    "nothing": loops_over_nothing,
    "while": repeated,
    "break": broken_off,
    "memory": read_before,
    "address": address_of_the_end,
    "view": a_view,
    "concatenated": concatenated(),
    "convolution": image(2, 1),
    "dilated": image(1, 2, dilation=2),
    "large kernel": image(3, 4, kernel=7),
    "ceil mode": of_topi(lambda x: topi.nn.pool2d(x, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), "max", True), 1, 4, 16, 18),
    "mirror": of_topi(lambda x: topi.nn.mirror_pad(x, (2, 2), (2, 2), "REFLECT"), 9, 8),
    "roll": of_topi(lambda x: topi.strided_slice(x, (7, 0), (0, 8), (-2, 1)), 8, 8),
    "repeat": of_topi(lambda x: topi.repeat(x, 3, 0), 8, 5),
    "resize": of_topi(lambda x: topi.image.resize2d(x, (0, 0, 7, 7), (11, 5), method="linear"), 1, 2, 7, 7),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_guarded_or_cannot_be_decided_is_accepted(name: str) -> None:
    require_in_bounds(ACCEPTED[name], name)


def every_program() -> dict[str, Any]:
    """All programs of the tests that are to be tuned, by name."""
    found: dict[str, Any] = {name: program for name, (program, _) in odd_programs.ODD.items()}
    for name in (name for group in workloads.GROUPS for name in workloads.names(group)):
        known = workloads.get(name)
        found |= {f"{name} {size}": known.build(size)["main"] for size in known.sizes}
    for module in (space_programs, structured_programs):
        found |= {f"{module.__name__} {name}": make()["main"] for name, make in module.PROGRAMS.items()}
    for cases in (module.CASES for module in FILES):
        found |= {
            name: case.program if isinstance(case.program, PrimFunc) else case.program() for name, case in cases.items()
        }
    return found | {name: program for name, program in vars(sparse_programs).items() if isinstance(program, PrimFunc)}


def test_no_program_that_is_tuned_is_refused_nor_is_its_normal_form() -> None:
    programs = every_program()
    assert len(programs) > 150
    for name, program in programs.items():
        require_in_bounds(program, name)
        require_in_bounds(normal_form(program), f"the normal form of {name}")


numbers = st.integers(0, 63)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    dtype=st.integers(0, len(DTYPES) - 1),
    extents=st.lists(numbers, min_size=1, max_size=3),
    steps=st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6),
)
def test_random_programs_are_accepted(dtype: int, extents: list[int], steps: list[Any]) -> None:
    require_in_bounds(Program.of(dtype, extents, steps, several=True).function(), "random")


small = st.integers(-3, 3)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(index=st.tuples(small, small, small), guards=st.lists(st.tuples(small, small, small, st.booleans()), max_size=3))
def test_what_is_refused_is_what_leaves(index: Any, guards: list[Any]) -> None:
    """Compared with going through all iterations."""

    def value(number: Any, i: Any, j: Any) -> Any:
        return number[0] * i + number[1] * j + 4 * number[2]

    def element(x: Any, i: Any, j: Any) -> Any:
        asked = [value(guard, i, j) < 5 if guard[3] else tirx.Not(value(guard, i, j) < 5) for guard in guards]
        return tirx.if_then_else(tirx.all(*asked), x[value(index, i, j)], ZERO) if asked else x[value(index, i, j)]

    leaves = any(
        not 0 <= value(index, i, j) < 20 and all((value(guard, i, j) < 5) == guard[3] for guard in guards)
        for i in range(11)
        for j in range(7)
    )
    program = computed(element, (20,), out=(11, 7))
    with pytest.raises(InputError) if leaves else nullcontext():
        require_in_bounds(program, "affine")


def test_nothing_is_run_or_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads outside of X"):
        colt.tune(REFUSED["shift"][0], trials=1, run_dir=tmp_path / "run")
    assert not list(tmp_path.iterdir())
