"""Operators whose indices and forms are what makes them odd: gathers, windows, ragged rows, scans, several outputs."""

# No future import: TVMScript evaluates the annotations.
import itertools
from typing import Any

import numpy as np
from tvm import te, tirx
from tvm.script import tirx as T

from tests.helpers.operators.case import Cases, integers, pointers
from tests.helpers.operators.reported import largest_of, nothing_yet

CASES = given = Cases()
ZERO = tirx.const(0.0, "float32")


@given(lambda table, ids, y: [np.where((ids == 0)[..., None], 0, table[ids])], {1: integers(0, 19, 6, 11)})
def embedding_with_padding() -> Any:
    """PyTorch's Embedding; index 0 is padding."""
    table, ids = te.placeholder((19, 40), name="weight"), te.placeholder((6, 11), "int64", name="ids")

    def row(i: Any, j: Any, d: Any) -> Any:
        return tirx.if_then_else(ids[i, j] == 0, ZERO, table[ids[i, j], d])

    return te.create_prim_func([table, ids, te.compute((6, 11, 40), row, name="y")])


@given(lambda x, at, y: [x[at[:, 0], at[:, 1]]], {1: lambda rng: rng.integers(0, [9, 14], (25, 2))})
def gather_nd() -> Any:
    """ONNX's GatherND with pairs of indices."""
    x, at = te.placeholder((9, 14, 32), name="data"), te.placeholder((25, 2), "int64", name="indices")
    return te.create_prim_func([x, at, te.compute((25, 32), lambda i, j: x[at[i, 0], at[i, 1], j], name="y")])


@given(lambda x, at, y: [np.take_along_axis(x, at, 1)], {1: integers(0, 50, 33, 21)})
def gather_along_an_axis() -> Any:
    """PyTorch's gather along dimension 1."""
    x, at = te.placeholder((33, 50), name="x"), te.placeholder((33, 21), "int64", name="index")
    return te.create_prim_func([x, at, te.compute((33, 21), lambda i, j: x[i, at[i, j]], name="y")])


def _reversed(x: Any, lengths: Any, y: Any) -> list[Any]:
    y = x.copy()
    for row, length in enumerate(lengths):
        y[row, :length] = x[row, :length][::-1]
    return [y]


@given(_reversed, {1: integers(1, 31, 7)})
def reverse_sequence() -> Any:
    """ONNX's ReverseSequence: each row's first elements, as many as its length says."""
    x, lengths = te.placeholder((7, 30, 12), name="x"), te.placeholder((7,), "int32", name="lengths")

    def value(i: Any, j: Any, d: Any) -> Any:
        return x[i, tirx.if_then_else(j < lengths[i], lengths[i] - 1 - j, j), d]

    return te.create_prim_func([x, lengths, te.compute((7, 30, 12), value, name="y")])


def _rotated(x: Any, cos: Any, sin: Any, at: Any, y: Any) -> list[Any]:
    half = np.concatenate([-x[..., 16:], x[..., :16]], -1)
    return [x * cos[at][:, None] + half * sin[at][:, None]]


@given(_rotated, {3: integers(0, 64, 20)})
def rotary_embedding() -> Any:
    """Rotary position embedding with given positions."""
    x, at = te.placeholder((20, 3, 32), name="x"), te.placeholder((20,), "int32", name="position_ids")
    cos, sin = te.placeholder((64, 32), name="cos"), te.placeholder((64, 32), name="sin")

    def value(i: Any, h: Any, d: Any) -> Any:
        half = tirx.if_then_else(d < 16, -x[i, h, d + 16], x[i, h, d - 16])
        return x[i, h, d] * cos[at[i], d] + half * sin[at[i], d]

    return te.create_prim_func([x, cos, sin, at, te.compute((20, 3, 32), value, name="y")])


def _bags(table: Any, ids: Any, offsets: Any, y: Any) -> list[Any]:
    return [np.array([table[ids[a:b]].sum(0, dtype="float64") for a, b in itertools.pairwise(offsets)])]


@T.prim_func(s_tir=True)
def embedding_bag(
    weight: T.Buffer((30, 24), "float32"),
    ids: T.Buffer((120,), "int32"),
    offsets: T.Buffer((17,), "int32"),
    y: T.Buffer((16, 24), "float32"),
):
    """PyTorch's EmbeddingBag with mode="sum"."""
    for i, d in T.grid(16, 24):
        with T.sblock("y"):
            vi, vd = T.axis.remap("SS", [i, d])
            y[vi, vd] = T.float32(0)
            for k in range(offsets[vi + 1] - offsets[vi]):
                y[vi, vd] = y[vi, vd] + weight[ids[offsets[vi] + k], vd]


given(_bags, {1: integers(0, 30, 120), 2: pointers(16, 120)})(embedding_bag)


@T.prim_func(s_tir=True)
def cumsum_exclusive_reverse(X: T.Buffer((40, 51), "float32"), Y: T.Buffer((40, 51), "float32")):
    """ONNX's CumSum with exclusive=1 and reverse=1."""
    for i, j in T.grid(40, 51):
        with T.sblock("Y"):
            vi, vj = T.axis.remap("SS", [i, j])
            Y[vi, 50 - vj] = T.if_then_else(vj == 0, T.float32(0), Y[vi, 51 - vj] + X[vi, 51 - vj])


given(lambda x, y: [x[:, ::-1].astype("float64").cumsum(1)[:, ::-1] - x])(cumsum_exclusive_reverse)


@given(lambda x, y: [np.triu(x, 1)])
def upper_triangle() -> Any:
    """ONNX's Trilu with upper=1 and k=1."""
    x = te.placeholder((5, 33, 47), name="x")
    y = te.compute((5, 33, 47), lambda n, i, j: tirx.if_then_else(j - i >= 1, x[n, i, j], ZERO), name="y")
    return te.create_prim_func([x, y])


@T.prim_func(s_tir=True)
def triangular_solve(
    A: T.Buffer((48, 48), "float32"), B: T.Buffer((48, 20), "float32"), X: T.Buffer((48, 20), "float32")
):
    """PyTorch's solve_triangular with upper=False: each row needs all before it."""
    for i in range(48):
        for j in range(20):
            with T.sblock("start"):
                vi, vj = T.axis.remap("SS", [i, j])
                X[vi, vj] = B[vi, vj]
        for k, j in T.grid(i, 20):
            with T.sblock("minus"):
                vi = T.axis.opaque(48, i)
                vk = T.axis.opaque(48, k)
                vj = T.axis.spatial(20, j)
                X[vi, vj] = X[vi, vj] - A[vi, vk] * X[vk, vj]
        for j in range(20):
            with T.sblock("scale"):
                vi, vj = T.axis.remap("SS", [i, j])
                X[vi, vj] = X[vi, vj] / A[vi, vi]


given(
    lambda a, b, x: [np.linalg.solve(np.tril(a).astype("float64"), b)],
    {0: lambda rng: rng.standard_normal((48, 48)) * 0.1 + np.eye(48) * 3},
)(triangular_solve)


@given(lambda x, y: [x.reshape(2, 5, 3, 3, 7, 9).transpose(0, 1, 4, 2, 5, 3).reshape(2, 5, 21, 27)])
def pixel_shuffle() -> Any:
    """PyTorch's PixelShuffle by 3."""
    x = te.placeholder((2, 45, 7, 9), name="x")

    def value(n: Any, c: Any, i: Any, j: Any) -> Any:
        return x[n, c * 9 + tirx.floormod(i, 3) * 3 + tirx.floormod(j, 3), tirx.floordiv(i, 3), tirx.floordiv(j, 3)]

    return te.create_prim_func([x, te.compute((2, 5, 21, 27), value, name="y")])


@given(lambda x, y: [np.pad(x, ((0, 0), (4, 4), (5, 5)), mode="reflect")])
def reflected_padding() -> Any:
    """ONNX's Pad with mode="reflect"."""
    x = te.placeholder((3, 17, 23), name="x")

    def mirrored(at: Any, extent: int) -> Any:
        back = tirx.if_then_else(at < 0, -at, at)
        return tirx.if_then_else(back >= extent, 2 * extent - 2 - back, back)

    y = te.compute((3, 25, 33), lambda n, i, j: x[n, mirrored(i - 4, 17), mirrored(j - 5, 23)], name="y")
    return te.create_prim_func([x, y])


def _resized(x: Any, y: Any) -> list[Any]:
    def places(source: int, wanted: int) -> tuple[Any, Any, Any]:
        at = np.clip((np.arange(wanted) + 0.5) * source / wanted - 0.5, 0, source - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, source - 1), at - low

    (i0, i1, fi), (j0, j1, fj) = places(13, 26), places(11, 22)
    wide = x.astype("float64")
    rows = wide[:, i0] * (1 - fi)[:, None] + wide[:, i1] * fi[:, None]
    return [rows[:, :, j0] * (1 - fj) + rows[:, :, j1] * fj]


@given(_resized)
def resize_bilinear() -> Any:
    """ONNX's Resize to twice the size, mode="linear" with half_pixel."""
    x = te.placeholder((4, 13, 11), name="x")

    def place(at: Any, source: int) -> tuple[Any, Any, Any]:
        wanted = te.max((at.astype("float32") + 0.5) * 0.5 - 0.5, 0.0)
        low = te.floor(wanted).astype("int32")
        return low, te.min(low + 1, source - 1), wanted - low.astype("float32")

    def value(n: Any, i: Any, j: Any) -> Any:
        (i0, i1, fi), (j0, j1, fj) = place(i, 13), place(j, 11)
        above = x[n, i0, j0] * (1.0 - fj) + x[n, i0, j1] * fj
        return above * (1.0 - fi) + (x[n, i1, j0] * (1.0 - fj) + x[n, i1, j1] * fj) * fi

    return te.create_prim_func([x, te.compute((4, 26, 22), value, name="y")])


def _pooled(x: Any, at: Any, y: Any) -> list[Any]:
    windows = x.reshape(3, 8, 2, 9, 2).transpose(0, 1, 3, 2, 4).reshape(3, 8, 9, 4)
    best = windows.argmax(3)
    rows, columns = np.arange(8)[:, None] * 2 + best // 2, np.arange(9) * 2 + best % 2
    return [rows * 18 + columns, windows.max(3)]


@given(_pooled)
def max_pool_with_indices() -> Any:
    """PyTorch's MaxPool2d with return_indices."""
    x = te.placeholder((3, 16, 18), name="x")
    di, dj = te.reduce_axis((0, 2), name="di"), te.reduce_axis((0, 2), name="dj")
    reduce = te.comm_reducer(largest_of, nothing_yet, name="pooled")

    def window(n: Any, i: Any, j: Any) -> Any:
        at = ((i * 2 + di) * 18 + j * 2 + dj).astype("int32")
        return reduce((at, x[n, i * 2 + di, j * 2 + dj]), axis=[di, dj])

    at, y = te.compute((3, 8, 9), window, name="pool")
    return te.create_prim_func([x, at, y])


def _last_argmin(x: Any, at: Any, least: Any) -> list[Any]:
    return [x.shape[1] - 1 - x[:, ::-1].argmin(1), x.min(1)]


@given(_last_argmin, {0: lambda rng: rng.integers(0, 7, (37, 61))})
def argmin_of_the_last() -> Any:
    """ONNX's ArgMin with select_last_index=1, over integers with many equal ones."""

    def least(a: Any, b: Any) -> Any:
        first = tirx.any(a[1] < b[1], tirx.all(a[1] == b[1], a[0] > b[0]))
        return tirx.Select(first, a[0], b[0]), tirx.Select(a[1] < b[1], a[1], b[1])

    def start(index: Any, value: Any) -> Any:
        return tirx.const(-1, str(index)), tirx.max_value(str(value))

    x, k = te.placeholder((37, 61), "int32", name="x"), te.reduce_axis((0, 61), name="k")
    reduce = te.comm_reducer(least, start, name="argmin")
    at, low = te.compute((37,), lambda i: reduce((tirx.Cast("int64", k.var), x[i, k]), axis=k), name="low")
    return te.create_prim_func([x, at, low])


def _statistics(x: Any, mean: Any, variance: Any) -> list[Any]:
    return [x.mean(1, dtype="float64"), x.var(1, dtype="float64")]


@given(_statistics)
def welford() -> Any:
    """Mean and variance of rows in one pass, by a reduction over triples; the number of terms is no output."""

    def joined(a: Any, b: Any) -> Any:
        count = a[0] + b[0]
        return count, a[1] + b[1], a[2] + b[2]

    def start(*dtypes: Any) -> Any:
        return tuple(tirx.const(0, str(dtype)) for dtype in dtypes)

    x, k = te.placeholder((29, 73), name="x"), te.reduce_axis((0, 73), name="k")
    reduce = te.comm_reducer(joined, start, name="joined")
    count, total, squares = te.compute(
        (29,), lambda i: reduce((tirx.const(1.0, "float32"), x[i, k], x[i, k] * x[i, k]), axis=k), name="sums"
    )
    mean = te.compute((29,), lambda i: total[i] / count[i], name="mean")
    var = te.compute((29,), lambda i: squares[i] / count[i] - mean[i] * mean[i], name="var")
    return te.create_prim_func([x, mean, var])


def _transposed(x: Any, w: Any, y: Any) -> list[Any]:
    found = np.zeros((6, 15, 17))
    for i in range(7):
        for j in range(8):
            found[:, i * 2 : i * 2 + 3, j * 2 : j * 2 + 3] += np.einsum("c,cohw->ohw", x[:, i, j], w)
    return [found]


@given(_transposed)
def conv_transpose() -> Any:
    """PyTorch's ConvTranspose2d with stride 2, as a gather from where a stride divides."""
    x, w = te.placeholder((5, 7, 8), name="x"), te.placeholder((5, 6, 3, 3), name="weight")
    c, a, b = te.reduce_axis((0, 5), name="c"), te.reduce_axis((0, 3), name="a"), te.reduce_axis((0, 3), name="b")

    def term(o: Any, i: Any, j: Any) -> Any:
        p, q = i - a, j - b
        hit = tirx.all(p >= 0, q >= 0, tirx.floormod(p, 2) == 0, tirx.floormod(q, 2) == 0, p < 14, q < 16)
        value = x[c, tirx.floordiv(p, 2), tirx.floordiv(q, 2)] * w[c, o, a, b]
        return te.sum(tirx.if_then_else(hit, value, ZERO), axis=[c, a, b])

    return te.create_prim_func([x, w, te.compute((6, 15, 17), term, name="y")])


def _depthwise(x: Any, w: Any, y: Any) -> list[Any]:
    parts = [
        x[:, :, a : a + 27 : 3, b : b + 27 : 3].astype("float64") * w[:, a, b, None, None]
        for a in range(5)
        for b in range(5)
    ]
    return [sum(parts)]


@given(_depthwise)
def depthwise_with_stride() -> Any:
    """PyTorch's Conv2d with groups=channels and stride 3."""
    x, w = te.placeholder((2, 11, 31, 31), name="x"), te.placeholder((11, 5, 5), name="weight")
    a, b = te.reduce_axis((0, 5), name="a"), te.reduce_axis((0, 5), name="b")

    def term(n: Any, c: Any, i: Any, j: Any) -> Any:
        return te.sum(x[n, c, i * 3 + a, j * 3 + b] * w[c, a, b], axis=[a, b])

    return te.create_prim_func([x, w, te.compute((2, 11, 9, 9), term, name="y")])


def _counted(x: Any, counts: Any) -> list[Any]:
    np.add.at(counts, x, 1)
    return [counts]


@T.prim_func(s_tir=True)
def histogram_in_place(x: T.Buffer((500,), "int32"), counts: T.Buffer((17,), "int32")):
    """TensorFlow's histogram of integers, added to what is there."""
    for i in range(500):
        with T.sblock("counts"):
            vi = T.axis.opaque(500, i)
            counts[x[vi]] = counts[x[vi]] + 1


given(_counted, {0: integers(0, 17, 500)})(histogram_in_place)


def _scattered(updates: Any, at: Any, y: Any) -> list[Any]:
    np.add.at(y, at, updates)
    return [y]


@T.prim_func(s_tir=True)
def scatter_add(updates: T.Buffer((60, 16), "float32"), at: T.Buffer((60,), "int64"), Y: T.Buffer((12, 16), "float32")):
    """PyTorch's index_add_ along dimension 0: rows may be hit several times."""
    for i, j in T.grid(60, 16):
        with T.sblock("Y"):
            vi = T.axis.opaque(60, i)
            vj = T.axis.spatial(16, j)
            Y[at[vi], vj] = Y[at[vi], vj] + updates[vi, vj]


given(_scattered, {1: integers(0, 12, 60)})(scatter_add)


@given(lambda x, y: [np.roll(x, (5, -7), (0, 1))])
def roll() -> Any:
    """PyTorch's roll along both axes."""
    x = te.placeholder((31, 43), "float16", name="x")
    y = te.compute((31, 43), lambda i, j: x[tirx.floormod(i - 5, 31), tirx.floormod(j + 7, 43)], name="y")
    return te.create_prim_func([x, y])


@given(lambda x, y: [np.count_nonzero(x, 1)], {0: lambda rng: rng.integers(0, 2, (41, 67))})
def count_true() -> Any:
    """PyTorch's count_nonzero of booleans."""
    x, k = te.placeholder((41, 67), "bool", name="x"), te.reduce_axis((0, 67), name="k")
    return te.create_prim_func([x, te.compute((41,), lambda i: te.sum(x[i, k].astype("int64"), axis=k), name="y")])


@given(lambda x, y: [x.any(1)], {0: lambda rng: rng.random((41, 9)) < 0.1})
def any_true() -> Any:
    """PyTorch's any over booleans: a reduction whose combination is no sum."""
    either = te.comm_reducer(lambda a, b: tirx.any(a, b), lambda dtype: tirx.const(False, str(dtype)), name="either")
    x, k = te.placeholder((41, 9), "bool", name="x"), te.reduce_axis((0, 9), name="k")
    return te.create_prim_func([x, te.compute((41,), lambda i: either(x[i, k], axis=k), name="y")])


@given(lambda a, b, y: [np.einsum("bij,bjk->bik", a.astype("float64"), b)])
def batch_matmul_of_primes() -> Any:
    """PyTorch's bmm with prime extents."""
    a, b = te.placeholder((3, 47, 61), name="a"), te.placeholder((3, 61, 53), name="b")
    k = te.reduce_axis((0, 61), name="k")
    y = te.compute((3, 47, 53), lambda n, i, j: te.sum(a[n, i, k] * b[n, k, j], axis=k), name="y")
    return te.create_prim_func([a, b, y])
