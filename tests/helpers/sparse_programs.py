"""Products of a sparse matrix and a vector."""

# No future import: TVMScript evaluates the annotations.
from tvm.script import tirx as T


@T.prim_func(s_tir=True)
def sparse_rows(
    indptr: T.Buffer((17,), "int32"),
    indices: T.Buffer((100,), "int32"),
    data: T.Buffer((100,), "float32"),
    x: T.Buffer((30,), "float32"),
    y: T.Buffer((16,), "float32"),
):
    for i in range(16):
        with T.sblock("row"):
            v = T.axis.spatial(16, i)
            y[v] = T.float32(0)
            for j in range(indptr[v], indptr[v + 1]):
                y[v] = y[v] + data[j] * x[indices[j]]


@T.prim_func(s_tir=True)
def sparse_rows_from_0(
    indptr: T.Buffer((17,), "int32"),
    indices: T.Buffer((100,), "int32"),
    data: T.Buffer((100,), "float32"),
    x: T.Buffer((30,), "float32"),
    y: T.Buffer((16,), "float32"),
):
    for i in range(16):
        with T.sblock("row"):
            v = T.axis.spatial(16, i)
            y[v] = T.float32(0)
            for j in range(indptr[v + 1] - indptr[v]):
                y[v] = y[v] + data[indptr[v] + j] * x[indices[indptr[v] + j]]


@T.prim_func(s_tir=True)
def sparse_rows_without_their_last(
    indptr: T.Buffer((17,), "int32"),
    indices: T.Buffer((100,), "int32"),
    data: T.Buffer((100,), "float32"),
    x: T.Buffer((30,), "float32"),
    y: T.Buffer((16,), "float32"),
):
    for i in range(16):
        with T.sblock("row"):
            v = T.axis.spatial(16, i)
            y[v] = T.float32(0)
            for j in range(indptr[v], indptr[v + 1] - 1):
                y[v] = y[v] + data[j] * x[indices[j]]
