"""Products of a sparse matrix and a vector: one program, whose loop over a row is written in several ways."""

from __future__ import annotations

from typing import Any

import tvm

_PROGRAM = """
@T.prim_func(s_tir=True)
def rows(
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
            for j in range({loop}):
                y[v] = y[v] + data[{at}] * x[indices[{at}]]
"""


def _rows(loop: str, at: str = "j") -> Any:
    return tvm.script.from_source(_PROGRAM.format(loop=loop, at=at))


sparse_rows = _rows("indptr[v], indptr[v + 1]")
sparse_rows_from_0 = _rows("indptr[v + 1] - indptr[v]", "indptr[v] + j")
sparse_rows_without_their_last = _rows("indptr[v], indptr[v + 1] - 1")
