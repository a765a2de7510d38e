"""Small programs for the tests of the space: each is there for one trait of MetaSchedule's sketches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tirx

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import generate
from colt.tvm.space.space import TvmSpace


def stock_space(mod: Any, target: Any, **options: Any) -> TvmSpace:
    """The space of MetaSchedule's own sketches alone."""
    return TvmSpace(mod, generate(mod, target), **options)


def matmul(m: int = 128, n: int = 128, k: int = 128, dtype: str = "float32", sums: str = "", nt: bool = False) -> Any:
    """C = A·B, B stored transposed for ``nt``."""
    sums = sums or dtype
    a = te.placeholder((m, k), dtype, name="A")
    b = te.placeholder((n, k) if nt else (k, n), dtype, name="B")
    axis = te.reduce_axis((0, k), name="k")

    def term(i: Any, j: Any) -> Any:
        return te.sum(a[i, axis].astype(sums) * (b[j, axis] if nt else b[axis, j]).astype(sums), axis=axis)

    return module_of_tensors([a, b, te.compute((m, n), term, name="C")])


def matmul_of_matmul(n: int = 16) -> Any:
    """D = (A·B)·F: a sum that another sum reads."""
    a, b, f = (te.placeholder((n, n), name=name) for name in "ABF")
    k, l_ = (te.reduce_axis((0, n), name=name) for name in "kl")
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return module_of_tensors([a, b, f, te.compute((n, n), lambda i, j: te.sum(c[i, l_] * f[l_, j], axis=l_), name="D")])


def packed_dot(m: int = 32, n: int = 32, k: int = 32) -> Any:
    """uint8 · int8 with the right operand packed as x86's dot-product intrinsic wants it."""
    a = te.placeholder((m, k), "uint8", name="A")
    b = te.placeholder((n // 16, k // 4, 16, 4), "int8", name="B")
    axis = te.reduce_axis((0, k), name="k")

    def term(i: Any, j: Any) -> Any:
        right = b[j // 16, axis // 4, j % 16, axis % 4].astype("int32")
        return te.sum(a[i, axis].astype("int32") * right, axis=axis)

    return module_of_tensors([a, b, te.compute((m, n), term, name="C")])


def conv(channels: int = 8, size: int = 8, filters: int = 8) -> Any:
    """3×3, padded: the padding's place is a knob."""
    x = te.placeholder((1, channels, size, size), name="X")
    f = te.placeholder((filters, channels, 3, 3), name="F")

    def padded(n: Any, c: Any, y: Any, x_: Any) -> Any:
        inside = tirx.all(y >= 1, y < size + 1, x_ >= 1, x_ < size + 1)
        return tirx.if_then_else(inside, x[n, c, y - 1, x_ - 1], tirx.const(0.0, "float32"))

    pad = te.compute((1, channels, size + 2, size + 2), padded, name="pad")
    rc, ry, rx = (te.reduce_axis((0, extent), name=name) for extent, name in ((channels, "rc"), (3, "ry"), (3, "rx")))

    def term(n: Any, o: Any, y: Any, x_: Any) -> Any:
        return te.sum(pad[n, rc, y + ry, x_ + rx] * f[o, rc, ry, rx], axis=[rc, ry, rx])

    return module_of_tensors([x, f, te.compute((1, filters, size, size), term, name="Y")])


def softmax(rows: int = 32, columns: int = 64) -> Any:
    """Row reductions: partial results (rfactor), several places that are knobs."""
    x = te.placeholder((rows, columns), name="X")
    return module_of_tensors([x, _softmax(x, rows, columns)])


def _softmax(x: Any, rows: int, columns: int) -> Any:
    r1, r2 = (te.reduce_axis((0, columns), name=name) for name in ("r1", "r2"))
    top = te.compute((rows,), lambda i: te.max(x[i, r1], axis=r1), name="rowmax")
    exp = te.compute((rows, columns), lambda i, j: te.exp(x[i, j] - top[i]), name="exp")
    total = te.compute((rows,), lambda i: te.sum(exp[i, r2], axis=r2), name="rowsum")
    return te.compute((rows, columns), lambda i, j: exp[i, j] / total[i], name="prob")


def attention(heads: int = 2, size: int = 32, depth: int = 16) -> Any:
    """QKᵀ, softmax, PV: 81 sketches with two contractions each."""
    q, k, v = (te.placeholder((heads, size, depth), name=name) for name in "QKV")
    d = te.reduce_axis((0, depth), name="d")
    square, rows = (heads, size, size), (heads, size)
    qk = te.compute(square, lambda h, i, j: te.sum(q[h, i, d] * k[h, j, d], axis=d), name="QK")
    r1, r2, j2 = (te.reduce_axis((0, size), name=name) for name in ("r1", "r2", "j2"))
    top = te.compute(rows, lambda h, i: te.max(qk[h, i, r1], axis=r1), name="rowmax")
    exp = te.compute(square, lambda h, i, j: te.exp(qk[h, i, j] - top[h, i]), name="exp")
    total = te.compute(rows, lambda h, i: te.sum(exp[h, i, r2], axis=r2), name="rowsum")
    prob = te.compute(square, lambda h, i, j: exp[h, i, j] / total[h, i], name="prob")
    out = te.compute((heads, size, depth), lambda h, i, x: te.sum(prob[h, i, j2] * v[h, j2, x], axis=j2), name="O")
    return module_of_tensors([q, k, v, out])


def swiglu(tokens: int = 16, hidden: int = 32, inner: int = 64) -> Any:
    """(silu(X·Wg) * (X·Wu))·Wd: stock multi-level tiling crashes on it."""
    shapes = {"X": (tokens, hidden), "Wg": (hidden, inner), "Wu": (hidden, inner), "Wd": (inner, hidden)}
    x, wg, wu, wd = (te.placeholder(shape, name=name) for name, shape in shapes.items())
    k1, k2, k3 = (te.reduce_axis((0, n), name=name) for n, name in ((hidden, "k1"), (hidden, "k2"), (inner, "k3")))
    gate = te.compute((tokens, inner), lambda t, i: te.sum(x[t, k1] * wg[k1, i], axis=k1), name="gate")
    up = te.compute((tokens, inner), lambda t, i: te.sum(x[t, k2] * wu[k2, i], axis=k2), name="up")
    act = te.compute((tokens, inner), lambda t, i: gate[t, i] / (1.0 + te.exp(-gate[t, i])) * up[t, i], name="act")
    y = te.compute((tokens, hidden), lambda t, h: te.sum(act[t, k3] * wd[k3, h], axis=k3), name="Y")
    return module_of_tensors([x, wg, wu, wd, y])


def experts(tokens: int = 8, count: int = 2, hidden: int = 16, inner: int = 16) -> Any:
    """A softmax router and SwiGLU experts: 729 sketches."""
    x, wr = te.placeholder((tokens, hidden), name="X"), te.placeholder((hidden, count), name="Wr")
    wg, wu = (te.placeholder((count, hidden, inner), name=name) for name in ("Wg", "Wu"))
    wd = te.placeholder((count, inner, hidden), name="Wd")
    kr, kg, ku = (te.reduce_axis((0, hidden), name=name) for name in ("kr", "kg", "ku"))
    logits = te.compute((tokens, count), lambda t, e: te.sum(x[t, kr] * wr[kr, e], axis=kr), name="logits")
    prob = _softmax(logits, tokens, count)
    wide = (count, tokens, inner)
    gate = te.compute(wide, lambda e, t, i: te.sum(x[t, kg] * wg[e, kg, i], axis=kg), name="gate")
    up = te.compute(wide, lambda e, t, i: te.sum(x[t, ku] * wu[e, ku, i], axis=ku), name="up")

    def weighted(e: Any, t: Any, i: Any) -> Any:
        return prob[t, e] * gate[e, t, i] / (1.0 + te.exp(-gate[e, t, i])) * up[e, t, i]

    act = te.compute(wide, weighted, name="act")
    ke, kd = te.reduce_axis((0, count), name="expert"), te.reduce_axis((0, inner), name="kd")
    y = te.compute((tokens, hidden), lambda t, h: te.sum(act[ke, t, kd] * wd[ke, kd, h], axis=[ke, kd]), name="Y")
    return module_of_tensors([x, wr, wg, wu, wd, y])


def elementwise() -> Any:
    """Nothing to decide: one sketch without knobs."""
    a = te.placeholder((16, 24), name="A")
    b = te.compute((16, 24), lambda i, j: a[i, j] * 2.0, name="B")
    return module_of_tensors([a, te.compute((16, 24), lambda i, j: b[i, j] + a[i, j], name="C")])


def row_sum(rows: int = 16, columns: int = 256) -> Any:
    """A reduction that is no contraction."""
    a, k = te.placeholder((rows, columns), name="A"), te.reduce_axis((0, columns), name="k")
    return module_of_tensors([a, te.compute((rows,), lambda i: te.sum(a[i, k], axis=k), name="S")])


def bias_relu() -> Any:
    """A contraction with a pointwise consumer, which takes the place of a write cache."""
    a, b = te.placeholder((32, 32), name="A"), te.placeholder((32, 32), name="B")
    bias, k = te.placeholder((32,), name="bias"), te.reduce_axis((0, 32), name="k")
    c = te.compute((32, 32), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return module_of_tensors(
        [a, b, bias, te.compute((32, 32), lambda i, j: te.max(c[i, j] + bias[j], tirx.const(0.0, "float32")), name="R")]
    )


PROGRAMS: dict[str, Callable[[], Any]] = {
    "matmul": lambda: matmul(64, 64, 64),
    "matmul-nt": lambda: matmul(32, 32, 32, nt=True),
    "matmul-int8": lambda: matmul(32, 32, 32, "int8", "int32"),
    "matmul-prime": lambda: matmul(31, 61, 127),
    "matmul-row": lambda: matmul(1, 32, 64),
    "conv": conv,
    "softmax": softmax,
    "attention": attention,
    "swiglu": swiglu,
    "elementwise": elementwise,
    "row-sum": row_sum,
    "bias-relu": bias_relu,
}
