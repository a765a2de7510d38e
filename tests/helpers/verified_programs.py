"""Programs on which verification is tried out, each with what it computes by NumPy in float64.

A reference takes all arguments but the last, which is the output, as float64 or as the integers that they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx, topi

from colt.tvm.programs.program import module_of_tensors

Array = NDArray[Any]


@dataclass(frozen=True)
class Verified:
    """A program of one output."""

    make: Callable[[], list[Any]]
    """Its tensors, the output last."""
    reference: Callable[..., Array]
    terms: int
    """The longest sum."""
    shift: str = ""
    """A pattern of where values cancel out, so that a fault changes nothing: a buffer, such as the largest of a row in
    softmax, or ``into<from`` for loads."""

    @property
    def module(self) -> Any:
        """The untuned program."""
        return module_of_tensors(self.make())


def _axis(extent: int, name: str = "k") -> Any:
    return te.reduce_axis((0, extent), name=name)


def matmul(m: int, n: int, terms: int, dtype: str, summed: str = "", out: str = "", nt: bool = False) -> Verified:
    """Products of ``dtype``, added up as ``summed``."""
    summed, out = summed or dtype, out or summed or dtype

    def make() -> list[Any]:
        a = te.placeholder((m, terms), dtype, name="A")
        b = te.placeholder((n, terms) if nt else (terms, n), dtype, name="B")
        k = _axis(terms)

        def product(i: Any, j: Any) -> Any:
            return te.sum(a[i, k].astype(summed) * (b[j, k] if nt else b[k, j]).astype(summed), axis=k)

        c = te.compute((m, n), product, name="C")
        return [a, b, c if out == summed else te.compute((m, n), lambda i, j: c[i, j].astype(out), name="D")]

    return Verified(make, lambda a, b: a.astype(np.float64) @ (b.T if nt else b), terms)


def sums(rows: int, terms: int, dtype: str) -> Verified:
    """The sum of each row."""

    def make() -> list[Any]:
        x, k = te.placeholder((rows, terms), dtype, name="X"), _axis(terms)
        return [x, te.compute((rows,), lambda i: te.sum(x[i, k], axis=k), name="C")]

    return Verified(make, lambda x: x.sum(1), terms)


def dot(terms: int, dtype: str) -> Verified:
    """One sum of products."""

    def make() -> list[Any]:
        x, y, k = te.placeholder((terms,), dtype, name="X"), te.placeholder((terms,), dtype, name="Y"), _axis(terms)
        return [x, y, te.compute((1,), lambda i: te.sum(x[k] * y[k], axis=k), name="C")]

    return Verified(make, lambda x, y: np.array([x @ y]), terms)


def total(terms: int, dtype: str) -> Verified:
    """One sum."""

    def make() -> list[Any]:
        x, k = te.placeholder((terms,), dtype, name="X"), _axis(terms)
        return [x, te.compute((1,), lambda i: te.sum(x[k], axis=k), name="C")]

    return Verified(make, lambda x: np.array([x.sum()]), terms)


def softmax(rows: int, columns: int, dtype: str) -> Verified:
    def make() -> list[Any]:
        x = te.placeholder((rows, columns), dtype, name="X")
        return [x, topi.nn.softmax(x)]

    def reference(x: Array) -> Array:
        found = np.exp(x - x.max(1, keepdims=True))
        return found / found.sum(1, keepdims=True)

    return Verified(make, reference, columns, "maxelem")


def _rms_norm() -> list[Any]:
    x, k = te.placeholder((24, 128), "bfloat16", name="X"), _axis(128)
    squares = te.compute(
        (24,), lambda i: te.sum(x[i, k].astype("float32") * x[i, k].astype("float32"), axis=k), name="S"
    )
    scale = te.compute((24,), lambda i: te.rsqrt(squares[i] / 128.0 + 1e-5), name="R")
    return [x, te.compute((24, 128), lambda i, j: (x[i, j].astype("float32") * scale[i]).astype("bfloat16"), name="C")]


def _rms_norm_reference(x: Array) -> Array:
    found: Array = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5)
    return found


def _layer_norm() -> list[Any]:
    x, g, b = (te.placeholder(shape, name=name) for shape, name in (((48, 96), "X"), ((96,), "G"), ((96,), "B")))
    return [x, g, b, topi.nn.layer_norm(x, g, b, [1])]


def _layer_norm_reference(x: Array, g: Array, b: Array) -> Array:
    found: Array = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * g + b
    return found


def _conv() -> list[Any]:
    x, f = te.placeholder((1, 8, 14, 14), name="X"), te.placeholder((16, 8, 3, 3), name="F")
    return [x, f, topi.nn.conv2d_nchw(x, f, 1, 1, 1)]


def _conv_reference(x: Array, f: Array) -> Array:
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("cyxuv,ocuv->oyx", windows, f)[None]


def _max_pool() -> list[Any]:
    x, u, v = te.placeholder((6, 16, 16), name="X"), _axis(2, "u"), _axis(2, "v")
    return [x, te.compute((6, 8, 8), lambda c, i, j: te.max(x[c, 2 * i + u, 2 * j + v], axis=[u, v]), name="C")]


def _embedding_bag() -> list[Any]:
    table, ids, k = te.placeholder((50, 24), name="T"), te.placeholder((20, 12), "int32", name="ids"), _axis(12)
    return [table, ids, te.compute((20, 24), lambda i, j: te.sum(table[ids[i, k], j], axis=k), name="C")]


def _log_sums() -> list[Any]:
    x, k = te.placeholder((40, 64), name="X"), _axis(64)
    return [x, te.compute((40,), lambda i: te.sum(te.log(x[i, k]), axis=k), name="C")]


def _bias_gelu() -> list[Any]:
    x, b = te.placeholder((32, 96), name="X"), te.placeholder((96,), name="B")
    y = te.compute((32, 96), lambda i, j: x[i, j] + b[j], name="Y")
    return [x, b, te.compute((32, 96), lambda i, j: y[i, j] / (1 + te.exp(-1.702 * y[i, j])), name="C")]


def _bias_gelu_reference(x: Array, b: Array) -> Array:
    y = x + b
    found: Array = y / (1 + np.exp(-1.702 * y))
    return found


def _transpose() -> list[Any]:
    x = te.placeholder((63, 80), "bfloat16", name="X")
    return [x, te.compute((80, 63), lambda i, j: x[j, i], name="C")]


def _min_plus() -> list[Any]:
    a, b, k = te.placeholder((37, 43), name="A"), te.placeholder((43, 41), name="B"), _axis(43)
    return [a, b, te.compute((37, 41), lambda i, j: te.min(a[i, k] + b[k, j], axis=k), name="C")]


def _attention() -> list[Any]:
    q, k, v = (te.placeholder((2, 32, 16), name=name) for name in "QKV")
    scores = topi.nn.batch_matmul(q, k)
    weights = topi.nn.softmax(scores)
    d = _axis(32, "d")
    return [q, k, v, te.compute((2, 32, 16), lambda h, i, j: te.sum(weights[h, i, d] * v[h, d, j], axis=d), name="O")]


def _attention_reference(q: Array, k: Array, v: Array) -> Array:
    scores = np.exp(q @ k.transpose(0, 2, 1))
    found: Array = scores / scores.sum(2, keepdims=True) @ v
    return found


def _squares() -> list[Any]:
    x, k = te.placeholder((24, 257), "float16", name="X"), _axis(257)
    return [x, te.compute((24,), lambda i: te.sum(x[i, k] * x[i, k], axis=k), name="C")]


def _gated() -> list[Any]:
    x, y = te.placeholder((40, 56), "bfloat16", name="X"), te.placeholder((40, 56), "bfloat16", name="Y")
    gate = tirx.const(0, "bfloat16")
    return [x, y, te.compute((40, 56), lambda i, j: tirx.Max(x[i, j], gate) * y[i, j], name="C")]


VERIFIED: dict[str, Verified] = {
    "matmul-f32-prime": matmul(32, 48, 97, "float32"),
    "matmul-bf16": matmul(32, 64, 1024, "bfloat16"),
    "matmul-f16": matmul(32, 64, 512, "float16"),
    "matmul-f16-f32": matmul(48, 32, 128, "float16", "float32"),
    "matmul-bf16-f32-bf16": matmul(32, 32, 256, "bfloat16", "float32", "bfloat16", nt=True),
    "matmul-int8": matmul(32, 48, 64, "int8", "int32"),
    "matmul-f32-long": matmul(16, 16, 4096, "float32"),
    "sums-f32": sums(64, 1000, "float32"),
    "sums-bf16": sums(64, 1024, "bfloat16"),
    "sums-f16": sums(16, 8192, "float16"),
    "total-f32": total(10007, "float32"),
    "total-bf16": total(1024, "bfloat16"),
    "dot-f16": dot(4096, "float16"),
    "squares-f16": Verified(_squares, lambda x: (x * x).sum(1), 257),
    "softmax-f32": softmax(32, 64, "float32"),
    "softmax-bf16": softmax(16, 256, "bfloat16"),
    "layer-norm": Verified(_layer_norm, _layer_norm_reference, 96, "X_var_sum.*<X_(mean|sum)"),
    "rms-norm-bf16": Verified(_rms_norm, _rms_norm_reference, 128),
    "conv": Verified(_conv, _conv_reference, 72),
    "max-pool": Verified(_max_pool, lambda x: x.reshape(6, 8, 2, 8, 2).max((2, 4)), 1),
    "embedding-bag": Verified(_embedding_bag, lambda table, ids: table[ids].sum(1), 12),
    "log-sums": Verified(_log_sums, lambda x: np.log(x).sum(1), 64),
    "bias-gelu": Verified(_bias_gelu, _bias_gelu_reference, 1),
    "transpose-bf16": Verified(_transpose, lambda x: x.T, 1),
    "gated-bf16": Verified(_gated, lambda x, y: np.maximum(x, 0) * y, 1),
    "min-plus": Verified(_min_plus, lambda a, b: (a[:, :, None] + b[None]).min(1), 1),
    "attention": Verified(_attention, _attention_reference, 32, "maxelem"),
}
