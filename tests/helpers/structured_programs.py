"""Programs for the tests of structured sketches: each is there for a dataflow or a shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from tests.helpers import space_programs as programs


def placeholders(**shapes: tuple[int, ...]) -> list[Any]:
    return [te.placeholder(shape, name=name) for name, shape in shapes.items()]


def reduction(extent: int, name: str) -> Any:
    return te.reduce_axis((0, extent), name=name)


def matmul_tn(m: int = 128, n: int = 96, k: int = 64) -> Any:
    a, b = placeholders(A=(k, m), B=(k, n))
    r = reduction(k, "k")
    return module_of_tensors([a, b, te.compute((m, n), lambda i, j: te.sum(a[r, i] * b[r, j], axis=r), name="C")])


def batch_matmul_epilogue(batch: int = 4, m: int = 48, n: int = 64, k: int = 32) -> Any:
    """Bias, ReLU and a residual in blocks of their own."""
    x, y, bias, residual = placeholders(X=(batch, m, k), Y=(batch, k, n), bias=(n,), residual=(batch, m, n))
    r, shape = reduction(k, "k"), (batch, m, n)
    c = te.compute(shape, lambda s, i, j: te.sum(x[s, i, r] * y[s, r, j], axis=r), name="C")
    d = te.compute(shape, lambda s, i, j: c[s, i, j] + bias[j], name="biased")
    e = te.compute(shape, lambda s, i, j: te.max(d[s, i, j], tirx.const(0.0, "float32")), name="relu")
    f = te.compute(shape, lambda s, i, j: e[s, i, j] + residual[s, i, j], name="F")
    return module_of_tensors([x, y, bias, residual, f])


def separable_conv(channels: int = 32, side: int = 16, filters: int = 48) -> Any:
    """Depthwise 3x3, then pointwise."""
    x, f, w = placeholders(X=(1, channels, side, side), F=(channels, 3, 3), W=(filters, channels))

    def padded(n: Any, c: Any, i: Any, j: Any) -> Any:
        inside = tirx.all(i >= 1, i < side + 1, j >= 1, j < side + 1)
        return tirx.if_then_else(inside, x[n, c, i - 1, j - 1], tirx.const(0.0, "float32"))

    pad = te.compute((1, channels, side + 2, side + 2), padded, name="pad")
    di, dj, rc = reduction(3, "di"), reduction(3, "dj"), reduction(channels, "rc")

    def term(n: Any, c: Any, i: Any, j: Any) -> Any:
        return te.sum(pad[n, c, i + di, j + dj] * f[c, di, dj], axis=[di, dj])

    depthwise = te.compute((1, channels, side, side), term, name="depthwise")
    pointwise = te.compute(
        (1, filters, side, side),
        lambda n, o, i, j: te.sum(depthwise[n, rc, i, j] * w[o, rc], axis=rc),
        name="pointwise",
    )
    return module_of_tensors([x, f, w, pointwise])


def layer_norm(rows: int = 64, columns: int = 96) -> Any:
    x, gain, bias = placeholders(X=(rows, columns), gain=(columns,), bias=(columns,))
    r1, r2 = reduction(columns, "r1"), reduction(columns, "r2")
    total = te.compute((rows,), lambda i: te.sum(x[i, r1], axis=r1), name="total")
    mean = te.compute((rows,), lambda i: total[i] / float(columns), name="mean")
    var = te.compute((rows,), lambda i: te.sum((x[i, r2] - mean[i]) * (x[i, r2] - mean[i]), axis=r2), name="var")

    def scaled(i: Any, j: Any) -> Any:
        return (x[i, j] - mean[i]) * tirx.rsqrt(var[i] / float(columns) + 1e-5) * gain[j] + bias[j]

    return module_of_tensors([x, gain, bias, te.compute((rows, columns), scaled, name="Y")])


def rms_norm(rows: int = 40, columns: int = 256) -> Any:
    x, gain = placeholders(X=(rows, columns), gain=(columns,))
    r = reduction(columns, "r")
    squares = te.compute((rows,), lambda i: te.sum(x[i, r] * x[i, r], axis=r), name="squares")

    def scaled(i: Any, j: Any) -> Any:
        return x[i, j] * tirx.rsqrt(squares[i] / float(columns) + 1e-5) * gain[j]

    return module_of_tensors([x, gain, te.compute((rows, columns), scaled, name="Y")])


def log_sum_exp(rows: int = 48, columns: int = 80) -> Any:
    (x,) = placeholders(X=(rows, columns))
    r1, r2 = reduction(columns, "r1"), reduction(columns, "r2")
    top = te.compute((rows,), lambda i: te.max(x[i, r1], axis=r1), name="top")
    exp = te.compute((rows, columns), lambda i, j: te.exp(x[i, j] - top[i]), name="exp")
    total = te.compute((rows,), lambda i: te.sum(exp[i, r2], axis=r2), name="total")
    return module_of_tensors([x, te.compute((rows,), lambda i: te.log(total[i]) + top[i], name="out")])


def gemv(n: int = 256, m: int = 192, transposed: bool = False) -> Any:
    a, x = placeholders(A=(m, n) if transposed else (n, m), x=(m,))
    k = reduction(m, "k")
    y = te.compute((n,), lambda i: te.sum((a[k, i] if transposed else a[i, k]) * x[k], axis=k), name="y")
    return module_of_tensors([a, x, y])


def layer(batch: int = 12, terms: int = 64, outputs: int = 24) -> Any:
    """Y = max(X·Wᵀ + b, 0), as PyTorch has the layers of a model."""
    x, w, bias = placeholders(X=(batch, terms), W=(outputs, terms), b=(outputs,))
    k, results = reduction(terms, "k"), (batch, outputs)
    xw = te.compute(results, lambda i, j: te.sum(x[i, k] * w[j, k], axis=k), name="XW")
    return module_of_tensors([x, w, bias, te.compute(results, lambda i, j: te.max(xw[i, j] + bias[j], 0.0), name="Y")])


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + te.exp(-x))


def lstm_cell(batch: int = 16, hidden: int = 32) -> Any:
    """Two outputs, one of which the other needs."""
    square = (4, hidden, hidden)
    x, h, c, w, u = placeholders(x=(batch, hidden), h=(batch, hidden), c=(batch, hidden), W=square, U=square)
    k1, k2, gates = reduction(hidden, "k1"), reduction(hidden, "k2"), (4, batch, hidden)
    gx = te.compute(gates, lambda g, i, j: te.sum(x[i, k1] * w[g, k1, j], axis=k1), name="gx")
    gh = te.compute(gates, lambda g, i, j: te.sum(h[i, k2] * u[g, k2, j], axis=k2), name="gh")
    gate = te.compute(gates, lambda g, i, j: gx[g, i, j] + gh[g, i, j], name="gate")

    def cell(i: Any, j: Any) -> Any:
        return sigmoid(gate[1, i, j]) * c[i, j] + sigmoid(gate[0, i, j]) * te.tanh(gate[2, i, j])

    new_c = te.compute((batch, hidden), cell, name="new_c")
    new_h = te.compute((batch, hidden), lambda i, j: sigmoid(gate[3, i, j]) * te.tanh(new_c[i, j]), name="new_h")
    return module_of_tensors([x, h, c, w, u, new_c, new_h])


def gru_cell(batch: int = 16, hidden: int = 32) -> Any:
    """Gates that are parts of one contraction's result."""
    x, h, w, u = placeholders(x=(batch, hidden), h=(batch, hidden), W=(hidden, 3 * hidden), U=(hidden, 3 * hidden))
    k1, k2, wide, small = reduction(hidden, "k1"), reduction(hidden, "k2"), (batch, 3 * hidden), (batch, hidden)
    gx = te.compute(wide, lambda i, j: te.sum(x[i, k1] * w[k1, j], axis=k1), name="gx")
    gh = te.compute(wide, lambda i, j: te.sum(h[i, k2] * u[k2, j], axis=k2), name="gh")
    reset = te.compute(small, lambda i, j: sigmoid(gx[i, j] + gh[i, j]), name="reset")
    update = te.compute(small, lambda i, j: sigmoid(gx[i, j + hidden] + gh[i, j + hidden]), name="update")
    new = te.compute(
        small, lambda i, j: te.tanh(gx[i, j + 2 * hidden] + reset[i, j] * gh[i, j + 2 * hidden]), name="new"
    )
    out = te.compute(small, lambda i, j: (1.0 - update[i, j]) * new[i, j] + update[i, j] * h[i, j], name="out")
    return module_of_tensors([x, h, w, u, out])


def conv_nhwc(side: int = 14, channels: int = 24, filters: int = 40) -> Any:
    x, f = placeholders(X=(2, side + 2, side + 2, channels), F=(3, 3, channels, filters))
    di, dj, rc = reduction(3, "di"), reduction(3, "dj"), reduction(channels, "rc")

    def term(n: Any, i: Any, j: Any, o: Any) -> Any:
        return te.sum(x[n, i + di, j + dj, rc] * f[di, dj, rc, o], axis=[di, dj, rc])

    return module_of_tensors([x, f, te.compute((2, side, side, filters), term, name="Y")])


def column_sum(rows: int = 64, columns: int = 100) -> Any:
    (a,) = placeholders(A=(rows, columns))
    k = reduction(rows, "k")
    return module_of_tensors([a, te.compute((columns,), lambda j: te.sum(a[k, j], axis=k), name="S")])


def total(rows: int = 64, columns: int = 128) -> Any:
    """One number: nothing to run in parallel."""
    (a,) = placeholders(A=(rows, columns))
    i, j = reduction(rows, "i"), reduction(columns, "j")
    return module_of_tensors([a, te.compute((1,), lambda _: te.sum(a[i, j], axis=[i, j]), name="S")])


def few_rows(rows: int = 3, columns: int = 1531) -> Any:
    (a,) = placeholders(A=(rows, columns))
    k = reduction(columns, "k")
    return module_of_tensors([a, te.compute((rows,), lambda i: te.sum(a[i, k] * a[i, k], axis=k), name="S")])


def transpose(rows: int = 64, columns: int = 80) -> Any:
    (a,) = placeholders(A=(rows, columns))
    return module_of_tensors([a, te.compute((columns, rows), lambda i, j: a[j, i], name="T")])


def two_convs(channels: int = 8, side: int = 12) -> Any:
    """The second needs more of the first than its own tile."""
    square = (channels, channels, 3, 3)
    x, f, g = placeholders(X=(1, channels, side, side), F=square, G=square)

    def conv(source: Any, weights: Any, size: int, name: str) -> Any:
        rc, di, dj = reduction(channels, "rc"), reduction(3, "di"), reduction(3, "dj")

        def term(n: Any, o: Any, i: Any, j: Any) -> Any:
            return te.sum(source[n, rc, i + di, j + dj] * weights[o, rc, di, dj], axis=[rc, di, dj])

        return te.compute((1, channels, size, size), term, name=name)

    return module_of_tensors([x, f, g, conv(conv(x, f, side - 2, "one"), g, side - 4, "two")])


def mlp(rows: int = 48, hidden: int = 80, columns: int = 32) -> Any:
    x, a, b = placeholders(X=(rows, columns), A=(columns, hidden), B=(hidden, columns))
    k, q = reduction(columns, "k"), reduction(hidden, "q")
    h = te.compute((rows, hidden), lambda i, j: te.sum(x[i, k] * a[k, j], axis=k), name="H")
    g = te.compute((rows, hidden), lambda i, j: te.max(h[i, j], tirx.const(0.0, "float32")), name="relu")
    return module_of_tensors(
        [x, a, b, te.compute((rows, columns), lambda i, j: te.sum(g[i, q] * b[q, j], axis=q), name="Y")]
    )


def strided_conv(channels: int = 12, side: int = 15, filters: int = 19) -> Any:
    """Every other pixel: vectors only along the filters, whose number is odd."""
    x, f = placeholders(X=(1, channels, side, side), F=(filters, channels, 3, 3))
    rc, di, dj = reduction(channels, "rc"), reduction(3, "di"), reduction(3, "dj")
    size = (side - 3) // 2 + 1

    def term(n: Any, o: Any, i: Any, j: Any) -> Any:
        return te.sum(x[n, rc, i * 2 + di, j * 2 + dj] * f[o, rc, di, dj], axis=[rc, di, dj])

    return module_of_tensors([x, f, te.compute((1, filters, size, size), term, name="Y")])


def max_pool(channels: int = 6, side: int = 17, step: int = 2) -> Any:
    (x,) = placeholders(X=(channels, side, side))
    di, dj, size = reduction(3, "di"), reduction(3, "dj"), (side - 3) // step + 1
    window = te.compute(
        (channels, size, size), lambda c, i, j: te.max(x[c, i * step + di, j * step + dj], axis=[di, dj]), name="Y"
    )
    return module_of_tensors([x, window])


def min_plus(m: int = 37, n: int = 41, k: int = 43) -> Any:
    """Shortest paths: zeros are not neutral."""
    a, b = placeholders(A=(m, k), B=(k, n))
    r = reduction(k, "k")
    return module_of_tensors([a, b, te.compute((m, n), lambda i, j: te.min(a[i, r] + b[r, j], axis=r), name="D")])


def gram(n: int = 33, k: int = 24) -> Any:
    """One operand twice, in different places."""
    (a,) = placeholders(A=(n, k))
    r = reduction(k, "k")
    return module_of_tensors([a, te.compute((n, n), lambda i, j: te.sum(a[i, r] * a[j, r], axis=r), name="C")])


def two_sums(batch: int = 64, rows: int = 4, columns: int = 8, terms: int = 37) -> Any:
    """The product of two contractions of one operand. Their largest iter is not that of the product's vectors."""
    a, b, d = placeholders(A=(batch, rows, terms), B=(batch, columns, terms), D=(batch, columns, terms))
    shape = batch, rows, columns

    def contraction(other: Any, name: str) -> Any:
        k = reduction(terms, f"k{name}")
        return te.compute(shape, lambda s, i, j: te.sum(a[s, i, k] * other[s, j, k], axis=k), name=name)

    c, e = contraction(b, "C"), contraction(d, "E")
    return module_of_tensors([a, b, d, te.compute(shape, lambda s, i, j: c[s, i, j] * e[s, i, j], name="Y")])


def arg_max(rows: int = 24, columns: int = 40) -> Any:
    """A reduction of pairs, which writes two results. Of equals the first counts, in any order of the reduction."""
    (x,) = placeholders(X=(rows, columns))
    k = te.reduce_axis((0, columns), name="k")

    def larger(left: Any, right: Any) -> Any:
        stays = tirx.Or(left[1] > right[1], tirx.And(left[1] == right[1], left[0] < right[0]))
        return tirx.Select(stays, left[0], right[0]), tirx.Select(left[1] > right[1], left[1], right[1])

    best = te.comm_reducer(larger, lambda i, v: (tirx.const(-1, i), te.min_value(v)), name="argmax")
    index, value = te.compute((rows,), lambda i: best((k.var, x[i, k]), axis=k), name="best")
    return module_of_tensors([x, index, value])


PROGRAMS: dict[str, Callable[[], Any]] = {
    **programs.PROGRAMS,
    "experts": programs.experts,
    "attention-odd": lambda: programs.attention(3, 37, 20),
    "matmul-tn": matmul_tn,
    "matmul-odd": lambda: programs.matmul(33, 25, 51),
    "matmul-nt-odd": lambda: programs.matmul(33, 50, 51, nt=True),
    "matmul-nt-int8": lambda: programs.matmul(48, 64, 96, "int8", "int32", nt=True),
    "matmul-float64": lambda: programs.matmul(40, 48, 56, "float64"),
    "matmul-float16": lambda: programs.matmul(32, 64, 48, "float16", "float32"),
    "matmul-long": lambda: programs.matmul(8, 48, 1200),
    "batch-matmul-epilogue": batch_matmul_epilogue,
    "separable-conv": separable_conv,
    "conv-nhwc": conv_nhwc,
    "two-convs": two_convs,
    "layer-norm": layer_norm,
    "rms-norm": rms_norm,
    "log-sum-exp": log_sum_exp,
    "gemv": gemv,
    "gemv-transposed": lambda: gemv(transposed=True),
    "layer": layer,
    "layer-odd": lambda: layer(3, 72, 11),
    "lstm-cell": lstm_cell,
    "gru-cell": gru_cell,
    "column-sum": column_sum,
    "total": total,
    "total-prime": lambda: total(1, 2003),
    "total-of-rows-prime": lambda: total(37, 41),
    "few-rows": few_rows,
    "few-columns": lambda: column_sum(1531, 3),
    "softmax-of-one-row": lambda: programs.softmax(1, 2003),
    "rms-norm-of-few-rows": lambda: rms_norm(3, 1531),
    "matmul-prime": lambda: programs.matmul(37, 41, 43),
    "matmul-nt-prime": lambda: programs.matmul(37, 41, 43, nt=True),
    "matmul-tn-prime": lambda: matmul_tn(37, 41, 43),
    "matmul-int8-prime": lambda: programs.matmul(37, 41, 43, "int8", "int32"),
    "matmul-narrow": lambda: programs.matmul(96, 10, 40),
    "batch-matmul-epilogue-prime": lambda: batch_matmul_epilogue(3, 19, 29, 23),
    "attention-prime": lambda: programs.attention(2, 37, 19),
    "swiglu-prime": lambda: programs.swiglu(17, 33, 65),
    "mlp-prime": lambda: mlp(37, 41, 43),
    "experts-prime": lambda: programs.experts(17, 2, 19, 23),
    "conv-odd": lambda: programs.conv(12, 14, 32),
    "conv-nhwc-odd": lambda: conv_nhwc(7, 24, 41),
    "conv-nhwc-prime": lambda: conv_nhwc(17, 8, 32),
    "strided-conv": strided_conv,
    "two-convs-odd": lambda: two_convs(19, 11),
    "two-sums": two_sums,
    "max-pool": max_pool,
    "max-pool-dense": lambda: max_pool(step=1),
    "row-sum-prime": lambda: programs.row_sum(37, 101),
    "softmax-prime": lambda: programs.softmax(37, 53),
    "layer-norm-prime": lambda: layer_norm(37, 53),
    "column-sum-prime": lambda: column_sum(64, 101),
    "gemv-prime": lambda: gemv(67, 101),
    "gemv-transposed-prime": lambda: gemv(67, 101, transposed=True),
    "gram": gram,
    "min-plus-prime": min_plus,
    "arg-max": arg_max,
    "arg-max-of-one-row": lambda: arg_max(1, 2003),
    "transpose": transpose,
    "mlp": mlp,
}
