"""Programs in forms that schedule rules cannot take as they are, each with what it computes by NumPy.

A reference takes the arguments as they were before the call and returns them as they are after it.
"""

# No future import: TVMScript evaluates the annotations.
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, topi
from tvm.script import tirx as T

Array = NDArray[Any]
Reference = Callable[..., list[Array]]


@T.prim_func(s_tir=True)
def no_axes(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("B"):
            B[i] = A[i] * T.float32(2)


@T.prim_func(s_tir=True)
def one_block(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32"), C: T.Buffer((64,), "float32")):
    with T.sblock("all"):
        for i in range(64):
            B[i] = A[i]
            C[i] = B[i] + T.float32(1)


@T.prim_func(s_tir=True)
def over_nothing(A: T.Buffer((16,), "float32"), B: T.Buffer((16,), "float32")):
    C = T.sblock_alloc_buffer((0, 16), "float32")
    for i, j in T.grid(0, 16):
        with T.sblock("C"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = A[vj]
    for j in range(16):
        with T.sblock("B"):
            vj = T.axis.spatial(16, j)
            B[vj] = A[vj] + T.float32(1)


@T.prim_func(s_tir=True)
def all_over_nothing(A: T.Buffer((16,), "float32"), B: T.Buffer((16,), "float32")):
    for i in range(0):
        with T.sblock("B"):
            vi = T.axis.spatial(0, i)
            B[vi] = A[vi]


@T.prim_func(s_tir=True)
def sum_of_nothing(A: T.Buffer((16, 16), "float32"), B: T.Buffer((16,), "float32")):
    for i, k in T.grid(16, 0):
        with T.sblock("B"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                B[vi] = T.float32(0)
            B[vi] = B[vi] + A[vi, vk]


@T.prim_func(s_tir=True)
def accumulated(A: T.Buffer((32, 24), "float32"), B: T.Buffer((24, 48), "float32"), C: T.Buffer((32, 48), "float32")):
    for i, j, k in T.grid(32, 48, 24):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]


@T.prim_func(s_tir=True)
def initialised_apart(
    A: T.Buffer((32, 24), "float32"), B: T.Buffer((24, 48), "float32"), C: T.Buffer((32, 48), "float32")
):
    for i, j in T.grid(32, 48):
        with T.sblock("C_init"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = T.float32(3)
    for i, k, j in T.grid(32, 24, 48):
        with T.sblock("C"):
            vi, vk, vj = T.axis.remap("SRS", [i, k, j])
            C[vi, vj] = A[vi, vk] * B[vk, vj] + C[vi, vj]


@T.prim_func(s_tir=True)
def in_place(A: T.Buffer((64, 48), "float32"), B: T.Buffer((64, 48), "float32")):
    for i, j in T.grid(64, 48):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = B[vi, vj] * T.float32(2) + A[vi, vj]


@T.prim_func(s_tir=True)
def rows_of_sums(A: T.Buffer((64, 48), "float32"), B: T.Buffer((64, 48), "float32")):
    for i, j in T.grid(64, 48):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.if_then_else(vj == 0, T.float32(0), B[vi, vj - 1]) + A[vi, vj]


@T.prim_func(s_tir=True)
def columns_of_sums(A: T.Buffer((64, 48), "float32"), B: T.Buffer((64, 48), "float32")):
    for i, j in T.grid(64, 48):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.if_then_else(vi == 0, T.float32(0), B[vi - 1, vj]) + A[vi, vj]


@T.prim_func(s_tir=True)
def one_long_scan(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for j in range(64):
        with T.sblock("B"):
            vj = T.axis.spatial(64, j)
            B[vj] = T.if_then_else(vj == 0, T.float32(0), B[vj - 1]) + A[vj]


@T.prim_func(s_tir=True)
def triangle(A: T.Buffer((64, 64), "float32"), x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in range(64):
        for j in range(i):
            with T.sblock("y"):
                vi = T.axis.spatial(64, i)
                vj = T.axis.reduce(i, j)
                with T.init():
                    y[vi] = T.float32(0)
                y[vi] = y[vi] + A[vi, vj] * x[vj]


@T.prim_func(s_tir=True)
def triangles(A: T.Buffer((4, 64, 64), "float32"), B: T.Buffer((4, 64), "float32"), y: T.Buffer((64,), "float32")):
    for k, i in T.grid(4, 64):
        for j in range(i, 63):
            with T.sblock("y"):
                vi = T.axis.spatial(64, i)
                vk = T.axis.reduce(4, k)
                vj = T.axis.reduce((i, 63), j)
                with T.init():
                    y[vi] = T.float32(0)
                y[vi] = y[vi] + A[vk, vi, vj] * B[vk, vj]


@T.prim_func(s_tir=True)
def ragged(
    start: T.Buffer((33,), "int32"),
    column: T.Buffer((256,), "int32"),
    value: T.Buffer((256,), "float32"),
    x: T.Buffer((16,), "float32"),
    y: T.Buffer((32,), "float32"),
):
    for i in range(32):
        with T.sblock("y"):
            vi = T.axis.spatial(32, i)
            y[vi] = T.float32(0)
            for k in range(start[vi + 1] - start[vi]):
                y[vi] = y[vi] + value[start[vi] + k] * x[column[start[vi] + k]]


@T.prim_func(s_tir=True)
def blocks_of_one_name(A: T.Buffer((32, 48), "float32"), B: T.Buffer((32, 48), "float32")):
    C = T.sblock_alloc_buffer((32, 48), "float32")
    for i, j in T.grid(32, 48):
        with T.sblock("x"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = A[vi, vj] * T.float32(2)
    for i, j in T.grid(32, 48):
        with T.sblock("x"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = C[vi, vj] + T.float32(1)


@T.prim_func(s_tir=True)
def a_block_called_root(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("root"):
            vi = T.axis.spatial(64, i)
            B[vi] = A[vi] * T.float32(2)


@T.prim_func(s_tir=True)
def beside_one_sum(
    A: T.Buffer((64, 64), "float32"), total: T.Buffer((1,), "float32"), B: T.Buffer((64, 64), "float32")
):
    for i in range(64):
        for j in range(i + 1):
            with T.sblock("total"):
                vo = T.axis.spatial(1, 0)
                vi = T.axis.reduce(64, i)
                vj = T.axis.reduce(i + 1, j)
                with T.init():
                    total[vo] = T.float32(0)
                total[vo] = total[vo] + A[vi, vj]
    for i, j in T.grid(64, 64):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, vj] * T.float32(2)


@T.prim_func(s_tir=True)
def one_sum(A: T.Buffer((64, 64), "float32"), total: T.Buffer((1,), "float32")):
    for i in range(64):
        for j in range(i + 1):
            with T.sblock("total"):
                vo = T.axis.spatial(1, 0)
                vi = T.axis.reduce(64, i)
                vj = T.axis.reduce(i + 1, j)
                with T.init():
                    total[vo] = T.float32(0)
                total[vo] = total[vo] + A[vi, vj]


@T.prim_func(s_tir=True)
def updated_twice(
    A: T.Buffer((32, 24), "float32"),
    B: T.Buffer((24, 48), "float32"),
    bias: T.Buffer((48,), "float32"),
    C: T.Buffer((32, 48), "float32"),
):
    for i, j in T.grid(32, 48):
        with T.sblock("bias"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = bias[vj]
    for i, j, k in T.grid(32, 48, 24):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]
    for i, j in T.grid(32, 48):
        with T.sblock("relu"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = T.max(C[vi, vj], T.float32(0))


@T.prim_func(s_tir=True)
def in_steps(A: T.Buffer((64, 48), "float32"), B: T.Buffer((64, 48), "float32")):
    with T.sblock("B"):
        for i in range(64):
            for j in T.serial(0, 48, step=2):
                B[i, j] = A[i, j]
                B[i, j + 1] = B[i, j] + A[i, j + 1]


@T.prim_func(s_tir=True)
def rows_in_blocks(x: T.Buffer((64, 48), "float32"), y: T.Buffer((64,), "float32")):
    for o in range(4):
        with T.sblock("outer"):
            vo = T.axis.spatial(4, o)
            for i, k in T.grid(16, 48):
                with T.sblock("inner"):
                    vi = T.axis.spatial(64, vo * 16 + i)
                    vk = T.axis.reduce(48, k)
                    with T.init():
                        y[vi] = T.float32(0)
                    y[vi] = y[vi] + x[vi, vk]


@T.prim_func(s_tir=True)
def tiles_in_blocks(
    A: T.Buffer((32, 24), "float32"), B: T.Buffer((24, 48), "float32"), C: T.Buffer((32, 48), "float32")
):
    for io, jo, ko in T.grid(4, 6, 3):
        with T.sblock("outer"):
            vio, vjo, vko = T.axis.remap("SSR", [io, jo, ko])
            with T.init():
                for i, j in T.grid(8, 8):
                    with T.sblock("init"):
                        vi, vj = T.axis.remap("SS", [i, j])
                        C[vio * 8 + vi, vjo * 8 + vj] = T.float32(0)
            for i, j, k in T.grid(8, 8, 8):
                with T.sblock("inner"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    C[vio * 8 + vi, vjo * 8 + vj] = (
                        C[vio * 8 + vi, vjo * 8 + vj] + A[vio * 8 + vi, vko * 8 + vk] * B[vko * 8 + vk, vjo * 8 + vj]
                    )


@T.prim_func(s_tir=True)
def softmax_in_blocks(x: T.Buffer((24, 101), "float32"), y: T.Buffer((24, 101), "float32")):
    for r in range(24):
        with T.sblock("row"):
            vr = T.axis.spatial(24, r)
            largest = T.sblock_alloc_buffer((1,))
            total = T.sblock_alloc_buffer((1,))
            for k in range(101):
                with T.sblock("largest"):
                    vk = T.axis.reduce(101, k)
                    with T.init():
                        largest[0] = T.float32(-1e30)
                    largest[0] = T.max(largest[0], x[vr, vk])
            for k in range(101):
                with T.sblock("total"):
                    vk = T.axis.reduce(101, k)
                    with T.init():
                        total[0] = T.float32(0)
                    total[0] = total[0] + T.exp(x[vr, vk] - largest[0])
            for k in range(101):
                with T.sblock("y"):
                    vk = T.axis.spatial(101, k)
                    y[vr, vk] = T.exp(x[vr, vk] - largest[0]) / total[0]


@T.prim_func(s_tir=True)
def set_in_a_block(x: T.Buffer((8, 5), "float32"), y: T.Buffer((8,), "float32")):
    for io, ii in T.grid(2, 4):
        with T.sblock("row"):
            vi = T.axis.spatial(8, io * 4 + ii)
            for k in range(5):
                with T.sblock("sum"):
                    vk = T.axis.reduce(5, k)
                    with T.init(), T.sblock("zero"):
                        y[vi] = T.float32(0)
                    y[vi] = y[vi] + x[vi, vk]


@T.prim_func(s_tir=True)
def total_in_a_block(x: T.Buffer((12,), "float32"), y: T.Buffer((1,), "float32")):
    for r in range(12):
        with T.sblock("row"):
            vr = T.axis.reduce(12, r)
            with T.init():
                y[0] = T.float32(0)
            with T.sblock("update"):
                y[0] = y[0] + x[vr]


@T.prim_func(s_tir=True)
def normalised_in_place(x: T.Buffer((18, 33), "float32")):
    total = T.sblock_alloc_buffer((18,), "float32")
    for r, k in T.grid(18, 33):
        with T.sblock("total"):
            vr, vk = T.axis.remap("SR", [r, k])
            with T.init():
                total[vr] = T.float32(1)
            total[vr] = total[vr] + x[vr, vk] * x[vr, vk]
    for r, k in T.grid(18, 33):
        with T.sblock("x"):
            vr, vk = T.axis.remap("SS", [r, k])
            x[vr, vk] = x[vr, vk] * T.rsqrt(total[vr])


@T.prim_func(s_tir=True)
def triangle_by_a_condition(
    A: T.Buffer((40, 40), "float32"), B: T.Buffer((40, 12), "float32"), C: T.Buffer((40, 12), "float32")
):
    for i, j, k in T.grid(40, 12, 40):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            T.where(k <= i)
            with T.init():
                C[vi, vj] = T.float32(0)
            C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]


def placeholders_of_one_name() -> Any:
    a, b = te.placeholder((32, 48)), te.placeholder((48, 32))
    k = te.reduce_axis((0, 48))
    return te.create_prim_func([a, b, te.compute((32, 32), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k))])


def _ragged(start: Array, column: Array, value: Array, x: Array, y: Array) -> list[Array]:
    rows = [slice(int(start[i]), int(start[i + 1])) for i in range(32)]
    sums = [np.sum(value[row] * x[column[row]]) for row in rows]
    return [start, column, value, x, np.array(sums, "float32")]


def foreign() -> Any:
    """A sort, which is a call of a library: no block says what it reads and writes."""
    a = te.placeholder((16, 64), name="A")
    return te.create_prim_func([a, topi.argsort(a, dtype="float32")])


def awkward_rows() -> Any:
    """A softmax over a length that vectors do not divide into: two reductions, one after the other."""
    x = te.placeholder((24, 101), name="x")
    return te.create_prim_func([x, topi.nn.softmax(x)])


def _softmax(x: Array, y: Array) -> list[Array]:
    raised = np.exp(x - x.max(1, keepdims=True))
    return [x, raised / raised.sum(1, keepdims=True)]


def one_awkward_row() -> Any:
    x, k = te.placeholder((10_007,), name="x"), te.reduce_axis((0, 10_007), name="k")
    return te.create_prim_func([x, te.compute((1,), lambda _: te.max(te.abs(x[k]), axis=k), name="norm")])


def awkward_pairs() -> Any:
    """Where the largest of each row is: a reduction of two results."""
    x = te.placeholder((24, 101), name="x")
    return te.create_prim_func([x, topi.argmax(x, axis=1)])


def foreign_rows() -> Any:
    """Sums of prefixes by TVM's library, whose code says itself that its rows are parallel."""
    a = te.placeholder((16, 64), name="A")
    return te.create_prim_func([a, topi.cumsum(a, axis=1)])


ODD: dict[str, tuple[Any, Reference]] = {
    "no_axes": (no_axes, lambda a, b: [a, 2 * a]),
    "one_block": (one_block, lambda a, b, c: [a, a, a + 1]),
    "over_nothing": (over_nothing, lambda a, b: [a, a + 1]),
    "sum_of_nothing": (sum_of_nothing, lambda a, b: [a, 0 * b]),
    "accumulated": (accumulated, lambda a, b, c: [a, b, c + a @ b]),
    "initialised_apart": (initialised_apart, lambda a, b, c: [a, b, 3 + a @ b]),
    "in_place": (in_place, lambda a, b: [a, 2 * b + a]),
    "rows_of_sums": (rows_of_sums, lambda a, b: [a, np.cumsum(a, 1)]),
    "columns_of_sums": (columns_of_sums, lambda a, b: [a, np.cumsum(a, 0)]),
    "one_long_scan": (one_long_scan, lambda a, b: [a, np.cumsum(a)]),
    "triangle": (triangle, lambda a, x, y: [a, x, np.tril(a, -1) @ x]),
    "triangles": (triangles, lambda a, b, y: [a, b, np.einsum("kij,kj->i", np.triu(a)[:, :, :63], b[:, :63])]),
    "ragged": (ragged, _ragged),
    "beside_one_sum": (beside_one_sum, lambda a, total, b: [a, np.tril(a).sum()[None], 2 * a]),
    "one_sum": (one_sum, lambda a, total: [a, np.tril(a).sum()[None]]),
    "updated_twice": (updated_twice, lambda a, b, bias, c: [a, b, bias, np.maximum(a @ b + bias, 0)]),
    "foreign": (foreign(), lambda a, b: [a, np.argsort(a, 1, kind="stable").astype("float32")]),
    "in_steps": (in_steps, lambda a, b: [a, np.cumsum(a.reshape(64, 24, 2), 2).reshape(64, 48)]),
    "blocks_of_one_name": (blocks_of_one_name, lambda a, b: [a, 2 * a + 1]),
    "a_block_called_root": (a_block_called_root, lambda a, b: [a, 2 * a]),
    "placeholders_of_one_name": (placeholders_of_one_name(), lambda a, b, c: [a, b, a @ b]),
    "foreign_rows": (foreign_rows(), lambda a, b: [a, np.cumsum(a, 1)]),
    "awkward_rows": (awkward_rows(), _softmax),
    "one_awkward_row": (one_awkward_row(), lambda x, norm: [x, np.abs(x).max(keepdims=True)]),
    "rows_in_blocks": (rows_in_blocks, lambda x, y: [x, x.sum(1)]),
    "tiles_in_blocks": (tiles_in_blocks, lambda a, b, c: [a, b, a @ b]),
    "softmax_in_blocks": (softmax_in_blocks, _softmax),
    "set_in_a_block": (set_in_a_block, lambda x, y: [x, x.sum(1)]),
    "total_in_a_block": (total_in_a_block, lambda x, y: [x, x.sum(keepdims=True)]),
    "normalised_in_place": (normalised_in_place, lambda x: [x / np.sqrt(1 + (x * x).sum(1, keepdims=True))]),
    "triangle_by_a_condition": (triangle_by_a_condition, lambda a, b, c: [a, b, np.tril(a) @ b]),
    "awkward_pairs": (awkward_pairs(), lambda x, at: [x, x.argmax(1).astype("int32")]),
}


def arguments_for(name: str) -> list[Array]:
    """Arguments that suit the program of that name; outputs hold numbers too, which must not matter."""
    rng = np.random.default_rng(0)
    if name == "ragged":
        start = np.sort(rng.integers(0, 256, 33)).astype("int32")
        start[5] = start[4]  # a row of nothing
        floats = [rng.standard_normal(n).astype("float32") for n in (256, 16, 32)]
        return [start, rng.integers(0, 16, 256).astype("int32"), *floats]
    types = [([int(extent) for extent in param.ty.shape], str(param.ty.dtype)) for param in ODD[name][0].params]
    return [rng.standard_normal(shape).astype(dtype) for shape, dtype in types]
