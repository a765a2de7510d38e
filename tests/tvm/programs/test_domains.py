"""What a program needs of its inputs is read from its loads, divisions and functions."""

import pytest
from tvm import te, tirx, topi
from tvm.script import tirx as T

from colt.tvm.programs.domains import ABOVE_ONE, POSITIVE, Domain, domains
from tests.helpers.sparse_programs import sparse_rows, sparse_rows_from_0

CARE = Domain(*POSITIVE)


def tensor(*shape, dtype="float32", name="x"):
    return te.placeholder(shape, dtype, name=name)


def of(*arguments):
    """The domains of a TE program's inputs."""
    return domains(te.create_prim_func(list(arguments)))[:-1]


def gather(rows, index, dtype="int32"):
    table, ids = tensor(rows, 8), tensor(5, dtype=dtype, name="ids")
    return of(table, ids, te.compute((5, 8), lambda i, j: table[index(ids[i]), j]))[1]


@pytest.mark.parametrize(
    ("rows", "index", "low", "high"),
    [
        (2, lambda v: v, 0, 1),
        (50, lambda v: v, 0, 49),
        (50, lambda v: v * 4 + 3, 0, 11),
        (50, lambda v: v - 1, 1, 50),
        (50, lambda v: v - 1000, 1000, 1049),
        (50, lambda v: 49 - v, 0, 49),
        (50, lambda v: v // 2, 0, 99),
    ],
)
def test_indices_stay_within_what_they_index(rows, index, low, high):
    assert gather(rows, index) == Domain(low, high)


def test_indices_that_the_program_limits_itself_need_no_care():
    def clipped(v):
        return tirx.Max(tirx.Min(v, tirx.const(49, "int32")), tirx.const(0, "int32"))

    assert gather(50, clipped) is None
    assert gather(4, lambda v: v) is None  # small integers are what is drawn anyway


def test_indices_stay_within_their_type():
    assert gather(1000, lambda v: v.astype("int32"), "uint8") == Domain(0, 255)


def test_pages_that_count_from_1():
    pool, page = tensor(3 * 1048576), tensor(5, dtype="int32")
    found = of(pool, page, te.compute((5, 1048576), lambda i, j: pool[(page[i] - 1) * 1048576 + j]))
    assert found == (None, Domain(1, 3))


def test_two_parts_of_one_index():
    pages, slots, values = tensor(4, dtype="int32"), tensor(4, dtype="int32"), tensor(160)
    found = of(pages, slots, values, te.compute((4,), lambda i: values[pages[i] * 16 + slots[i]]))
    assert found == (Domain(0, 9), Domain(0, 15), None)


def test_indices_through_a_copy():
    table, ids = tensor(9, 4), tensor(6, dtype="int64")
    moved = te.compute((6,), lambda i: ids[i].astype("int32") + 1)
    assert of(table, ids, te.compute((6, 4), lambda i, j: table[moved[i], j]))[1] == Domain(0, 7)


def test_stores_are_indexed_too():
    @T.prim_func(s_tir=True)
    def scatter(ids: T.Buffer((6,), "int32"), out: T.Buffer((10,), "float32")):
        for i in range(6):
            with T.sblock("scatter"):
                v = T.axis.spatial(6, i)
                out[ids[v] + 2] = T.float32(1)

    assert domains(scatter)[0] == Domain(0, 7)


def test_divisors_are_at_least_1():
    total, count = tensor(8, dtype="int32"), tensor(8, dtype="int32")
    assert of(total, count, te.compute((8,), lambda i: te.floordiv(total[i], count[i]))) == (None, Domain(1, 4))
    sums = tensor(8)
    mean = te.compute((8,), lambda i: sums[i] / count[i].astype("float32"))
    assert of(sums, count, mean) == (None, Domain(1, 4))


K = te.reduce_axis((0, 8), "k")
X, Y, V = tensor(4, 8), tensor(4, 8, name="y"), tensor(8, name="v")
LOGS = te.compute((4,), lambda i: te.sum(te.log(X[i, K]), axis=K))
SQUARES = te.compute((4,), lambda i: te.sum(X[i, K] * X[i, K], axis=K))


def elementwise(function):
    return te.compute((4, 8), function)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((X, LOGS), (CARE,)),
        ((X, te.compute((4,), lambda i: te.exp(LOGS[i] / 8))), (CARE,)),  # the geometric mean
        ((X, Y, te.compute((4,), lambda i: te.sum(X[i, K] * te.log(X[i, K] / Y[i, K]), axis=K))), (CARE, CARE)),
        (
            (X, Y, elementwise(lambda i, j: Y[i, j] * te.log(X[i, j]) + (1 - Y[i, j]) * te.log(1 - X[i, j]))),
            (CARE, None),
        ),
        ((X, V, elementwise(lambda i, j: X[i, j] * te.rsqrt(V[j] + 1e-5))), (None, CARE)),
        ((X, elementwise(lambda i, j: te.sqrt(X[i, j]))), (CARE,)),
        ((X, elementwise(lambda i, j: te.power(X[i, j], 0.5))), (CARE,)),
        ((X, Y, elementwise(lambda i, j: X[i, j] / Y[i, j])), (None, CARE)),
    ],
    ids=["logs", "geometric-mean", "divergence", "cross-entropy", "batch-norm", "root", "power", "quotient"],
)
def test_floats_are_positive_where_they_must_be(arguments, expected):
    assert of(*arguments) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        (X, topi.nn.softmax(X)),
        (X, topi.nn.log_softmax(X)),
        (X, V, topi.nn.rms_norm(X, V, [1])),
        (X, V, topi.nn.layer_norm(X, V, V, [1])),
        (X, elementwise(lambda i, j: X[i, j] / te.sqrt(SQUARES[i]))),
        (X, elementwise(lambda i, j: X[i, j] / (1 + te.exp(-X[i, j])))),
        (X, elementwise(lambda i, j: te.power(X[i, j], 2.0))),
        (X, elementwise(lambda i, j: tirx.if_then_else(X[i, j] > 0, te.log(X[i, j]), 0.0))),
        (X, Y, topi.nn.dense(X, Y)),
    ],
    ids=["softmax", "log-softmax", "rms-norm", "layer-norm", "l2-norm", "silu", "square", "guarded", "dense"],
)
def test_programs_that_need_no_care(arguments):
    assert set(of(*arguments)) == {None}


@T.prim_func(s_tir=True)
def ragged_means(n: T.Buffer((16,), "int32"), data: T.Buffer((16, 100), "float32"), y: T.Buffer((16,), "float32")):
    for i in range(16):
        with T.sblock("row"):
            v = T.axis.spatial(16, i)
            y[v] = T.float32(0)
            for j in range(n[v]):
                y[v] = y[v] + data[v, j]
            y[v] = y[v] / T.cast(n[v], "float32")


@pytest.mark.parametrize("function", [sparse_rows, sparse_rows_from_0], ids=["absolute", "relative"])
def test_pointers_of_sparse_rows_ascend(function):
    assert domains(function)[:4] == (Domain(0, 100, order=True), Domain(0, 29), None, None)


def test_lengths_of_rows():
    assert domains(ragged_means)[:2] == (Domain(1, 100), None)


def test_shifts_are_by_less_than_a_number_has_bits():
    x, by = tensor(8, dtype="int32"), tensor(8, dtype="int32", name="by")
    found = of(x, by, te.compute((8,), lambda i: tirx.shift_right(x[i], by[i] - 1)))
    assert found == (None, Domain(1, 32))


def test_what_is_defined_from_1_on_is_drawn_from_there():
    x = tensor(8)
    assert of(x, te.compute((8,), lambda i: te.log(x[i] + te.sqrt(x[i] * x[i] - 1.0)))) == (Domain(*ABOVE_ONE),)


def test_shifts_of_vectors_are_understood_too():
    @T.prim_func(s_tir=True)
    def main(x: T.Buffer((8,), "int32"), y: T.Buffer((8,), "int32")):
        with T.sblock("root"):
            y[T.ramp(0, 1, 8)] = T.shift_left(x[T.ramp(0, 1, 8)], T.broadcast(3, 8))

    assert domains(main)[0] is None
