"""Programs in the forms in which people have reported that tuning them failed; more are in ``odd_programs.py``."""

# No future import: TVMScript evaluates the annotations.
from typing import Any

import numpy as np
from tvm import te, tirx
from tvm.script import tirx as T

from tests.helpers.operators.case import Cases, integers, within

CASES = given = Cases()


# ---- sums in few bits, and programs that are not defined everywhere ----


def _nt(m: int, n: int, k: int, dtype: str, out: str = "") -> Any:
    a, b = te.placeholder((m, k), dtype, name="a"), te.placeholder((n, k), dtype, name="b")
    r, out = te.reduce_axis((0, k), name="k"), out or dtype

    def term(i: Any, j: Any) -> Any:
        return te.sum(a[i, r].astype(out) * b[j, r].astype(out), axis=r)

    return te.create_prim_func([a, b, te.compute((m, n), term, name="c")])


def _wide_nt(a: Any, b: Any, *_: Any) -> list[Any]:
    return [a.astype("float64") @ b.astype("float64").T]


@given(_wide_nt, tolerance=0.1)
def bfloat16_sums_of_1024() -> Any:
    return _nt(32, 64, 1024, "bfloat16")


@given(_wide_nt, tolerance=0.1)
def float16_sums_of_8192() -> Any:
    return _nt(16, 32, 8192, "float16")


def _of_rows(program: Any, rows: int = 64, columns: int = 80) -> Any:
    x, k = te.placeholder((rows, columns), name="x"), te.reduce_axis((0, columns), name="k")
    return te.create_prim_func([x, te.compute((rows,), lambda i: te.sum(program(x[i, k]), axis=k), name="y")])


@given(lambda x, y: [np.log(x.astype("float64")).sum(1)], {0: within(0.1, 4.0, 64, 80)})
def sum_of_logarithms() -> Any:
    return _of_rows(te.log)


@given(
    lambda p, q, y: [(p.astype("float64") * np.log(p.astype("float64") / q)).sum(1)],
    {0: within(0.1, 0.9, 48, 96), 1: within(0.1, 0.9, 48, 96)},
)
def kl_divergence() -> Any:
    p, q = te.placeholder((48, 96), name="p"), te.placeholder((48, 96), name="q")
    k = te.reduce_axis((0, 96), name="k")
    return te.create_prim_func(
        [p, q, te.compute((48,), lambda i: te.sum(p[i, k] * te.log(p[i, k] / q[i, k]), axis=k), name="kl")]
    )


@given(lambda x, *_: [np.exp(np.log(x.astype("float64")).mean(1))], {0: within(0.1, 4.0, 64, 80)})
def geometric_mean() -> Any:
    x, k = te.placeholder((64, 80), name="x"), te.reduce_axis((0, 80), name="k")
    logs = te.compute((64,), lambda i: te.sum(te.log(x[i, k]), axis=k), name="logs")
    return te.create_prim_func([x, te.compute((64,), lambda i: te.exp(logs[i] / 80.0), name="mean")])


@given(lambda table, ids, out: [table[ids]], {1: integers(0, 2, 32)})
def table_of_two_rows() -> Any:
    table, ids = te.placeholder((2, 48), name="table"), te.placeholder((32,), "int32", name="ids")
    return te.create_prim_func([table, ids, te.compute((32, 48), lambda i, j: table[ids[i], j], name="rows")])


@given(lambda pool, page, out: [pool.reshape(4, 1048576)[page - 1, :64]], {1: integers(1, 5, 16)})
def pages_that_count_from_one() -> Any:
    pool, page = te.placeholder((4 * 1048576,), name="pool"), te.placeholder((16,), "int32", name="page")
    out = te.compute((16, 64), lambda i, j: pool[(page[i] - 1) * 1048576 + j], name="out")
    return te.create_prim_func([pool, page, out])


@given(lambda total, count, out: [total // count], {0: integers(-100, 100, 256), 1: integers(1, 9, 256)})
def means_of_integers() -> Any:
    total, count = te.placeholder((256,), "int32", name="total"), te.placeholder((256,), "int32", name="count")
    return te.create_prim_func(
        [total, count, te.compute((256,), lambda i: tirx.floordiv(total[i], count[i]), name="mean")]
    )


# ---- names ----


@given(lambda w, x, y: [w.astype("float64") @ x])
def a_name_with_dots() -> Any:
    w, x = te.placeholder((64, 96), name="model.layers.0.weight"), te.placeholder((96,), name="x.1")
    k = te.reduce_axis((0, 96), name="k")
    return te.create_prim_func([w, x, te.compute((64,), lambda i: te.sum(w[i, k] * x[k], axis=k), name="y.out")])


def largest_of(a: Any, b: Any) -> Any:
    """The combination of pairs of a value and its index that keeps the larger value, the first of equal ones."""
    first = tirx.any(a[1] > b[1], tirx.all(a[1] == b[1], a[0] < b[0]))
    return tirx.Select(first, a[0], b[0]), tirx.Select(a[1] > b[1], a[1], b[1])


def nothing_yet(index: Any, value: Any) -> Any:
    return tirx.const(2**31 - 1, str(index)), tirx.min_value(str(value))


@given(lambda x, at, best: [x.argmax(1), x.max(1)])
def largest_and_where() -> Any:
    x, k = te.placeholder((48, 100), name="x"), te.reduce_axis((0, 100), name="k")
    reduce = te.comm_reducer(largest_of, nothing_yet, name="argmax")
    at, best = te.compute((48,), lambda i: reduce((tirx.Cast("int32", k.var), x[i, k]), axis=k), name="best")
    return te.create_prim_func([x, at, best])


@given(lambda a, b, c: [a.astype("float64") @ b])
def placeholders_without_names() -> Any:
    a, b, k = te.placeholder((40, 56)), te.placeholder((56, 24)), te.reduce_axis((0, 56))
    return te.create_prim_func([a, b, te.compute((40, 24), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k))])


@given(lambda a, b, c, d, out: [a + b * c - d])
def names_of_the_printed_lines() -> Any:
    names = ("kernel", "in", "np", "tvm")
    a, b, c, d = (te.placeholder((32, 48), name=name) for name in names)
    out = te.compute((32, 48), lambda i, j: a[i, j] + b[i, j] * c[i, j] - d[i, j], name="print")
    return te.create_prim_func([a, b, c, d, out])


@given(lambda a, b: [(2 * a + 1) * 3])
def two_blocks_of_one_name() -> Any:
    a = te.placeholder((64, 96), name="A")
    b = te.compute((64, 96), lambda i, j: a[i, j] * 2.0 + 1.0, name="T")
    return te.create_prim_func([a, te.compute((64, 96), lambda i, j: b[i, j] * 3.0, name="T")])


# ---- forms ----


@given(lambda a, b: [np.zeros(64)])
def a_sum_of_nothing() -> Any:
    a, k = te.placeholder((64, 8), name="A"), te.reduce_axis((0, 0), name="k")
    return te.create_prim_func([a, te.compute((64,), lambda i: te.sum(a[i, k], axis=k), name="B")])


def _squares(length: int) -> Any:
    x, k = te.placeholder((length,), name="x"), te.reduce_axis((0, length), name="k")
    return te.create_prim_func([x, te.compute((), lambda: te.sum(x[k] * x[k], axis=k), name="total")])


def _sum_of_squares(x: Any, total: Any) -> list[Any]:
    return [np.square(x.astype("float64")).sum()]


@given(_sum_of_squares)
def squares_of_a_prime_length() -> Any:
    return _squares(100_003)


@given(_sum_of_squares)
def squares_of_an_even_length() -> Any:
    return _squares(100_002)


@given(_sum_of_squares)
def squares_of_a_power_of_two() -> Any:
    return _squares(1 << 17)


# ---- weak gains, and what printed warnings ----


def _exact(a: Any, b: Any, *_: Any) -> list[Any]:
    return [a.astype("int64") @ b.astype("int64")]


@given(_exact, {0: integers(0, 256, 128, 96), 1: integers(-128, 128, 96, 64)})
def unsigned_by_signed() -> Any:
    a, b = te.placeholder((128, 96), "uint8", name="A"), te.placeholder((96, 64), "int8", name="B")
    k = te.reduce_axis((0, 96), name="k")

    def term(i: Any, j: Any) -> Any:
        return te.sum(a[i, k].astype("int32") * b[k, j].astype("int32"), axis=k)

    return te.create_prim_func([a, b, te.compute((128, 64), term, name="C")])


@given(
    lambda a, b, za, zb, c: [(a.astype("int64") - za) @ (b.astype("int64") - zb)],
    {0: integers(0, 256, 128, 128), 1: integers(-128, 128, 128, 128), 2: integers(100, 150, 1), 3: integers(-9, 9, 1)},
)
def zero_points() -> Any:
    a, b = te.placeholder((128, 128), "uint8", name="A"), te.placeholder((128, 128), "int8", name="B")
    za, zb = te.placeholder((1,), "int32", name="za"), te.placeholder((1,), "int32", name="zb")
    k = te.reduce_axis((0, 128), name="k")

    def term(i: Any, j: Any) -> Any:
        return te.sum((a[i, k].astype("int32") - za[0]) * (b[k, j].astype("int32") - zb[0]), axis=k)

    return te.create_prim_func([a, b, za, zb, te.compute((128, 128), term, name="C")])


@given(
    lambda a, b, c: [a.astype("int64") @ b.astype("int64").T],
    {0: integers(-128, 128, 384, 512), 1: integers(-128, 128, 384, 512)},
)
def eight_bits_nt() -> Any:
    return _nt(384, 384, 512, "int8", "int32")


@given(lambda x, ids, y: [x[ids]], {1: integers(0, 1000, 512)})
def gather_rows() -> Any:
    x, ids = te.placeholder((1000, 128), name="x"), te.placeholder((512,), "int64", name="ids")
    return te.create_prim_func([x, ids, te.compute((512, 128), lambda i, j: x[ids[i], j], name="y")])


@given(lambda x, y: [x[:, ::-1]])
def reverse() -> Any:
    x = te.placeholder((256, 300), name="x")
    return te.create_prim_func([x, te.compute((256, 300), lambda i, j: x[i, 299 - j], name="y")])


def _appended(new: Any, at: Any, cache: Any) -> list[Any]:
    for row, place in enumerate(at):
        cache[row, place] = new[row]
    return [cache]


@T.prim_func(s_tir=True)
def append_to_a_cache(
    new: T.Buffer((8, 4, 32), "float32"), at: T.Buffer((8,), "int32"), cache: T.Buffer((8, 64, 4, 32), "float32")
):
    for b, h, d in T.grid(8, 4, 32):
        with T.sblock("cache"):
            vb, vh, vd = T.axis.remap("SSS", [b, h, d])
            cache[vb, at[vb], vh, vd] = new[vb, vh, vd]


given(_appended, {1: integers(0, 64, 8)})(append_to_a_cache)


def _triangle(a: Any, b: Any, c: Any) -> list[Any]:
    c[np.tril_indices(64)] = (a.astype("float64") @ b.astype("float64").T)[np.tril_indices(64)]
    return [c]


@T.prim_func(s_tir=True)
def triangle_of_a_product(
    A: T.Buffer((64, 48), "float32"), B: T.Buffer((64, 48), "float32"), C: T.Buffer((64, 64), "float32")
):
    for i in range(64):
        for j, k in T.grid(i + 1, 48):
            with T.sblock("C"):
                vi = T.axis.spatial(64, i)
                vj = T.axis.spatial(i + 1, j)
                vk = T.axis.reduce(48, k)
                with T.init():
                    C[vi, vj] = T.float32(0)
                C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vj, vk]


given(_triangle)(triangle_of_a_product)
